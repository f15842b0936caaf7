/* open_path: opens and looks up files for all modules that need them: static, index, try_files,
 * `if (-f ...)`. Applies disable_symlinks, open_file_cache, directio and read_ahead. */
#ifndef WR_OPEN_PATH_H
#define WR_OPEN_PATH_H

#include "http/http.h"

#include <sys/stat.h>

#define WR_OPEN_PATH_MAX 16384 /* longer than the system allows, so that the system reports it */

struct wr_open_error {
    int err;
    const char *call; /* "open()", as in nginx's log */
};
enum wr_there {
    WR_THERE,
    WR_NOT_THERE, /* the reason is in *e */
    WR_OPENING    /* a thread opens it: hold, and ask for the same path again when woken */
};
/* Look up path and fill *st. A regular file is opened for reading, and *file is a use of it that
 * the caller drops; otherwise *file is NULL. */
enum wr_there wr_open_path(struct wr_exchange *x, const char *path, struct stat *st,
                           struct wr_opened **file, struct wr_open_error *e) WR_CHECKED;
/* For a reader of a file from wr_open_path: read directly if directio applies to the file. */
void wr_open_reader(struct wr_exchange *x, struct wr_reader *r);
/* Look up path without opening it. True: it exists, and disable_symlinks allows it. */
bool wr_stat_path(struct wr_exchange *x, const char *path, struct stat *st,
                  struct wr_open_error *e) WR_CHECKED;
/* The status for a path that could not be opened: 404, 403 or 500. */
unsigned wr_open_status(int err);

#endif

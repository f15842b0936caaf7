/* open_path: opening what a uri names in the file system, the way every module that looks at files
 * does it: static, index, try_files, `if (-f ...)`. disable_symlinks, open_file_cache, directio and
 * read_ahead are kept here. */
#ifndef WR_OPEN_PATH_H
#define WR_OPEN_PATH_H

#include "http/http.h"

#include <sys/stat.h>

#define WR_OPEN_PATH_MAX 16384 /* longer than any the system opens: it says so itself */

struct wr_open_error {
    int err;
    const char *call; /* "open()", as in nginx's log */
};
enum wr_there {
    WR_THERE,
    WR_NOT_THERE, /* *e says why */
    WR_OPENING    /* a thread does it: hold, and ask for the same path again when woken */
};
/* *st describes what is there; a regular file is opened for reading and *file a use of it, for the
 * caller; else NULL. */
enum wr_there wr_open_path(struct wr_exchange *x, const char *path, struct stat *st,
                           struct wr_opened **file, struct wr_open_error *e) WR_CHECKED;
/* directio, for a reader of such a file. */
void wr_open_reader(struct wr_exchange *x, struct wr_reader *r);
/* Only looks: is it there, and may it be opened as far as disable_symlinks goes? */
bool wr_stat_path(struct wr_exchange *x, const char *path, struct stat *st,
                  struct wr_open_error *e) WR_CHECKED;
/* What a request for a path that could not be opened is answered with: 404, 403 or 500. */
unsigned wr_open_status(int err);

#endif

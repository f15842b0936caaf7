/* open_impl: private to open_*.c, the files behind open_path.h: the configuration, opening of
 * paths with untrusted links, and the elements of open_file_cache. */
#ifndef WR_OPEN_IMPL_H
#define WR_OPEN_IMPL_H

#include "open_path.h"

enum wr_symlinks { WR_SYMLINKS_OFF, WR_SYMLINKS_ON, WR_SYMLINKS_OWNER }; /* what is disabled */
struct wr_open_cache;
struct wr_open_conf {
    struct {
        uint32_t disabled;
        struct wr_template *from; /* NULL: the whole path is checked */
    } links;
    struct wr_open_cache *cache;  /* NULL: off */
    uint64_t cache_valid_s;
    uint32_t cache_min_uses;
    bool cache_errors;
    uint64_t directio;            /* from this size on files are read directly; UINT64_MAX: none */
    size_t directio_alignment, read_ahead;
};
extern struct wr_module wr_module_open_path;

/* ---- open_walk: as open(2); links in the path are followed as the configuration says ---- */
/* The number of bytes of path that are trusted: those of `from` if path begins with it, else the
 * first slash. */
size_t wr_open_trusted(struct wr_exchange *x, const struct wr_open_conf *c, struct wr_str path);
/* -1 with errno. */
int wr_open_walk(struct wr_exchange *x, const struct wr_open_conf *c, const char *path, int flags);

/* ---- open_later: as open(2), but in a thread if the path is not in memory ---- */
struct later;
struct wr_open_ctx {             /* of an exchange */
    struct later *later;         /* of open_later; NULL: nothing was begun */
    bool cleanup;
};
/* NOT_THERE with errno. OPENING: the exchange is woken later, and must ask for this path again;
 * that call returns the result. */
enum wr_there wr_open_later(struct wr_exchange *x, const char *path, int flags, int *fd) WR_CHECKED;

/* ---- open_cache: the results of lookups by path (file, folder or error), and open files. A
 * configuration has the cache; each worker fills its own copy ---- */
struct wr_open_known {           /* one element */
    struct wr_link recent;       /* the most recently used is first */
    struct wr_open_known *next;  /* in its bucket */
    uint64_t hash, used_ms;
    uint64_t checked_ms;         /* when it was looked up; 0: never */
    uint32_t uses;
    struct wr_opened *file;      /* NULL: not kept open */
    struct wr_open_error error;  /* err 0: the path exists, see st */
    struct stat st;
    size_t n;
    char key[];
};
/* At most max elements; one that was not used for inactive_ms is dropped. */
struct wr_open_cache *wr_open_cache_new(struct wr_pool *pool, uint32_t max, uint64_t inactive_ms);
/* Find or make the element of this key, and count a use. Valid until the next call. */
struct wr_open_known *wr_open_cache_use(struct wr_open_cache *c, struct wr_str key);
void wr_open_cache_drop(struct wr_open_cache *c, struct wr_open_known *k);

#endif

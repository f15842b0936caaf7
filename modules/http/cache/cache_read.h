/* cache_read: finds an object in its file. At once if the path and the first page are in memory,
 * else a thread does it. What is truncated, damaged or zero is not found, and its file is removed;
 * a file of another format version is not found, and stays. */
#ifndef WR_CACHE_READ_H
#define WR_CACHE_READ_H

#include "cache_file.h"

enum wr_cache_found {
    WR_CACHE_FOUND,               /* r->object, r->reader */
    WR_CACHE_NOT_FOUND,           /* no such file, or it has another key, or is of another format */
    WR_CACHE_WAS_BROKEN,          /* not found, and its file is being removed */
    WR_CACHE_OPENING,             /* a thread looks: ask again when woken */
    WR_CACHE_UNREADABLE           /* the disk failed, which was logged: not found */
};
struct wr_cache_job;
struct wr_cache_read {            /* in the pool of an exchange; the caller sets the fields up to
                                   * who, and leaves the rest zero */
    struct wr_cache_folder *folder; /* outlives the configuration's jobs */
    struct wr_threads *threads;   /* NULL: this thread reads, and waits */
    struct wr_pool *pool;         /* everything below ends with it */
    struct wr_cache_name name;
    struct wr_str key;            /* whole key, compared with that of the file */
    struct wr_waiter who;
    struct wr_cache_object object; /* its views are in the pool */
    struct wr_str at_hand;        /* the first bytes of the body, if any were read: of a small
                                   * object all. As long as the pool */
    struct wr_reader reader;      /* of the whole file: the body begins at object.body_at. Free its
                                   * slices before the pool */
    uint64_t size;                /* of the file */
    struct wr_cache_job *job;     /* NULL: none was begun */
    bool opened;
    bool failed;                  /* the end: the disk failed in the middle of the body */
};
/* OPENING is returned until a thread has looked. */
enum wr_cache_found wr_cache_read_ask(struct wr_cache_read *r);

#endif

/* cache_write: stores an object in its file. The caller adds bytes as they come; threads write them
 * to a file without a name, which gets its name when it is whole. The caller never waits, and may
 * end before the file is done: a write lives by itself until its callback was called.
 *
 * kill -9 at any moment leaves the old file, the new one or none. */
#ifndef WR_CACHE_WRITE_H
#define WR_CACHE_WRITE_H

#include "cache_file.h"

/* A disk that is so far behind makes a write fail: bytes of one write, and of all in a process. */
#define WR_CACHE_PENDING_MAX (64 << 20)
#define WR_CACHE_PENDING_ALL (256 << 20)

struct wr_cache_write;
struct wr_cache_written {
    bool stored;                  /* false: nothing is left of it; the reason was logged */
    uint64_t size;                /* of the file */
    uint64_t body_n;
};
struct wr_cache_write_how {
    struct wr_cache_folder *folder; /* outlives the write */
    struct wr_threads *threads;
    struct wr_loop *loop;
    struct wr_cache_name name;
    /* Called once, in a task of its own, after finish or when the write fails earlier. The
     * write is freed when it returns. It may do all that a task may. */
    void (*done)(void *arg, const struct wr_cache_written *w);
    void *arg;
};
/* before_body: from wr_cache_encode, not sealed; copied. */
struct wr_cache_write *wr_cache_write_new(const struct wr_cache_write_how *how,
                                          struct wr_str before_body);
/* Adds the bytes of q, which is not changed: blocks are shared, borrowed memory is copied; q has no
 * slices of files. False: the write has failed; done is or will be called, further bytes are
 * dropped. */
bool wr_cache_write_add(struct wr_cache_write *w, const struct wr_bufq *q);
/* Bytes that are not on their way to the file yet: a caller with a slow client may read slower. */
size_t wr_cache_write_pending(const struct wr_cache_write *w);
/* The body is whole. trailers: lines with their line ends, or empty; copied. */
void wr_cache_write_finish(struct wr_cache_write *w, struct wr_str trailers);
/* The object is not wanted any more, and w is not used any more. done is not called. Not after
 * finish, and not after done. */
void wr_cache_write_abort(struct wr_cache_write *w);

/* After a 304: stores the object again with another head, and the body of the file that is there
 * now if that is the one made at created_us. */
void wr_cache_refresh(const struct wr_cache_write_how *how, struct wr_str before_body,
                      uint64_t created_us);

/* Removes the object's file in a thread (NULL: here, and waits), as wr_cache_file_remove. A failure
 * is logged. */
void wr_cache_remove_later(struct wr_cache_folder *f, struct wr_threads *t,
                           const struct wr_cache_name *name, uint64_t created_us);

/* The end of the process: call it before wr_threads_free. Writes whose body is whole are finished
 * here, as far as half a second suffices, and their `done` is called, here or in wr_threads_free;
 * of the others nothing is left, and nobody is called. */
void wr_cache_writes_end(void);
uint32_t wr_cache_writes(void);   /* that are not done */

#endif

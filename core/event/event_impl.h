/* Private to the files of event: the loop, and the calls between them. */
#ifndef WR_EVENT_IMPL_H
#define WR_EVENT_IMPL_H

#include "event/event.h"

#include <sys/epoll.h>

#if defined(__SANITIZE_ADDRESS__)
#define WR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WR_ASAN 1
#endif
#endif
#ifndef WR_ASAN
#define WR_ASAN 0
#endif

#define WR_BEFORE_SLEEP 4

struct wr_heap_entry {
    uint64_t at;              /* the timer's queued_at: comparing touches no timer */
    struct wr_timer *timer;
};

struct wr_loop {
    int epfd;
    int max_events;
    struct epoll_event *events;
    struct wr_task queue;     /* head of a circular list; its run is never called */
    struct wr_task fence;     /* queued during step (3): tasks behind it are for the next turn */
    struct wr_link flushes;   /* of struct wr_flush */
    struct wr_doomed *doomed, **doomed_last;
    struct wr_heap_entry *heap; /* 4-ary, 1-based */
    uint32_t timers, heap_cap;
    uint64_t turns;
    bool stop;
    bool rung;                /* EINTR, or the bell was struck, in this turn */
    struct wr_watch bell;
    void (*on_bell)(uint32_t bits, void *);
    void *bell_arg;
    struct {
        void (*fn)(void *);
        void *arg;
    } before_sleep[WR_BEFORE_SLEEP];
    uint32_t nbefore_sleep;
    struct wr_pipe *pipes;    /* idle and empty */
    uint32_t pipes_idle, pipes_open;
    _Atomic(struct wr_job *) jobs_done; /* finished jobs from the threads, the last one first */
    int jobs_fd;              /* eventfd, written when jobs are done; -1 before the first job */
    struct wr_watch jobs_watch;
    struct wr_link last_words;
    uint32_t nlast_words;
};

/* timer.c: step (2), and the time that step (1) may wait in ms (-1: for ever). */
void wr_timers_expire(struct wr_loop *l);
static inline int wr_timers_wait(const struct wr_loop *l)
{
    uint64_t now = wr_now();

    if (l->timers == 0)
        return -1;
    return l->heap[1].at <= now ? 0 : (int)wr_min(l->heap[1].at - now, (uint64_t)INT32_MAX);
}

/* pipe.c */
void wr_pipes_drop(struct wr_loop *l);

/* last_words.c: called from a transport's free_state. Sends at most WR_LAST_WORDS bytes, the last
 * ones of a connection whose socket is full; takes the descriptor (c->fd is -1 then) if they have
 * to wait. */
#define WR_LAST_WORDS 512
void wr_last_words(struct wr_conn *c, const char *p, size_t n);
void wr_last_words_drop(struct wr_loop *l);

/* offload.c */
void wr_jobs_close(struct wr_loop *l);

/* block.c */
struct wr_slice *wr_slice_new(void); /* not initialised */
void wr_slice_free(struct wr_slice *s); /* also drops its reference to the block */

/* warm.c */
bool wr_warm_known(uint64_t id, uint64_t at); /* was the chunk warm a moment ago? */
void wr_warm_note(uint64_t id, uint64_t at);  /* the whole chunk is warm */
bool wr_warm_byte(int fd, off_t at);          /* is the page of that byte warm? */

/* ---- reader.c ---- */
#define WR_FILE_CHUNK 262144
enum wr_at_hand {
    WR_AT_HAND,               /* at p, or in the file and readable without waiting */
    WR_NOT_YET,               /* a thread reads it; the task is woken when it has */
    WR_NEVER,                 /* err is the errno; 0: it was logged */
    WR_LOOK_AGAIN             /* internal to reader.c */
};
struct wr_wanted {
    struct wr_loop *loop;
    struct wr_task *task;     /* woken after a thread has read */
    size_t n, left;           /* in: bytes wanted now, and in all; out: n are at hand */
    const char *p;            /* NULL: in the file */
    int err;
};
enum wr_at_hand wr_reader_ask(struct wr_reader *r, uint64_t at, struct wr_wanted *w);
/* Reads all n bytes now, unless that needs a disk. */
bool wr_reader_take(struct wr_reader *r, void *p, size_t n, uint64_t at) WR_CHECKED;

/* conn.c: makes a call look like EAGAIN, for chaos or so that other tasks get their turn; the task
 * is woken again. */
enum wr_io wr_conn_pretend_again(struct wr_conn *c);

/* ---- unread ---- */
/* Takes bytes out of *u, which is not NULL; frees it and sets it to NULL with the last of them. */
size_t wr_unread_take(struct wr_unread **u, void *p, size_t n);
struct wr_unread *wr_unread_detach(struct wr_conn *c); /* the caller owns it; NULL: none */
void wr_tls_moved(struct wr_conn *c);                  /* c->tls belongs to this conn now */

#endif

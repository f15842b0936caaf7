/* What the files of event share among themselves: the loop's insides. Nobody else includes this. */
#ifndef WR_EVENT_INSIDE_H
#define WR_EVENT_INSIDE_H

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
    struct wr_task queue;     /* the head of a circular list; its run is never called */
    struct wr_task fence;     /* in the queue during step (3): behind it is the next turn */
    struct wr_doomed *doomed, **doomed_last;
    struct wr_heap_entry *heap; /* 4-ary, 1-based */
    uint32_t timers, heap_cap;
    uint64_t turns;
    bool stop;
    bool rung;                /* by EINTR or the eventfd, in this turn */
    struct wr_watch bell;
    void (*on_bell)(uint32_t bits, void *);
    void *bell_arg;
    struct {
        void (*fn)(void *);
        void *arg;
    } before_sleep[WR_BEFORE_SLEEP];
    uint32_t nbefore_sleep;
    char *scratch;
    struct wr_pipe *pipes;    /* idle and empty */
    uint32_t pipes_idle, pipes_open;
};

/* timer.c: step (2), and how long step (1) may wait (-1: for ever). */
void wr_timers_expire(struct wr_loop *l);
int wr_timers_wait(const struct wr_loop *l);

/* pipe.c */
void wr_pipes_drop(struct wr_loop *l);

/* block.c */
struct wr_slice *wr_slice_new(void); /* not initialised */
void wr_slice_free(struct wr_slice *s); /* drops its reference to the block too */

/* plain.c: the file slice at the front of q. */
enum wr_io wr_conn_write_file(struct wr_conn *c, struct wr_bufq *q, size_t max, size_t *put);

/* conn.c: chaos wants this call to look like EAGAIN; the task is woken again. */
enum wr_io wr_conn_pretend_again(struct wr_conn *c);

#endif

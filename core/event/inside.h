/* What the files of event share among themselves: the loop and the internal calls. No other folder
 * includes this. */
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
    struct wr_task queue;     /* head of a circular list; its run is never called */
    struct wr_task fence;     /* queued during step (3): tasks behind it are for the next turn */
    struct wr_link flushes;   /* of struct wr_flush */
    struct wr_doomed *doomed, **doomed_last;
    struct wr_heap_entry *heap; /* 4-ary, 1-based */
    uint32_t timers, heap_cap;
    uint64_t turns;
    bool stop;
    bool rung;                /* EINTR, or the eventfd was written, in this turn */
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
    size_t n, left;           /* in: at most n bytes of `left` in all; out: n are at hand */
    const char *p;            /* NULL: in the file */
    int err;
};
enum wr_at_hand wr_reader_ask(struct wr_reader *r, uint64_t at, struct wr_wanted *w);
/* Reads all n bytes now, unless that needs a disk. */
bool wr_reader_take(struct wr_reader *r, void *p, size_t n, uint64_t at) WR_CHECKED;

/* conn.c: makes a call look like EAGAIN, for chaos or so that other tasks get their turn; the task
 * is woken again. */
enum wr_io wr_conn_pretend_again(struct wr_conn *c);

/* ---- channel.c: c-ares in our loop ---- */
struct wr_line;
struct wr_channel {
    struct wr_loop *loop;
    const struct wr_resolver_opts *opts;
    struct wr_link lines;     /* c-ares channels, each with sockets and ports of its own */
    struct wr_line *line;     /* the one that takes questions; NULL: it could not be made */
    struct wr_link sockets;   /* of all lines */
    struct wr_task io;        /* runs when a socket has events, or c-ares wants to retry */
    struct wr_timer timer;
    bool heard;               /* a server's message is being processed */
    struct timespec conf_mtime; /* of resolv.conf when it was read */
    off_t conf_size;
    uint64_t conf_checked;
};
#define WR_ASK_NAME 256
struct wr_ask {               /* one name, one record type */
    struct wr_link link;      /* in line->asks, if mixed */
    const char *name;         /* must stay until `answered` */
    uint16_t type;
    struct wr_channel *channel; /* set by wr_channel_ask */
    struct wr_line *line;     /* the line it was sent on */
    char mixed[WR_ASK_NAME];  /* the name as sent, if its case is mixed */
    /* Called once for each ask, possibly before wr_channel_ask returns; it must only record the
     * answer. NULL: the channel was closed, ask again. */
    void (*answered)(struct wr_ask *, const struct wr_dns_answer *);
};
void wr_channel_open(struct wr_channel *ch, struct wr_loop *l, const struct wr_resolver_opts *o);
void wr_channel_close(struct wr_channel *ch);
void wr_channel_refresh(struct wr_channel *ch); /* resolv.conf may have changed */
void wr_channel_ask(struct wr_channel *ch, struct wr_ask *a);

/* ---- mixed_case.c: questions in mixed case, and a filter for answers to other questions ---- */
void wr_case_mix(const char *name, char mixed[static WR_ASK_NAME]); /* a longer one is cut */
/* Installs the filter in an ares_channel, before it sends. asks: list of struct wr_ask, which must
 * live as long. */
void wr_case_watch(void *ares, struct wr_link *asks);

/* ---- question.c: one name with all its record types ---- */
struct wr_question {
    const char *name;
    bool srv;                 /* first SRV records of name, then addresses of each target */
    struct wr_channel *channel;
    /* No ask is pending any more: call wr_question_settle, but not from inside this callback. */
    void (*quiet)(struct wr_question *);
    struct wr_part *parts;
    uint32_t nparts, pending;
    uint32_t ttl;             /* of the SRV records, s */
    bool targets;             /* the parts ask for the targets */
};
void wr_question_start(struct wr_question *q);
/* True: out has the result. False: it asked again (after a timeout, if the caller is `patient`) or
 * went on to the targets or an alias; quiet() will be called. */
bool wr_question_settle(struct wr_question *q, bool patient, struct wr_names *out);
/* The result so far: one family may have been answered. TIMEDOUT if there is none. */
void wr_question_out_of_time(const struct wr_question *q, struct wr_names *out);
void wr_question_clear(struct wr_question *q); /* no ask may be pending */

#endif

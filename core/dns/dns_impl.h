/* Private to the files of dns. */
#ifndef WR_DNS_IMPL_H
#define WR_DNS_IMPL_H

#include "dns/dns.h"

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
 * live as long as the channel. */
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
    struct wr_dns_record *services; /* the SRV records, in the order of their targets */
    uint32_t nservices;
    uint32_t ttl;             /* of the SRV records, s */
    bool targets;             /* the parts ask for the targets */
    uint32_t kept;            /* records of the parts so far */
};
void wr_question_start(struct wr_question *q);
/* True: out has the result, and out->at is the caller's to free. False: it asked again (after a
 * timeout, if the caller is `patient`) or went on to the targets or an alias; quiet() will be
 * called. */
bool wr_question_settle(struct wr_question *q, bool patient, struct wr_names *out);
/* The result so far: one family may have been answered. TIMEDOUT if there is none. out->at is the
 * caller's to free. */
void wr_question_out_of_time(const struct wr_question *q, struct wr_names *out);
void wr_question_clear(struct wr_question *q); /* no ask may be pending */

#endif

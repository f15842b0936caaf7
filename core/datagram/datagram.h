/* datagram: sessions of clients that send datagrams (UDP).
 *
 * Map: train (reading and sending many datagrams at once), kept (copies of a few that must wait),
 * flow (the datagrams of one session, and the sessions by their addresses), mail (datagrams that
 * another process has read), receive (the task of a listening socket).
 *
 * A listening socket gives the datagrams of all its clients. A flow has those of one client: of one
 * pair of addresses, from the first one until its session ends, or until it is released. Where
 * datagrams cannot go on at once they are lost, as in any other queue of a network; a few are kept.
 * What is sent is never split or joined, and an empty datagram is one. */
#ifndef WR_DATAGRAM_H
#define WR_DATAGRAM_H

#include "exchange/exchange.h"

/* ---- trains: datagrams of one size, one behind the other in memory ---- */
#define WR_TRAINS 32           /* most trains of one call */
struct wr_train {
    const char *p;
    size_t n;                  /* bytes of all; 0: one empty datagram */
    size_t size;               /* of each; the last may be shorter. At least n: one datagram */
};
struct wr_trains {               /* trains that are to go on, in order; sending moves it forward */
    struct wr_train *at;
    uint32_t n;
};
static inline uint32_t wr_train_count(const struct wr_train *t)
{
    return t->n <= t->size ? 1 : (uint32_t)((t->n + t->size - 1) / t->size);
}
/* Takes the first datagram away. */
static inline struct wr_train wr_trains_first(struct wr_trains *l)
{
    struct wr_train *t = l->at, first = { t->p, wr_min(t->n, t->size), t->size };

    t->p += first.n;
    t->n -= first.n;
    if (t->n == 0) {
        l->at++;
        l->n--;
    }
    return first;
}
struct wr_count { uint64_t datagrams, bytes; };
struct wr_count wr_trains_count(const struct wr_trains *l);

/* Reads what waits at a peer; it is valid until the next call for any peer. OK: *out has at least
 * one train. AGAIN, ERROR as wr_conn_read: an error is a datagram's that was sent before. */
enum wr_io wr_trains_read(struct wr_conn *c, struct wr_trains *out) WR_CHECKED;
/* Sends to a peer. OK: the load is empty; a datagram that cannot be sent by itself (too large) is
 * left out, and c->error says why. AGAIN: the socket is full. ERROR: the peer cannot be reached
 * (c->error); the datagram at the front was not sent. */
enum wr_io wr_trains_send(struct wr_conn *c, struct wr_trains *l, struct wr_count *sent) WR_CHECKED;
/* Pure: this errno is about the way to the peer, not about one datagram. */
bool wr_is_unreachable(int err);

/* ---- kept: copies of datagrams ---- */
struct wr_kept_one;
struct wr_kept {               /* zeroed: empty */
    struct wr_kept_one *first, **last;
    size_t bytes;              /* with the memory around each datagram */
};
/* Copies the datagrams of l, which is not changed, as long as no more than `most` bytes are kept;
 * the first is always taken. Returns how many found no room. */
uint64_t wr_kept_add(struct wr_kept *k, const struct wr_trains *l, size_t most);
/* Fills in up to WR_TRAINS of them, from the first on. */
struct wr_trains wr_kept_load(const struct wr_kept *k, struct wr_train trains[static WR_TRAINS]);
void wr_kept_drop(struct wr_kept *k, uint64_t datagrams); /* the first ones */
void wr_kept_clear(struct wr_kept *k);                    /* idempotent */

/* ---- flows ---- */
/* Sends the client's datagrams that came last, or were kept, to the peer; those not sent (AGAIN,
 * ERROR) stay. copy (may be NULL): gets a copy of what was sent, of `most` bytes at most. */
struct wr_flow_copy { struct wr_kept *to; size_t most; };
enum wr_io wr_flow_forward(struct wr_flow *f, struct wr_conn *peer, const struct wr_flow_copy *copy,
                           struct wr_count *sent) WR_CHECKED;
/* Sends to the client. What cannot be sent is lost: how many, in *lost. */
struct wr_count wr_flow_reply(struct wr_flow *f, struct wr_trains *l, uint64_t *lost);
/* The flow takes so many datagrams in all; the next begins another session. 0: any number. */
void wr_flow_limit(struct wr_flow *f, uint64_t datagrams);
/* True: the limit is reached, and all of them were forwarded. */
bool wr_flow_is_complete(const struct wr_flow *f);
/* The first datagram that was not forwarded yet; p NULL: there is none. */
struct wr_str wr_flow_peek(const struct wr_flow *f);
/* The session waits for its peer: if its client has sent one datagram only, it may be ended to make
 * room. Call wr_flow_busy before it goes on to anything else. Both idempotent. */
void wr_flow_idle(struct wr_flow *f);
void wr_flow_busy(struct wr_flow *f);
/* Ends the session that has been idle longest of those whose client has sent one datagram; false:
 * there is none. */
bool wr_flows_spare(void);

/* ---- mail: sessions of other processes ---- */
/* Makes the shared memory of a configuration in which listeners get datagrams. False: reported. */
bool wr_mail_open(struct wr_cf *cf, const struct wr_listener *listeners) WR_CHECKED;
extern struct wr_module wr_module_mail;

/* ---- receive ---- */
void wr_receive(struct wr_task *t); /* listener->receive */

#endif

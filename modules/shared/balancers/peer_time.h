/* peer_time: how long a peer takes, a moving average that all workers share in its slot. Balancers
 * that read it note each try in `done`. An average is forgotten by half every ten seconds without a
 * new measurement, and a peer that was not asked for a while is asked once: no average stays
 * stale. */
#ifndef WR_PEER_TIME_H
#define WR_PEER_TIME_H

#include "least.h"

enum wr_time_kind { WR_TIME_CONNECT, WR_TIME_FIRST_BYTE, WR_TIME_HEADER, WR_TIME_LAST_BYTE };
struct wr_time_conf {            /* u->balancer_conf */
    uint32_t magic;
    enum wr_time_kind kind;
    bool timed;                  /* `random two`: peers are compared by time */
    bool inflight, two;          /* two: of `random` */
};

/* "header" ...; false: no such kind in this layer. */
static inline WR_CHECKED bool wr_time_named(uint32_t layer, struct wr_str name,
                                            enum wr_time_kind *out)
{
    static const struct { const char *name; uint32_t layers; enum wr_time_kind kind; } kinds[] = {
        { "connect", WR_L4, WR_TIME_CONNECT },
        { "first_byte", WR_L4, WR_TIME_FIRST_BYTE },
        { "header", WR_L7, WR_TIME_HEADER },
        { "last_byte", WR_ANY, WR_TIME_LAST_BYTE },
    };

    for (size_t i = 0; i < WR_COUNT(kinds); i++)
        if ((kinds[i].layers & layer) != 0 && wr_str_is(name, kinds[i].name)) {
            *out = kinds[i].kind;
            return true;
        }
    return false;
}

#define WR_TIME_MS 256           /* parts of a millisecond in an average */
#define WR_TIME_HALVES_MS 10000  /* an average without a new measurement halves in this time */
#define WR_TIME_FAILED_MS 1000   /* a failed try counts as at least this long */
#define WR_TIME_FLOOR_MS 5       /* shorter times are equal: a busy machine adds so much */
#define WR_TIME_REST_MS 1000     /* a peer is not asked again, only to measure it, sooner */
#define WR_TIME_PROBES 8         /* one pick of so many may go to a peer not asked lately */

static inline uint64_t wr_time_of(enum wr_time_kind kind, const struct wr_try *t)
{
    switch (kind) {
    case WR_TIME_CONNECT:
        return t->connect_ms;
    case WR_TIME_FIRST_BYTE:
        return t->first_byte_ms;
    case WR_TIME_HEADER:
        return t->header_ms;
    default:
        return t->ended_ms;
    }
}
/* The time in ms that a try counts for a peer whose average is avg_ms (0: not measured);
 * WR_NOT_YET: it does not count. A peer that fails, or answers with an error, must not look fast. A
 * try that ended before its time was known (the client left) only says that the peer takes at least
 * so long. */
static inline uint64_t wr_time_sample(enum wr_time_kind kind, const struct wr_try *t,
                                      uint64_t avg_ms)
{
    uint64_t ms = wr_time_of(kind, t);

    if (t->failed || t->cut)
        return wr_max(wr_max(t->ended_ms, 2 * avg_ms), (uint64_t)WR_TIME_FAILED_MS);
    if (t->status >= 500 && t->header_ms != WR_NOT_YET)
        return wr_max(ms, avg_ms > 0 ? avg_ms : WR_TIME_FAILED_MS);
    if (ms == WR_NOT_YET || (kind == WR_TIME_LAST_BYTE && t->left))
        return avg_ms > 0 && t->ended_ms > avg_ms ? t->ended_ms : WR_NOT_YET;
    return ms;
}
/* Pure: the average after a sample. A heavy one counts half: failed tries, and those after a rest.
 * avg 0: none before. */
static inline uint32_t wr_time_average(uint32_t avg, uint64_t sample_ms, bool heavy)
{
    int64_t sample = (int64_t)wr_min(sample_ms, (uint64_t)UINT32_MAX / WR_TIME_MS) * WR_TIME_MS;

    if (avg > 0)
        sample = avg + (sample - avg) / (heavy ? 2 : 8);
    return (uint32_t)wr_max(sample, (int64_t)1);
}
/* Pure: what is left of an average. */
static inline uint32_t wr_time_left(uint32_t avg, uint64_t age_ms)
{
    return avg == 0 ? 0 : wr_max(avg >> wr_min(age_ms / WR_TIME_HALVES_MS, (uint64_t)31), 1u);
}
/* Pure: the part of an average that is compared: three bits after the first. Less than an eighth is
 * chance, and so is what happens below the floor; peers that differ by no more take turns. */
static inline uint32_t wr_time_rounded(uint32_t avg)
{
    avg = wr_max(avg, (uint32_t)(WR_TIME_FLOOR_MS * WR_TIME_MS));
    return avg & (UINT32_MAX << (28 - (uint32_t)__builtin_clz(avg)));
}
static inline uint64_t wr_time_age(const _Atomic uint64_t *since, uint64_t now_ms)
{
    uint64_t ms = atomic_load_explicit(since, memory_order_relaxed);

    return now_ms > ms ? now_ms - ms : 0;
}
static inline uint32_t wr_time_now(const struct wr_peer_slot *s, uint64_t now_ms)
{
    return wr_time_left(atomic_load_explicit(&s->time_avg, memory_order_relaxed),
                        wr_time_age(&s->timed_ms, now_ms));
}
/* It has not been measured for fail_timeout, nor for as long as it takes. */
static inline bool wr_time_is_due(const struct wr_peer_slot *s, uint64_t now_ms)
{
    uint64_t avg = atomic_load_explicit(&s->time_avg, memory_order_relaxed);
    uint64_t rest = atomic_load_explicit(&s->fail_timeout_ms, memory_order_relaxed);

    rest = wr_max(wr_max(rest, avg / WR_TIME_MS), (uint64_t)WR_TIME_REST_MS);
    return avg > 0 && wr_time_age(&s->timed_ms, now_ms) >= rest;
}
/* For `done`. */
static inline void wr_time_note(const struct wr_time_conf *c, const struct wr_try *t)
{
    struct wr_peer_slot *s = t->peer.slot;
    uint32_t avg = wr_time_now(s, wr_now());
    bool due = wr_time_is_due(s, wr_now());
    uint64_t sample = wr_time_sample(c->kind, t, (avg + WR_TIME_MS - 1) / WR_TIME_MS);

    if (sample == WR_NOT_YET)
        return;
    atomic_store_explicit(&s->time_avg, wr_time_average(avg, sample, t->failed || due),
                          memory_order_relaxed);
    atomic_store_explicit(&s->timed_ms, wr_now(), memory_order_relaxed);
}

enum { WR_TIME_UNKNOWN, WR_TIME_KNOWN, WR_TIME_AWAITED }; /* ranks of load */
/* A peer that was not measured yet gets one request, before all others; until that has ended the
 * measured ones are preferred. */
static inline struct wr_load wr_load_by_time(const struct wr_pick *p, const struct wr_peer *peer,
                                             uint64_t least)
{
    uint64_t avg = wr_time_now(peer->slot, p->now_ms), conns = wr_load_conns(peer);

    if (avg == 0)
        return wr_load_of(p, peer, conns == 0 ? WR_TIME_UNKNOWN : WR_TIME_AWAITED, conns);
    avg = wr_time_rounded((uint32_t)wr_min(wr_max(avg, least), (uint64_t)UINT32_MAX));
    return wr_load_of(p, peer, WR_TIME_KNOWN, (conns + 1) * (avg / 16)); /* in 1/16 ms */
}
static inline struct wr_load wr_load_timed(const struct wr_pick *p, const struct wr_peer *peer)
{
    return wr_load_by_time(p, peer, 0);
}
/* inflight: a peer that has requests and has answered none for longer than its average takes at
 * least that long. */
static inline struct wr_load wr_load_inflight(const struct wr_pick *p, const struct wr_peer *peer)
{
    const struct wr_peer_slot *s = peer->slot;
    uint64_t silent = wr_min(wr_time_age(&s->timed_ms, p->now_ms),
                             wr_time_age(&s->busy_ms, p->now_ms));

    return wr_load_by_time(p, peer, wr_load_conns(peer) > 0 ? silent * WR_TIME_MS : 0);
}
/* A pick that may go to a peer only to measure it again: `chance` (a turn, a random number) is one
 * of a few, the peer was not asked lately and has nothing to do. Where requests are rare all peers
 * are due at each pick: hence the few. */
static inline bool wr_time_may_probe(const struct wr_pick *p, const struct wr_peer *peer,
                                     uint64_t chance)
{
    return chance % WR_TIME_PROBES == 0 && wr_load_conns(peer) == 0
        && wr_time_is_due(peer->slot, p->now_ms);
}

#endif

/* placement: where a key belongs, pure: hashes, and the tables that turn a hash into one of the
 * servers. The balancers hash and ip_hash call it.
 *
 * Map: placement (hashes of keys, addresses and servers; a line of weights), ring (points of
 * consistent hashing), maglev (a table of prime size). A ring or a table of many servers takes
 * longer than a turn of the loop may: it is built in steps. */
#ifndef WR_PLACEMENT_H
#define WR_PLACEMENT_H

#include "base/base.h"

/* ---- hashes ---- */
/* CRC-32 (ISO 3309) of text, continued from that of the text before it; 0: there is none. */
uint32_t wr_crc32(uint32_t before, struct wr_str text);
/* The sum for round 0, 1, 2 ...: `before` is that of the round before, 0 at first. The remainder by
 * the sum of the weights is the place on the line. */
uint32_t wr_place_key(struct wr_str key, uint32_t round, uint32_t before);
/* The same of an address: three octets of IPv4, all of IPv6; a unix socket counts as 0.0.0. */
#define WR_PLACE_ADDR_BEGIN 89
uint32_t wr_place_addr(const struct wr_addr *a, uint32_t before);
/* The hash with which a server's points begin; text: as in the configuration, "host:port" or
 * "unix:path". */
uint32_t wr_place_server(struct wr_str text);

/* ---- line: servers side by side, each as long as its weight ---- */
struct wr_line_of_weights {
    uint32_t magic;
    uint32_t n, size;            /* size: capacity of end */
    uint64_t *end;               /* where each server's part ends; own memory */
    uint64_t sum;
};
void wr_weights_clear(struct wr_line_of_weights *l); /* frees end: the line is empty */
void wr_weights_begin(struct wr_line_of_weights *l); /* empty, and keeps its memory */
void wr_weights_add(struct wr_line_of_weights *l, uint32_t weight);
/* The number of the server at a place below the sum. */
uint32_t wr_weights_at(const struct wr_line_of_weights *l, uint64_t place);

/* ---- tables ---- */
struct wr_placed {               /* what a table places */
    uint64_t id;                 /* hash of what tells it from others */
    uint32_t base;               /* wr_place_server of its text */
    uint32_t weight;
};
struct wr_ring {
    uint32_t n;                  /* points */
    uint32_t *point, *owner;     /* ascending; the number of whom each belongs to */
    uint32_t *guide;             /* by the first bits of a hash: the first point that may match */
    uint32_t shift;              /* of the hash, for the guide */
};
/* A ring in the making. Zeroed before begin. */
struct wr_ring_work {
    const struct wr_placed *of;  /* borrowed */
    uint32_t nof;
    uint64_t sum;                /* of the weights */
    uint32_t who, left;          /* whose points are being made, and how many are left */
    uint32_t n, at, last;        /* points of all; done in this phase; the last point made */
    uint32_t phase;
    uint64_t *items, *spare;     /* point << 32 | owner */
    uint32_t *counts;            /* of each digit of each pass */
    struct wr_ring ring;
};
#define WR_RING_POINTS 160       /* for each unit of weight */
#define WR_RING_MOST (1U << 24)  /* points: above it the weights are scaled down */
void wr_ring_begin(struct wr_ring_work *w, const struct wr_placed *of, uint32_t n);
/* Does about `units` small parts of the work. True: it is done, w->ring is the caller's. */
bool wr_ring_step(struct wr_ring_work *w, uint32_t units);
void wr_ring_stop(struct wr_ring_work *w); /* frees what there is; idempotent */
void wr_ring_free(struct wr_ring *r);
/* The number of the first point at or behind the hash; the ring is not empty. */
static inline uint32_t wr_ring_find(const struct wr_ring *r, uint32_t hash)
{
    uint32_t i = r->guide[hash >> r->shift];

    while (i < r->n && r->point[i] < hash)
        i++;
    return i < r->n ? i : 0;
}

struct wr_maglev {
    uint32_t size;               /* a prime; 0: empty */
    uint32_t *owner;
};
struct wr_maglev_turn { uint64_t at, id; uint32_t who; };
struct wr_maglev_work {
    const struct wr_placed *of;  /* borrowed */
    uint32_t nof, filled;
    struct wr_maglev_turn *heap; /* whose turn is next */
    uint32_t *next;              /* of each, its place in the order it prefers */
    struct wr_maglev table;
};
/* As those of the ring. The places of one depend on its id and weight alone: without it only its
 * own places, and few more, have another owner. */
void wr_maglev_begin(struct wr_maglev_work *w, const struct wr_placed *of, uint32_t n);
bool wr_maglev_step(struct wr_maglev_work *w, uint32_t units);
void wr_maglev_stop(struct wr_maglev_work *w);
void wr_maglev_free(struct wr_maglev *m);
static inline uint32_t wr_maglev_at(const struct wr_maglev *m, uint64_t hash)
{
    return m->owner[hash % m->size];
}

#endif

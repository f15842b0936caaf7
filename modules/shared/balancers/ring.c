/* ring: the points of consistent hashing. A server has 160 points for each unit of its weight, each
 * made from its text and the point before. They are made, sorted by their value (three passes of 11
 * bits) and packed, in steps. Of equal points the first server's is kept, as in nginx. Pure. */
#include "placement.h"

#define DIGIT_BITS 11
#define DIGITS (1U << DIGIT_BITS)
#define PASSES 3

enum phase { RING_MAKE, RING_SORT, RING_PACK = RING_SORT + PASSES, RING_DONE };

static uint32_t take_digit(uint64_t item, uint32_t pass)
{
    return (uint32_t)(item >> (32 + pass * DIGIT_BITS)) & (DIGITS - 1);
}

/* Weights whose points are too many lose the same part each. */
static uint32_t points_of(const struct wr_placed *p, uint64_t sum)
{
    uint64_t n = wr_max(p->weight, 1U);

    if (sum > WR_RING_MOST / WR_RING_POINTS)
        n = wr_max((uint64_t)1, n * (WR_RING_MOST / WR_RING_POINTS) / sum);
    return (uint32_t)(n * WR_RING_POINTS);
}

void wr_ring_begin(struct wr_ring_work *w, const struct wr_placed *of, uint32_t n)
{
    wr_ring_stop(w);
    w->of = of;
    w->nof = n;
    for (uint32_t i = 0; i < n; i++)
        w->sum += wr_max(of[i].weight, 1U);
    for (uint32_t i = 0; i < n; i++)
        w->n += points_of(&of[i], w->sum);
    w->left = n > 0 ? points_of(&of[0], w->sum) : 0;
    w->items = wr_calloc((size_t)w->n + 1, sizeof(*w->items));
    w->spare = wr_calloc((size_t)w->n + 1, sizeof(*w->spare));
    w->counts = wr_calloc((size_t)PASSES * DIGITS, sizeof(*w->counts));
}

/* ---- make ---- */

static void make_point(struct wr_ring_work *w)
{
    const char before[4] = { (char)w->last, (char)(w->last >> 8), (char)(w->last >> 16),
                             (char)(w->last >> 24) };
    uint64_t item;

    w->last = wr_crc32(w->of[w->who].base, wr_str_of(before, sizeof(before)));
    item = (uint64_t)w->last << 32 | w->who;
    for (uint32_t pass = 0; pass < PASSES; pass++)
        w->counts[pass * DIGITS + take_digit(item, pass)]++;
    w->items[w->at++] = item;
    if (--w->left == 0 && ++w->who < w->nof) {
        w->left = points_of(&w->of[w->who], w->sum);
        w->last = 0;
    }
}

/* ---- sort ---- */

/* From how many items have a digit to where the first of them goes. */
static void begin_pass(struct wr_ring_work *w, uint32_t pass)
{
    uint32_t at = 0;

    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t n = w->counts[pass * DIGITS + d];

        w->counts[pass * DIGITS + d] = at;
        at += n;
    }
}

static void sort_item(struct wr_ring_work *w, uint32_t pass)
{
    uint64_t item = w->items[w->at++];

    w->spare[w->counts[pass * DIGITS + take_digit(item, pass)]++] = item;
}

static void end_pass(struct wr_ring_work *w)
{
    uint64_t *sorted = w->spare;

    w->spare = w->items;
    w->items = sorted;
}

/* ---- pack ---- */

static uint32_t guide_size(const struct wr_ring *r)
{
    return 1U << (32 - r->shift);
}

static void begin_packing(struct wr_ring_work *w)
{
    struct wr_ring *r = &w->ring;

    r->shift = 31;
    while (r->shift > 8 && guide_size(r) < w->n)
        r->shift--;
    r->point = wr_calloc((size_t)w->n + 1, sizeof(*r->point));
    r->owner = wr_calloc((size_t)w->n + 1, sizeof(*r->owner));
    r->guide = wr_calloc(guide_size(r), sizeof(*r->guide));
    w->left = 0; /* places of the guide that are done */
}

static void pack_item(struct wr_ring_work *w)
{
    struct wr_ring *r = &w->ring;
    uint64_t item = w->items[w->at++];
    uint32_t point = (uint32_t)(item >> 32);

    if (r->n > 0 && r->point[r->n - 1] == point)
        return;
    while (w->left <= point >> r->shift)
        r->guide[w->left++] = r->n;
    r->point[r->n] = point;
    r->owner[r->n++] = (uint32_t)item;
}

static void end_packing(struct wr_ring_work *w)
{
    while (w->left < guide_size(&w->ring))
        w->ring.guide[w->left++] = w->ring.n;
}

/* ---- all phases ---- */

static void begin_phase(struct wr_ring_work *w)
{
    if (w->phase > RING_SORT && w->phase <= RING_PACK)
        end_pass(w);
    if (w->phase >= RING_SORT && w->phase < RING_PACK)
        begin_pass(w, w->phase - RING_SORT);
    else if (w->phase == RING_PACK)
        begin_packing(w);
    else if (w->phase == RING_DONE)
        end_packing(w);
    w->at = 0;
}

static void do_part(struct wr_ring_work *w)
{
    if (w->phase == RING_MAKE)
        make_point(w);
    else if (w->phase < RING_PACK)
        sort_item(w, w->phase - RING_SORT);
    else
        pack_item(w);
}

bool wr_ring_step(struct wr_ring_work *w, uint32_t units)
{
    while (units-- > 0 && w->phase != RING_DONE) {
        if (w->at < w->n) {
            do_part(w);
        } else {
            w->phase++;
            begin_phase(w);
        }
    }
    return w->phase == RING_DONE;
}

void wr_ring_stop(struct wr_ring_work *w)
{
    free(w->items);
    free(w->spare);
    free(w->counts);
    wr_ring_free(&w->ring);
    *w = (struct wr_ring_work){ .of = NULL };
}

void wr_ring_free(struct wr_ring *r)
{
    free(r->point);
    free(r->owner);
    free(r->guide);
    *r = (struct wr_ring){ .n = 0 };
}

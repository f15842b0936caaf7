/* maglev: a table of prime size in which each server owns a share of the places, as in the paper
 * "Maglev: A Fast and Reliable Software Network Load Balancer" (2016). Each server prefers the
 * places in an order of its own. By turns each takes the first one that is free: the more weight,
 * the earlier its next turn. Neither the orders nor the times of the turns depend on the other
 * servers, so few places change their owner when a server comes or goes. Pure. */
#include "placement.h"

#define SIZE_SMALL 65537
#define SIZE_LARGE 1048573
#define PLACES_EACH 10       /* at least, on average: more servers get the large table */
#define TIME_UNIT (1ULL << 40)

static bool is_before(const struct wr_maglev_turn *a, const struct wr_maglev_turn *b)
{
    return a->at != b->at ? a->at < b->at : a->id < b->id;
}

static uint64_t turn_length(const struct wr_placed *p)
{
    return TIME_UNIT / wr_max(p->weight, 1U);
}

/* The heap's root has a later turn now. */
static void sift_down(struct wr_maglev_turn *heap, uint32_t n, uint32_t at)
{
    struct wr_maglev_turn moved = heap[at];

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < n && is_before(&heap[child + 1], &heap[child]))
            child++;
        if (child >= n || is_before(&moved, &heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

void wr_maglev_begin(struct wr_maglev_work *w, const struct wr_placed *of, uint32_t n)
{
    wr_maglev_stop(w);
    w->of = of;
    w->nof = n;
    w->table.size = n == 0 ? 0 : n <= SIZE_SMALL / PLACES_EACH ? SIZE_SMALL : SIZE_LARGE;
    w->table.owner = wr_calloc((size_t)w->table.size + 1, sizeof(*w->table.owner));
    w->next = wr_calloc((size_t)n + 1, sizeof(*w->next));
    w->heap = wr_calloc((size_t)n + 1, sizeof(*w->heap));
    for (uint32_t i = 0; i < w->table.size; i++)
        w->table.owner[i] = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        w->heap[i] = (struct wr_maglev_turn){ turn_length(&of[i]) / 2, of[i].id, i };
        w->next[i] = (uint32_t)(of[i].id % w->table.size);
    }
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(w->heap, n, i);
}

/* The step from one preferred place to the next: 1 to size - 1, so that it reaches all. */
static uint32_t skip_of(const struct wr_maglev_work *w, uint32_t who)
{
    return 1 + (uint32_t)((w->of[who].id >> 32) % (w->table.size - 1));
}

/* Looks at one place. */
static void try_place(struct wr_maglev_work *w)
{
    struct wr_maglev_turn *turn = &w->heap[0];
    uint32_t who = turn->who, place = w->next[who];

    w->next[who] = (place + skip_of(w, who)) % w->table.size;
    if (w->table.owner[place] != UINT32_MAX)
        return;
    w->table.owner[place] = who;
    w->filled++;
    turn->at += turn_length(&w->of[who]);
    sift_down(w->heap, w->nof, 0);
}

bool wr_maglev_step(struct wr_maglev_work *w, uint32_t units)
{
    while (units-- > 0 && w->filled < w->table.size)
        try_place(w);
    return w->filled == w->table.size;
}

void wr_maglev_stop(struct wr_maglev_work *w)
{
    free(w->heap);
    free(w->next);
    wr_maglev_free(&w->table);
    *w = (struct wr_maglev_work){ .of = NULL };
}

void wr_maglev_free(struct wr_maglev *m)
{
    free(m->owner);
    *m = (struct wr_maglev){ .size = 0 };
}

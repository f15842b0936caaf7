/* geo_table: spans of addresses, built while the configuration is read and bisected at run time.
 * geo.c calls it; memory is in the pools it is given. */
#include "geo_table.h"

wr_u128 wr_geo_number(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    wr_u128 v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* ---- ranges, painted ---- */

/* The first span that ends at or after `key`. */
static uint32_t first_behind(const struct wr_geo_spans *s, wr_u128 key)
{
    uint32_t low = 0, high = s->n;

    /* Files of ranges are mostly sorted already. */
    if (s->n > 0 && s->at[s->n - 1].last < key)
        return s->n;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (s->at[mid].last < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void replace_spans(struct wr_pool *pool, struct wr_geo_spans *s, uint32_t from, uint32_t to,
                          const struct wr_geo_span put[static 3], uint32_t n)
{
    size_t size = sizeof(*put), behind = s->n - to;

    for (uint32_t i = 0; i < n; i++)
        (void)wr_vec_push(pool, s);
    memmove(s->at + from + n, s->at + to, behind * size);
    memcpy(s->at + from, put, n * size);
    s->n = (uint32_t)(from + n + behind);
}

uint32_t wr_geo_paint(struct wr_pool *pool, struct wr_geo_spans *s,
                      const struct wr_geo_span *span)
{
    struct wr_geo_span put[3];
    uint32_t from = first_behind(s, span->first), to = from, n = 0, old = WR_GEO_NONE;

    while (to < s->n && s->at[to].first <= span->last)
        to++;
    if (to - from == 1 && s->at[from].first == span->first && s->at[from].last == span->last)
        old = s->at[from].value;
    if (from < to && s->at[from].first < span->first) {
        put[n] = s->at[from];
        put[n++].last = span->first - 1;
    }
    put[n++] = *span;
    if (from < to && s->at[to - 1].last > span->last) {
        put[n] = s->at[to - 1];
        put[n++].first = span->last + 1;
    }
    replace_spans(pool, s, from, to, put, n);
    return old;
}

bool wr_geo_erase(struct wr_geo_spans *s, wr_u128 first, wr_u128 last)
{
    uint32_t i = first_behind(s, first);

    if (i == s->n || s->at[i].first != first || s->at[i].last != last)
        return false;
    memmove(s->at + i, s->at + i + 1, (s->n - i - 1) * sizeof(*s->at));
    s->n--;
    return true;
}

/* ---- networks, nested ---- */

#define DEPTH 130 /* networks around one address: 0 to 128 bits of prefix; and one more */

struct nesting {
    struct wr_pool *pool;
    struct wr_geo_spans *out;
    const struct wr_geo_span *open[DEPTH];
    uint32_t depth;
    wr_u128 at;              /* everything below it has been written */
    bool full;               /* the last address of all has been written */
};

static void write_until(struct nesting *g, wr_u128 last)
{
    const struct wr_geo_span *top = g->open[g->depth - 1];

    if (g->full || last < g->at)
        return;
    *wr_vec_push(g->pool, g->out) = (struct wr_geo_span){ g->at, last, top->value };
    g->at = last + 1;
    g->full = g->at == 0;
}

static int by_first(const void *a, const void *b)
{
    const struct wr_geo_span *x = a, *y = b;

    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->last > y->last ? -1 : x->last < y->last;
}

void wr_geo_nest(struct wr_pool *pool, struct wr_geo_span *nets, uint32_t n,
                 struct wr_geo_spans *out)
{
    struct nesting g = { .pool = pool, .out = out };

    if (n > 0)
        qsort(nets, n, sizeof(*nets), by_first);
    for (uint32_t i = 0; i < n; i++) {
        while (g.depth > 0 && g.open[g.depth - 1]->last < nets[i].first) {
            write_until(&g, g.open[g.depth - 1]->last);
            g.depth--;
        }
        if (g.depth > 0 && nets[i].first > 0)
            write_until(&g, nets[i].first - 1);
        WR_ASSERT(g.depth < DEPTH);
        g.open[g.depth++] = &nets[i];
        g.at = nets[i].first;
    }
    for (; g.depth > 0; g.depth--)
        write_until(&g, g.open[g.depth - 1]->last);
}

/* ---- the table ---- */

/* Write the start and the value of each span and of each gap; returns how many. */
static uint32_t write_starts(const struct wr_geo_spans *s, wr_u128 end, wr_u128 *start,
                             uint32_t *value)
{
    uint32_t n = 0;
    wr_u128 next = 0;

    for (uint32_t i = 0; i < s->n; i++) {
        if (s->at[i].first > next || n == 0) {
            start[n] = n == 0 ? 0 : next;
            value[n++] = WR_GEO_NONE;
        }
        start[n] = s->at[i].first;
        value[n++] = s->at[i].value;
        next = s->at[i].last + 1;
        if (s->at[i].last == end)
            return n;
    }
    start[n] = next;
    value[n++] = WR_GEO_NONE;
    return n;
}

void wr_geo_build(struct wr_pool *pool, const struct wr_geo_spans *v4,
                  const struct wr_geo_spans *v6, struct wr_geo_table *out)
{
    struct wr_pool *tmp = wr_pool_new(0);
    wr_u128 *start = WR_NEW_ARRAY(tmp, wr_u128, (size_t)v4->n * 2 + 1);

    out->value4 = WR_NEW_ARRAY(pool, uint32_t, (size_t)v4->n * 2 + 1);
    out->n4 = write_starts(v4, UINT32_MAX, start, out->value4);
    out->start4 = WR_NEW_ARRAY(pool, uint32_t, out->n4);
    for (uint32_t i = 0; i < out->n4; i++)
        out->start4[i] = (uint32_t)start[i];
    wr_pool_free(tmp);
    out->value6 = WR_NEW_ARRAY(pool, uint32_t, (size_t)v6->n * 2 + 1);
    out->start6 = WR_NEW_ARRAY(pool, wr_u128, (size_t)v6->n * 2 + 1);
    out->n6 = write_starts(v6, ~(wr_u128)0, out->start6, out->value6);
}

static uint32_t find_ipv4(const struct wr_geo_table *t, uint32_t key)
{
    uint32_t low = 0, high = t->n4;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (t->start4[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return t->value4[low];
}

static uint32_t find_ipv6(const struct wr_geo_table *t, wr_u128 key)
{
    uint32_t low = 0, high = t->n6;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (t->start6[mid] <= key)
            low = mid;
        else
            high = mid;
    }
    return t->value6[low];
}

uint32_t wr_geo_find(const struct wr_geo_table *t, const struct wr_addr *a)
{
    struct wr_str bytes = wr_addr_bytes(a);
    wr_u128 key = wr_geo_number(bytes.p, bytes.n);

    if (bytes.n == 16 && key >> 32 != 0xffff)
        return find_ipv6(t, key);
    return find_ipv4(t, bytes.n == 0 ? UINT32_MAX : (uint32_t)key);
}

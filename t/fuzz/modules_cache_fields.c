/* Any bytes, by the first of them, as: a reply and its 304 (0), a method of a request (1), Range
 * and Content-Range of slices (2), tags (3), a Cache-Status (4), the conditional fields of a
 * request (5). What comes out is within its bounds. */
#include "../../modules/http/cache/cache_status.h"
#include "../../modules/http/cache/cache_tags.h"
#include "../../modules/http/cache/invalidation.h"
#include "../../modules/http/cache/slice_range.h"
#include "../../modules/http/cache/stored_fields.h"
#include "../../modules/http/filters/precondition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wr_fields fields_of(struct wr_pool *pool, struct wr_str *lines)
{
    struct wr_fields f = { 0 };

    while (lines->n > 0) {
        struct wr_str value = wr_str_cut(lines, '\n'), name = wr_str_cut(&value, ':');

        if (name.n == 0)
            break;
        (void)wr_fields_add(pool, &f, name, value.p == NULL ? WR_STR("") : value);
    }
    return f;
}

static void try_merge(struct wr_pool *pool, struct wr_str s)
{
    struct wr_fields stored = fields_of(pool, &s), fresh = fields_of(pool, &s);
    struct wr_cache_control c = wr_cache_control_reply(&stored);
    enum wr_merge how;

    wr_stored_trim(&stored, &c);
    how = wr_stored_merge(pool, &stored, &fresh);
    for (uint32_t i = 0; i < stored.n; i++)
        WR_ASSERT(stored.at[i].gone || !wr_field_is_hop(stored.at[i].id));
    if (how != WR_MERGE_OTHER) /* the second time there is nothing to change */
        WR_ASSERT(wr_stored_merge(pool, &stored, &fresh) == WR_MERGE_SAME);
}

static void try_slices(struct wr_str s, uint64_t size)
{
    struct wr_str range = wr_str_cut(&s, '\n');
    struct wr_slices slices = wr_slices_of(range, size);
    struct wr_content_range r;
    char buffer[WR_SLICE_TEXT_MAX];
    struct wr_text t = wr_text_on(buffer, sizeof(buffer));

    WR_ASSERT(slices.from < slices.to && slices.from % size == 0);
    WR_ASSERT(slices.to == WR_SLICE_UNKNOWN || slices.to % size == 0);
    wr_slice_text(slices.from, size, &t);
    WR_ASSERT(!t.overflow);
    if (!wr_content_range_parse(s, &r))
        return;
    WR_ASSERT(r.from < r.to && r.to <= r.length);
    if (wr_slice_wrong(&r, slices.from, size, WR_SLICE_UNKNOWN) == NULL)
        WR_ASSERT(r.from == slices.from && r.to - r.from <= size && r.length >= r.to);
    WR_ASSERT(!wr_slices_clip(&slices, r.length) || slices.to <= r.length);
}

static void try_tags(struct wr_str s)
{
    struct wr_cache_tags t = { .n = 0 };
    const char *why = wr_cache_tags_add(&t, s);

    WR_ASSERT(t.n <= WR_CACHE_TAGS_MAX && (why == NULL || s.n > WR_CACHE_TAG_MAX));
}

static void try_status(struct wr_str s, uint8_t bits)
{
    struct wr_cache_status c = { .fwd = bits % 8, .stored = bits > 99, .collapsed = bits > 199,
                                 .has_ttl = true, .ttl = bits };
    char buffer[100];
    struct wr_text t = wr_text_on(buffer, sizeof(buffer));

    c.cache = wr_str_cut(&s, '\n');
    c.key = s;
    WR_ASSERT(wr_cache_status_write(&t, &c) || t.n > 50);
    for (size_t i = 0; i < t.n; i++)
        WR_ASSERT(t.p[i] >= ' ' && t.p[i] <= '~');
}

static void try_conditions(struct wr_pool *pool, struct wr_str s, uint8_t bits)
{
    struct wr_validators have = { wr_str_cut(&s, '\n'), bits > 0 ? 1800000000 : -1 };
    struct wr_fields f = fields_of(pool, &s);

    for (unsigned how = WR_SINCE_OFF; how <= WR_SINCE_BEFORE; how++)
        for (unsigned strict = 0; strict < 2; strict++)
            (void)wr_precondition(&f, &have, (enum wr_since)how, strict > 0);
    (void)wr_if_range_holds(&f, &have);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str s = wr_str_skip(wr_str_of((const char *)data, size), 2);
    struct wr_pool *pool;

    if (size < 2)
        return 0;
    pool = wr_pool_new(0);
    switch (data[0] % 6) {
    case 0: try_merge(pool, s); break;
    case 1: (void)wr_invalidates(s, 100 + 3u * data[1]); break;
    case 2: try_slices(s, 1 + (uint64_t)data[1]); break;
    case 3: try_tags(s); break;
    case 4: try_status(s, data[1]); break;
    default: try_conditions(pool, s, data[1]);
    }
    wr_pool_free(pool);
    return 0;
}

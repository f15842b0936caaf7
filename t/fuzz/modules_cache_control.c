/* Any bytes as the values of Cache-Control and its kin, one a line. What comes out is within its
 * bounds, the lists of fields lie in the input, and a directive that forbids is found whatever
 * stands in front of it, unless that is quoted. */
#include "../../modules/http/cache/cache_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_seconds(uint32_t v)
{
    WR_ASSERT(v <= WR_CC_FOREVER || v == WR_CC_ABSENT);
}

static void check_list(struct wr_str list, const uint8_t *data, size_t size)
{
    const uint8_t *p = (const uint8_t *)list.p;

    if (p == NULL)
        return;
    WR_ASSERT(list.n > 0 && p >= data && p + list.n <= data + size);
    WR_ASSERT(memchr(p, '"', list.n) == NULL);
    (void)wr_cache_control_lists(list, WR_STR("a"));
}

static void check_control(const struct wr_cache_control *c, const uint8_t *data, size_t size)
{
    check_seconds(c->max_age);
    check_seconds(c->s_maxage);
    check_seconds(c->while_revalidate);
    check_seconds(c->if_error);
    check_seconds(c->max_stale);
    check_seconds(c->min_fresh);
    WR_ASSERT(c->flags < 2 * WR_CC_ONLY_IF_CACHED);
    check_list(c->no_cache_fields, data, size);
    check_list(c->private_fields, data, size);
}

/* Each line becomes one field of that name. */
static struct wr_fields fields_of(struct wr_pool *pool, struct wr_str name, struct wr_str lines)
{
    struct wr_fields f = { 0 };

    while (lines.p != NULL)
        (void)wr_fields_add(pool, &f, name, wr_str_cut(&lines, '\n'));
    return f;
}

static void check_forbidden(struct wr_pool *pool, struct wr_str lines)
{
    struct wr_fields f = fields_of(pool, WR_STR("Cache-Control"), lines);
    struct wr_cache_control c;

    (void)wr_fields_add(pool, &f, WR_STR("cache-control"), WR_STR("a=\"b, no-store"));
    c = wr_cache_control_reply(&f);
    WR_ASSERT((c.flags & WR_CC_NO_STORE) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str lines = wr_str_of((const char *)data, size);
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = fields_of(pool, WR_STR("Cache-Control"), lines);
    struct wr_cache_control c = wr_cache_control_reply(&f);
    struct wr_accel_expires accel;
    int64_t at = 0;
    uint32_t age = 0;

    check_control(&c, data, size);
    c = wr_cache_control_request(&f);
    check_control(&c, data, size);
    check_forbidden(pool, lines);
    f = fields_of(pool, WR_STR("CDN-Cache-Control"), lines);
    if (wr_cache_control_targeted(&f, &c))
        check_control(&c, data, size);
    f = fields_of(pool, WR_STR("X-Accel-Expires"), lines);
    accel = wr_accel_expires(&f);
    WR_ASSERT(accel.seconds <= (uint64_t)1 << 40);
    f = fields_of(pool, WR_STR("Expires"), lines);
    WR_ASSERT(!wr_expires_field(&f, &at) || at >= -1);
    f = fields_of(pool, WR_STR("Age"), lines);
    WR_ASSERT(!wr_age_field(&f, &age) || age <= WR_CC_FOREVER);
    wr_pool_free(pool);
    return 0;
}

/* range_set: see range_set.h. */
#include "range_set.h"

static const struct wr_str unit = WR_STR_INIT("bytes=");

/* As in nginx: up to 2^63 - 1, without a sign. */
static bool parse_number(struct wr_str s, uint64_t *out)
{
    return wr_str_u64(s, out) && *out <= INT64_MAX;
}

static struct wr_str trim_left(struct wr_str s)
{
    while (s.n > 0 && s.p[0] == ' ')
        s = wr_str_skip(s, 1);
    return s;
}

static struct wr_str trim_right(struct wr_str s)
{
    while (s.n > 0 && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

/* "5-9", "5-" or "-5": the range clipped to the length; it may be empty. False: malformed. */
static bool parse_one(struct wr_str spec, uint64_t length, struct wr_range *r)
{
    struct wr_str first = trim_right(trim_left(wr_str_cut(&spec, '-'))), last = trim_right(spec);
    uint64_t n;

    if (spec.p == NULL)
        return false;
    if (first.n == 0) {
        if (!parse_number(last, &n))
            return false;
        *r = (struct wr_range){ n < length ? length - n : 0, length };
        return true;
    }
    last = trim_left(last);
    if (!parse_number(first, &r->from))
        return false;
    r->to = length;
    if (last.n > 0) {
        if (!parse_number(last, &n))
            return false;
        r->to = n < length ? n + 1 : length;
    }
    return true;
}

static void add_range(struct wr_pool *pool, struct wr_ranges *out, struct wr_range r)
{
    const uint32_t n = out->list.n;

    if (n > 0 && out->list.at[n - 1].to > r.from)
        out->ascending = false;
    if (__builtin_add_overflow(out->total, r.to - r.from, &out->total))
        out->total = UINT64_MAX;
    *wr_vec_push(pool, &out->list) = r;
}

enum wr_range_result wr_ranges_parse(struct wr_str value, uint64_t length, uint32_t max,
                                     struct wr_pool *pool, struct wr_ranges *out)
{
    *out = (struct wr_ranges){ .ascending = true };
    if (max == 0 || value.n <= unit.n || !wr_str_ieq(wr_str_of(value.p, unit.n), unit))
        return WR_RANGE_IGNORED;
    value = wr_str_skip(value, unit.n);
    while (value.p != NULL) {
        struct wr_range r;

        if (!parse_one(wr_str_cut(&value, ','), length, &r))
            return WR_RANGE_NONE;
        if (r.from >= r.to) {
            if (r.from == 0) /* the body is empty: send it whole */
                return WR_RANGE_IGNORED;
            continue;
        }
        if (out->list.n == max)
            return WR_RANGE_IGNORED;
        add_range(pool, out, r);
    }
    if (out->total > length)
        return WR_RANGE_IGNORED;
    return out->list.n > 0 ? WR_RANGE_OK : WR_RANGE_NONE;
}

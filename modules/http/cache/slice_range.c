/* slice_range: see slice_range.h. */
#include "slice_range.h"

static struct wr_str skip_blanks(struct wr_str s)
{
    while (s.n > 0 && s.p[0] == ' ')
        s = wr_str_skip(s, 1);
    return s;
}

/* Up to 2^63 - 1, as in other ranges. */
static bool parse_offset(struct wr_str s, uint64_t *out)
{
    return wr_str_u64(s, out) && *out <= INT64_MAX;
}

/* Rounded up to a multiple of size; too large: unknown. */
static uint64_t round_up(uint64_t v, uint64_t size)
{
    uint64_t rest = v % size;

    return rest == 0 ? v : v > UINT64_MAX - size ? WR_SLICE_UNKNOWN : v + (size - rest);
}

struct wr_slices wr_slices_of(struct wr_str range, uint64_t size)
{
    static const struct wr_str unit = WR_STR_INIT("bytes=");
    struct wr_slices all = { 0, WR_SLICE_UNKNOWN }, s = all;
    struct wr_str first, last;
    uint64_t n;

    if (range.n <= unit.n || !wr_str_ieq(wr_str_of(range.p, unit.n), unit)
        || wr_str_find(range, ',') < range.n)
        return all;
    range = wr_str_skip(range, unit.n);
    first = wr_str_trim(wr_str_cut(&range, '-'));
    last = wr_str_trim(range);
    if (range.p == NULL || !parse_offset(first, &n))
        return all;
    s.from = n - n % size;
    if (last.n == 0)
        return s;
    if (!parse_offset(last, &n) || n < s.from)
        return all;
    s.to = round_up(n + 1, size);
    return s;
}

bool wr_slices_clip(struct wr_slices *s, uint64_t length)
{
    s->to = wr_min(s->to, length);
    return s->from < s->to;
}

void wr_slice_text(uint64_t from, uint64_t size, struct wr_text *out)
{
    uint64_t last = size - 1 > UINT64_MAX - from ? UINT64_MAX : from + (size - 1);

    wr_text_fmt(out, "bytes=%llu-%llu", (unsigned long long)from, (unsigned long long)last);
}

bool wr_content_range_parse(struct wr_str value, struct wr_content_range *out)
{
    static const struct wr_str unit = WR_STR_INIT("bytes ");
    struct wr_str first, last, whole;

    value = wr_str_trim(value);
    if (value.n <= unit.n || !wr_str_ieq(wr_str_of(value.p, unit.n), unit))
        return false;
    whole = skip_blanks(wr_str_skip(value, unit.n));
    last = wr_str_cut(&whole, '/');
    first = wr_str_cut(&last, '-');
    if (!parse_offset(wr_str_trim(first), &out->from)
        || !parse_offset(wr_str_trim(last), &out->to) || out->to < out->from)
        return false;
    out->to++;
    out->length = WR_SLICE_UNKNOWN;
    whole = wr_str_trim(whole);
    return wr_str_is(whole, "*") || (parse_offset(whole, &out->length) && out->to <= out->length);
}

const char *wr_slice_wrong(const struct wr_content_range *got, uint64_t from, uint64_t size,
                           uint64_t length)
{
    if (got->length == WR_SLICE_UNKNOWN)
        return "no complete length in slice response";
    if (length != WR_SLICE_UNKNOWN && got->length != length)
        return "unexpected length in slice response";
    if (got->from != from || got->to - got->from != wr_min(size, got->length - got->from))
        return "unexpected range in slice response";
    return NULL;
}

/* types: the setters most rows use, and the pure parsers they call. Called by apply.c through the
 * rows. They accept the values nginx accepts and refuse others in its words. */
#include "config/config_impl.h"

/* ---- parsers ---- */

/* Takes decimal digits from the front of *s. False: there are none, or more than INT64_MAX. */
static bool take_number(struct wr_str *s, uint64_t *out)
{
    size_t n = 0;

    while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (!wr_str_u64(wr_str_of(s->p, n), out))
        return false;
    *s = wr_str_skip(*s, n);
    return *out <= INT64_MAX;
}

static bool scale_up(uint64_t value, uint64_t by, uint64_t *out)
{
    return !__builtin_mul_overflow(value, by, out) && *out <= INT64_MAX;
}

bool wr_parse_size(struct wr_str s, uint64_t *out)
{
    uint64_t value;
    unsigned shift;

    if (!take_number(&s, &value) || s.n > 1)
        return false;
    switch (s.n == 1 ? wr_lower((unsigned char)s.p[0]) : 0) {
    case 0:
        shift = s.n == 0 ? 0 : 64;
        break;
    case 'k':
        shift = 10;
        break;
    case 'm':
        shift = 20;
        break;
    case 'g':
        shift = 30;
        break;
    default:
        return false;
    }
    return shift < 64 && scale_up(value, UINT64_C(1) << shift, out);
}

/* The units of time, longest first. */
enum { YEAR = 0, WEEK = 2, SECOND = 6, MILLISECOND = 7 };
static const struct unit {
    char name[3];
    uint64_t ms;
} units[] = {
    { "y", UINT64_C(365) * 86400000 }, { "M", UINT64_C(30) * 86400000 },
    { "w", 7 * 86400000 },             { "d", 86400000 },
    { "h", 3600000 },                  { "m", 60000 },
    { "s", 1000 },                     { "ms", 1 },
};

/* Takes a unit from the front of *s: its index, or -1. The last match wins: ms, not m. */
static int take_unit(struct wr_str *s)
{
    int i, found = -1;

    for (i = 0; i < (int)WR_COUNT(units); i++)
        if (wr_str_starts(*s, wr_str_c(units[i].name)))
            found = i;
    if (found >= 0)
        *s = wr_str_skip(*s, strlen(units[found].name));
    return found;
}

/* In ms. first, last: the allowed units; each must be smaller than the one before. A number without
 * a unit is seconds and must be the last. */
static bool parse_time(struct wr_str s, int first, int last, uint64_t *out)
{
    uint64_t total = 0, value;

    do {
        int unit;

        if (!take_number(&s, &value))
            return false;
        unit = take_unit(&s);
        while (s.n > 0 && s.p[0] == ' ')
            s = wr_str_skip(s, 1);
        if (unit < 0 ? s.n > 0 : unit < first || unit > last)
            return false;
        first = unit + 1;
        if (!scale_up(value, unit < 0 ? 1000 : units[unit].ms, &value) ||
            __builtin_add_overflow(total, value, &total) || total > INT64_MAX)
            return false;
    } while (s.n > 0);
    *out = total;
    return true;
}

bool wr_parse_msec(struct wr_str s, uint64_t *out)
{
    return parse_time(s, WEEK, MILLISECOND, out);
}

bool wr_parse_sec(struct wr_str s, uint64_t *out)
{
    if (!parse_time(s, YEAR, SECOND, out))
        return false;
    *out /= 1000;
    return true;
}

bool wr_param(struct wr_str s, const char *name, struct wr_str *value)
{
    struct wr_str key = wr_str_c(name);

    if (!wr_str_starts(s, key) || s.n == key.n || s.p[key.n] != '=')
        return false;
    *value = wr_str_skip(s, key.n + 1);
    return true;
}

/* ---- setters ---- */

static bool invalid_value(struct wr_cf *cf, const char *hint)
{
    return wr_cf_error_hint(cf, 1, hint, "\"%s\" directive invalid value", cf->row->name);
}

static bool parse_flag(struct wr_cf *cf, bool *out)
{
    struct wr_str s = wr_cf_arg(cf, 1);

    *out = wr_str_ieq(s, WR_STR("on"));
    return *out || wr_str_ieq(s, WR_STR("off"))
        || wr_cf_error(cf, 1,
                       "invalid value \"" WR_FMT
                       "\" in \"%s\" directive, it must be \"on\" or \"off\"",
                       WR_ARG(s), cf->row->name);
}

bool wr_set_flag(struct wr_cf *cf, void *conf)
{
    return parse_flag(cf, WR_FIELD(cf, conf, bool));
}

bool wr_set_ignored_flag(struct wr_cf *cf, void *conf)
{
    bool unused;

    (void)conf;
    return parse_flag(cf, &unused);
}

bool wr_set_str(struct wr_cf *cf, void *conf)
{
    *WR_FIELD(cf, conf, struct wr_str) = wr_cf_arg(cf, 1);
    return true;
}

bool wr_set_path(struct wr_cf *cf, void *conf)
{
    *WR_FIELD(cf, conf, struct wr_str) = wr_str_c(wr_cf_path(cf, wr_cf_arg(cf, 1), false));
    return true;
}

static bool parse_number(struct wr_cf *cf, uint32_t *out)
{
    const struct wr_bounds *b = cf->row->data;
    uint64_t v;

    if (!wr_str_u64(wr_cf_arg(cf, 1), &v) || v > UINT32_MAX)
        return wr_cf_error(cf, 1, "\"%s\" directive invalid number", cf->row->name);
    if (b != NULL && b->max == UINT32_MAX && v < b->min)
        return wr_cf_error(cf, 1, "value must be equal to or greater than %u", b->min);
    if (b != NULL && (v < b->min || v > b->max))
        return wr_cf_error(cf, 1, "value must be between %u and %u", b->min, b->max);
    *out = (uint32_t)v;
    return true;
}

bool wr_set_num(struct wr_cf *cf, void *conf)
{
    return parse_number(cf, WR_FIELD(cf, conf, uint32_t));
}

bool wr_set_ignored_num(struct wr_cf *cf, void *conf)
{
    uint32_t unused;

    (void)conf;
    return parse_number(cf, &unused);
}

bool wr_set_size(struct wr_cf *cf, void *conf)
{
    struct wr_str s = wr_cf_arg(cf, 1);
    uint64_t v;

    if (wr_str_ends(s, WR_STR("g")) || wr_str_ends(s, WR_STR("G")))
        return invalid_value(cf, "only k and m are units here");
    if (!wr_parse_size(s, &v))
        return invalid_value(cf, "write a size in bytes, or with k or m: 8192, 8k, 1m");
    *WR_FIELD(cf, conf, size_t) = v;
    return true;
}

bool wr_set_offset(struct wr_cf *cf, void *conf)
{
    if (!wr_parse_size(wr_cf_arg(cf, 1), WR_FIELD(cf, conf, uint64_t)))
        return invalid_value(cf, "write a size in bytes, or with k, m or g: 8192, 8k, 1m, 2g");
    return true;
}

bool wr_set_msec(struct wr_cf *cf, void *conf)
{
    if (!wr_parse_msec(wr_cf_arg(cf, 1), WR_FIELD(cf, conf, uint64_t)))
        return invalid_value(cf, "write a time, longest unit first: 30 (seconds), 500ms, 1h30m");
    return true;
}

bool wr_set_sec(struct wr_cf *cf, void *conf)
{
    if (!wr_parse_sec(wr_cf_arg(cf, 1), WR_FIELD(cf, conf, uint64_t)))
        return invalid_value(cf, "write a time of whole seconds, longest unit first: 30, 5m, 1d");
    return true;
}

static bool find_enum(struct wr_cf *cf, uint32_t arg, uint32_t *value)
{
    char hint[256];
    struct wr_text t = wr_text_on(hint, sizeof(hint) - 1);
    const struct wr_enum *e;

    for (e = cf->row->data; e->name != NULL; e++) {
        if (wr_str_ieq(wr_cf_arg(cf, arg), wr_str_c(e->name))) {
            *value = e->value;
            return true;
        }
        wr_text_fmt(&t, "%s%s", t.n > 0 ? ", " : "allowed: ", e->name);
    }
    hint[t.n] = '\0';
    return wr_cf_error_hint(cf, arg, hint, "invalid value \"" WR_FMT "\"",
                            WR_ARG(wr_cf_arg(cf, arg)));
}

bool wr_set_enum(struct wr_cf *cf, void *conf)
{
    return find_enum(cf, 1, WR_FIELD(cf, conf, uint32_t));
}

bool wr_set_mask(struct wr_cf *cf, void *conf)
{
    uint32_t *field = WR_FIELD(cf, conf, uint32_t), mask = cf->first ? 0 : *field, bits, i;

    for (i = 1; i <= cf->nargs; i++) {
        if (!find_enum(cf, i, &bits))
            return false;
        if (bits != 0 && (mask & bits) == bits)
            wr_cf_warn(cf, i, "duplicate value \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, i)));
        mask |= bits;
    }
    *field = mask;
    return true;
}

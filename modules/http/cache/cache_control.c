/* cache_control: see cache_control.h. freshness calls it for replies and requests.
 *
 * The parser takes a list apart as RFC 9110 5.6 has it, quoted strings included. What it cannot
 * understand makes a reply less cacheable, never more: a broken number is 0, a broken list of
 * fields means the whole reply, and a quoted string without its end is no quoted string, so that
 * it hides no directive behind it. */
#include "cache_control.h"

#include "dictionary.h"

struct argument {
    struct wr_str text;        /* without its quotes; p NULL: there is none */
    bool broken;               /* white space before "=", or text behind a quoted string */
};

/* ---- directives ---- */

#define SECONDS(field) offsetof(struct wr_cache_control, field)

static const struct directive {
    struct wr_str name;
    uint32_t flag;             /* 0: it has seconds */
    size_t seconds;
} directives[] = {
    { WR_STR_INIT("max-age"), 0, SECONDS(max_age) },
    { WR_STR_INIT("s-maxage"), 0, SECONDS(s_maxage) },
    { WR_STR_INIT("stale-while-revalidate"), 0, SECONDS(while_revalidate) },
    { WR_STR_INIT("stale-if-error"), 0, SECONDS(if_error) },
    { WR_STR_INIT("max-stale"), 0, SECONDS(max_stale) },
    { WR_STR_INIT("min-fresh"), 0, SECONDS(min_fresh) },
    { WR_STR_INIT("no-store"), WR_CC_NO_STORE, 0 },
    { WR_STR_INIT("no-cache"), WR_CC_NO_CACHE, 0 },
    { WR_STR_INIT("private"), WR_CC_PRIVATE, 0 },
    { WR_STR_INIT("public"), WR_CC_PUBLIC, 0 },
    { WR_STR_INIT("must-revalidate"), WR_CC_MUST_REVALIDATE, 0 },
    { WR_STR_INIT("proxy-revalidate"), WR_CC_PROXY_REVALIDATE, 0 },
    { WR_STR_INIT("must-understand"), WR_CC_MUST_UNDERSTAND, 0 },
    { WR_STR_INIT("no-transform"), WR_CC_NO_TRANSFORM, 0 },
    { WR_STR_INIT("immutable"), WR_CC_IMMUTABLE, 0 },
    { WR_STR_INIT("only-if-cached"), WR_CC_ONLY_IF_CACHED, 0 },
};

/* With an argument, which they do not have, they permit nothing. */
static const uint32_t permissions = WR_CC_PUBLIC | WR_CC_MUST_REVALIDATE | WR_CC_MUST_UNDERSTAND;

static const struct directive *find_directive(struct wr_str name)
{
    for (size_t i = 0; i < WR_COUNT(directives); i++)
        if (wr_str_ieq(directives[i].name, name))
            return &directives[i];
    return NULL;
}

void wr_cache_control_init(struct wr_cache_control *c)
{
    *c = (struct wr_cache_control){ 0 };
    c->max_age = c->s_maxage = c->while_revalidate = c->if_error = WR_CC_ABSENT;
    c->max_stale = c->min_fresh = WR_CC_ABSENT;
}

/* Digits only; too many are WR_CC_FOREVER (RFC 9111 1.2.2). */
static bool parse_delta(struct wr_str s, uint32_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = wr_min(v * 10 + (uint64_t)(s.p[i] - '0'), (uint64_t)WR_CC_FOREVER);
    }
    *out = (uint32_t)v;
    return s.n > 0;
}

static void take_seconds(struct wr_cache_control *c, const struct directive *d,
                         const struct argument *arg)
{
    uint32_t *to = (uint32_t *)(void *)((char *)c + d->seconds);
    uint32_t v;

    if (*to != WR_CC_ABSENT)
        return;
    if (arg->text.p == NULL)
        v = d->seconds == SECONDS(max_stale) ? WR_CC_FOREVER : 0;
    else if (arg->broken || !parse_delta(arg->text, &v))
        v = 0;
    *to = v;
}

static bool is_token(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!wr_is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s.p[i]) == NULL))
            return false;
    return true;
}

static bool is_field_list(struct wr_str s)
{
    bool any = false;

    while (s.n > 0) {
        struct wr_str name = wr_str_trim(wr_str_cut(&s, ','));

        if (!is_token(name))
            return false;
        any = any || name.n > 0;
    }
    return any;
}

/* no-cache and private may be of some fields only (RFC 9111 5.2.2.4, 5.2.2.7). */
static void take_flag(struct wr_cache_control *c, const struct directive *d,
                      const struct argument *arg)
{
    struct wr_str *list = d->flag == WR_CC_NO_CACHE ? &c->no_cache_fields
                        : d->flag == WR_CC_PRIVATE  ? &c->private_fields
                                                    : NULL;

    if (list != NULL && list->p == NULL && !arg->broken && is_field_list(arg->text))
        *list = arg->text;
    else if (arg->text.p == NULL || (d->flag & permissions) == 0)
        c->flags |= d->flag;
}

static void take_directive(struct wr_cache_control *c, struct wr_str name,
                           const struct argument *arg)
{
    const struct directive *d = find_directive(name);

    if (d == NULL)
        return;
    if (d->flag == 0)
        take_seconds(c, d, arg);
    else
        take_flag(c, d, arg);
}

/* ---- Cache-Control ---- */

/* Index of the quote that ends a quoted string, of which s is what follows the first quote; or
 * s.n. */
static size_t find_quote(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            return i;
        if (s.p[i] == '\\')
            i++;
    }
    return s.n;
}

/* The argument of a directive; *list begins behind the "=" and is cut at the next comma. */
static struct wr_str cut_argument(struct wr_str *list, bool *broken)
{
    struct wr_str inside = wr_str_skip(*list, 1), text;
    size_t end = list->n > 0 && list->p[0] == '"' ? find_quote(inside) : inside.n;

    if (end == inside.n) { /* a token, or a string without its end */
        *broken = *broken || (list->n > 0 && list->p[0] == '"');
        text = wr_str_cut(list, ',');
        while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
            text.n--;
        return text;
    }
    *list = wr_str_skip(inside, end + 1);
    if (wr_str_trim(wr_str_cut(list, ',')).n > 0)
        *broken = true;
    return wr_str_of(inside.p, end);
}

static bool is_separator(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* Cuts the next directive off the list. False: there is none. */
static bool cut_directive(struct wr_str *list, struct wr_str *name, struct argument *arg)
{
    size_t n = 0;

    *arg = (struct argument){ .broken = false };
    while (list->n > 0 && is_separator(list->p[0]))
        *list = wr_str_skip(*list, 1);
    while (n < list->n && list->p[n] != '=' && list->p[n] != ',')
        n++;
    *name = wr_str_trim(wr_str_of(list->p, n));
    if (n == list->n || list->p[n] == ',') {
        *list = wr_str_skip(*list, n);
        return name->n > 0;
    }
    arg->broken = name->n < n;
    *list = wr_str_skip(*list, n + 1);
    arg->text = cut_argument(list, &arg->broken);
    return true;
}

void wr_cache_control_add(struct wr_cache_control *c, struct wr_str value)
{
    struct wr_str name;
    struct argument arg;

    while (cut_directive(&value, &name, &arg))
        take_directive(c, name, &arg);
}

static const struct wr_field *next_of(const struct wr_fields *f, enum wr_field_id id,
                                      const struct wr_field *after)
{
    return wr_fields_find(f, wr_field_name(id), after);
}

struct wr_cache_control wr_cache_control_reply(const struct wr_fields *f)
{
    const struct wr_field *field = NULL;
    struct wr_cache_control c;

    wr_cache_control_init(&c);
    while ((field = next_of(f, WR_F_CACHE_CONTROL, field)) != NULL)
        wr_cache_control_add(&c, field->value);
    return c;
}

struct wr_cache_control wr_cache_control_request(const struct wr_fields *f)
{
    struct wr_cache_control c = wr_cache_control_reply(f);

    if (wr_fields_first(f, WR_F_CACHE_CONTROL) == NULL
        && wr_fields_has_token(f, WR_F_PRAGMA, WR_STR("no-cache")))
        c.flags |= WR_CC_NO_CACHE;
    return c;
}

bool wr_cache_control_lists(struct wr_str list, struct wr_str name)
{
    while (list.n > 0)
        if (wr_str_ieq(wr_str_trim(wr_str_cut(&list, ',')), name))
            return true;
    return false;
}

/* ---- CDN-Cache-Control ---- */

/* The argument of a member of the dictionary. A value of the wrong type is broken: a number is 0
 * then, a list of fields is the whole reply. */
static struct argument member_argument(struct wr_str key, const struct wr_dictionary_item *it)
{
    const struct directive *d = find_directive(key);
    struct argument arg = { .broken = false };

    if (it->yes || it->no)
        return arg;
    arg.text = d != NULL && d->flag == 0 ? it->digits : it->text;
    arg.broken = arg.text.p == NULL;
    if (arg.broken)
        arg.text = WR_STR("?");
    return arg;
}

/* The value of a key that comes again replaces the one before (RFC 8941 3.2). */
static void forget_member(struct wr_cache_control *c, struct wr_str key)
{
    const struct directive *d = find_directive(key);

    if (d == NULL)
        return;
    if (d->flag == 0)
        *(uint32_t *)(void *)((char *)c + d->seconds) = WR_CC_ABSENT;
    c->flags &= ~d->flag;
    if (d->flag == WR_CC_NO_CACHE)
        c->no_cache_fields = wr_str_of(NULL, 0);
    if (d->flag == WR_CC_PRIVATE)
        c->private_fields = wr_str_of(NULL, 0);
}

/* One field. Several are one dictionary, joined by commas, which no member can cross: a string that
 * is not closed is an error in either case. */
static bool add_dictionary(struct wr_cache_control *c, struct wr_str s, bool *any)
{
    struct wr_str key;
    struct wr_dictionary_item it;
    enum wr_dictionary got;

    while ((got = wr_dictionary_next(&s, &key, &it)) == WR_DICTIONARY_MEMBER) {
        struct argument arg = member_argument(key, &it);

        forget_member(c, key);
        if (!it.no)
            take_directive(c, key, &arg);
        *any = true;
    }
    return got == WR_DICTIONARY_END;
}

bool wr_cache_control_targeted(const struct wr_fields *f, struct wr_cache_control *out)
{
    const struct wr_field *field = NULL;
    bool any = false;

    wr_cache_control_init(out);
    while ((field = wr_fields_find(f, WR_STR("CDN-Cache-Control"), field)) != NULL)
        if (!add_dictionary(out, field->value, &any))
            return false;
    return any;
}

/* ---- fields of one value ---- */

static struct wr_accel_expires parse_accel(struct wr_str s)
{
    bool until = s.n > 0 && s.p[0] == '@';
    uint64_t v;

    if (until)
        s = wr_str_skip(s, 1);
    if (!wr_str_u64(s, &v))
        return (struct wr_accel_expires){ WR_ACCEL_NONE, 0 };
    if (until)
        return (struct wr_accel_expires){ WR_ACCEL_UNTIL, wr_min(v, (uint64_t)1 << 40) };
    if (v == 0)
        return (struct wr_accel_expires){ WR_ACCEL_OFF, 0 };
    return (struct wr_accel_expires){ WR_ACCEL_FOR, wr_min(v, (uint64_t)WR_CC_FOREVER) };
}

struct wr_accel_expires wr_accel_expires(const struct wr_fields *f)
{
    struct wr_accel_expires best = { WR_ACCEL_NONE, 0 }, one;
    const struct wr_field *field = NULL;

    while ((field = next_of(f, WR_F_X_ACCEL_EXPIRES, field)) != NULL) {
        one = parse_accel(wr_str_trim(field->value));
        if (one.kind == WR_ACCEL_OFF) /* in any of them, as in nginx */
            return one;
        if (best.kind == WR_ACCEL_NONE)
            best = one;
    }
    return best;
}

bool wr_expires_field(const struct wr_fields *f, int64_t *at)
{
    const struct wr_field *field = wr_fields_first(f, WR_F_EXPIRES);
    time_t t;

    if (field == NULL)
        return false;
    *at = wr_http_time(wr_str_trim(field->value), &t) && t >= 0 ? (int64_t)t : -1;
    return true;
}

bool wr_age_field(const struct wr_fields *f, uint32_t *seconds)
{
    struct wr_str v = wr_fields_value(f, WR_F_AGE);

    return v.p != NULL && parse_delta(wr_str_trim(wr_str_cut(&v, ',')), seconds);
}

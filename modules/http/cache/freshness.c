/* freshness: see freshness.h.
 *
 * The rules, in the order in which they are applied. "As nginx" was measured where nginx's
 * documentation says nothing. docs/decisions/cache-rules.md has the same table for users.
 *
 *   rule                          nginx                 weir                  rfc9111 on
 *   ---------------------------   -------------------   -------------------   --------------------
 *   STORING
 *   status                        not 1xx               nor 304               nor 206 but of slices
 *   must-understand (5.2.2.3)     ignored               ignored               no-store is void if
 *                                                                             the status is known
 *   Set-Cookie                    not stored            not stored            not stored, but with
 *                                                                             public or s-maxage
 *   Vary: *                       only "*" alone        any member            any member
 *   Authorization (3.5)           stored                stored                only with public,
 *                                                                             s-maxage or
 *                                                                             must-revalidate
 *   no-store of the request       stored                stored                not stored
 *   other methods                 proxy_cache_methods   the same              and a time of their
 *                                                                             own
 *   CDN-Cache-Control (RFC 9213)  ignored               ignored               instead of
 *                                                                             Cache-Control and
 *                                                                             Expires
 *   X-Accel-Expires: N, @T        wins if it is first   wins                  wins
 *   X-Accel-Expires: 0            not stored            not stored            not stored
 *   no-store, private             not stored            not stored            not stored
 *   private="a"                   not stored            not stored            stored without a
 *   no-cache                      not stored            not stored            stored with a
 *                                                                             validator; asked for
 *                                                                             each time
 *   no-cache="a"                  not stored            not stored            stored without a
 *   s-maxage, then max-age        the same              the same              the same
 *   max-age twice                 first, last field     first                 first
 *   max-age that is no number     not stored, or as     stale                 stale
 *                                 if it were absent
 *   max-age="60" (5.2)            not stored            60                    60
 *   directives in quotes          count                 do not count          do not count
 *   Expires                       if before max-age,    only without          only without
 *                                 wins                  max-age               max-age
 *   Expires, zone is not GMT      counts                is over               is over
 *   Expires is compared with      the clock             Date (4.2.1)          Date
 *   proxy_cache_valid             then                  then                  then
 *   nothing                       not stored            not stored            not stored: weir
 *                                                                             does not guess
 *   Age (5.1)                     ignored               counts, is sent       counts, is sent
 *   time the reply took (4.2.3)   ignored               counts beside Age     counts
 *   Age and proxy_cache_valid     ignored               ignored               counts
 *   comes stale                   not stored            not stored            stored with a
 *                                                                             validator or a time
 *                                                                             of stale use
 *   USING
 *   fresh for max-age=1           up to 2 s             1 s                   1 s
 *   must-revalidate, s-maxage     ignored               ignored               never stale; s-maxage
 *                                                                             not beside times of
 *                                                                             stale use
 *   stale-while-revalidate        as "updating"         as "updating"         the same, in the
 *                                                                             background always
 *   stale-if-error                error, timeout,       the same              and 500, 502, 503,
 *                                 invalid_header                              504
 *   both beside X-Accel-Expires   ignored               ignored               ignored
 *   directives of the request     ignored               ignored               no-cache, max-age,
 *                                                                             max-stale, min-fresh,
 *                                                                             only-if-cached
 *   fields of a 304 (3.2)         lost                  stored                stored
 *   unsafe methods (4.4)          nothing               nothing               invalidate
 */
#include "freshness.h"

#include "http/http.h"

#define MS ((uint64_t)1000)

/* ---- times ---- */

uint32_t wr_freshness_age(const struct wr_freshness *f, uint64_t now)
{
    uint64_t since = now > f->received ? (now - f->received) / MS : 0;

    return (uint32_t)wr_min(since + f->age, (uint64_t)WR_CC_FOREVER);
}

int64_t wr_freshness_ttl(const struct wr_freshness *f, uint64_t now)
{
    bool fresh = f->fresh_until > now;
    uint64_t far = (fresh ? f->fresh_until - now : now - f->fresh_until) / MS;
    int64_t ttl = (int64_t)wr_min(far, (uint64_t)WR_CC_FOREVER);

    return fresh ? ttl : -ttl;
}

/* True: now is less than that many seconds behind fresh_until. */
static bool is_within(const struct wr_freshness *f, uint64_t now, uint32_t seconds)
{
    return now < f->fresh_until || now - f->fresh_until < seconds * MS;
}

/* ---- what a reply says ---- */

struct says {
    struct wr_cache_control cc;
    struct wr_accel_expires accel;
    bool targeted;             /* cc is that of CDN-Cache-Control */
    bool has_expires;
    int64_t expires;           /* -1: over */
    int64_t date;              /* -1: none */
    bool has_age;
    uint32_t age;
    bool validator;
};

static void read_control(const struct wr_store_ask *a, struct says *s)
{
    if ((a->ignore & WR_IGNORE_CACHE_CONTROL) != 0) {
        wr_cache_control_init(&s->cc);
        return;
    }
    s->targeted = a->rfc9111 && wr_cache_control_targeted(a->fields, &s->cc);
    if (!s->targeted)
        s->cc = wr_cache_control_reply(a->fields);
}

static void read_reply(const struct wr_store_ask *a, struct says *s)
{
    const struct wr_fields *f = a->fields;
    time_t date;

    *s = (struct says){ .date = -1 };
    read_control(a, s);
    if ((a->ignore & WR_IGNORE_X_EXPIRES) == 0)
        s->accel = wr_accel_expires(f);
    s->has_expires = (a->ignore & WR_IGNORE_EXPIRES) == 0 && !s->targeted
                  && wr_expires_field(f, &s->expires);
    if (wr_http_time(wr_str_trim(wr_fields_value(f, WR_F_DATE)), &date) && date >= 0)
        s->date = (int64_t)date;
    s->has_age = wr_age_field(f, &s->age);
    s->validator = wr_fields_first(f, WR_F_ETAG) != NULL
                || wr_fields_first(f, WR_F_LAST_MODIFIED) != NULL;
}

static bool says_flag(const struct says *s, uint32_t flag)
{
    return (s->cc.flags & flag) != 0;
}

/* ---- storing: what forbids it ---- */

const char *wr_store_reason(enum wr_store why)
{
    static const char *const reasons[] = {
        [WR_STORE_YES] = "stored",
        [WR_STORE_STATUS] = "status",
        [WR_STORE_METHOD] = "method",
        [WR_STORE_NO_STORE] = "Cache-Control: no-store",
        [WR_STORE_NO_CACHE] = "Cache-Control: no-cache",
        [WR_STORE_PRIVATE] = "Cache-Control: private",
        [WR_STORE_ACCEL] = "X-Accel-Expires: 0",
        [WR_STORE_COOKIE] = "Set-Cookie",
        [WR_STORE_VARY] = "Vary: *",
        [WR_STORE_AUTHORIZATION] = "Authorization",
        [WR_STORE_REQUEST] = "no-store of the request",
        [WR_STORE_EXPIRED] = "it has come stale",
        [WR_STORE_NO_TIME] = "no time",
    };

    return reasons[why];
}

/* Statuses whose rules of caching are known here (RFC 9111 5.2.2.3): the final ones of RFC 9110 and
 * those registered since that have none of their own. */
static bool is_understood(unsigned status)
{
    static const unsigned short known[] = {
        200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403,
        404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 429,
        431, 451, 500, 501, 502, 503, 504, 505,
    };

    for (size_t i = 0; i < WR_COUNT(known); i++)
        if (known[i] == status)
            return true;
    return false;
}

static bool may_share(const struct says *s) /* RFC 9111 3.5 */
{
    return says_flag(s, WR_CC_PUBLIC | WR_CC_MUST_REVALIDATE) || s->cc.s_maxage != WR_CC_ABSENT;
}

static enum wr_store judge_status(const struct wr_store_ask *a, const struct says *s)
{
    if (a->status < 200 || a->status == 304)
        return WR_STORE_STATUS;
    if (!a->rfc9111)
        return WR_STORE_YES;
    if (a->status == 206 && !a->slice)
        return WR_STORE_STATUS;
    if (says_flag(s, WR_CC_MUST_UNDERSTAND) && !is_understood(a->status))
        return WR_STORE_STATUS;
    return WR_STORE_YES;
}

/* Cache-Control; the time of X-Accel-Expires is instead of it. */
static enum wr_store judge_control(const struct wr_store_ask *a, const struct says *s)
{
    if (s->accel.kind != WR_ACCEL_NONE)
        return s->accel.kind == WR_ACCEL_OFF ? WR_STORE_ACCEL : WR_STORE_YES;
    /* must-understand: judge_status has seen that the status is known */
    if (says_flag(s, WR_CC_NO_STORE) && !(a->rfc9111 && says_flag(s, WR_CC_MUST_UNDERSTAND)))
        return WR_STORE_NO_STORE;
    if (says_flag(s, WR_CC_PRIVATE) || (!a->rfc9111 && s->cc.private_fields.p != NULL))
        return WR_STORE_PRIVATE;
    if (!a->rfc9111)
        return says_flag(s, WR_CC_NO_CACHE) || s->cc.no_cache_fields.p != NULL
             ? WR_STORE_NO_CACHE : WR_STORE_YES;
    return says_flag(s, WR_CC_NO_CACHE) && !s->validator ? WR_STORE_NO_CACHE : WR_STORE_YES;
}

/* Set-Cookie, Vary, and what the request forbids. */
static enum wr_store judge_rest(const struct wr_store_ask *a, const struct says *s)
{
    bool shared = a->rfc9111
               && (says_flag(s, WR_CC_PUBLIC) || s->cc.s_maxage != WR_CC_ABSENT);

    if ((a->ignore & WR_IGNORE_SET_COOKIE) == 0 && !shared
        && wr_fields_first(a->fields, WR_F_SET_COOKIE) != NULL)
        return WR_STORE_COOKIE;
    if ((a->ignore & WR_IGNORE_VARY) == 0
        && wr_fields_has_token(a->fields, WR_F_VARY, WR_STR("*")))
        return WR_STORE_VARY;
    if (!a->rfc9111)
        return WR_STORE_YES;
    if ((a->request->flags & WR_CC_NO_STORE) != 0)
        return WR_STORE_REQUEST;
    return a->authorization && !may_share(s) ? WR_STORE_AUTHORIZATION : WR_STORE_YES;
}

/* ---- storing: how long it is fresh ---- */

enum source { BY_NOTHING, BY_ACCEL, BY_REPLY, BY_VALID };

/* Finds where the lifetime comes from, and its seconds, which may be negative. */
static enum source find_lifetime(const struct wr_store_ask *a, const struct says *s, int64_t *life)
{
    const int64_t now = (int64_t)(a->now / MS);

    if (s->accel.kind == WR_ACCEL_FOR || s->accel.kind == WR_ACCEL_UNTIL) {
        *life = (int64_t)s->accel.seconds - (s->accel.kind == WR_ACCEL_UNTIL ? now : 0);
        return BY_ACCEL;
    }
    if (s->cc.s_maxage != WR_CC_ABSENT || s->cc.max_age != WR_CC_ABSENT) {
        *life = s->cc.s_maxage != WR_CC_ABSENT ? s->cc.s_maxage : s->cc.max_age;
        return BY_REPLY;
    }
    if (s->has_expires) { /* RFC 9111 4.2.1: Expires minus Date */
        *life = s->expires < 0 ? 0 : s->expires - (s->date >= 0 ? s->date : now);
        return BY_REPLY;
    }
    *life = wr_max(a->valid, (int64_t)0);
    return a->valid < 0 ? BY_NOTHING : BY_VALID;
}

/* RFC 9111 4.2.3: the corrected age value. */
static uint32_t initial_age(const struct wr_store_ask *a, const struct says *s)
{
    uint64_t took = a->now > a->asked ? (a->now - a->asked) / MS : 0;
    uint64_t age = s->has_age ? s->age : 0;

    if (s->has_age || a->rfc9111)
        age += wr_min(took, (uint64_t)WR_CC_FOREVER);
    return (uint32_t)wr_min(age, (uint64_t)WR_CC_FOREVER);
}

/* received plus seconds, which may be negative. */
static uint64_t add_seconds(uint64_t at, int64_t seconds)
{
    const int64_t most = WR_CC_FOREVER;

    seconds = wr_max(-most, wr_min(seconds, most));
    if (seconds < 0)
        return at > (uint64_t)-seconds * MS ? at - (uint64_t)-seconds * MS : 0;
    return at + (uint64_t)seconds * MS;
}

static bool has_stale_use(const struct wr_freshness *f)
{
    return f->while_revalidate > 0 || f->if_error > 0;
}

/* Takes what the reply says about its use once it is stale. */
static void set_stale_use(const struct wr_store_ask *a, const struct says *s,
                          struct wr_freshness *out)
{
    if (s->accel.kind != WR_ACCEL_NONE)
        return;
    if (s->cc.while_revalidate != WR_CC_ABSENT)
        out->while_revalidate = s->cc.while_revalidate;
    if (s->cc.if_error != WR_CC_ABSENT)
        out->if_error = s->cc.if_error;
    if (!a->rfc9111)
        return;
    if (says_flag(s, WR_CC_NO_CACHE))
        out->flags |= WR_FRESH_ASK | WR_FRESH_NEVER_STALE;
    if (says_flag(s, WR_CC_MUST_REVALIDATE | WR_CC_PROXY_REVALIDATE)
        || (s->cc.s_maxage != WR_CC_ABSENT && !has_stale_use(out)))
        out->flags |= WR_FRESH_NEVER_STALE;
    if ((out->flags & WR_FRESH_NEVER_STALE) != 0)
        out->while_revalidate = out->if_error = 0;
}

static enum wr_store judge_time(const struct wr_store_ask *a, const struct says *s,
                                struct wr_freshness *out)
{
    int64_t life = 0;
    enum source by = find_lifetime(a, s, &life);
    bool useful = a->rfc9111 && (s->validator || has_stale_use(out));

    if (by != BY_REPLY && a->rfc9111 && a->method != WR_M_GET && a->method != WR_M_HEAD)
        return WR_STORE_METHOD; /* RFC 9110 9.3.3: POST needs explicit freshness */
    if (by == BY_NOTHING && (out->flags & WR_FRESH_ASK) == 0)
        return WR_STORE_NO_TIME;
    if (by == BY_VALID && life == 0)
        return WR_STORE_NO_TIME;
    if (by == BY_REPLY || (by == BY_VALID && a->rfc9111))
        life -= out->age;
    if (life <= 0 && by != BY_ACCEL && !useful)
        return WR_STORE_EXPIRED;
    out->fresh_until = add_seconds(a->now, life);
    return WR_STORE_YES;
}

enum wr_store wr_store_judge(const struct wr_store_ask *a, struct wr_freshness *out)
{
    static enum wr_store (*const judges[])(const struct wr_store_ask *, const struct says *) = {
        judge_status, judge_control, judge_rest,
    };
    struct says s;
    enum wr_store why;

    read_reply(a, &s);
    for (size_t i = 0; i < WR_COUNT(judges); i++)
        if ((why = judges[i](a, &s)) != WR_STORE_YES)
            return why;
    *out = (struct wr_freshness){ .received = a->now, .age = initial_age(a, &s) };
    set_stale_use(a, &s, out);
    return judge_time(a, &s, out);
}

/* ---- using ---- */

/* True: the request does not accept the reply as it is (RFC 9111 5.2.1). */
static bool is_refused(const struct wr_use_ask *a)
{
    const struct wr_cache_control *r = a->request;
    int64_t ttl = wr_freshness_ttl(a->stored, a->now);

    if (r == NULL)
        return false;
    return (r->flags & WR_CC_NO_CACHE) != 0
        || (r->max_age != WR_CC_ABSENT && wr_freshness_age(a->stored, a->now) > r->max_age)
        || (r->max_age == 0) /* of a reply of this second, too */
        || (r->min_fresh != WR_CC_ABSENT && r->min_fresh > 0 && ttl < (int64_t)r->min_fresh);
}

static bool has_flag(const struct wr_use_ask *a, uint32_t flag)
{
    return (a->stored->flags & flag) != 0;
}

/* Stale, and nobody has refused it. */
static struct wr_using judge_stale(const struct wr_use_ask *a, enum wr_use ask)
{
    const struct wr_cache_control *r = a->request;
    bool within = is_within(a->stored, a->now, a->stored->while_revalidate);

    if (has_flag(a, WR_FRESH_NEVER_STALE))
        return (struct wr_using){ .how = ask };
    if (r != NULL && r->max_stale != WR_CC_ABSENT
        && (r->max_stale == WR_CC_FOREVER || is_within(a->stored, a->now, r->max_stale)))
        return (struct wr_using){ .how = WR_USE_STALE };
    if ((a->use_stale & WR_STALE_UPDATING) == 0 && !within)
        return (struct wr_using){ .how = ask };
    if (a->updating)
        return (struct wr_using){ .how = WR_USE_UPDATING };
    if (a->background || (r != NULL && within))
        return (struct wr_using){ .how = WR_USE_STALE, .background = true };
    return (struct wr_using){ .how = ask };
}

static struct wr_using judge_stored(const struct wr_use_ask *a)
{
    enum wr_use ask = a->validator ? WR_USE_REVALIDATE : WR_USE_EXPIRED;

    if (has_flag(a, WR_FRESH_ASK) || is_refused(a))
        return (struct wr_using){ .how = ask };
    if (a->now < a->stored->fresh_until)
        return (struct wr_using){ .how = WR_USE_HIT };
    return judge_stale(a, ask);
}

struct wr_using wr_use_judge(const struct wr_use_ask *a)
{
    struct wr_using u = { .how = WR_USE_MISS };

    if (a->bypass)
        return (struct wr_using){ .how = WR_USE_BYPASS };
    if (a->stored != NULL)
        u = judge_stored(a);
    if (a->request != NULL && (a->request->flags & WR_CC_ONLY_IF_CACHED) != 0
        && !wr_use_is_stored(u.how))
        u.how = WR_USE_NOT_CACHED;
    return u;
}

bool wr_use_after_failure(const struct wr_use_ask *a, enum wr_stale failure)
{
    const uint32_t statuses = WR_STALE_500 | WR_STALE_502 | WR_STALE_503 | WR_STALE_504;
    uint32_t errors = WR_STALE_ERROR | WR_STALE_TIMEOUT | WR_STALE_INVALID;

    if (a->stored == NULL || a->bypass || has_flag(a, WR_FRESH_NEVER_STALE | WR_FRESH_ASK)
        || is_refused(a))
        return false;
    if (a->request != NULL) /* RFC 5861 4 */
        errors |= statuses;
    return (a->use_stale & failure) != 0
        || ((failure & errors) != 0 && is_within(a->stored, a->now, a->stored->if_error));
}

/* Tests what may be stored, how long it is fresh, and what a request gets. Each row is a rule;
 * where it is one of RFC 9111 the section stands above it. Times are seconds from NOW. */
#include "lib/fields.h"
#include "lib/unit.h"

#include "../../modules/http/cache/freshness.h"
#include "http/http.h"

#define NOW 1800000000         /* Fri, 15 Jan 2027 08:00:00 GMT */
#define DATE "Date: Fri, 15 Jan 2027 08:00:00 GMT\n"
#define CC "Cache-Control: "
#define ETAG "\nETag: \"a\""

enum { NGINX = 1, RFC = 2, BOTH = 3 };

struct store_row {
    int modes;
    const char *fields;        /* of the reply */
    const char *out;           /* "stored 5" and what else there is, or the reason why not */
    unsigned status;           /* 0: 200 */
    int64_t valid;             /* of proxy_cache_valid; 0: no row */
    uint32_t ignore;
    unsigned took;             /* ms */
    bool authorization, slice;
    enum wr_method method;     /* WR_M_OTHER: GET */
    const char *request;       /* fields of the request */
};

#define S(on, says, want, ...) { .modes = (on), .fields = says, .out = want, ##__VA_ARGS__ }

static const char *show_stored(struct wr_pool *pool, const struct wr_freshness *f)
{
    struct wr_text t = wr_text_grow(pool, 64, 4096);

    ck_assert_uint_eq(f->received, NOW * 1000ULL + 250);
    wr_text_fmt(&t, "stored %lld", (long long)(f->fresh_until - f->received) / 1000);
    if (f->age > 0)
        wr_text_fmt(&t, " age %u", f->age);
    if (f->while_revalidate > 0)
        wr_text_fmt(&t, " swr %u", f->while_revalidate);
    if (f->if_error > 0)
        wr_text_fmt(&t, " sie %u", f->if_error);
    wr_text_c(&t, (f->flags & WR_FRESH_ASK) != 0 ? " ask" : "");
    wr_text_c(&t, (f->flags & WR_FRESH_NEVER_STALE) != 0 ? " never" : "");
    return wr_pool_cstr(pool, wr_text_view(&t));
}

static void check_row(const struct store_row *r, bool rfc9111)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields fields = fields_of(pool, r->fields);
    struct wr_fields asked = fields_of(pool, r->request != NULL ? r->request : "");
    struct wr_cache_control request = wr_cache_control_request(&asked);
    struct wr_store_ask a = {
        .rfc9111 = rfc9111,
        .status = r->status > 0 ? r->status : 200,
        .method = r->method == WR_M_OTHER ? WR_M_GET : r->method,
        .authorization = r->authorization,
        .slice = r->slice,
        .request = &request,
        .fields = &fields,
        .ignore = r->ignore,
        .valid = r->valid > 0 ? r->valid : -1,
        .now = NOW * 1000ULL + 250,
        .asked = NOW * 1000ULL + 250 - r->took,
    };
    struct wr_freshness f = { .received = 0 };
    enum wr_store why = wr_store_judge(&a, &f);
    const char *got = why == WR_STORE_YES ? show_stored(pool, &f) : wr_store_reason(why);

    ck_assert_msg(strcmp(got, r->out) == 0, "%s, %s: \"%s\", not \"%s\"",
                  rfc9111 ? "rfc9111" : "default", r->fields, got, r->out);
    wr_pool_free(pool);
}

static void check_rows(const struct store_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((rows[i].modes & NGINX) != 0)
            check_row(&rows[i], false);
        if ((rows[i].modes & RFC) != 0)
            check_row(&rows[i], true);
    }
}
#define CHECK(rows) check_rows(rows, WR_COUNT(rows))

START_TEST(lifetimes)
{
    static const struct store_row rows[] = {
        /* 4.2.1: s-maxage, max-age, Expires minus Date */
        S(BOTH, CC "max-age=60", "stored 60"),
        S(NGINX, CC "max-age=60, s-maxage=100", "stored 100"),
        S(NGINX, CC "s-maxage=10, max-age=60", "stored 10"),
        S(RFC, CC "max-age=60, s-maxage=100", "stored 100 never"),
        S(BOTH, DATE "Expires: Fri, 15 Jan 2027 08:01:00 GMT", "stored 60"),
        S(BOTH, "Expires: Fri, 15 Jan 2027 08:01:00 GMT", "stored 60"),
        S(BOTH, "Date: foo\nExpires: Fri, 15 Jan 2027 08:01:00 GMT", "stored 60"),
        S(BOTH, CC "max-age=60\nExpires: 0", "stored 60"),
        S(BOTH, "Expires: 0\n" CC "max-age=60", "stored 60"),
        S(NGINX, "Expires: Fri, 15 Jan 2027 08:01:00 GMT\n" CC "s-maxage=0", "it has come stale"),
        S(BOTH, CC "public\nExpires: Fri, 15 Jan 2027 08:01:00 GMT", "stored 60"),
        /* the clocks of server and cache differ: the lifetime is by the server's */
        S(BOTH, "Date: Fri, 15 Jan 2027 07:00:00 GMT\n"
          "Expires: Fri, 15 Jan 2027 07:01:00 GMT", "stored 60"),
        S(BOTH, "Date: Fri, 15 Jan 2027 09:00:00 GMT\n"
          "Expires: Fri, 15 Jan 2027 08:59:00 GMT", "it has come stale"),
        S(BOTH, DATE "Expires: Fri, 15 Jan 2027 08:00:00 GMT", "it has come stale"),
        S(BOTH, DATE "Expires: Fri, 15 Jan 2027 08:00:00 UTC", "it has come stale"),
        S(BOTH, "Expires: Mon, 01 Jan 2200 00:00:00 GMT", "stored 2147483648"),
        /* 4.2.1: invalid freshness information is stale, not absent */
        S(BOTH, CC "max-age=abc", "it has come stale", .valid = 9),
        S(BOTH, CC "max-age=0", "it has come stale", .valid = 9),
        /* 1.2.2 */
        S(BOTH, CC "max-age=99999999999", "stored 2147483648"),
        /* proxy_cache_valid is for replies without a time of their own */
        S(BOTH, "", "no time"),
        S(BOTH, "", "stored 9", .valid = 9),
        S(BOTH, CC "public", "stored 9", .valid = 9),
        S(NGINX, CC "max-age=60", "stored 60", .valid = 9),
        S(NGINX, CC "stale-while-revalidate=30", "stored 9 swr 30", .valid = 9),
        S(BOTH, CC "max-age=60", "stored 60", .status = 599),
        S(BOTH, ETAG, "no time"),
    };

    CHECK(rows);
}
END_TEST

START_TEST(accel)
{
    static const struct store_row rows[] = {
        S(BOTH, "X-Accel-Expires: 60", "stored 60"),
        S(BOTH, "X-Accel-Expires: 60\nAge: 50", "stored 60 age 50"),
        S(BOTH, "X-Accel-Expires: @1800000060", "stored 60"),
        S(BOTH, "X-Accel-Expires: @1799999940", "stored -60"),
        S(BOTH, "X-Accel-Expires: @0", "stored -1800000000"),
        S(BOTH, "X-Accel-Expires: 0", "X-Accel-Expires: 0"),
        S(BOTH, "X-Accel-Expires: 0\n" CC "max-age=60", "X-Accel-Expires: 0", .valid = 9),
        S(BOTH, "X-Accel-Expires: off\n" CC "max-age=60", "stored 60"),
        S(BOTH, "X-Accel-Expires: off", "stored 9", .valid = 9),
        S(BOTH, "X-Accel-Expires: 60\n" CC "no-store", "stored 60"),
        S(BOTH, CC "no-store\nX-Accel-Expires: 60", "stored 60"),
        S(BOTH, CC "max-age=0\nExpires: 0\nX-Accel-Expires: 60", "stored 60"),
        S(BOTH, CC "stale-while-revalidate=30, stale-if-error=30\nX-Accel-Expires: 60",
          "stored 60"),
        S(BOTH, "Set-Cookie: a=b\nX-Accel-Expires: 60", "Set-Cookie"),
        S(NGINX, "X-Accel-Expires: 60", "stored 60", .method = WR_M_POST),
    };

    CHECK(rows);
}
END_TEST

START_TEST(forbidden)
{
    static const struct store_row rows[] = {
        /* 5.2.2.5, 5.2.2.7 */
        S(BOTH, CC "no-store, max-age=60", "Cache-Control: no-store", .valid = 9),
        S(BOTH, CC "private, max-age=60", "Cache-Control: private"),
        S(BOTH, CC "max-age=60\n" CC "no-store", "Cache-Control: no-store"),
        S(BOTH, CC "foo=\"no-store\", max-age=60", "stored 60"),
        S(NGINX, CC "private=\"a\", max-age=60", "Cache-Control: private"),
        S(RFC, CC "private=\"a\", max-age=60", "stored 60"),
        /* 5.2.2.4 */
        S(BOTH, CC "no-cache, max-age=60", "Cache-Control: no-cache"),
        S(NGINX, CC "no-cache, max-age=60" ETAG, "Cache-Control: no-cache"),
        S(RFC, CC "no-cache, max-age=60" ETAG, "stored 60 ask never"),
        S(RFC, CC "no-cache" ETAG, "stored 0 ask never"),
        S(RFC, CC "no-cache, stale-if-error=60\nLast-Modified: x", "stored 0 ask never"),
        S(NGINX, CC "no-cache=\"a\", max-age=60", "Cache-Control: no-cache"),
        S(RFC, CC "no-cache=\"a\", max-age=60", "stored 60"),
        /* 4.1 */
        S(BOTH, CC "max-age=60\nVary: *", "Vary: *"),
        S(BOTH, CC "max-age=60\nVary: *, *", "Vary: *"),
        S(BOTH, CC "max-age=60\nVary: a\nVary: , *", "Vary: *"),
        S(BOTH, CC "max-age=60\nVary: a, b*", "stored 60"),
        /* 7.3 leaves Set-Cookie to the cache */
        S(BOTH, CC "max-age=60\nSet-Cookie: a=b", "Set-Cookie"),
        S(NGINX, CC "public, max-age=60\nSet-Cookie: a=b", "Set-Cookie"),
        S(RFC, CC "public, max-age=60\nSet-Cookie: a=b", "stored 60"),
        S(RFC, CC "s-maxage=60\nSet-Cookie: a=b", "stored 60 never"),
        S(BOTH, "Set-Cookie: a=b", "Set-Cookie", .valid = 9),
        /* Pragma has no meaning in replies (5.4) */
        S(BOTH, CC "max-age=60\nPragma: no-cache", "stored 60"),
    };

    CHECK(rows);
}
END_TEST

START_TEST(ignored)
{
    static const struct store_row rows[] = {
        S(BOTH, CC "no-store", "stored 9", .valid = 9, .ignore = WR_IGNORE_CACHE_CONTROL),
        S(BOTH, CC "no-store", "no time", .ignore = WR_IGNORE_CACHE_CONTROL),
        S(BOTH, CC "max-age=60, stale-if-error=5", "stored 9", .valid = 9,
          .ignore = WR_IGNORE_CACHE_CONTROL),
        S(BOTH, CC "max-age=60\n" DATE "Expires: Fri, 15 Jan 2027 08:00:05 GMT", "stored 5",
          .ignore = WR_IGNORE_CACHE_CONTROL),
        S(BOTH, "CDN-Cache-Control: max-age=60", "stored 9", .valid = 9,
          .ignore = WR_IGNORE_CACHE_CONTROL),
        S(BOTH, "Expires: 0", "stored 9", .valid = 9, .ignore = WR_IGNORE_EXPIRES),
        S(BOTH, "X-Accel-Expires: 0\n" CC "max-age=60", "stored 60",
          .ignore = WR_IGNORE_X_EXPIRES),
        S(BOTH, CC "max-age=60\nSet-Cookie: a", "stored 60", .ignore = WR_IGNORE_SET_COOKIE),
        S(BOTH, CC "max-age=60\nVary: *", "stored 60", .ignore = WR_IGNORE_VARY),
    };

    CHECK(rows);
}
END_TEST

START_TEST(ages)
{
    static const struct store_row rows[] = {
        /* 4.2.3, 5.1 */
        S(BOTH, CC "max-age=60\nAge: 20", "stored 40 age 20"),
        S(BOTH, CC "max-age=60\nAge: 60", "it has come stale"),
        S(BOTH, CC "max-age=60\nAge: 99999999999", "it has come stale"),
        S(BOTH, CC "max-age=60\nAge: abc", "stored 60"),
        S(BOTH, CC "max-age=60\nAge: 7200, 0", "it has come stale"),
        S(BOTH, CC "max-age=60\nAge: 0, 7200", "stored 60"),
        S(BOTH, DATE "Expires: Fri, 15 Jan 2027 08:01:00 GMT\nAge: 20", "stored 40 age 20"),
        S(BOTH, "Date: Fri, 15 Jan 2027 07:59:50 GMT\n"
          "Expires: Fri, 15 Jan 2027 08:00:10 GMT\nAge: 25", "it has come stale"),
        S(BOTH, "Date: Fri, 15 Jan 2027 08:00:10 GMT\n"
          "Expires: Fri, 15 Jan 2027 08:00:20 GMT\nAge: 15", "it has come stale"),
        /* 4.2.3: the response delay. By default it counts only for replies of another cache. */
        S(NGINX, CC "max-age=60", "stored 60", .took = 5999),
        S(RFC, CC "max-age=60", "stored 55 age 5", .took = 5999),
        S(BOTH, CC "max-age=60\nAge: 20", "stored 35 age 25", .took = 5999),
        S(NGINX, "Age: 20", "stored 30 age 20", .valid = 30),
        S(RFC, "Age: 20", "stored 10 age 20", .valid = 30),
        S(RFC, "Age: 30", "it has come stale", .valid = 30),
        /* it may be kept for the sake of a 304, or of stale use (4.2.4) */
        S(NGINX, CC "max-age=0" ETAG, "it has come stale"),
        S(RFC, CC "max-age=0" ETAG, "stored 0"),
        S(RFC, CC "max-age=60\nAge: 70" ETAG, "stored -10 age 70"),
        S(NGINX, CC "max-age=0, stale-while-revalidate=9", "it has come stale"),
        S(RFC, CC "max-age=0, stale-while-revalidate=9", "stored 0 swr 9"),
    };

    CHECK(rows);
}
END_TEST

START_TEST(requests)
{
    static const struct store_row rows[] = {
        /* 3.5 */
        S(NGINX, CC "max-age=60", "stored 60", .authorization = true),
        S(RFC, CC "max-age=60", "Authorization", .authorization = true),
        S(RFC, "", "Authorization", .authorization = true, .valid = 9),
        S(RFC, CC "max-age=60, public", "stored 60", .authorization = true),
        S(RFC, CC "max-age=60, must-revalidate", "stored 60 never", .authorization = true),
        S(RFC, CC "max-age=60, proxy-revalidate", "Authorization", .authorization = true),
        S(RFC, CC "s-maxage=60", "stored 60 never", .authorization = true),
        S(RFC, "CDN-Cache-Control: public, max-age=60", "stored 60", .authorization = true),
        /* 5.2.1.5 */
        S(NGINX, CC "max-age=60", "stored 60", .request = CC "no-store"),
        S(RFC, CC "max-age=60", "no-store of the request", .request = CC "no-store"),
        S(BOTH, CC "max-age=60", "stored 60", .request = CC "no-cache, max-age=0"),
        /* RFC 9110 9.3.3 */
        S(BOTH, CC "max-age=60", "stored 60", .method = WR_M_POST),
        S(NGINX, "", "stored 9", .method = WR_M_POST, .valid = 9),
        S(RFC, "", "method", .method = WR_M_POST, .valid = 9),
        S(BOTH, "", "stored 9", .method = WR_M_HEAD, .valid = 9),
    };

    CHECK(rows);
}
END_TEST

START_TEST(statuses)
{
    static const struct store_row rows[] = {
        S(BOTH, CC "max-age=60", "status", .status = 101),
        S(BOTH, CC "max-age=60", "status", .status = 103),
        S(BOTH, CC "max-age=60", "status", .status = 304),
        /* 3.3, 3.4: parts of replies are not combined */
        S(NGINX, CC "max-age=60", "stored 60", .status = 206),
        S(RFC, CC "max-age=60", "status", .status = 206),
        S(BOTH, CC "max-age=60", "stored 60", .status = 206, .slice = true),
        S(BOTH, CC "max-age=60", "stored 60", .status = 500),
        /* 5.2.2.3 */
        S(NGINX, CC "max-age=60, no-store, must-understand", "Cache-Control: no-store"),
        S(RFC, CC "max-age=60, no-store, must-understand", "stored 60"),
        S(RFC, CC "max-age=60, no-store, must-understand", "status", .status = 599),
        S(RFC, CC "max-age=60, must-understand", "status", .status = 299),
        S(NGINX, CC "max-age=60, must-understand", "stored 60", .status = 299),
    };

    CHECK(rows);
}
END_TEST

START_TEST(stale_use)
{
    static const struct store_row rows[] = {
        /* RFC 5861 */
        S(BOTH, CC "max-age=60, stale-while-revalidate=30, stale-if-error=90",
          "stored 60 swr 30 sie 90"),
        S(BOTH, CC "max-age=60, stale-if-error=abc", "stored 60"),
        /* 4.2.4, 5.2.2.2, 5.2.2.8, 5.2.2.10 */
        S(NGINX, CC "max-age=60, must-revalidate", "stored 60"),
        S(RFC, CC "max-age=60, must-revalidate", "stored 60 never"),
        S(RFC, CC "max-age=60, proxy-revalidate", "stored 60 never"),
        S(NGINX, CC "max-age=60, must-revalidate, stale-if-error=90", "stored 60 sie 90"),
        S(RFC, CC "max-age=60, must-revalidate, stale-if-error=90", "stored 60 never"),
        S(BOTH, CC "s-maxage=60, stale-if-error=90", "stored 60 sie 90"),
        S(RFC, CC "s-maxage=60, stale-if-error=0", "stored 60 never"),
    };

    CHECK(rows);
}
END_TEST

/* RFC 9213 2.2 */
START_TEST(targeted)
{
    static const struct store_row rows[] = {
        S(NGINX, "CDN-Cache-Control: max-age=60", "no time"),
        S(NGINX, "CDN-Cache-Control: no-store\n" CC "max-age=60", "stored 60"),
        S(RFC, "CDN-Cache-Control: max-age=60", "stored 60"),
        S(RFC, "CDN-Cache-Control: max-age=60\nExpires: 0", "stored 60"),
        S(RFC, "CDN-Cache-Control: max-age=60\nAge: 20", "stored 40 age 20"),
        S(RFC, "CDN-Cache-Control: max-age=0\n" DATE "Expires: Fri, 15 Jan 2027 08:01:00 GMT",
          "it has come stale"),
        S(RFC, "CDN-Cache-Control: max-age=60\n" CC "max-age=1", "stored 60"),
        S(RFC, "CDN-Cache-Control: max-age=1\n" CC "max-age=60", "stored 1"),
        S(RFC, "CDN-Cache-Control: private\n" CC "max-age=60", "Cache-Control: private"),
        S(RFC, "CDN-Cache-Control: no-cache\n" CC "max-age=60", "Cache-Control: no-cache"),
        S(RFC, "CDN-Cache-Control: no-store\n" CC "max-age=60", "Cache-Control: no-store"),
        S(RFC, "CDN-Cache-Control: max-age=60\n" CC "no-store", "stored 60"),
        S(RFC, "CDN-Cache-Control: max-age=60, &&&&&\n" CC "no-store",
          "Cache-Control: no-store"),
        S(RFC, "CDN-Cache-Control: max-age=\"60\"\n" CC "no-store", "it has come stale"),
        S(RFC, "CDN-Cache-Control: foo\n" CC "no-store", "stored 9", .valid = 9),
        S(RFC, "CDN-Cache-Control: max-age=60\nX-Accel-Expires: 5", "stored 5"),
    };

    CHECK(rows);
}
END_TEST

/* ---- using ---- */

struct use_row {
    const char *request;       /* NULL: not rfc9111; else fields of the request */
    int at;                    /* ms after it was received; it is fresh for 10 s, has the age 100 */
    const char *out;
    uint32_t use_stale, swr, sie, flags;
    bool none, bypass, updating, background, validator;
    uint32_t failure;          /* then: may it be used after that failure? */
};

#define U(asks, after, want, ...) { .request = asks, .at = (after), .out = want, ##__VA_ARGS__ }

static const char *show_use(struct wr_using u)
{
    static const char *const names[] = {
        [WR_USE_MISS] = "MISS", [WR_USE_BYPASS] = "BYPASS", [WR_USE_EXPIRED] = "EXPIRED",
        [WR_USE_REVALIDATE] = "REVALIDATE", [WR_USE_HIT] = "HIT", [WR_USE_STALE] = "STALE",
        [WR_USE_UPDATING] = "UPDATING", [WR_USE_NOT_CACHED] = "504",
    };

    ck_assert(wr_use_is_stored(u.how) == (u.how == WR_USE_HIT || u.how == WR_USE_STALE
                                          || u.how == WR_USE_UPDATING));
    if (u.background)
        ck_assert_int_eq(u.how, WR_USE_STALE);
    return u.background ? "STALE+" : names[u.how];
}

static void check_uses(const struct use_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct use_row *r = &rows[i];
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields fields = fields_of(pool, r->request != NULL ? r->request : "");
        struct wr_cache_control request = wr_cache_control_request(&fields);
        struct wr_freshness f = { .received = NOW * 1000ULL, .fresh_until = (NOW + 10) * 1000ULL,
                                  .age = 100, .while_revalidate = r->swr, .if_error = r->sie,
                                  .flags = r->flags };
        struct wr_use_ask a = {
            .stored = r->none ? NULL : &f, .request = r->request != NULL ? &request : NULL,
            .now = (uint64_t)(NOW * 1000LL + r->at), .use_stale = r->use_stale,
            .bypass = r->bypass, .updating = r->updating, .background = r->background,
            .validator = r->validator,
        };
        const char *got = r->failure == 0 ? show_use(wr_use_judge(&a))
                        : wr_use_after_failure(&a, r->failure) ? "stale" : "no";

        ck_assert_msg(strcmp(got, r->out) == 0, "row %zu (%s at %d): %s, not %s", i,
                      r->request != NULL ? r->request : "default", r->at, got, r->out);
        wr_pool_free(pool);
    }
}
#define CHECK_USES(rows) check_uses(rows, WR_COUNT(rows))

START_TEST(uses)
{
    static const struct use_row rows[] = {
        U(NULL, 0, "MISS", .none = true),
        U(NULL, 0, "BYPASS", .none = true, .bypass = true),
        U(NULL, 0, "BYPASS", .bypass = true),
        U(NULL, 0, "HIT"),
        U(NULL, -5000, "HIT"),                          /* the clock was set back */
        U(NULL, 9999, "HIT"),
        U(NULL, 10000, "EXPIRED"),                      /* 4.2: lifetime > age */
        U(NULL, 10000, "REVALIDATE", .validator = true),
        U(NULL, 10000, "EXPIRED", .updating = true),
        U(NULL, 10000, "EXPIRED", .background = true),
        U(NULL, 10000, "EXPIRED", .use_stale = WR_STALE_ERROR, .updating = true),
        U(NULL, 10000, "UPDATING", .use_stale = WR_STALE_UPDATING, .updating = true),
        U(NULL, 10000, "EXPIRED", .use_stale = WR_STALE_UPDATING),
        U(NULL, 10000, "STALE+", .use_stale = WR_STALE_UPDATING, .background = true),
        U(NULL, 10000, "UPDATING", .use_stale = WR_STALE_UPDATING, .background = true,
          .updating = true),
        /* RFC 5861 3 */
        U(NULL, 14999, "UPDATING", .swr = 5, .updating = true),
        U(NULL, 14999, "STALE+", .swr = 5, .background = true),
        U(NULL, 14999, "EXPIRED", .swr = 5),
        U(NULL, 15000, "EXPIRED", .swr = 5, .updating = true, .background = true),
        U("", 14999, "STALE+", .swr = 5),
        U("", 14999, "UPDATING", .swr = 5, .updating = true),
        U("", 15000, "EXPIRED", .swr = 5),
        /* 4.2.4 */
        U(NULL, 10000, "EXPIRED", .use_stale = WR_STALE_UPDATING, .updating = true, .swr = 5,
          .flags = WR_FRESH_NEVER_STALE),
        U(NULL, 9999, "HIT", .flags = WR_FRESH_NEVER_STALE),
        /* 5.2.2.4 */
        U("", 0, "REVALIDATE", .flags = WR_FRESH_ASK, .validator = true, .updating = true,
          .use_stale = WR_STALE_UPDATING),
        U("", 0, "EXPIRED", .flags = WR_FRESH_ASK),
    };

    CHECK_USES(rows);
}
END_TEST

START_TEST(clients_say)
{
    static const struct use_row rows[] = {
        U("Foo: a", 0, "HIT"),
        U("Pragma: no-cache", 0, "EXPIRED"),                        /* 5.4 */
        U(CC "no-cache", 0, "EXPIRED"),                             /* 5.2.1.4 */
        U(CC "no-cache", 0, "REVALIDATE", .validator = true),
        U(CC "no-cache", 0, "MISS", .none = true),
        U(CC "no-cache", 10000, "EXPIRED", .use_stale = WR_STALE_UPDATING, .updating = true),
        U(CC "no-store", 0, "HIT"),                                 /* 5.2.1.5: it was stored */
        U(CC "max-age=100", 999, "HIT"),                            /* 5.2.1.1 */
        U(CC "max-age=100", 1000, "EXPIRED"),
        U(CC "max-age=0", 0, "EXPIRED"),
        U(CC "max-age=abc", 0, "EXPIRED"),
        U(CC "max-age=101, max-stale", 2000, "EXPIRED"),
        U(CC "min-fresh=10", 0, "HIT"),                             /* 5.2.1.3 */
        U(CC "min-fresh=10", 1, "EXPIRED"),
        U(CC "min-fresh=0", 9999, "HIT"),
        U(CC "max-stale", 99999999, "STALE"),                       /* 5.2.1.2 */
        U(CC "max-stale=5", 14999, "STALE"),
        U(CC "max-stale=5", 15000, "EXPIRED"),
        U(CC "max-stale=0", 10000, "EXPIRED"),
        U(CC "max-stale", 10000, "EXPIRED", .flags = WR_FRESH_NEVER_STALE),
        U(CC "only-if-cached", 0, "HIT"),                           /* 5.2.1.7 */
        U(CC "only-if-cached", 10000, "504"),
        U(CC "only-if-cached", 0, "504", .none = true),
        U(CC "only-if-cached, max-stale=1", 10000, "STALE"),
        U(CC "only-if-cached, no-cache", 0, "504"),
        U(CC "only-if-cached", 0, "BYPASS", .bypass = true),
    };

    CHECK_USES(rows);
}
END_TEST

START_TEST(failures)
{
    static const struct use_row rows[] = {
        U(NULL, 10000, "no", .failure = WR_STALE_ERROR),
        U(NULL, 10000, "no", .none = true, .failure = WR_STALE_ERROR,
          .use_stale = WR_STALE_ERROR),
        U(NULL, 10000, "no", .bypass = true, .failure = WR_STALE_ERROR,
          .use_stale = WR_STALE_ERROR),
        U(NULL, 10000, "stale", .failure = WR_STALE_ERROR, .use_stale = WR_STALE_ERROR),
        U(NULL, 10000, "stale", .failure = WR_STALE_404, .use_stale = WR_STALE_404),
        U(NULL, 10000, "no", .failure = WR_STALE_TIMEOUT, .use_stale = WR_STALE_ERROR),
        U(NULL, 10000, "no", .failure = WR_STALE_ERROR, .use_stale = WR_STALE_ERROR,
          .flags = WR_FRESH_NEVER_STALE),
        U(NULL, 0, "no", .failure = WR_STALE_ERROR, .use_stale = WR_STALE_ERROR,
          .flags = WR_FRESH_ASK),
        /* RFC 5861 4; nginx has statuses only by proxy_cache_use_stale */
        U(NULL, 14999, "stale", .sie = 5, .failure = WR_STALE_ERROR),
        U(NULL, 14999, "stale", .sie = 5, .failure = WR_STALE_INVALID),
        U(NULL, 15000, "no", .sie = 5, .failure = WR_STALE_TIMEOUT),
        U(NULL, 14999, "no", .sie = 5, .failure = WR_STALE_503),
        U("", 14999, "stale", .sie = 5, .failure = WR_STALE_503),
        U("", 14999, "no", .sie = 5, .failure = WR_STALE_404),
        U(CC "no-cache", 14999, "no", .sie = 5, .failure = WR_STALE_ERROR),
    };

    CHECK_USES(rows);
}
END_TEST

START_TEST(numbers)
{
    struct wr_freshness f = { .received = 5000, .fresh_until = 8500, .age = 7 };

    ck_assert_uint_eq(wr_freshness_age(&f, 0), 7);
    ck_assert_uint_eq(wr_freshness_age(&f, 5999), 7);
    ck_assert_uint_eq(wr_freshness_age(&f, 6000), 8);
    ck_assert_uint_eq(wr_freshness_age(&f, UINT64_MAX), WR_CC_FOREVER);
    ck_assert_int_eq(wr_freshness_ttl(&f, 5000), 3);
    ck_assert_int_eq(wr_freshness_ttl(&f, 8500), 0);
    ck_assert_int_eq(wr_freshness_ttl(&f, 12500), -4);
    ck_assert_int_eq(wr_freshness_ttl(&f, UINT64_MAX), -(int64_t)WR_CC_FOREVER);
    /* from a broken file */
    f = (struct wr_freshness){ UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0 };
    ck_assert_uint_eq(wr_freshness_age(&f, 0), WR_CC_FOREVER);
    ck_assert_int_eq(wr_freshness_ttl(&f, 0), WR_CC_FOREVER);
}
END_TEST

UNIT_MAIN("freshness", lifetimes, accel, forbidden, ignored, ages, requests, statuses, stale_use,
          targeted, uses, clients_say, failures, numbers)

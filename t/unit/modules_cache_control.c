/* Cache-Control and its kin, read and shown as one line of text. */
#include "lib/fields.h"
#include "lib/unit.h"

#include "../../modules/http/cache/cache_control.h"

static void put_seconds(struct wr_text *t, const char *name, uint32_t v)
{
    if (v != WR_CC_ABSENT)
        wr_text_fmt(t, " %s=%u", name, v);
}

static const char *show_control(struct wr_pool *pool, const struct wr_cache_control *c)
{
    static const char *const flags[] = { "no-store", "no-cache", "private", "public", "must-r",
                                         "proxy-r", "must-u", "no-transform", "immutable", "oic" };
    struct wr_text t = wr_text_grow(pool, 64, 4096);

    for (size_t i = 0; i < WR_COUNT(flags); i++)
        if ((c->flags >> i & 1) != 0)
            wr_text_fmt(&t, " %s", flags[i]);
    put_seconds(&t, "max-age", c->max_age);
    put_seconds(&t, "s-maxage", c->s_maxage);
    put_seconds(&t, "swr", c->while_revalidate);
    put_seconds(&t, "sie", c->if_error);
    put_seconds(&t, "max-stale", c->max_stale);
    put_seconds(&t, "min-fresh", c->min_fresh);
    if (c->no_cache_fields.p != NULL)
        wr_text_fmt(&t, " no-cache<" WR_FMT ">", WR_ARG(c->no_cache_fields));
    if (c->private_fields.p != NULL)
        wr_text_fmt(&t, " private<" WR_FMT ">", WR_ARG(c->private_fields));
    return wr_pool_cstr(pool, wr_str_skip(wr_text_view(&t), 1));
}

struct row {
    const char *in, *out;
};

enum way { REPLY, REQUEST, CDN };

static void check_rows(const struct row *rows, size_t n, enum way way)
{
    for (size_t i = 0; i < n; i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields f = fields_of(pool, rows[i].in);
        struct wr_cache_control c;
        const char *got = "void";

        if (way == CDN) {
            if (wr_cache_control_targeted(&f, &c))
                got = show_control(pool, &c);
        } else {
            c = way == REPLY ? wr_cache_control_reply(&f) : wr_cache_control_request(&f);
            got = show_control(pool, &c);
        }
        ck_assert_msg(strcmp(got, rows[i].out) == 0, "%s: \"%s\", not \"%s\"", rows[i].in, got,
                      rows[i].out);
        wr_pool_free(pool);
    }
}
#define CHECK(rows, way) check_rows(rows, WR_COUNT(rows), way)
#define CC "Cache-Control: "

START_TEST(directives)
{
    static const struct row rows[] = {
        { "", "" },
        { "Foo: no-store", "" },
        { CC, "" },
        { CC " , ,, ", "" },
        { CC "max-age=5", "max-age=5" },
        { CC "MAX-age=5, S-MaxAge=7", "max-age=5 s-maxage=7" },
        { CC "no-store", "no-store" },
        { CC "No-Cache", "no-cache" },
        { CC "private,public", "private public" },
        { CC "must-revalidate, proxy-revalidate", "must-r proxy-r" },
        { CC "must-understand,no-transform , immutable", "must-u no-transform immutable" },
        { CC "stale-while-revalidate=30,stale-if-error=60", "swr=30 sie=60" },
        { CC "foo, bar=1, baz=\"x\", max-age=5", "max-age=5" },
        { CC "xmax-age=5, max-agex=6, no-storex", "" },
        /* several fields are one list (RFC 9110 5.3) */
        { CC "max-age=5\n" CC "no-store", "no-store max-age=5" },
        { CC "max-age=5\nFoo: a\n" CC "max-age=6, public", "public max-age=5" },
        /* RFC 9111 4.2.1: of several the first */
        { CC "max-age=5, max-age=0", "max-age=5" },
        { CC "max-age=0, max-age=5", "max-age=0" },
    };

    CHECK(rows, REPLY);
}
END_TEST

/* RFC 9111 1.2.2, 4.2.1, 5.2 */
START_TEST(numbers)
{
    static const struct row rows[] = {
        { CC "max-age=0", "max-age=0" },
        { CC "max-age=007", "max-age=7" },
        { CC "max-age=2147483647", "max-age=2147483647" },
        { CC "max-age=2147483648", "max-age=2147483648" },
        { CC "max-age=2147483649", "max-age=2147483648" },
        { CC "max-age=99999999999999999999999999", "max-age=2147483648" },
        { CC "max-age=\"5\"", "max-age=5" },
        { CC "max-age=\"5\", public", "public max-age=5" },
        { CC "max-age='5'", "max-age=0" },
        { CC "max-age=-5", "max-age=0" },
        { CC "max-age=+5", "max-age=0" },
        { CC "max-age=5.0", "max-age=0" },
        { CC "max-age=5a", "max-age=0" },
        { CC "max-age=a5", "max-age=0" },
        { CC "max-age=", "max-age=0" },
        { CC "max-age=\"\"", "max-age=0" },
        { CC "max-age", "max-age=0" },
        { CC "max-age =5", "max-age=0" },
        { CC "max-age= 5", "max-age=0" },
        { CC "max-age=5 ", "max-age=5" },
        { CC "max-age=5 6", "max-age=0" },
        { CC "max-age=\"5\"6", "max-age=0" },
        { CC "max-age=\"5\" , public", "public max-age=5" },
        { CC "max-age=5;a=b", "max-age=0" },
        { CC "stale-if-error", "sie=0" },
    };

    CHECK(rows, REPLY);
}
END_TEST

START_TEST(quoted)
{
    static const struct row rows[] = {
        { CC "foo=\"max-age=5, no-store\", max-age=1", "max-age=1" },
        { CC "max-age=1, foo=\"no-store\"", "max-age=1" },
        { CC "foo=\"a\\\", no-store\", max-age=1", "max-age=1" },
        { CC "foo=\"\\\\\", no-store", "no-store" },
        /* a string without its end hides nothing */
        { CC "foo=\"a, no-store, max-age=1", "no-store max-age=1" },
        { CC "foo=\"a\\", "" },
        { CC "foo=\"", "" },
        { CC "max-age=\"5", "max-age=0" },
        { CC "\"no-store\"", "" },
        { CC "=no-store, =, public", "public" },
    };

    CHECK(rows, REPLY);
}
END_TEST

/* RFC 9111 5.2.2.4, 5.2.2.7 */
START_TEST(field_lists)
{
    static const struct row rows[] = {
        { CC "no-cache=\"Set-Cookie\"", "no-cache<Set-Cookie>" },
        { CC "no-cache=Set-Cookie, max-age=5", "max-age=5 no-cache<Set-Cookie>" },
        { CC "private=\"a, b\", max-age=5", "max-age=5 private<a, b>" },
        { CC "private=\"a\", private", "private private<a>" },
        { CC "private=\"a\", private=\"b\"", "private private<a>" },
        /* what is not a list of names means the whole reply */
        { CC "no-cache=", "no-cache" },
        { CC "no-cache=\"\"", "no-cache" },
        { CC "no-cache=\" , \"", "no-cache" },
        { CC "no-cache=\"a", "no-cache" },
        { CC "no-cache=\"a b\"", "no-cache" },
        { CC "no-cache=\"a\"b", "no-cache" },
        { CC "private =\"a\"", "private" },
        { CC "private=\"a\\b\"", "private" },
        /* an argument where there is none forbids as before, but permits nothing */
        { CC "no-store=1", "no-store" },
        { CC "public=1, must-revalidate=1, must-understand=\"\"", "" },
    };

    CHECK(rows, REPLY);
    ck_assert(wr_cache_control_lists(WR_STR("a, Foo ,b"), WR_STR("foo")));
    ck_assert(!wr_cache_control_lists(WR_STR("a, Foo ,b"), WR_STR("fo")));
    ck_assert(!wr_cache_control_lists(WR_STR(""), WR_STR("foo")));
    ck_assert(!wr_cache_control_lists(wr_str_of(NULL, 0), WR_STR("foo")));
}
END_TEST

/* RFC 9111 5.2.1, 5.4 */
START_TEST(requests)
{
    static const struct row rows[] = {
        { CC "max-age=0", "max-age=0" },
        { CC "max-stale", "max-stale=2147483648" },
        { CC "max-stale=5, min-fresh=6", "max-stale=5 min-fresh=6" },
        { CC "max-stale=a", "max-stale=0" },
        { CC "no-cache, no-store, only-if-cached", "no-store no-cache oic" },
        { "Pragma: no-cache", "no-cache" },
        { "Pragma: foo, No-Cache", "no-cache" },
        { "Pragma: foo", "" },
        { "Pragma: no-cache\n" CC "max-age=5", "max-age=5" },
    };

    CHECK(rows, REQUEST);
}
END_TEST

#define TARGET "CDN-Cache-Control: "

/* RFC 9213 2.1, RFC 8941 4.2 */
START_TEST(targeted)
{
    static const struct row rows[] = {
        { "", "void" },
        { CC "max-age=5", "void" },
        { TARGET, "void" },
        { TARGET "max-age=5", "max-age=5" },
        { "cdn-cache-control: max-age=5", "max-age=5" },
        { TARGET "foobar, max-age=5", "max-age=5" },
        { TARGET "no-store", "no-store" },
        { TARGET "no-store=?1, private=?0, max-age=1;a=b;c;d=\"x\"", "no-store max-age=1" },
        { TARGET "no-cache=\"a, b\"", "no-cache<a, b>" },
        { TARGET "private=a", "private<a>" },
        { TARGET "private=(\"a\" b);x, no-cache=5", "no-cache private" },
        { TARGET "foo=(1 2;a \"x\" ), bar=:YWI=:, baz=-1.5, max-age=2", "max-age=2" },
        { TARGET "max-age=5\n" TARGET "s-maxage=6", "max-age=5 s-maxage=6" },
        { TARGET "max-age=5 ,\t s-maxage=6", "max-age=5 s-maxage=6" },
        /* the last of a name counts */
        { TARGET "max-age=5, max-age=6", "max-age=6" },
        { TARGET "no-store, no-store=?0, max-age=5", "max-age=5" },
        { TARGET "no-cache=\"a\", no-cache", "no-cache" },
        { TARGET "private=a, private=b", "private<b>" },
        { TARGET "max-age=99999999999", "max-age=2147483648" },
        { TARGET "max-age=999999999999999", "max-age=2147483648" },
        { TARGET "*a.b-c_d*=1, max-age=1", "max-age=1" },
        /* of the wrong type: no number */
        { TARGET "max-age=\"10000\"", "max-age=0" },
        { TARGET "max-age=1.0", "max-age=0" },
        { TARGET "max-age=-1", "max-age=0" },
        { TARGET "max-age", "max-age=0" },
        { TARGET "max-age=abc", "max-age=0" },
        { TARGET "max-age=?1, public=5", "max-age=0" },
        /* what is not well-formed is void as a whole */
        { TARGET "max-age=10000, &&&&&", "void" },
        { TARGET "MaX-aGe=3600", "void" },
        { TARGET "max-age =100", "void" },
        { TARGET "max-age= 100", "void" },
        { TARGET "max-age=100,", "void" },
        { TARGET ",max-age=100", "void" },
        { TARGET "max-age=100 foo", "void" },
        { TARGET "max-age=1000000000000000", "void" },
        { TARGET "max-age=1.", "void" },
        { TARGET "max-age=1.2345", "void" },
        { TARGET "max-age=1234567890123.1", "void" },
        { TARGET "max-age=-", "void" },
        { TARGET "max-age=", "void" },
        { TARGET "a=\"b", "void" },
        { TARGET "a=\"b\\c\"", "void" },
        { TARGET "a=\"b\\", "void" },
        { TARGET "a=\"b\tc\"", "void" },
        { TARGET "a=\"b\xc3\xa4\"", "void" },
        { TARGET "a=?2", "void" },
        { TARGET "a=:YWI=", "void" },
        { TARGET "a=(1 2", "void" },
        { TARGET "a=(1,2)", "void" },
        { TARGET "a=(1\"b\")", "void" },
        { TARGET "a;B", "void" },
        { TARGET "a;", "void" },
        { TARGET "max-age=1\n" TARGET "&", "void" },
    };

    CHECK(rows, CDN);
}
END_TEST

/* As nginx 1.22.1 was seen to do, but that there the order of the fields decides, too. */
START_TEST(accel)
{
    static const struct {
        const char *in;
        enum wr_accel_kind kind;
        uint64_t seconds;
    } rows[] = {
        { "", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires: 10", WR_ACCEL_FOR, 10 },
        { "X-Accel-Expires: 0", WR_ACCEL_OFF, 0 },
        { "X-Accel-Expires: @10", WR_ACCEL_UNTIL, 10 },
        { "X-Accel-Expires: @0", WR_ACCEL_UNTIL, 0 },
        { "X-Accel-Expires: 9999999999", WR_ACCEL_FOR, WR_CC_FOREVER },
        { "X-Accel-Expires: @9999999999999999", WR_ACCEL_UNTIL, 1ULL << 40 },
        { "X-Accel-Expires: off", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires: -1", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires: 10x", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires: @", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires:", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires: 99999999999999999999", WR_ACCEL_NONE, 0 },
        { "X-Accel-Expires: 10\nX-Accel-Expires: 0", WR_ACCEL_OFF, 0 },
        { "X-Accel-Expires: 0\nX-Accel-Expires: 10", WR_ACCEL_OFF, 0 },
        { "X-Accel-Expires: 10\nX-Accel-Expires: 5", WR_ACCEL_FOR, 10 },
        { "X-Accel-Expires: off\nX-Accel-Expires: 5", WR_ACCEL_FOR, 5 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields f = fields_of(pool, rows[i].in);
        struct wr_accel_expires got = wr_accel_expires(&f);

        ck_assert_msg(got.kind == rows[i].kind && got.seconds == rows[i].seconds, "%s: %d %llu",
                      rows[i].in, (int)got.kind, (unsigned long long)got.seconds);
        wr_pool_free(pool);
    }
}
END_TEST

/* RFC 9111 5.3, 4.2.1; RFC 9110 5.6.7 */
START_TEST(expires)
{
    static const struct {
        const char *in;
        int64_t at;            /* -2: none */
    } rows[] = {
        { "", -2 },
        { "Expires: Fri, 15 Jan 2027 08:00:00 GMT", 1800000000 },
        { "Expires: Friday, 15-Jan-27 08:00:00 GMT", 1800000000 },
        { "Expires: Fri Jan 15 08:00:00 2027", 1800000000 },
        { "Expires: Fri, 15 Jan 2027 08:00:00 UTC", -1 },
        { "Expires: Fri, 15 Jan 2027 08:00:00 AEST", -1 },
        { "Expires: Fri, 15 Jan 2027 08:00:00", -1 },
        { "Expires: Fri, 15 Jan 27 08:00:00 GMT", -1 },
        { "Expires: Fri 15 Jan 2027 08:00:00 GMT", -1 },
        { "Expires: Fri, 15  Jan  2027  08:00:00 GMT", -1 },
        { "Expires: Fri, 15-Jan-2027 08:00:00 GMT", -1 },
        { "Expires: Fri, 15 Jan 2027 08.00.00 GMT", -1 },
        { "Expires: Fri, 15 Jan 2027 8:00:00 GMT", -1 },
        { "Expires: Fri,\nExpires: 15 Jan 2027 08:00:00 GMT", -1 },
        { "Expires: Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Expires: Wed, 31 Dec 1969 23:59:59 GMT", -1 },
        { "Expires: 0", -1 },
        { "Expires: -1", -1 },
        { "Expires:", -1 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields f = fields_of(pool, rows[i].in);
        int64_t at = -2;
        bool has = wr_expires_field(&f, &at);

        ck_assert_msg(at == rows[i].at && has == (at != -2), "%s: %lld", rows[i].in,
                      (long long)at);
        wr_pool_free(pool);
    }
}
END_TEST

/* RFC 9111 5.1: the first member; what is not a number is as if it were absent */
START_TEST(ages)
{
    static const struct {
        const char *in;
        int64_t age;           /* -1: none */
    } rows[] = {
        { "", -1 },
        { "Age: 0", 0 },
        { "Age: 7200", 7200 },
        { "Age: abc", -1 },
        { "Age: -7200", -1 },
        { "Age: 7200.0", -1 },
        { "Age: 7200;foo=bar", -1 },
        { "Age:", -1 },
        { "Age: 2147483647", 2147483647 },
        { "Age: 2147483648", 2147483648 },
        { "Age: 99999999999999999999", 2147483648 },
        { "Age: 7200, 0", 7200 },
        { "Age: 0 , 7200", 0 },
        { "Age: 7200\nAge: 0", 7200 },
        { "Age: 0\nAge: 7200", 0 },
        { "Age: ,5", -1 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields f = fields_of(pool, rows[i].in);
        uint32_t age = 0;
        bool has = wr_age_field(&f, &age);

        ck_assert_msg(has == (rows[i].age >= 0) && (!has || age == rows[i].age), "%s: %u",
                      rows[i].in, age);
        wr_pool_free(pool);
    }
}
END_TEST

UNIT_MAIN("cache_control", directives, numbers, quoted, field_lists, requests, targeted, accel,
          expires, ages)

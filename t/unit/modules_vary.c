/* Variants (RFC 9111 4.1): the names of Vary, and whether two requests get the same reply. */
#include "lib/fields.h"
#include "lib/unit.h"

#include "../../modules/http/cache/vary.h"

START_TEST(name_lists)
{
    static const struct {
        const char *in;
        enum wr_vary how;
        const char *out;
    } rows[] = {
        { "", WR_VARY_NONE, "" },
        { "Vary:", WR_VARY_NONE, "" },
        { "Vary: , ,", WR_VARY_NONE, "" },
        { "Vary: Accept-Encoding", WR_VARY_BY, "accept-encoding" },
        { "Vary: b, A ,c", WR_VARY_BY, "a,b,c" },
        { "Vary: b\nFoo: x\nVary: A", WR_VARY_BY, "a,b" },
        { "Vary: a, A, b, a", WR_VARY_BY, "a,b" },
        { "Vary: ab, a, abc", WR_VARY_BY, "a,ab,abc" },
        { "Vary: *", WR_VARY_NEVER, "" },
        { "Vary: *, *", WR_VARY_NEVER, "" },
        { "Vary: , *", WR_VARY_NEVER, "" },
        { "Vary:\nVary: *", WR_VARY_NEVER, "" },
        { "Vary: a, *", WR_VARY_NEVER, "" },
        { "Vary: *, a", WR_VARY_NEVER, "" },
        { "Vary: a b", WR_VARY_NEVER, "" },
        { "Vary: a:", WR_VARY_NEVER, "" },
        { "Vary: \"a\"", WR_VARY_NEVER, "" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields f = fields_of(pool, rows[i].in);
        char buffer[WR_VARY_NAMES_MAX];
        struct wr_text t = wr_text_on(buffer, sizeof(buffer));
        enum wr_vary how = wr_vary_names(&f, &t);

        ck_assert_msg(how == rows[i].how, "%s: %d", rows[i].in, (int)how);
        ck_view(wr_text_view(&t), rows[i].out);
        wr_pool_free(pool);
    }
}
END_TEST

START_TEST(bounds)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text list = wr_text_grow(pool, 64, 4096), small;
    char buffer[WR_VARY_NAMES_MAX], little[10];
    struct wr_fields f;

    wr_text_c(&list, "Vary: n0");
    for (unsigned i = 1; i <= WR_CACHE_VARY_MAX; i++) {
        f = fields_of(pool, wr_pool_cstr(pool, wr_text_view(&list)));
        small = wr_text_on(buffer, sizeof(buffer));
        ck_assert_int_eq(wr_vary_names(&f, &small), WR_VARY_BY);
        wr_text_fmt(&list, ", n%u", i);
    }
    f = fields_of(pool, wr_pool_cstr(pool, wr_text_view(&list)));
    small = wr_text_on(buffer, sizeof(buffer));
    ck_assert_int_eq(wr_vary_names(&f, &small), WR_VARY_NEVER);
    f = fields_of(pool, "Vary: abcde, fghij");
    small = wr_text_on(little, sizeof(little));
    ck_assert_int_eq(wr_vary_names(&f, &small), WR_VARY_NEVER);
    wr_pool_free(pool);
}
END_TEST

struct side {
    char buffer[256];
    struct wr_text values;
    struct wr_variant v;
};

static void read_side(struct wr_pool *pool, struct side *s, const char *names, const char *request)
{
    struct wr_fields f = fields_of(pool, request);

    s->values = wr_text_on(s->buffer, sizeof(s->buffer));
    ck_assert(wr_vary_variant(wr_str_c(names), &f, &s->values, &s->v));
    ck_assert_uint_ne(s->v.number, 0);
}

static bool is_same(const char *names, const char *one, const char *other)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct side a, b;
    bool same = true;

    read_side(pool, &a, names, one);
    read_side(pool, &b, names, other);
    ck_assert_uint_eq(a.v.n, b.v.n);
    for (uint32_t i = 0; i < a.v.n; i++)
        same = same && wr_vary_equal(&a.v.at[i], &b.v.at[i]);
    ck_assert_int_eq(same, a.v.number == b.v.number);
    wr_pool_free(pool);
    return same;
}

START_TEST(variants)
{
    ck_assert(is_same("foo", "Foo: 1", "foo: 1"));
    ck_assert(is_same("foo", "Foo: 1\nBar: 2", "Bar: 3\nFoo:   1  "));
    ck_assert(!is_same("foo", "Foo: 1", "Foo: 2"));
    ck_assert(!is_same("foo", "Foo: a", "Foo: A"));
    ck_assert(is_same("foo", "", "Bar: 1"));
    /* what is absent is not what is empty */
    ck_assert(!is_same("foo", "", "Foo:"));
    ck_assert(!is_same("foo", "", "Foo: 1"));
    ck_assert(is_same("bar,foo", "Foo: 1\nBar: 2", "Bar: 2\nFoo: 1"));
    ck_assert(!is_same("bar,foo", "Foo: 1\nBar: 2", "Foo: 1"));
    ck_assert(!is_same("bar,foo", "Foo: 1", "Bar: 1"));
    ck_assert(!is_same("bar,foo", "Bar: ab\nFoo: c", "Bar: a\nFoo: bc"));
    /* several fields of one name are one list */
    ck_assert(is_same("foo", "Foo: 1\nFoo: 2", "Foo: 1, 2"));
    ck_assert(!is_same("foo", "Foo: 1\nFoo: 2", "Foo: 2\nFoo: 1"));
    ck_assert(!is_same("foo", "Foo: 1, 2", "Foo: 1,2"));
    ck_assert(is_same("", "Foo: 1", "Foo: 2"));
}
END_TEST

START_TEST(known_lists)
{
    ck_assert(is_same("accept-encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: GZIP,br"));
    ck_assert(is_same("accept-encoding", "Accept-Encoding: gzip ;q = 1 ,\tbr",
                      "Accept-Encoding: gzip;q=1\nAccept-Encoding: br"));
    ck_assert(is_same("accept-language", "Accept-Language: en, de", "Accept-Language: EN ,de"));
    ck_assert(!is_same("accept-language", "Accept-Language: en, de", "Accept-Language: de, en"));
    ck_assert(is_same("accept", "Accept: a/b, c/d", "Accept: a/b,c/d"));
    ck_assert(!is_same("accept", "Accept: a/b", "Accept: A/b"));
    ck_assert(!is_same("accept", "Accept: a/b;c=\"d, e\"", "Accept: a/b;c=\"d,e\""));
    /* white space between words means something */
    ck_assert(!is_same("accept-encoding", "Accept-Encoding: a b", "Accept-Encoding: ab"));
    ck_assert(!is_same("accept-encoding", "Accept-Encoding: a b", "Accept-Encoding: a  b"));
}
END_TEST

START_TEST(hostile)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text names = wr_text_grow(pool, 64, 4096), values;
    struct wr_fields f = fields_of(pool, "Foo: 0123456789");
    char little[8];
    struct wr_variant v;

    values = wr_text_on(little, sizeof(little));
    ck_assert(!wr_vary_variant(WR_STR("foo"), &f, &values, &v));
    for (unsigned i = 0; i < WR_CACHE_VARY_MAX; i++)
        wr_text_c(&names, "x,");
    values = wr_text_on(little, sizeof(little));
    ck_assert(wr_vary_variant(wr_text_view(&names), &f, &values, &v));
    wr_text_c(&names, "x,");
    ck_assert(!wr_vary_variant(wr_text_view(&names), &f, &values, &v));
    wr_pool_free(pool);
}
END_TEST

/* It stands in files: it must never change. */
START_TEST(number_stays)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct side s;

    read_side(pool, &s, "accept-encoding,foo", "Accept-Encoding: gzip");
    ck_assert_msg(s.v.number == 0xe00465b66349d735, "0x%llx", (unsigned long long)s.v.number);
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("vary", name_lists, bounds, variants, known_lists, hostile, number_stays)

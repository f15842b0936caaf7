/* Fields and their index; known names, methods and statuses. */
#include "message/message.h"
#include "lib/unit.h"

START_TEST(knows_names)
{
    static const char *const others[] = { "", "x", "hosts", "Hist", "content-lengti", "te ",
                                          "if-unmodified-sinse", "X-Forwarded-Foo", "t@",
                                          "connection\xff", "a-very-long-name-of-nobody" };

    for (unsigned id = 1; id < WR_F_COUNT; id++) {
        struct wr_str name = wr_field_name((enum wr_field_id)id);
        char folded[32];

        ck_assert_msg(wr_field_id(name) == id, WR_FMT, WR_ARG(name));
        for (size_t i = 0; i < name.n; i++)
            folded[i] = (char)wr_lower((unsigned char)name.p[i]);
        ck_assert_msg(wr_field_id(wr_str_of(folded, name.n)) == id, WR_FMT, WR_ARG(name));
        for (size_t i = 0; i < name.n; i++)
            folded[i] = folded[i] >= 'a' ? (char)(folded[i] - 32) : folded[i];
        ck_assert_msg(wr_field_id(wr_str_of(folded, name.n)) == id, WR_FMT, WR_ARG(name));
        folded[name.n / 2] = '?';
        ck_assert_int_eq(wr_field_id(wr_str_of(folded, name.n)), WR_F_OTHER);
        ck_assert_int_ne(wr_field_id(wr_str_of(name.p, name.n - 1)), id);
    }
    for (size_t i = 0; i < WR_COUNT(others); i++)
        ck_assert_msg(wr_field_id(wr_str_c(others[i])) == WR_F_OTHER, "%s", others[i]);
    ck_view(wr_field_name(WR_F_WWW_AUTHENTICATE), "WWW-Authenticate");
    ck_view(wr_field_name(WR_F_ETAG), "ETag");
}
END_TEST

static struct wr_fields sample(struct wr_pool *pool)
{
    struct wr_fields f = { 0 };

    wr_fields_add(pool, &f, WR_STR("host"), WR_STR("a"));
    wr_fields_add(pool, &f, WR_STR("X-One"), WR_STR("1"));
    wr_fields_add_id(pool, &f, WR_F_COOKIE, WR_STR("b"));
    wr_fields_add(pool, &f, WR_STR("x-one"), WR_STR("2"));
    wr_fields_add(pool, &f, WR_STR("COOKIE"), WR_STR("c"));
    wr_fields_add(pool, &f, WR_STR("Cookie"), WR_STR("d"));
    return f;
}

START_TEST(finds)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = sample(pool);
    struct wr_field *at;

    ck_view(wr_fields_value(&f, WR_F_HOST), "a");
    ck_view(wr_fields_value(&f, WR_F_COOKIE), "b");
    ck_assert_ptr_null(wr_fields_value(&f, WR_F_VARY).p);
    ck_assert_ptr_null(wr_fields_first(&f, WR_F_VARY));
    ck_view(wr_fields_first(&f, WR_F_HOST)->name, "host");
    ck_view(wr_fields_first(&f, WR_F_COOKIE)->name, "Cookie");

    at = wr_fields_find(&f, WR_STR("X-ONE"), NULL);
    ck_view(at->value, "1");
    at = wr_fields_find(&f, WR_STR("X-ONE"), at);
    ck_view(at->value, "2");
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("X-ONE"), at));
    at = wr_fields_find(&f, WR_STR("cookie"), NULL);
    at = wr_fields_find(&f, WR_STR("cookie"), at);
    ck_view(at->value, "c");
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("X-Two"), NULL));
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("Vary"), NULL));
    wr_pool_free(pool);
}
END_TEST

START_TEST(removes)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = sample(pool);

    wr_fields_drop(&f, wr_fields_first(&f, WR_F_COOKIE));
    ck_view(wr_fields_value(&f, WR_F_COOKIE), "c");
    wr_fields_drop(&f, &f.at[5]);
    ck_view(wr_fields_value(&f, WR_F_COOKIE), "c");
    wr_fields_drop(&f, wr_fields_first(&f, WR_F_COOKIE));
    ck_assert_ptr_null(wr_fields_first(&f, WR_F_COOKIE));
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("Cookie"), NULL));
    wr_fields_add_id(pool, &f, WR_F_COOKIE, WR_STR("e"));
    ck_view(wr_fields_value(&f, WR_F_COOKIE), "e");

    wr_fields_drop(&f, wr_fields_find(&f, WR_STR("x-one"), NULL));
    ck_view(wr_fields_find(&f, WR_STR("x-one"), NULL)->value, "2");
    wr_fields_drop(&f, wr_fields_find(&f, WR_STR("x-one"), NULL));
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("x-one"), NULL));
    ck_view(wr_fields_value(&f, WR_F_HOST), "a");

    f = sample(pool);
    wr_fields_remove(&f, WR_F_COOKIE);
    wr_fields_remove(&f, WR_F_VARY);
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("Cookie"), NULL));
    ck_assert(f.at[2].gone && f.at[4].gone && f.at[5].gone && !f.at[3].gone);
    wr_fields_set(pool, &f, WR_F_HOST, WR_STR("z"));
    ck_view(wr_fields_value(&f, WR_F_HOST), "z");
    ck_assert_ptr_null(wr_fields_find(&f, WR_STR("Host"), wr_fields_first(&f, WR_F_HOST)));
    wr_pool_free(pool);
}
END_TEST

START_TEST(grows)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = { 0 };

    for (unsigned i = 0; i < 1000; i++)
        wr_fields_add_id(pool, &f, i == 700 ? WR_F_VARY : WR_F_LINK, WR_STR("x"));
    ck_assert_uint_eq(f.n, 1000);
    ck_assert_uint_eq(f.first[WR_F_VARY], 701);
    ck_assert_uint_eq(f.first[WR_F_LINK], 1);
    wr_pool_free(pool);
}
END_TEST

START_TEST(finds_tokens)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = { 0 };

    ck_assert(!wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("a")));
    wr_fields_add_id(pool, &f, WR_F_CONNECTION, WR_STR("a, B\t,,  c d ,"));
    wr_fields_add_id(pool, &f, WR_F_VARY, WR_STR("v"));
    wr_fields_add_id(pool, &f, WR_F_CONNECTION, WR_STR(""));
    wr_fields_add_id(pool, &f, WR_F_CONNECTION, WR_STR("e"));
    ck_assert(wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("A")));
    ck_assert(wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("b")));
    ck_assert(wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("c d")));
    ck_assert(wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("e")));
    ck_assert(!wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("d")));
    ck_assert(!wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("v")));
    wr_fields_drop(&f, &f.at[0]);
    ck_assert(!wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("a")));
    ck_assert(wr_fields_has_token(&f, WR_F_CONNECTION, WR_STR("e")));
    wr_pool_free(pool);
}
END_TEST

START_TEST(words)
{
    static const char *const others[] = { "", "get", "GETT", "GE", "PURGE" };
    struct wr_response r;

    for (size_t i = 0; i < WR_COUNT(others); i++)
        ck_assert_int_eq(wr_method_of(wr_str_c(others[i])), WR_M_OTHER);
#define X(id) ck_assert_int_eq(wr_method_of(WR_STR(#id)), WR_M_##id);
    WR_METHOD_LIST(X)
#undef X
    ck_assert(wr_method_idempotent(WR_M_GET) && wr_method_idempotent(WR_M_PUT)
              && wr_method_idempotent(WR_M_DELETE) && wr_method_idempotent(WR_M_OTHER));
    ck_assert(!wr_method_idempotent(WR_M_POST) && !wr_method_idempotent(WR_M_LOCK)
              && !wr_method_idempotent(WR_M_PATCH));
    ck_assert_str_eq(wr_status_reason(200), "OK");
    ck_assert_str_eq(wr_status_reason(302), "Moved Temporarily");
    ck_assert_str_eq(wr_status_reason(504), "Gateway Time-out");
    ck_assert_ptr_null(wr_status_reason(0));
    ck_assert_ptr_null(wr_status_reason(299));
    memset(&r, 0xff, sizeof(r));
    wr_response_init(&r);
    ck_assert(r.last_modified == -1 && r.framing == WR_BODY_NONE && r.type.p == NULL
              && r.fields.n == 0 && r.status == 0 && !r.keepalive);
}
END_TEST

UNIT_MAIN("message/fields", knows_names, finds, removes, grows, finds_tokens, words)

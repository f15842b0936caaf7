/* Single values out of fields, cookies, arguments and Basic credentials. */
#include "lib/unit.h"

#include "message/message.h"

static void joined(const char *lines, const char *name, const char *separator, const char *want)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_str rest = wr_str_c(lines), out;
    struct wr_fields f = { 0 };
    bool found;

    while (rest.n > 0) {
        struct wr_str value = wr_str_cut(&rest, '\n'), field = wr_str_cut(&value, ':');

        wr_fields_add(p, &f, field, value);
    }
    found = wr_fields_joined(p, &f, wr_str_c(name), separator, &out);
    ck_assert_msg(found == (want != NULL), "%s in %s", name, lines);
    if (found)
        ck_view(out, want);
    wr_pool_free(p);
}

START_TEST(fields)
{
    joined("X-A:1\n", "x_a", ", ", "1");
    joined("x-a:1\n", "x_a", ", ", "1");
    joined("X_A:1\n", "x_a", ", ", "1");
    joined("X-A:\n", "x_a", ", ", "");
    joined("X-A:1\nB:2\nX-A:3\nx-a:4", "x_a", ", ", "1, 3, 4");
    joined("Cookie:a\nCookie:b\n", "cookie", "; ", "a; b");
    joined("X-A:1\n", "x", ", ", NULL);
    joined("X-A:1\n", "x_a_", ", ", NULL);
    joined("", "x_a", ", ", NULL);
}
END_TEST

START_TEST(removed_fields_are_gone)
{
    struct wr_pool *p = wr_pool_new(0);
    struct wr_fields f = { 0 };
    struct wr_str out;

    wr_fields_add(p, &f, WR_STR("Server"), WR_STR("a"));
    wr_fields_remove(&f, WR_F_SERVER);
    ck_assert(!wr_fields_joined(p, &f, WR_STR("server"), ", ", &out));
    wr_fields_add(p, &f, WR_STR("Server"), WR_STR("b"));
    ck_assert(wr_fields_joined(p, &f, WR_STR("server"), ", ", &out));
    ck_view(out, "b");
    wr_pool_free(p);
}
END_TEST

struct row {
    const char *text, *name, *want; /* want NULL: not found */
};

static const struct row cookies[] = {
    { "a=1", "a", "1" },
    { "a=1; b=2", "b", "2" },
    { "a=1;b=2", "b", "2" },
    { "A=1", "a", "1" },
    { "xa=1; a=2", "a", "2" },
    { "ax=1; a=2", "a", "2" },
    { "a = 1 ; b=2", "a", "1 " },
    { "a=; b=2", "a", "" },
    { "a=1; a=2", "a", "1" },
    { "a=x=y", "a", "x=y" },
    { "a=1, b=2", "b", NULL },
    { "a; b=2", "a", NULL },
    { "a", "a", NULL },
    { "", "a", NULL },
    { ";;; ;a=1", "a", "1" },
    { "b=a=1", "a", NULL },
};

START_TEST(cookie_values)
{
    for (size_t i = 0; i < WR_COUNT(cookies); i++) {
        const struct row *r = &cookies[i];
        struct wr_str out;
        bool found = wr_cookie_find(wr_str_c(r->text), wr_str_c(r->name), &out);

        ck_assert_msg(found == (r->want != NULL), "%s", r->text);
        if (found)
            ck_view(out, r->want);
    }
}
END_TEST

static const struct row args[] = {
    { "a=1", "a", "1" },
    { "a=1&b=2", "b", "2" },
    { "A=1", "a", "1" },
    { "xa=1&a=2", "a", "2" },
    { "a=1&a=2", "a", "1" },
    { "a&a=2", "a", "2" },
    { "a=", "a", "" },
    { "a=x=y", "a", "x=y" },
    { "a=%20+", "a", "%20+" },
    { "&&a=1", "a", "1" },
    { "a", "a", NULL },
    { "ab=1", "a", NULL },
    { "b=a=1", "a", NULL },
    { "", "a", NULL },
};

START_TEST(argument_values)
{
    for (size_t i = 0; i < WR_COUNT(args); i++) {
        const struct row *r = &args[i];
        struct wr_str out;
        bool found = wr_arg_find(wr_str_c(r->text), wr_str_c(r->name), &out);

        ck_assert_msg(found == (r->want != NULL), "%s", r->text);
        if (found)
            ck_view(out, r->want);
    }
}
END_TEST

static const struct row base64[] = {
    { "", NULL, "" },
    { "Zg==", NULL, "f" },
    { "Zg", NULL, "f" },
    { "Zm8=", NULL, "fo" },
    { "Zm9v", NULL, "foo" },
    { "dXM6cHc=", NULL, "us:pw" },
    { "+/+/", NULL, "\xfb\xff\xbf" },
    { "Z", NULL, NULL },
    { "Zm9vY", NULL, NULL },
    { "Zm=v", NULL, NULL },
    { "Zg===", NULL, NULL },
    { "Zm 9", NULL, NULL },
    { "-_-_", NULL, NULL },
};

START_TEST(base64_decodes)
{
    for (size_t i = 0; i < WR_COUNT(base64); i++) {
        char buf[32];
        struct wr_text t = wr_text_on(buf, sizeof(buf));
        bool ok = wr_base64_decode(wr_str_c(base64[i].text), &t);

        ck_assert_msg(ok == (base64[i].want != NULL), "%s", base64[i].text);
        if (ok)
            ck_view(wr_text_view(&t), base64[i].want);
    }
}
END_TEST

START_TEST(base64_is_bounded)
{
    char buf[2];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    ck_assert(!wr_base64_decode(WR_STR("Zm9v"), &t));
}
END_TEST

UNIT_MAIN("message/field_values", fields, removed_fields_are_gone, cookie_values, argument_values,
          base64_decodes, base64_is_bounded)

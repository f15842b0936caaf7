/* Templates: compiling and its errors, values, escapes, limits. */
#include "lib/unit.h"

#include "lib/exchange_fake.h"

struct row {
    const char *text, *out;
};

static const char *config_of(const char *value)
{
    static char text[4096];

    snprintf(text, sizeof(text), "stream { value %s; }", value);
    return text;
}

static void begin(struct fake *f, const char *value)
{
    bool ok = fake_begin(f, config_of(value), WR_L4);

    ck_assert_msg(ok, "%s: %s", value, fake_findings(f->conf));
}

static const struct row good[] = {
    { "plain", "plain" },
    { "\"\"", "" },
    { "$name", "weir" },
    { "\"a $name b\"", "a weir b" },
    { "${name}s", "weirs" },
    { "$name$name", "weirweir" },
    { "$NAME${Name}", "weirweir" },
    { "$name-${name}.", "weir-weir." },
    { "[$missing$empty]", "[]" },
    { "$pre_x_Y${pre_}", "x_y" },
    { "$pre_long_x$pre_exact", "long:xexact" },
    { "<$1$12>", "<2>" },
    { "'}$name{'", "}weir{" },
};

START_TEST(executes)
{
    for (size_t i = 0; i < WR_COUNT(good); i++) {
        struct fake f;
        struct wr_text out;
        char buf[256];

        begin(&f, good[i].text);
        out = wr_text_on(buf, sizeof(buf));
        ck_assert(wr_template_text(&f.x, f.t, &out));
        ck_view(wr_text_view(&out), good[i].out);
        ck_assert(wr_str_eq(wr_template_str(&f.x, f.t), wr_text_view(&out)));
        fake_end(&f);
    }
}
END_TEST

static const struct row bad[] = {
    { "$", "1:16 invalid variable name\n" },
    { "a$-b", "1:16 invalid variable name\n" },
    { "\"${}\"", "1:16 invalid variable name\n" },
    { "\"a${\"", "1:16 invalid variable name\n" },
    { "\"${name\"", "1:17 the closing bracket in \"name\" variable is missing\n" },
    { "\"${na-me}\"", "1:17 the closing bracket in \"na\" variable is missing\n" },
    { "$0", "1:16 unknown \"0\" variable\n" },
    { "${1}2", "1:16 unknown \"1\" variable\n" },
    { "$NoSuch", "1:16 unknown \"nosuch\" variable\n" },
    { "$nam", "1:16 unknown \"nam\" variable (did you mean \"$name\"?)\n" },
    { "$only_http", "1:16 unknown \"only_http\" variable\n" },
};

START_TEST(refuses)
{
    for (size_t i = 0; i < WR_COUNT(bad); i++) {
        struct wr_conf *c = fake_load(config_of(bad[i].text));

        ck_assert_str_eq(fake_findings(c), bad[i].out);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(literals_are_borrowed)
{
    struct fake f;
    struct wr_str v;

    begin(&f, "plain");
    ck_assert(wr_template_literal(f.t, &v));
    ck_view(v, "plain");
    ck_assert_ptr_eq(wr_template_str(&f.x, f.t).p, v.p);
    ck_assert_uint_eq(wr_pool_used(f.x.pool), 0);
    fake_end(&f);

    begin(&f, "\"\"");
    ck_assert(wr_template_literal(f.t, &v));
    ck_assert(v.n == 0 && v.p != NULL);
    fake_end(&f);

    begin(&f, "$name");
    ck_assert(!wr_template_literal(f.t, &v));
    fake_end(&f);
}
END_TEST

START_TEST(one_variable_is_not_copied)
{
    struct fake f;

    begin(&f, "$name");
    ck_view(wr_template_str(&f.x, f.t), "weir");
    ck_assert_uint_eq(wr_pool_used(f.x.pool), 0);
    fake_end(&f);
}
END_TEST

START_TEST(is_bounded)
{
    struct fake f;
    char buf[8];
    struct wr_text out = wr_text_on(buf, sizeof(buf));

    begin(&f, "$big");
    ck_assert_uint_eq(wr_template_str(&f.x, f.t).n, 65536);
    fake_end(&f);

    begin(&f, "${big}1");
    ck_assert_ptr_null(wr_template_str(&f.x, f.t).p);
    ck_assert(wr_template_true(&f.x, f.t));
    ck_assert(!wr_template_text(&f.x, f.t, &out));
    ck_assert_uint_eq(out.n, sizeof(buf));
    ck_assert(!wr_template_log(&f.x, f.t, WR_ESCAPE_DEFAULT, &out));
    fake_end(&f);
}
END_TEST

static const struct {
    const char *text;
    bool is;
} truths[] = {
    { "x", true }, { "0", false }, { "\"\"", false }, { "00", true }, { "$zero", false },
    { "$empty", false }, { "$missing", false }, { "$name", true }, { "$zero$empty", false },
    { "$zero$zero", true }, { "$1", false },
};

START_TEST(is_true_or_not)
{
    for (size_t i = 0; i < WR_COUNT(truths); i++) {
        struct fake f;

        begin(&f, truths[i].text);
        ck_assert_msg(wr_template_true(&f.x, f.t) == truths[i].is, "%s", truths[i].text);
        fake_end(&f);
    }
}
END_TEST

static struct wr_str logged(struct fake *f, enum wr_escape e)
{
    struct wr_text out = wr_text_grow(f->x.pool, 16, 1 << 16);

    ck_assert(wr_template_log(&f->x, f->t, e, &out));
    return wr_text_view(&out);
}

START_TEST(logs_what_is_not_there)
{
    struct fake f;

    begin(&f, "'\"$missing\" [$empty] <$1> \\ $name'");
    ck_view(logged(&f, WR_ESCAPE_DEFAULT), "\"-\" [] <-> \\ weir");
    ck_view(logged(&f, WR_ESCAPE_JSON), "\"\" [] <> \\ weir");
    ck_view(logged(&f, WR_ESCAPE_NONE), "\"\" [] <> \\ weir");
    fake_end(&f);
}
END_TEST

/* Every byte, as nginx writes it. */
START_TEST(escapes)
{
    static const char json_low[] =
        "\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000B\\f\\r"
        "\\u000E\\u000F\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019"
        "\\u001A\\u001B\\u001C\\u001D\\u001E\\u001F !\\\"#";
    struct fake f;
    struct wr_str v;
    struct wr_text want;

    begin(&f, "$bytes");
    want = wr_text_grow(f.x.pool, 16, 1 << 16);
    for (unsigned i = 0; i < 256; i++) {
        if (i < 32 || i > 126 || i == '"' || i == '\\')
            wr_text_fmt(&want, "\\x%02X", i);
        else
            wr_text_char(&want, (char)i);
    }
    ck_assert(wr_str_eq(logged(&f, WR_ESCAPE_DEFAULT), wr_text_view(&want)));

    v = logged(&f, WR_ESCAPE_JSON);
    ck_assert(wr_str_starts(v, wr_str_c(json_low)));
    ck_assert_uint_lt(wr_str_search(v, WR_STR("[\\\\]")), v.n);
    ck_assert_uint_eq((unsigned char)v.p[v.n - 1], 255);
    ck_assert_uint_eq(logged(&f, WR_ESCAPE_NONE).n, 256);
    fake_end(&f);
}
END_TEST

UNIT_MAIN("text/template", executes, refuses, literals_are_borrowed,
          one_variable_is_not_copied, is_bounded, is_true_or_not, logs_what_is_not_there, escapes)

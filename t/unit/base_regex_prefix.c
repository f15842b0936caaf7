/* The literal text at the beginning of a pattern: a table, and random patterns against PCRE2. */
#include "lib/unit.h"

START_TEST(table)
{
    static const struct {
        const char *pattern, *prefix;
    } rows[] = {
        { "^/api/v[0-9]", "/api/v" }, { "^/api/(a|b)/", "/api/" }, { "^/a", "/a" },
        { "/a", "" },                 { "^/a|/b", "" },            { "^/a|^/b", "" },
        { "^(/a|/b)", "" },           { "^", "" },                 { "", "" },
        { "^/ab*", "/a" },            { "^/ab?", "/a" },           { "^/ab+", "/ab" },
        { "^/ab{0,2}", "/a" },        { "^a*", "" },               { "^/a\\.b", "/a" },
        { "^/a.b", "/a" },            { "^/a$", "/a" },            { "^/a[|]b", "/a" },
        { "^/a\\|b", "/a" },          { "^/a[]|]b", "/a" },        { "^/a[^]|]b", "/a" },
        { "^/a[[:alpha:]|]b", "/a" }, { "^/a[[:alpha:](]b|c", "" }, { "^/a[\\]|]b", "/a" },
        { "^/a(?<x>b|c)", "/a" },     { "^/a(?P<x>b|c)", "/a" },   { "^/a(?'x'b|c)", "/a" },
        { "^/a(?:b|c)", "/a" },       { "^/a(?i)b", "/a" },        { "^/a b(?x) # (\n|c", "" },
        { "^/a\\E?", "" },             { "^/a(?#()|c", "" },
        { "^/a\\Q(\\E|c", "" },      { "^/a\\c(|c", "" },
        { "^/a[\\Q]\\E(]|c", "" },    { "^/a(*MARK:()|c", "" },    { "^/a(?C'('|)|c", "" },
        { "(*UTF8)^/a", "" },         { "^/\xc3\xa4*", "/" },      { "^/a]}b", "/a]}b" },
        { "^^/a", "" },               { "(?i)^/a", "" },           { "^/a(b", "/a" },
        { "^/a[b", "" },              { "^/a\\", "/a" },           { "^/a[:x(:]|b", "" },
    };

    for (unsigned i = 0; i < WR_COUNT(rows); i++) {
        struct wr_str got = wr_regex_literal_prefix(wr_str_c(rows[i].pattern));

        ck_assert_msg(wr_str_is(got, rows[i].prefix), "%s: \"" WR_FMT "\"", rows[i].pattern,
                      WR_ARG(got));
    }
    ck_assert_uint_eq(wr_regex_literal_prefix(wr_str_of(NULL, 0)).n, 0);
    ck_assert_uint_eq(wr_regex_literal_prefix(wr_str_of("^a\0*", 4)).n, 1);
}
END_TEST

static struct wr_str pieces(struct wr_text *t, const char *const *from, size_t n, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        wr_text_c(t, from[wr_random() % n]);
    return wr_text_view(t);
}

static void try_subjects(const struct wr_regex *re, struct wr_str prefix)
{
    static const char *const from[] = { "a", "b", "|", "(", ")", "]" };
    char buf[64];

    for (unsigned i = 0; i < 50; i++) {
        struct wr_text t = wr_text_on(buf, sizeof(buf));
        struct wr_str s = pieces(&t, from, WR_COUNT(from), (unsigned)(wr_random() % 6));

        if (wr_regex_match(re, s, NULL, 0) == 1)
            ck_assert_msg(wr_str_starts(s, prefix), WR_FMT " matches " WR_FMT ", not " WR_FMT,
                          WR_ARG(wr_regex_pattern(re)), WR_ARG(s), WR_ARG(prefix));
    }
}

START_TEST(never_loses_a_match)
{
    static const char *const from[] = {
        "a", "b", "a", "b", "(", ")", "(?:", "(?i)", "(?x)", "(?#", "|", "[", "]", "[^", "*", "+",
        "?", "{0}", "{2}", "\\", "\\Q", "\\E", "\\c", "[:alpha:]", "#", "\n", " ", ".", "$", "^"
    };
    char buf[128];
    struct wr_regex_error err;
    unsigned tried = 0;

    for (unsigned i = 0; i < 60000; i++) {
        struct wr_text t = wr_text_on(buf, sizeof(buf));
        struct wr_pool *pool;
        struct wr_regex *re;
        struct wr_str pattern, prefix;

        wr_text_char(&t, '^');
        pattern = pieces(&t, from, WR_COUNT(from), 1 + (unsigned)(wr_random() % 9));
        prefix = wr_regex_literal_prefix(pattern);
        if (prefix.n == 0)
            continue;
        pool = wr_pool_new(0);
        re = wr_regex_compile(pool, pattern, false, &err);
        if (re != NULL) {
            try_subjects(re, prefix);
            tried++;
        }
        wr_pool_free(pool);
    }
    ck_assert_uint_gt(tried, 500);
}
END_TEST

UNIT_MAIN("base/regex_prefix", table, never_loses_a_match)

/* The target of a redirect: what is decoded and what stays. */
#include "lib/unit.h"

#include "../../modules/http/rewrite/rewrite_impl.h"

static const struct row {
    const char *in, *out;
} rows[] = {
    { "", "" },
    { "http://h/a", "http://h/a" },
    { "/a%2Fb", "/a/b" },
    { "/a%2fb", "/a/b" },
    { "/%41%42", "/AB" },
    { "/a%20b", "/a%20b" },         /* a space cannot stand for itself */
    { "/a%0d%0ab", "/a%0d%0ab" },   /* nor can a line end */
    { "/a%25b", "/a%25b" },
    { "/a%7f%80%ff", "/a%7f%80%ff" },
    { "/a%3Fb%41", "/a?b%41" },     /* behind the '?' nothing changes */
    { "/a?b%41", "/a?b%41" },
    { "/%", "/%" },
    { "/%4", "/%4" },
    { "/%4g", "/%4g" },
    { "/%%41", "/%A" },
    { "/%2525", "/%2525" },
};

START_TEST(unescapes)
{
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        char buf[64];
        struct wr_text t = wr_text_on(buf, sizeof(buf));

        wr_rewrite_unescape(&t, wr_str_c(rows[i].in));
        ck_view(wr_text_view(&t), rows[i].out);
    }
}
END_TEST

START_TEST(urls)
{
    ck_assert(wr_rewrite_is_url(WR_STR("http://a")));
    ck_assert(wr_rewrite_is_url(WR_STR("https://a")));
    ck_assert(wr_rewrite_is_url(WR_STR("$scheme://a")));
    ck_assert(!wr_rewrite_is_url(WR_STR("/a")));
    ck_assert(!wr_rewrite_is_url(WR_STR("ftp://a")));
    ck_assert(!wr_rewrite_is_url(WR_STR("")));
}
END_TEST

UNIT_MAIN("rewrite", unescapes, urls)

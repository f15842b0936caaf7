/* Tests what unsafe methods make void (RFC 9111 4.4), with references of RFC 3986 5.4. */
#include "lib/unit.h"

#include "../../modules/http/cache/invalidation.h"

START_TEST(methods)
{
    static const struct {
        const char *method;
        unsigned status;
        bool does;
    } rows[] = {
        { "GET", 200, false }, { "HEAD", 200, false }, { "OPTIONS", 200, false },
        { "TRACE", 200, false }, { "PROPFIND", 207, false }, { "POST", 200, true },
        { "PUT", 201, true }, { "DELETE", 204, true }, { "PATCH", 200, true },
        { "M-SEARCH", 200, true }, { "get", 200, true }, { "FOO", 302, true },
        { "POST", 303, true }, { "POST", 399, true }, { "POST", 400, false },
        { "POST", 500, false }, { "POST", 199, false }, { "POST", 0, false },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++)
        ck_assert_msg(wr_invalidates(wr_str_c(rows[i].method), rows[i].status) == rows[i].does,
                      "%s %u", rows[i].method, rows[i].status);
}
END_TEST

static void check_target(const struct wr_origin *o, const char *location, const char *want)
{
    char buffer[64];
    struct wr_text t = wr_text_on(buffer, sizeof(buffer));
    bool is = wr_invalidation_target(o, wr_str_c(location), &t);

    ck_assert_msg(is == (want != NULL), "%s: %d", location, is);
    if (want != NULL)
        ck_view(wr_text_view(&t), want);
}

START_TEST(targets)
{
    static const struct {
        const char *location, *want; /* NULL: none of ours */
    } rows[] = {
        { "", NULL }, { "/", "/" }, { "/x", "/x" }, { "/x?y", "/x?y" }, { "/x#z", "/x" },
        { "g", "/b/c/g" }, { "./g", "/b/c/g" }, { "g/", "/b/c/g/" }, { "?y", "/b/c/d;p?y" },
        { "g?y", "/b/c/g?y" }, { "#s", "/b/c/d;p?q" }, { ";x", "/b/c/;x" }, { ".", "/b/c/" },
        { "..", "/b/" }, { "../g", "/b/g" }, { "../..", "/" }, { "../../../g", "/g" },
        { "/./g", "/g" }, { "/../g", "/g" }, { "g.", "/b/c/g." }, { "..g", "/b/c/..g" },
        { "./g/.", "/b/c/g/" }, { "g/../h", "/b/c/h" }, { "g?y/../x", "/b/c/g?y/../x" },
        { "//h/x", "/x" }, { "//h", "/" }, { "//h?y", "/?y" }, { "//h:80/x", "/x" },
        { "//H./x", "/x" }, { "//other/x", NULL }, { "//h:81/x", NULL }, { "//u@h/x", NULL },
        { "//h:/x", "/x" }, { "//h:x/y", NULL }, { "//h:0/y", NULL }, { "///x", NULL },
        { "http://h/x/../y", "/y" }, { "HTTP://h", "/" }, { "https://h/x", NULL },
        { "http:g", NULL }, { "mailto:a@h", NULL }, { "a:b", NULL },
        { "/0123456789012345678901234567890123456789012345678901234567890123456789", NULL },
    };
    const struct wr_origin o = { WR_STR("http"), WR_STR("h"), 80, WR_STR("/b/c/d;p?q") };
    const struct wr_origin six = { WR_STR("https"), WR_STR("[::1]"), 443, WR_STR("/") };
    const struct wr_origin star = { WR_STR("http"), WR_STR("h"), 80, WR_STR("*") };

    for (size_t i = 0; i < WR_COUNT(rows); i++)
        check_target(&o, rows[i].location, rows[i].want);
    check_target(&six, "https://[::1]/x", "/x");
    check_target(&six, "https://[::1]:443/x", "/x");
    check_target(&six, "https://[::1]:80/x", NULL);
    check_target(&six, "x", "/x");
    check_target(&star, "/x", NULL);
}
END_TEST

UNIT_MAIN("invalidation", methods, targets)

/* Entity tags in the lists of If-Match and If-None-Match. */
#include "lib/unit.h"

#include "../../modules/http/filters/etag.h"

static bool weak(const char *list, const char *etag)
{
    return wr_etag_listed(wr_str_c(list), wr_str_c(etag), true);
}

static bool strong(const char *list, const char *etag)
{
    return wr_etag_listed(wr_str_c(list), wr_str_c(etag), false);
}

START_TEST(lists)
{
    ck_assert(strong("\"x\"", "\"x\""));
    ck_assert(strong("\"y\", \"x\"", "\"x\""));
    ck_assert(strong("\"y\",\t\"x\" , \"z\"", "\"x\""));
    ck_assert(strong("a, \"x\"", "\"x\""));
    ck_assert(strong(",\"x\"", "\"x\""));
    ck_assert(strong("\"x\",", "\"x\""));
    ck_assert(strong("\"a,b\", \"c\"", "\"a,b\""));
    ck_assert(strong("\"a,b\", \"c\"", "\"c\""));
    ck_assert(!strong("", "\"x\""));
    ck_assert(!strong("\"y\"", "\"x\""));
    ck_assert(!strong("\"x\"y", "\"x\""));
    ck_assert(!strong("\"x\" y", "\"x\""));
    ck_assert(!strong("\"y\" \"x\"", "\"x\""));
    ck_assert(!strong("\"y\";\"x\"", "\"x\""));
    ck_assert(!strong("\"a,\"b\"\"", "\"b\""));
    ck_assert(!strong("\"x", "\"x\""));
    ck_assert(!strong(" , ,, ", "\"x\""));
}
END_TEST

START_TEST(any)
{
    ck_assert(strong("*", "\"x\""));
    ck_assert(strong(" * ", ""));
    ck_assert(weak("*", ""));
    ck_assert(!strong("\"*\"", ""));
    ck_assert(!weak("*, \"a\"", "\"x\""));
    ck_assert(!weak("\"x\"", ""));
    ck_assert(!weak(",", ""));
}
END_TEST

START_TEST(weak_ones)
{
    ck_assert(weak("W/\"x\"", "\"x\""));
    ck_assert(weak("\"x\"", "W/\"x\""));
    ck_assert(weak("\"y\", W/\"x\"", "W/\"x\""));
    ck_assert(!weak("w/\"x\"", "\"x\""));
    ck_assert(!weak("W/", "W/"));
    ck_assert(!strong("W/\"x\"", "\"x\""));
    ck_assert(!strong("\"x\"", "W/\"x\""));
    ck_assert(!strong("W/\"x\"", "W/\"x\""));
    ck_assert(strong("*", "W/\"x\""));
}
END_TEST

UNIT_MAIN("etag", lists, any, weak_ones)

/* Entity tags in the lists of If-Match and If-None-Match. */
#include "lib/unit.h"

#include "../../modules/http/filters/etag.h"

static bool is_listed_weak(const char *list, const char *etag)
{
    return wr_etag_listed(wr_str_c(list), wr_str_c(etag), true);
}

static bool is_listed_strong(const char *list, const char *etag)
{
    return wr_etag_listed(wr_str_c(list), wr_str_c(etag), false);
}

START_TEST(lists)
{
    ck_assert(is_listed_strong("\"x\"", "\"x\""));
    ck_assert(is_listed_strong("\"y\", \"x\"", "\"x\""));
    ck_assert(is_listed_strong("\"y\",\t\"x\" , \"z\"", "\"x\""));
    ck_assert(is_listed_strong("a, \"x\"", "\"x\""));
    ck_assert(is_listed_strong(",\"x\"", "\"x\""));
    ck_assert(is_listed_strong("\"x\",", "\"x\""));
    ck_assert(is_listed_strong("\"a,b\", \"c\"", "\"a,b\""));
    ck_assert(is_listed_strong("\"a,b\", \"c\"", "\"c\""));
    ck_assert(!is_listed_strong("", "\"x\""));
    ck_assert(!is_listed_strong("\"y\"", "\"x\""));
    ck_assert(!is_listed_strong("\"x\"y", "\"x\""));
    ck_assert(!is_listed_strong("\"x\" y", "\"x\""));
    ck_assert(!is_listed_strong("\"y\" \"x\"", "\"x\""));
    ck_assert(!is_listed_strong("\"y\";\"x\"", "\"x\""));
    ck_assert(!is_listed_strong("\"a,\"b\"\"", "\"b\""));
    ck_assert(!is_listed_strong("\"x", "\"x\""));
    ck_assert(!is_listed_strong(" , ,, ", "\"x\""));
}
END_TEST

START_TEST(any)
{
    ck_assert(is_listed_strong("*", "\"x\""));
    ck_assert(is_listed_strong(" * ", ""));
    ck_assert(is_listed_weak("*", ""));
    ck_assert(!is_listed_strong("\"*\"", ""));
    ck_assert(!is_listed_weak("*, \"a\"", "\"x\""));
    ck_assert(!is_listed_weak("\"x\"", ""));
    ck_assert(!is_listed_weak(",", ""));
}
END_TEST

START_TEST(weak_ones)
{
    ck_assert(is_listed_weak("W/\"x\"", "\"x\""));
    ck_assert(is_listed_weak("\"x\"", "W/\"x\""));
    ck_assert(is_listed_weak("\"y\", W/\"x\"", "W/\"x\""));
    ck_assert(!is_listed_weak("w/\"x\"", "\"x\""));
    ck_assert(!is_listed_weak("W/", "W/"));
    ck_assert(!is_listed_strong("W/\"x\"", "\"x\""));
    ck_assert(!is_listed_strong("\"x\"", "W/\"x\""));
    ck_assert(!is_listed_strong("W/\"x\"", "W/\"x\""));
    ck_assert(is_listed_strong("*", "W/\"x\""));
}
END_TEST

UNIT_MAIN("etag", lists, any, weak_ones)

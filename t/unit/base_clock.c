/* The cached time and its texts. */
#include "lib/unit.h"

static struct wr_str http(time_t at)
{
    static char buf[64];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    wr_clock_http(at, &t);
    return wr_text_view(&t);
}

START_TEST(imf_fixdate)
{
    ck_view(http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    ck_view(http(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
    ck_view(http(4107542399), "Sun, 28 Feb 2100 23:59:59 GMT");
    ck_view(http(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
}
END_TEST

/* The texts are those of strftime, in every kind of time zone. */
static void in_zone(const char *tz, const char *offset, const char *offset_colon)
{
    char want[64];
    time_t now;
    struct tm tm;

    (void)setenv("TZ", tz, 1);
    tzset();
    wr_clock_update();
    now = (time_t)(wr_clock.wall_ms / 1000);
    (void)localtime_r(&now, &tm);
    (void)strftime(want, sizeof(want), "%Y/%m/%d %H:%M:%S", &tm);
    ck_view(wr_clock.error_log, want);
    (void)strftime(want, sizeof(want), "%d/%b/%Y:%H:%M:%S ", &tm);
    ck_view(wr_str_of(wr_clock.local.p, 21), want);
    ck_view(wr_str_skip(wr_clock.local, 21), offset);
    (void)strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
    ck_view(wr_str_of(wr_clock.iso8601.p, 19), want);
    ck_view(wr_str_skip(wr_clock.iso8601, 19), offset_colon);
    (void)strftime(want, sizeof(want), "%b %e %H:%M:%S", &tm);
    ck_view(wr_clock.syslog, want);
    ck_assert(wr_str_eq(wr_clock.http, http(now)));
}

START_TEST(texts_utc)
{
    in_zone("UTC0", "+0000", "+00:00");
}
END_TEST

START_TEST(texts_east)
{
    in_zone("IST-5:30", "+0530", "+05:30");
}
END_TEST

START_TEST(texts_west)
{
    in_zone("NST3:30", "-0330", "-03:30");
}
END_TEST

START_TEST(is_cached_until_the_next_update)
{
    struct timespec pause = { .tv_nsec = 20000000 };
    uint64_t mono;

    wr_clock_update();
    mono = wr_now();
    ck_assert_uint_gt(wr_clock.wall_ms, 1700000000000);
    (void)nanosleep(&pause, NULL);
    ck_assert_uint_eq(wr_now(), mono); /* cached */
    wr_clock_update();
    ck_assert_uint_ge(wr_now(), mono + 20);
}
END_TEST

UNIT_MAIN("base/clock", imf_fixdate, texts_utc, texts_east, texts_west,
          is_cached_until_the_next_update)

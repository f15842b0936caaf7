/* Dates of HTTP. */
#include "message/message.h"
#include "lib/unit.h"

START_TEST(reads_three_forms)
{
    static const struct {
        const char *in;
        long long at;
    } rows[] = {
        { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
        { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
        { "Sun Nov  6 08:49:37 1994", 784111777 },
        { "Wed Nov 16 08:49:37 1994", 784975777 },
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Thursday, 01-Jan-70 00:00:00 GMT", 0 },
        { "Monday, 31-Dec-69 00:00:00 GMT", 3155673600 },
        { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
        { "Mon, 01 Jan 0001 00:00:00 GMT", -62135596800 },
        { "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
        { "Tue, 29 Feb 2000 12:00:00 GMT", 951825600 },
        { "Wed, 29 Feb 2012 00:00:00 GMT", 1330473600 },
        { "Wed, 31 Dec 2008 23:59:60 GMT", 1230768000 },
    };
    time_t at;

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        ck_assert_msg(wr_http_time(wr_str_c(rows[i].in), &at), "%s", rows[i].in);
        ck_assert_msg(at == (time_t)rows[i].at, "%s: %lld", rows[i].in, (long long)at);
    }
}
END_TEST

START_TEST(refuses)
{
    static const char *const bad[] = {
        "", "0", "now", "Sun", "Sun,", "Sun, ", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 GMTx",
        ", 06 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Tue, 29 Feb 1900 00:00:00 GMT",
        "Sun, 29 Feb 2011 00:00:00 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 -8:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT", "Sun Nov 06 08:49:37 94", "1994-11-06T08:49:37Z",
        "784111777",
    };
    time_t at = 7;

    for (size_t i = 0; i < WR_COUNT(bad); i++)
        ck_assert_msg(!wr_http_time(wr_str_c(bad[i]), &at), "%s", bad[i]);
    ck_assert_int_eq(at, 7);
}
END_TEST

START_TEST(reads_what_is_written)
{
    char buf[40];

    for (long long at = -3000000000; at < 9000000000; at += 8640007) {
        struct wr_text t = wr_text_on(buf, sizeof(buf));
        time_t back;

        wr_clock_http((time_t)at, &t);
        ck_assert(wr_http_time(wr_text_view(&t), &back));
        ck_assert_int_eq(back, at);
    }
}
END_TEST

UNIT_MAIN("message/http_time", reads_three_forms, refuses, reads_what_is_written)

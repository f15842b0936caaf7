/* clock: the time, read once per turn of the loop. The loop calls wr_clock_update, all others read
 * wr_clock. It owns the texts, which are overwritten in place when the second changes. */
#include "base/base.h"

struct wr_clock wr_clock;

static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static void put_date(struct wr_text *t, const struct tm *tm, char sep)
{
    wr_text_pad(t, (uint64_t)(tm->tm_year + 1900), 4);
    wr_text_char(t, sep);
    wr_text_pad(t, (uint64_t)(tm->tm_mon + 1), 2);
    wr_text_char(t, sep);
    wr_text_pad(t, (uint64_t)tm->tm_mday, 2);
}

static void put_hours(struct wr_text *t, const struct tm *tm)
{
    wr_text_pad(t, (uint64_t)tm->tm_hour, 2);
    wr_text_char(t, ':');
    wr_text_pad(t, (uint64_t)tm->tm_min, 2);
    wr_text_char(t, ':');
    wr_text_pad(t, (uint64_t)tm->tm_sec, 2);
}

static void put_zone(struct wr_text *t, const struct tm *tm, const char *sep)
{
    long minutes = tm->tm_gmtoff / 60;

    wr_text_char(t, minutes < 0 ? '-' : '+');
    if (minutes < 0)
        minutes = -minutes;
    wr_text_pad(t, (uint64_t)minutes / 60, 2);
    wr_text_c(t, sep);
    wr_text_pad(t, (uint64_t)minutes % 60, 2);
}

void wr_clock_http(time_t at, struct wr_text *t)
{
    struct tm tm;

    if (gmtime_r(&at, &tm) == NULL)
        return;
    wr_text_c(t, days[tm.tm_wday]);
    wr_text_c(t, ", ");
    wr_text_pad(t, (uint64_t)tm.tm_mday, 2);
    wr_text_char(t, ' ');
    wr_text_c(t, months[tm.tm_mon]);
    wr_text_char(t, ' ');
    wr_text_pad(t, (uint64_t)(tm.tm_year + 1900), 4);
    wr_text_char(t, ' ');
    put_hours(t, &tm);
    wr_text_c(t, " GMT");
}

static void put_local(struct wr_text *t, const struct tm *tm)
{
    wr_text_pad(t, (uint64_t)tm->tm_mday, 2);
    wr_text_char(t, '/');
    wr_text_c(t, months[tm->tm_mon]);
    wr_text_char(t, '/');
    wr_text_pad(t, (uint64_t)(tm->tm_year + 1900), 4);
    wr_text_char(t, ':');
    put_hours(t, tm);
    wr_text_char(t, ' ');
    put_zone(t, tm, "");
}

static void put_syslog(struct wr_text *t, const struct tm *tm)
{
    wr_text_c(t, months[tm->tm_mon]);
    wr_text_char(t, ' ');
    if (tm->tm_mday < 10)
        wr_text_char(t, ' ');
    wr_text_u64(t, (uint64_t)tm->tm_mday);
    wr_text_char(t, ' ');
    put_hours(t, tm);
}

static void remake_texts(time_t now)
{
    static char error_log[32], local[32], iso8601[32], http[32], syslog[32];
    struct wr_text t = wr_text_on(error_log, sizeof(error_log));
    struct tm tm;

    if (localtime_r(&now, &tm) == NULL)
        return;
    put_date(&t, &tm, '/');
    wr_text_char(&t, ' ');
    put_hours(&t, &tm);
    wr_clock.error_log = wr_text_view(&t);

    t = wr_text_on(local, sizeof(local));
    put_local(&t, &tm);
    wr_clock.local = wr_text_view(&t);

    t = wr_text_on(iso8601, sizeof(iso8601));
    put_date(&t, &tm, '-');
    wr_text_char(&t, 'T');
    put_hours(&t, &tm);
    put_zone(&t, &tm, ":");
    wr_clock.iso8601 = wr_text_view(&t);

    t = wr_text_on(http, sizeof(http));
    wr_clock_http(now, &t);
    wr_clock.http = wr_text_view(&t);

    t = wr_text_on(syslog, sizeof(syslog));
    put_syslog(&t, &tm);
    wr_clock.syslog = wr_text_view(&t);
}

static uint64_t read_ms(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t wr_time_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void wr_clock_update(void)
{
    static uint64_t ahead, second = UINT64_MAX;

    wr_clock.mono_ms = read_ms(CLOCK_MONOTONIC);
    wr_clock.wall_ms = wr_clock.mono_ms + ahead;
    if (wr_clock.wall_ms / 1000 == second)
        return;
    /* The monotonic and the wall clock run at the same speed; only a step of the wall clock changes
     * the distance between them. So the wall clock is read only once a second; in all other turns
     * one clock is read. */
    wr_clock.wall_ms = read_ms(CLOCK_REALTIME);
    ahead = wr_clock.wall_ms - wr_clock.mono_ms;
    if (wr_clock.wall_ms / 1000 != second) {
        second = wr_clock.wall_ms / 1000;
        remake_texts((time_t)second);
    }
}

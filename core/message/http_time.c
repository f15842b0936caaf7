/* http_time: parses dates of HTTP in the three forms of RFC 9110 5.6.7. Called for Last-Modified,
 * If-Modified-Since, Expires and the like; wr_clock_http writes dates. */
#include "message/message.h"

static bool skip_text(struct wr_str *s, struct wr_str text)
{
    if (!wr_str_starts(*s, text))
        return false;
    *s = wr_str_skip(*s, text.n);
    return true;
}

/* Takes exactly n digits. */
static bool take_number(struct wr_str *s, size_t n, int *out)
{
    *out = 0;
    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        *out = *out * 10 + (s->p[i] - '0');
    }
    *s = wr_str_skip(*s, n);
    return true;
}

static bool take_month(struct wr_str *s, int *out)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (*out = 0; s->n >= 3 && *out < 12; (*out)++) {
        if (memcmp(s->p, names + *out * 3, 3) == 0) {
            *s = wr_str_skip(*s, 3);
            return true;
        }
    }
    return false;
}

static bool take_time(struct wr_str *s, struct tm *tm)
{
    return take_number(s, 2, &tm->tm_hour) && skip_text(s, WR_STR(":"))
        && take_number(s, 2, &tm->tm_min) && skip_text(s, WR_STR(":"))
        && take_number(s, 2, &tm->tm_sec);
}

/* "06 Nov 1994 08:49:37 GMT", or "06-Nov-94 08:49:37 GMT" with a year of two digits. */
static bool take_fixdate(struct wr_str *s, struct tm *tm)
{
    if (!take_number(s, 2, &tm->tm_mday))
        return false;
    if (skip_text(s, WR_STR(" "))) {
        if (!take_month(s, &tm->tm_mon) || !skip_text(s, WR_STR(" "))
            || !take_number(s, 4, &tm->tm_year))
            return false;
    } else {
        if (!skip_text(s, WR_STR("-")) || !take_month(s, &tm->tm_mon) || !skip_text(s, WR_STR("-"))
            || !take_number(s, 2, &tm->tm_year))
            return false;
        tm->tm_year += tm->tm_year < 70 ? 2000 : 1900;
    }
    return skip_text(s, WR_STR(" ")) && take_time(s, tm) && wr_str_is(*s, " GMT");
}

/* "Nov  6 08:49:37 1994". */
static bool take_asctime(struct wr_str *s, struct tm *tm)
{
    if (!take_month(s, &tm->tm_mon) || !skip_text(s, WR_STR(" ")))
        return false;
    if (!take_number(s, skip_text(s, WR_STR(" ")) ? 1 : 2, &tm->tm_mday))
        return false;
    return skip_text(s, WR_STR(" ")) && take_time(s, tm) && skip_text(s, WR_STR(" ")) &&
           take_number(s, 4, &tm->tm_year) && s->n == 0;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static const int days_before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };

static bool is_date(const struct tm *tm)
{
    static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int last = days[tm->tm_mon] + (tm->tm_mon == 1 && is_leap(tm->tm_year));

    /* Second 60 is a leap second. */
    return tm->tm_mday >= 1 && tm->tm_mday <= last && tm->tm_hour < 24 && tm->tm_min < 60 &&
           tm->tm_sec <= 60;
}

/* Days from 1970 on; negative before. */
static time_t day_number(const struct tm *tm)
{
    int y = tm->tm_year - 1;
    int days = y * 365 + y / 4 - y / 100 + y / 400 + days_before[tm->tm_mon] + tm->tm_mday - 1 +
               (tm->tm_mon > 1 && is_leap(tm->tm_year));

    return (time_t)days - 719162;
}

bool wr_http_time(struct wr_str s, time_t *out)
{
    struct tm tm = { 0 };
    size_t name = 0;
    bool ok;

    /* Skip the weekday, whatever it is: it follows from the date. */
    while (name < s.n && (unsigned char)((s.p[name] | 0x20) - 'a') < 26)
        name++;
    if (name < 3)
        return false;
    s = wr_str_skip(s, name);
    if (skip_text(&s, WR_STR(", ")))
        ok = take_fixdate(&s, &tm);
    else
        ok = skip_text(&s, WR_STR(" ")) && take_asctime(&s, &tm);
    if (!ok || tm.tm_year < 1 || !is_date(&tm))
        return false;
    *out = day_number(&tm) * 86400 + tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
    return true;
}

time_t wr_response_modified(struct wr_response *r)
{
    if (r->last_modified == WR_MODIFIED_UNREAD
        && !wr_http_time(wr_fields_value(&r->fields, WR_F_LAST_MODIFIED), &r->last_modified))
        r->last_modified = -1;
    return r->last_modified;
}

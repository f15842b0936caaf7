/* expires_time: see expires_time.h. */
#include "expires_time.h"

#include "config/config.h"

#define DAY 86400
#define TEN_YEARS (3650LL * DAY)
#define MAX_AT 2145916555 /* Thu, 31 Dec 2037 23:55:55 GMT: what nginx and Apache send */
#define LAST_SECOND 253402300799LL /* of the year 9999: a year in HTTP dates has four digits */

static const char *parse_word(struct wr_str value, struct wr_expires *out)
{
    static const struct {
        const char *word;
        enum wr_expires_kind kind;
    } words[] = {
        { "off", WR_EXPIRES_OFF }, { "epoch", WR_EXPIRES_EPOCH }, { "max", WR_EXPIRES_MAX },
    };

    for (size_t i = 0; i < WR_COUNT(words); i++) {
        if (wr_str_is(value, words[i].word)) {
            *out = (struct wr_expires){ words[i].kind, 0 };
            return NULL;
        }
    }
    return "invalid value";
}

const char *wr_expires_parse(struct wr_str value, bool modified, struct wr_expires *out)
{
    struct wr_str time = value;
    bool minus = wr_str_starts(value, WR_STR("-"));
    uint64_t s;

    *out = (struct wr_expires){ .kind = modified ? WR_EXPIRES_MODIFIED : WR_EXPIRES_ACCESS };
    if (!modified && parse_word(value, out) == NULL)
        return NULL;
    if (wr_str_starts(value, WR_STR("@"))) {
        if (modified)
            return "daily time cannot be used with \"modified\" parameter";
        out->kind = WR_EXPIRES_DAILY;
        time = wr_str_skip(value, 1);
    } else if (minus || wr_str_starts(value, WR_STR("+"))) {
        time = wr_str_skip(value, 1);
    }
    if (time.n == 0 || !wr_parse_sec(time, &s))
        return "invalid value";
    if (out->kind == WR_EXPIRES_DAILY && s > DAY)
        return "daily time value must be less than 24 hours";
    out->seconds = minus ? -(int64_t)s : (int64_t)s;
    return NULL;
}

static time_t next_daily(time_t now, int64_t seconds)
{
    struct tm tm;
    time_t at;

    localtime_r(&now, &tm);
    tm.tm_hour = (int)(seconds / 3600);
    tm.tm_min = (int)(seconds / 60 % 60);
    tm.tm_sec = (int)(seconds % 60);
    tm.tm_isdst = -1;
    at = mktime(&tm);
    if (at > now)
        return at;
    tm.tm_mday++;
    tm.tm_isdst = -1;
    return mktime(&tm);
}

/* Clamp the result to what an HTTP date can express. */
static time_t shift_time(time_t from, int64_t seconds)
{
    time_t at;

    if (__builtin_add_overflow(from, seconds, &at))
        at = seconds < 0 ? 0 : LAST_SECOND;
    return wr_max(wr_min(at, LAST_SECOND), 0);
}

struct wr_expiry wr_expires_at(const struct wr_expires *e, time_t now, time_t last_modified)
{
    struct wr_expiry out = { .at = now };

    switch (e->kind) {
    case WR_EXPIRES_EPOCH:
        return (struct wr_expiry){ 1, -1 };
    case WR_EXPIRES_MAX:
        return (struct wr_expiry){ MAX_AT, TEN_YEARS };
    case WR_EXPIRES_DAILY:
        out.at = next_daily(now, e->seconds);
        out.max_age = out.at - now;
        return out;
    case WR_EXPIRES_MODIFIED:
        if (e->seconds == 0)
            return out;
        out.at = shift_time(last_modified == -1 ? now : last_modified, e->seconds);
        break;
    case WR_EXPIRES_ACCESS:
    case WR_EXPIRES_OFF:
        out.at = shift_time(now, e->seconds);
        break;
    }
    out.max_age = e->seconds < 0 ? -1 : out.at - now;
    return out;
}

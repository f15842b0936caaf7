/* The values of `expires` and the times they give. */
#include "lib/unit.h"

#include "../../modules/http/headers/expires_time.h"

#define NOW 1800000000 /* Fri, 15 Jan 2027 08:00:00 GMT */
#define DAY 86400

static struct wr_expires parsed(const char *value, bool modified)
{
    struct wr_expires e;
    const char *wrong = wr_expires_parse(wr_str_c(value), modified, &e);

    ck_assert_msg(wrong == NULL, "%s: %s", value, wrong);
    return e;
}

static void means(const char *value, enum wr_expires_kind kind, int64_t seconds)
{
    struct wr_expires e = parsed(value, false);

    ck_assert_msg(e.kind == kind && e.seconds == seconds, "%s: %d %lld", value, (int)e.kind,
                  (long long)e.seconds);
}

static void is_wrong(const char *value, bool modified, const char *want)
{
    struct wr_expires e;
    const char *wrong = wr_expires_parse(wr_str_c(value), modified, &e);

    ck_assert_msg(wrong != NULL, "%s passes", value);
    ck_assert_str_eq(wrong, want);
}

START_TEST(right_values)
{
    means("off", WR_EXPIRES_OFF, 0);
    means("epoch", WR_EXPIRES_EPOCH, 0);
    means("max", WR_EXPIRES_MAX, 0);
    means("0", WR_EXPIRES_ACCESS, 0);
    means("1h30m", WR_EXPIRES_ACCESS, 5400);
    means("1d5", WR_EXPIRES_ACCESS, DAY + 5);
    means("+5", WR_EXPIRES_ACCESS, 5);
    means("-1", WR_EXPIRES_ACCESS, -1);
    means("@15h30m", WR_EXPIRES_DAILY, 55800);
    means("@24h", WR_EXPIRES_DAILY, DAY);
    ck_assert_int_eq(parsed("-1h", true).kind, WR_EXPIRES_MODIFIED);
    ck_assert_int_eq(parsed("-1h", true).seconds, -3600);
}
END_TEST

START_TEST(wrong_values)
{
    static const char *const values[] = {
        "", "-", "+", "@", "5x", "-5x", "@-1h", "-@1h", "--1", "1500ms", "epoch1", "Off",
        "99999999999999999999", "foo",
    };

    for (size_t i = 0; i < WR_COUNT(values); i++)
        is_wrong(values[i], false, "invalid value");
    is_wrong("@25h", false, "daily time value must be less than 24 hours");
    is_wrong("@1h", true, "daily time cannot be used with \"modified\" parameter");
    is_wrong("off", true, "invalid value");
    is_wrong("max", true, "invalid value");
    is_wrong("epoch", true, "invalid value");
}
END_TEST

static void gives(const char *value, bool modified, time_t last, time_t at, int64_t max_age)
{
    struct wr_expires e = parsed(value, modified);
    struct wr_expiry got = wr_expires_at(&e, NOW, last);

    ck_assert_msg(got.at == at, "%s: at %lld", value, (long long)got.at);
    ck_assert_msg(max_age < 0 ? got.max_age < 0 : got.max_age == max_age, "%s: age %lld", value,
                  (long long)got.max_age);
}

START_TEST(times)
{
    gives("epoch", false, -1, 1, -1);
    gives("max", false, -1, 2145916555, 315360000);
    gives("1h", false, 5, NOW + 3600, 3600);
    gives("0", false, 5, NOW, 0);
    gives("-1", false, 5, NOW - 1, -1);
    gives("1h", true, NOW - 50, NOW + 3550, 3550);
    gives("1h", true, NOW - 5000, NOW - 1400, -1);
    gives("-1h", true, NOW + 5000, NOW + 1400, -1);
    gives("0", true, NOW - 50, NOW, 0);
    gives("1h", true, -1, NOW + 3600, 3600);
}
END_TEST

START_TEST(far_away)
{
    struct wr_expires e = { WR_EXPIRES_ACCESS, INT64_MAX };

    ck_assert_int_eq(wr_expires_at(&e, NOW, -1).at, 253402300799);
    ck_assert_int_eq(wr_expires_at(&e, NOW, -1).max_age, 253402300799 - NOW);
    e = (struct wr_expires){ WR_EXPIRES_MODIFIED, -INT64_MAX };
    ck_assert_int_eq(wr_expires_at(&e, NOW, 5).at, 0);
    ck_assert_int_lt(wr_expires_at(&e, NOW, 5).max_age, 0);
}
END_TEST

START_TEST(daily)
{
    ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
    tzset();
    gives("@3h", false, -1, NOW + 19 * 3600, 19 * 3600);
    gives("@8h", false, -1, NOW + DAY, DAY);
    gives("@8h1", false, -1, NOW + 1, 1);
    gives("@24h", false, -1, NOW + 16 * 3600, 16 * 3600);
    /* the clocks go forward in between: 23 hours */
    ck_assert_int_eq(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    tzset();
    {
        struct wr_expires e = parsed("@12h", false);
        time_t noon = 1806145200; /* Sat, 27 Mar 2027 11:00:00 GMT, 12:00 local */

        ck_assert_int_eq(wr_expires_at(&e, noon, -1).max_age, 23 * 3600);
    }
}
END_TEST

UNIT_MAIN("expires", right_values, wrong_values, times, far_away, daily)

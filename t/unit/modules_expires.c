/* The values of `expires` and the times they give. */
#include "lib/unit.h"

#include "../../modules/http/headers/expires_time.h"

#define NOW 1800000000 /* Fri, 15 Jan 2027 08:00:00 GMT */
#define DAY 86400

static struct wr_expires parse_value(const char *value, bool modified)
{
    struct wr_expires e;
    const char *wrong = wr_expires_parse(wr_str_c(value), modified, &e);

    ck_assert_msg(wrong == NULL, "%s: %s", value, wrong);
    return e;
}

static void check_value(const char *value, enum wr_expires_kind kind, int64_t seconds)
{
    struct wr_expires e = parse_value(value, false);

    ck_assert_msg(e.kind == kind && e.seconds == seconds, "%s: %d %lld", value, (int)e.kind,
                  (long long)e.seconds);
}

static void check_error(const char *value, bool modified, const char *want)
{
    struct wr_expires e;
    const char *wrong = wr_expires_parse(wr_str_c(value), modified, &e);

    ck_assert_msg(wrong != NULL, "%s passes", value);
    ck_assert_str_eq(wrong, want);
}

START_TEST(right_values)
{
    check_value("off", WR_EXPIRES_OFF, 0);
    check_value("epoch", WR_EXPIRES_EPOCH, 0);
    check_value("max", WR_EXPIRES_MAX, 0);
    check_value("0", WR_EXPIRES_ACCESS, 0);
    check_value("1h30m", WR_EXPIRES_ACCESS, 5400);
    check_value("1d5", WR_EXPIRES_ACCESS, DAY + 5);
    check_value("+5", WR_EXPIRES_ACCESS, 5);
    check_value("-1", WR_EXPIRES_ACCESS, -1);
    check_value("@15h30m", WR_EXPIRES_DAILY, 55800);
    check_value("@24h", WR_EXPIRES_DAILY, DAY);
    ck_assert_int_eq(parse_value("-1h", true).kind, WR_EXPIRES_MODIFIED);
    ck_assert_int_eq(parse_value("-1h", true).seconds, -3600);
}
END_TEST

START_TEST(wrong_values)
{
    static const char *const values[] = {
        "", "-", "+", "@", "5x", "-5x", "@-1h", "-@1h", "--1", "1500ms", "epoch1", "Off",
        "99999999999999999999", "foo",
    };

    for (size_t i = 0; i < WR_COUNT(values); i++)
        check_error(values[i], false, "invalid value");
    check_error("@25h", false, "daily time value must be less than 24 hours");
    check_error("@1h", true, "daily time cannot be used with \"modified\" parameter");
    check_error("off", true, "invalid value");
    check_error("max", true, "invalid value");
    check_error("epoch", true, "invalid value");
}
END_TEST

static void check_time(const char *value, bool modified, time_t last, time_t at, int64_t max_age)
{
    struct wr_expires e = parse_value(value, modified);
    struct wr_expiry got = wr_expires_at(&e, NOW, last);

    ck_assert_msg(got.at == at, "%s: at %lld", value, (long long)got.at);
    ck_assert_msg(max_age < 0 ? got.max_age < 0 : got.max_age == max_age, "%s: age %lld", value,
                  (long long)got.max_age);
}

START_TEST(times)
{
    check_time("epoch", false, -1, 1, -1);
    check_time("max", false, -1, 2145916555, 315360000);
    check_time("1h", false, 5, NOW + 3600, 3600);
    check_time("0", false, 5, NOW, 0);
    check_time("-1", false, 5, NOW - 1, -1);
    check_time("1h", true, NOW - 50, NOW + 3550, 3550);
    check_time("1h", true, NOW - 5000, NOW - 1400, -1);
    check_time("-1h", true, NOW + 5000, NOW + 1400, -1);
    check_time("0", true, NOW - 50, NOW, 0);
    check_time("1h", true, -1, NOW + 3600, 3600);
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
    check_time("@3h", false, -1, NOW + 19 * 3600, 19 * 3600);
    check_time("@8h", false, -1, NOW + DAY, DAY);
    check_time("@8h1", false, -1, NOW + 1, 1);
    check_time("@24h", false, -1, NOW + 16 * 3600, 16 * 3600);
    /* the clocks go forward in between: 23 hours */
    ck_assert_int_eq(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    tzset();
    {
        struct wr_expires e = parse_value("@12h", false);
        time_t noon = 1806145200; /* Sat, 27 Mar 2027 11:00:00 GMT, 12:00 local */

        ck_assert_int_eq(wr_expires_at(&e, noon, -1).max_age, 23 * 3600);
    }
}
END_TEST

UNIT_MAIN("expires", right_values, wrong_values, times, far_away, daily)

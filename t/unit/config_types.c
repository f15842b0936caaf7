/* types: the values each setter takes, its errors, and the parsers. The expected times and sizes
 * are those of nginx. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

struct number {
    const char *text;
    bool ok;
    uint64_t value;
};

static const struct number sizes[] = {
    { "0", true, 0 },         { "10", true, 10 },
    { "10k", true, 10240 },   { "10K", true, 10240 },
    { "10m", true, 10485760 }, { "2G", true, 2147483648 },
    { "", false, 0 },         { "k", false, 0 },
    { "10kb", false, 0 },     { "1.5k", false, 0 },
    { "-1", false, 0 },       { "10 k", false, 0 },
    { "10x", false, 0 },      { "9223372036854775807", true, INT64_MAX },
    { "9223372036854775808", false, 0 }, { "99999999999999999999", false, 0 },
    { "9007199254740991k", true, UINT64_C(9007199254740991) << 10 },
    { "9007199254740992k", false, 0 }, { "17592186044416m", false, 0 },
};

START_TEST(parse_sizes)
{
    uint64_t v = 0;

    ck_assert_int_eq(wr_parse_size(wr_str_c(sizes[_i].text), &v), sizes[_i].ok);
    if (sizes[_i].ok)
        ck_assert_uint_eq(v, sizes[_i].value);
}
END_TEST

static const struct number times[] = {
    { "1h", true, 3600000 },       { "1h30m", true, 5400000 },
    { "1h 30m", true, 5400000 },   { "1h  30m", true, 5400000 },
    { "30m 1h", false, 0 },        { "5ms", true, 5 },
    { "5s 10ms", true, 5010 },     { "10ms 5s", false, 0 },
    { "1y", false, 0 },            { "1M", false, 0 },
    { "1w", true, 604800000 },     { "1d", true, 86400000 },
    { "1d 1d", false, 0 },         { "1.5s", false, 0 },
    { "10S", false, 0 },           { "1 h", false, 0 },
    { "h", false, 0 },             { "", false, 0 },
    { " 5s", false, 0 },           { "5s ", true, 5000 },
    { "5 5s", false, 0 },          { "5s 5", true, 10000 },
    { "5 ", true, 5000 },          { "0", true, 0 },
    { "1m1", true, 61000 },        { "1h30", true, 3630000 },
    { "2147483648", true, UINT64_C(2147483648000) },
    { "9223372036854775807ms", true, INT64_MAX },
    { "9223372036854775807", false, 0 }, { "9223372036854775807s 1ms", false, 0 },
    { "99999999999999999999", false, 0 },
};

START_TEST(parse_msec)
{
    uint64_t v = 0;

    ck_assert_int_eq(wr_parse_msec(wr_str_c(times[_i].text), &v), times[_i].ok);
    if (times[_i].ok)
        ck_assert_uint_eq(v, times[_i].value);
}
END_TEST

static const struct number secs[] = {
    { "5", true, 5 },        { "5ms", false, 0 },     { "1y", true, 31536000 },
    { "1M", true, 2592000 }, { "1y1M1d", true, 34214400 }, { "1m", true, 60 },
    { "5s1", true, 6 },      { "1M 1y", false, 0 },
};

START_TEST(parse_sec)
{
    uint64_t v = 0;

    ck_assert_int_eq(wr_parse_sec(wr_str_c(secs[_i].text), &v), secs[_i].ok);
    if (secs[_i].ok)
        ck_assert_uint_eq(v, secs[_i].value);
}
END_TEST

START_TEST(params)
{
    struct wr_str v;

    ck_assert(wr_param(WR_STR("weight=5"), "weight", &v));
    ck_assert(wr_str_is(v, "5"));
    ck_assert(wr_param(WR_STR("a="), "a", &v) && v.n == 0);
    ck_assert(!wr_param(WR_STR("weight"), "weight", &v));
    ck_assert(!wr_param(WR_STR("weights=5"), "weight", &v));
    ck_assert(!wr_param(WR_STR("wei=5"), "weight", &v));
}
END_TEST

START_TEST(values)
{
    struct wr_conf *c = fake_load(
        "worker_processes 4; daemon OFF; pid run/p;\n"
        "stream { proxy_timeout 1h30m; proxy_buffer_size 8k; proxy_half_close on;\n"
        "  proxy_next_upstream Error http_500; choice ERROR; file_size 3g; valid 1y;\n"
        "  log_name 'x y'; hash_size 12; }");
    struct wr_scope *s = wr_conf_layer(c, WR_L4);
    struct fake_conf *core = fake_of(c->main, &fake_core), *log, *proxy;

    ck_assert_str_eq(findings(c->tree), "");
    log = fake_of(s, &fake_log);
    proxy = fake_of(s, &fake_proxy);
    ck_assert_uint_eq(core->num, 4);
    ck_assert(!core->flag);
    ck_assert_str_eq(core->path.p, "/prefix/run/p");
    ck_assert_uint_eq(proxy->msec, 5400000);
    ck_assert_uint_eq(proxy->size, 8192);
    ck_assert(proxy->flag);
    ck_assert_uint_eq(proxy->choice, 5);
    ck_assert_uint_eq(log->choice, 1);
    ck_assert_uint_eq(log->offset, UINT64_C(3) << 30);
    ck_assert_uint_eq(log->sec, 31536000);
    ck_assert_str_eq(log->text.p, "x y");
    wr_conf_free(c);
}
END_TEST

struct refusal {
    const char *directive, *error;
};

static const struct refusal refusals[] = {
    { "proxy_half_close maybe;",
      "1:27 invalid value \"maybe\" in \"proxy_half_close\" directive, it must be \"on\" or "
      "\"off\"\n" },
    { "log_depth x;", "1:20 \"log_depth\" directive invalid number\n" },
    { "log_depth -1;", "1:20 \"log_depth\" directive invalid number\n" },
    { "log_depth 4294967296;", "1:20 \"log_depth\" directive invalid number\n" },
    { "hash_size 1;", "1:20 value must be equal to or greater than 2\n" },
    { "hash_size x;", "1:20 \"hash_size\" directive invalid number\n" },
    { "proxy_buffer_size 1g;",
      "1:28 \"proxy_buffer_size\" directive invalid value (only k and m are units here)\n" },
    { "proxy_buffer_size x;", "1:28 \"proxy_buffer_size\" directive invalid value (write a size "
                              "in bytes, or with k or m: 8192, 8k, 1m)\n" },
    { "file_size x;", "1:20 \"file_size\" directive invalid value (write a size in bytes, or with "
                      "k, m or g: 8192, 8k, 1m, 2g)\n" },
    { "proxy_timeout 1x;", "1:24 \"proxy_timeout\" directive invalid value (write a time, longest "
                           "unit first: 30 (seconds), 500ms, 1h30m)\n" },
    { "valid 5ms;", "1:16 \"valid\" directive invalid value (write a time of whole seconds, "
                    "longest unit first: 30, 5m, 1d)\n" },
    { "choice x;",
      "1:17 invalid value \"x\" (allowed: off, error, timeout, http_500)\n" },
    { "proxy_next_upstream error x;",
      "1:36 invalid value \"x\" (allowed: off, error, timeout, http_500)\n" },
    { "proxy_next_upstream error timeout error off off;",
      "warn 1:44 duplicate value \"error\"\n" },
};

START_TEST(refused)
{
    char text[128];
    struct wr_conf *c;

    snprintf(text, sizeof(text), "stream { %s }", refusals[_i].directive);
    c = fake_load(text);
    ck_assert_str_eq(findings(c->tree), refusals[_i].error);
    wr_conf_free(c);
}
END_TEST

/* The lines of one level add up; an inner level begins anew. */
START_TEST(masks_add_up)
{
    struct wr_conf *c = fake_load("stream { proxy_next_upstream error;"
                                  " proxy_next_upstream http_500;"
                                  " server { proxy_next_upstream timeout; } }");
    struct wr_scope *s = wr_conf_layer(c, WR_L4);

    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_uint_eq(fake_of(s, &fake_proxy)->choice, 5);
    ck_assert_uint_eq(fake_of(s->children, &fake_proxy)->choice, 2);
    wr_conf_free(c);
    c = fake_load("stream { proxy_next_upstream error; proxy_next_upstream error; }");
    ck_assert_str_eq(findings(c->tree), "warn 1:57 duplicate value \"error\"\n");
    wr_conf_free(c);
}
END_TEST

START_TEST(bounds)
{
    struct wr_conf *c = fake_load("worker_processes 0;");

    ck_assert_str_eq(findings(c->tree), "1:18 value must be between 1 and 1024\n");
    wr_conf_free(c);
}
END_TEST

FAKE_MAIN("config/types", { parse_sizes, WR_COUNT(sizes) }, { parse_msec, WR_COUNT(times) },
          { parse_sec, WR_COUNT(secs) }, { params, 0 }, { values, 0 },
          { refused, WR_COUNT(refusals) }, { masks_add_up, 0 },
          { bounds, 0 })

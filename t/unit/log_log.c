/* The format of a log line. */
#include "log/log.h"
#include "lib/unit.h"

#include <errno.h>

/* A sink that remembers its last line. */
static char last[4096];
static size_t last_n;
static unsigned lines;

static void remember(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    (void)s;
    (void)level;
    ck_assert_uint_le(line.n, 2048);
    memcpy(last, line.p, line.n);
    last_n = line.n;
    lines++;
}

static const struct wr_sink_ops ops = { NULL, remember, NULL };
static struct wr_sink sink = { .ops = &ops };
static struct wr_log to_sink = { .max = WR_LOG_INFO, .n = 1, .target = { { &sink, WR_LOG_INFO } } };

/* The line without its time, process and line feed. */
static struct wr_str said(void)
{
    char ids[64];
    int n = snprintf(ids, sizeof(ids), " %ld#%ld: ", (long)getpid(), (long)gettid());
    struct wr_str line = wr_str_of(last, last_n), level;

    ck_assert(wr_str_eq(wr_str_of(line.p, 19), wr_clock.error_log));
    ck_assert(wr_str_ends(line, WR_STR("\n")));
    line.n--;
    line = wr_str_skip(line, 20);
    level = wr_str_of(line.p, wr_str_find(line, ']') + 1);
    line = wr_str_skip(line, level.n);
    ck_assert(wr_str_starts(line, wr_str_of(ids, (size_t)n)));
    line = wr_str_skip(line, (size_t)n);
    /* move "[level] " in front of the message */
    memmove(last + 19 - level.n, level.p, level.n);
    return line;
}

static void client(const struct wr_log_source *src, struct wr_text *t)
{
    wr_text_fmt(t, ", client: 10.0.0.1, number: %llu", (unsigned long long)src->number);
}

START_TEST(line_format)
{
    struct wr_log_source src = { .number = 3, .context = client }, anonymous = { .number = 0 };

    wr_log(&to_sink, WR_LOG_ERROR, ECONNREFUSED, &src, "connect() %s", "failed");
    ck_assert_ptr_nonnull(memmem(last, last_n, " [error] ", 9));
    ck_view(said(), "*3 connect() failed (111: Connection refused), client: 10.0.0.1, number: 3");
    wr_log(&to_sink, WR_LOG_INFO, 0, &anonymous, "plain");
    ck_view(said(), "plain");
    wr_log(&to_sink, WR_LOG_INFO, 0, NULL, "%s", "");
    ck_view(said(), "");
}
END_TEST

START_TEST(control_bytes_are_escaped)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "a\nb\r\x01\x1f", "a\\x0ab\\x0d\\x01\\x1f" },
        { "\x1b[2J\x7f", "\\x1b[2J\\x7f" },
        { "\x9b" "2J", "\\x9b2J" },
        { "\xc2\x9b" "2J\xc2\x80", "\\xc2\\x9b2J\\xc2\\x80" },
        { "\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
          "\xc2\xa0\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xc3", "\\xc3" },                 /* cut off */
        { "\xc3\xff\xa4", "\\xc3\\xff\\xa4" },
        { "\xc0\x8a", "\\xc0\\x8a" },       /* an overlong line feed */
        { "\xe0\x82\x9b", "\\xe0\\x82\\x9b" },
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* a surrogate */
        { "\xe2\x82" "a", "\\xe2\\x82" "a" },
    };

    for (unsigned i = 0; i < WR_COUNT(rows); i++) {
        wr_log(&to_sink, WR_LOG_INFO, 0, NULL, "%s", rows[i].in);
        ck_view(said(), rows[i].out);
    }
}
END_TEST

START_TEST(long_lines_are_cut)
{
    struct wr_log_source src = { .number = 4, .context = client };
    char text[5000];

    memset(text, 'm', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    wr_log(&to_sink, WR_LOG_ERROR, EPIPE, &src, "%s", text);
    ck_assert(wr_str_ends(said(), WR_STR("m (32: Broken pipe), client: 10.0.0.1, number: 4")));
    memset(text, '\1', sizeof(text) - 1);
    wr_log(&to_sink, WR_LOG_ERROR, EPIPE, &src, "%s", text);
    ck_assert_uint_eq(last_n, 2048);
    ck_assert_int_eq(last[2047], '\n');
}
END_TEST

START_TEST(levels)
{
    struct wr_log two = { .max = WR_LOG_INFO, .n = 2,
                          .target = { { &sink, WR_LOG_INFO }, { &sink, WR_LOG_ERROR } } };
    struct wr_log_source src = { .debug = true };

    wr_log(&two, WR_LOG_DEBUG, 0, NULL, "no");
    ck_assert_uint_eq(lines, 0);
    wr_log(&two, WR_LOG_WARN, 0, NULL, "one");
    ck_assert_uint_eq(lines, 1);
    wr_log(&two, WR_LOG_CRIT, 0, NULL, "both");
    ck_assert_uint_eq(lines, 3);
    wr_log(&two, WR_LOG_DEBUG, 0, &src, "both, by debug_connection");
    ck_assert_uint_eq(lines, 5);
}
END_TEST

START_TEST(level_words)
{
    enum wr_level l;

    for (unsigned i = 0; i < WR_LOG_LEVELS; i++) {
        ck_assert(wr_level_parse(wr_str_c(wr_level_name((enum wr_level)i)), &l));
        ck_assert_uint_eq(l, i);
    }
    ck_assert(wr_level_parse(WR_STR("debug_http"), &l));
    ck_assert_uint_eq(l, WR_LOG_DEBUG);
    ck_assert(!wr_level_parse(WR_STR("Error"), &l));
    ck_assert(!wr_level_parse(WR_STR(""), &l));
    ck_assert(!wr_level_parse(WR_STR("debug_x"), &l));
    ck_assert_str_eq(wr_level_name(WR_LOG_LEVELS), "none");
}
END_TEST

START_TEST(errno_stays)
{
    errno = EINTR;
    wr_log(&to_sink, WR_LOG_INFO, ENOENT, NULL, "x");
    ck_assert_int_eq(errno, EINTR);
}
END_TEST

START_TEST(short_at_startup)
{
    char buf[256] = "";
    int fds[2];
    ssize_t n;

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
    wr_say(WR_LOG_EMERG, ENOENT, "open() \"%s\" failed", "x");
    wr_say(WR_LOG_INFO, 0, "below the level");
    n = read(fds[0], buf, sizeof(buf));
    ck_view(wr_str_of(buf, (size_t)n),
            "weir: [emerg] open() \"x\" failed (2: No such file or directory)\n");
    wr_log_startup(false);
    wr_say(WR_LOG_EMERG, 0, "long");
    n = read(fds[0], buf, sizeof(buf));
    ck_assert(wr_str_starts(wr_str_of(buf, (size_t)n), wr_clock.error_log));
}
END_TEST

UNIT_MAIN("log/log", line_format, control_bytes_are_escaped, long_lines_are_cut, levels,
          level_words, errno_stays, short_at_startup)

/* log: makes one line of a message and passes it to the sinks of a log. All code calls it through
 * wr_log and wr_say; it owns only the log that is used until the configuration names one. */
#include "log/log.h"

#include <errno.h>
#include <unistd.h>

#define LINE 2048             /* bytes with the line feed, as in nginx */
#define TAIL 256              /* of them kept for errno and the context */

static struct wr_log first_log = {
    .max = WR_LOG_NOTICE,
    .n = 1,
    .target = { { &wr_sink_stderr, WR_LOG_NOTICE } },
};
struct wr_log *wr_log_default = &first_log;

static bool at_startup = true;

static const char *const level_names[] = {
#define X(id, text) text,
    WR_LEVELS(X)
#undef X
};

const char *wr_level_name(enum wr_level l)
{
    return l < WR_LOG_LEVELS ? level_names[l] : "none";
}

/* nginx filters debug lines by subsystem; here each of its words enables all of them. */
bool wr_level_parse(struct wr_str s, enum wr_level *out)
{
    static const char *const debug[] = { "debug_core", "debug_alloc", "debug_mutex",
                                         "debug_event", "debug_http", "debug_mail",
                                         "debug_stream" };

    for (unsigned i = 0; i < WR_COUNT(level_names); i++) {
        if (wr_str_is(s, level_names[i])) {
            *out = (enum wr_level)i;
            return true;
        }
    }
    for (unsigned i = 0; i < WR_COUNT(debug); i++) {
        if (wr_str_is(s, debug[i])) {
            *out = WR_LOG_DEBUG;
            return true;
        }
    }
    return false;
}

void wr_log_startup(bool on)
{
    at_startup = on;
}

/* The form nginx uses at start, for the user who typed the command. */
static void put_short_head(struct wr_text *t, enum wr_level l)
{
    wr_text_fmt(t, "weir: [%s] ", wr_level_name(l));
}

/* C0, DEL and C1, which control a terminal. A single byte 0x9b is C1 as well, but it is not valid
 * UTF-8 and is escaped for that reason; in UTF-8 it is 0xc2 0x9b. */
static bool is_control(struct wr_str character)
{
    unsigned char c = (unsigned char)character.p[0];

    return c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)character.p[1] < 0xa0);
}

/* A message may quote bytes from a peer: they must not begin a new line or control a terminal. */
static void put_escaped(struct wr_text *t, struct wr_str s)
{
    while (s.n > 0) {
        size_t n = wr_utf8_char(s), step = wr_max(n, 1U);

        if (n > 0 && !is_control(s)) {
            wr_text_str(t, wr_str_of(s.p, n));
        } else {
            for (size_t i = 0; i < step; i++) {
                wr_text_c(t, "\\x");
                wr_text_hex(t, s.p + i, 1);
            }
        }
        s = wr_str_skip(s, step);
    }
}

/* Ask for the ids with each line: remembered ones would be wrong after a fork and in a thread, and
 * logged lines are few. */
static void put_head(struct wr_text *t, enum wr_level l, const struct wr_log_source *src)
{
    wr_text_str(t, wr_clock.error_log);
    wr_text_fmt(t, " [%s] %ld#%ld: ", wr_level_name(l), (long)getpid(), (long)gettid());
    if (src != NULL && src->number != 0) {
        wr_text_char(t, '*');
        wr_text_u64(t, src->number);
        wr_text_char(t, ' ');
    }
}

static void put_message(struct wr_text *t, int err, const struct wr_log_source *src,
                        const char *fmt, va_list ap)
{
    /* Cut a long message early enough to keep the error and the context behind it. */
    t->cap -= TAIL;
    wr_text_vfmt(t, fmt, ap);
    t->cap += TAIL;
    t->overflow = false;
    if (err != 0)
        wr_text_fmt(t, " (%d: %s)", err, strerror(err));
    if (src != NULL && src->context != NULL)
        src->context(src, t);
}

/* Make the line anew for each sink: few logs have two, and stderr may need the short form. */
static void write_line(const struct wr_log *log, uint32_t target, enum wr_level l,
                       const struct wr_log_source *src, struct wr_str message)
{
    struct wr_sink *sink = log->target[target].sink;
    char buf[LINE];
    struct wr_text t = wr_text_on(buf, sizeof(buf) - 1);

    if (at_startup && log == wr_log_default && sink == &wr_sink_stderr)
        put_short_head(&t, l);
    else
        put_head(&t, l, src);
    put_escaped(&t, message);
    buf[t.n++] = '\n';
    wr_sink_write(sink, l, wr_text_view(&t));
}

void wr_log_put(const struct wr_log *log, enum wr_level l, int err,
                const struct wr_log_source *src, const char *fmt, ...)
{
    char buf[LINE];
    struct wr_text message = wr_text_on(buf, sizeof(buf));
    int saved = errno;
    va_list ap;

    if (wr_clock.error_log.n == 0)
        wr_clock_update();
    va_start(ap, fmt);
    put_message(&message, err, src, fmt, ap);
    va_end(ap);
    for (uint32_t i = 0; i < log->n; i++) {
        if (l <= log->target[i].level || (src != NULL && src->debug))
            write_line(log, i, l, src, wr_text_view(&message));
    }
    errno = saved;
}

static void assert_log(bool is_bug, int err, const char *text)
{
    wr_say(is_bug ? WR_LOG_ALERT : WR_LOG_EMERG, err, "%s", text);
}

void wr_log_init(void)
{
    wr_assert_log = assert_log;
}

/* console: messages to the person who started weir or asked for a reload. Called by main, cycle,
 * master and, for what a child says before it is ready, process; owns the process log
 * (wr_log_default).
 *
 * There is a log from the start: -e FILE or the built-in path. Until weir runs, warnings and worse
 * are also written to stderr, without time and pid: "weir: [emerg] ...". During a reload they are
 * written to the person who asked for it, in the same form. One sink, "console", does both. A
 * binary started by an upgrade has no such person, and its stderr may be the log of the old binary:
 * it writes whole log lines there. */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct wr_log early;        /* -e FILE or the built-in path */
static struct wr_log plain;        /* the log without the console */
static struct wr_log with_console;
static struct wr_sink *console_sink;
static FILE *console;

static bool console_open(struct wr_sink *s)
{
    (void)s;
    return true;
}

static void console_close(struct wr_sink *s)
{
    (void)s;
}

/* "2026/11/22 23:37:44 [warn] 12#12: text" -> "weir: [warn] text" */
static void console_write(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    struct wr_str colon = WR_STR(": ");
    size_t at = wr_str_search(line, colon);

    (void)s;
    if (console == NULL)
        return;
    if (at < line.n)
        line = wr_str_skip(line, at + colon.n);
    while (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n--;
    fprintf(console, "weir: [%s] " WR_FMT "\n", wr_level_name(level), WR_ARG(line));
    fflush(console);
}

static const struct wr_sink_ops console_ops = {
    .open = console_open, .write = console_write, .close = console_close,
};

static bool logs_to_stderr(const struct wr_log *log)
{
    for (uint32_t i = 0; i < log->n; i++) {
        if (log->target[i].sink->name != NULL && strcmp(log->target[i].sink->name, "stderr") == 0)
            return true;
    }
    return false;
}

/* Make wr_log_default from the plain log and the console. */
static void compose_logs(void)
{
    with_console = plain;
    wr_log_default = &plain;
    if (console == NULL || (console == stderr && logs_to_stderr(&plain)))
        return;
    if (with_console.n == WR_COUNT(with_console.target))
        with_console.n--;
    with_console.target[with_console.n].sink = console_sink;
    with_console.target[with_console.n++].level = WR_LOG_WARN;
    if (with_console.max < WR_LOG_WARN)
        with_console.max = WR_LOG_WARN;
    wr_log_default = &with_console;
}

void wr_console_to(FILE *to)
{
    console = to;
    compose_logs();
}

void wr_console_use(const struct wr_log *log)
{
    plain = log != NULL ? *log : early;
    compose_logs();
}

FILE *wr_console_file(void)
{
    return console;
}

const struct wr_log *wr_console_log(void)
{
    return console == stderr && logs_to_stderr(&plain) ? NULL : &plain;
}

/* A log is a regular file opened for append; the flag is that of the process that opened it. */
static bool is_stderr_a_log(void)
{
    struct stat st;

    return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode)
        && (fcntl(STDERR_FILENO, F_GETFL) & O_APPEND) != 0;
}

static bool is_same_file(int fd, int other)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino
        && a.st_dev == b.st_dev;
}

static void add_early(struct wr_sink *sink)
{
    early.target[early.n].sink = sink;
    early.target[early.n++].level = WR_LOG_NOTICE;
}

void wr_console_init(const char *error_log, bool upgrade)
{
    struct wr_sink *sink = wr_sink_open(error_log);
    int err = errno;
    bool to_log = upgrade && is_stderr_a_log();

    console_sink = wr_sink_add("console", &console_ops, NULL);
    console = to_log ? NULL : stderr;
    early = (struct wr_log){ .max = WR_LOG_NOTICE };
    if (sink != NULL)
        add_early(sink);
    if (to_log && (sink == NULL || !is_same_file(sink->fd, STDERR_FILENO)))
        add_early(&wr_sink_stderr);
    wr_console_use(NULL);
    if (to_log) /* no short form on stderr: its lines are log lines */
        wr_log_startup(false);
    if (sink == NULL)
        wr_say(WR_LOG_ALERT, err, "could not open error log file: open() \"%s\" failed", error_log);
}

void wr_console_redirect(void)
{
    int fd = plain.n > 0 ? plain.target[0].sink->fd : -1;

    if (logs_to_stderr(&plain))
        return;
    if (fd >= 0) {
        (void)!dup2(fd, STDERR_FILENO);
        return;
    }
    fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!dup2(fd, STDERR_FILENO);
        close(fd);
    }
}

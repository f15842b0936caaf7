/* syslog: a log sink that sends RFC 3164 datagrams. error_log and access_log open it; it owns a
 * socket per sink. Nothing waits for the log host: a datagram that cannot leave at once is lost. */
#include "os/os.h"

#include <errno.h>
#include <unistd.h>

#define PORT 514
#define TAG_MAX 32
#define LINE 4096             /* an access log line may be longer than an error log line */
#define RETRY_MS 1000

struct target {
    uint32_t magic;
    struct wr_addr addr;
    int facility;             /* -1: not given */
    enum wr_level severity;
    struct wr_str tag;
    bool nohostname;
    char text[];              /* tag points here */
};

static const char *const facilities[] = {
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock",
    "authpriv", "ftp", "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3",
    "local4", "local5", "local6", "local7"
};
#define LOCAL7 23

/* ---- sending ---- */

static bool target_open(struct wr_sink *s)
{
    const struct target *to = WR_CHECK(s->state, SYSLOG);
    const char *step;
    int fd = wr_socket_client(to->addr.sa.sa_family, SOCK_DGRAM, NULL, false, &step);

    if (fd >= 0 && connect(fd, &to->addr.sa, to->addr.len) != 0) {
        s->err = errno;
        (void)close(fd);
        fd = -1;
    } else if (fd < 0) {
        s->err = errno;
    }
    if (fd < 0)
        return false;
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = fd;
    s->err = 0;
    return true;
}

static void target_close(struct wr_sink *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    WR_UNTYPED(WR_CHECK(s->state, SYSLOG));
    free(s->state);
    s->fd = -1;
    s->state = NULL;
}

/* Read once, so that the log host sees this machine under one name only. */
static struct wr_str lasting_hostname(void)
{
    static char name[WR_HOSTNAME_SIZE];

    if (name[0] == '\0' && wr_hostname(name).n == 0)
        name[0] = '-';
    return wr_str_c(name);
}

static void put_head(struct wr_text *t, const struct target *to, enum wr_level level)
{
    wr_text_fmt(t, "<%d>", to->facility * 8 + (int)(level < WR_LOG_LEVELS ? level : to->severity));
    wr_text_str(t, wr_clock.syslog);
    wr_text_char(t, ' ');
    if (!to->nohostname) {
        wr_text_str(t, lasting_hostname());
        wr_text_char(t, ' ');
    }
    wr_text_str(t, to->tag);
    wr_text_c(t, ": ");
}

/* Try once more after a failure: a restarted syslog daemon has a new socket behind the old path,
 * and UDP reports a closed port only on the next send. */
static void target_send(struct wr_sink *s, struct wr_str line)
{
    for (int try = 0; try < 2; try++) {
        if (s->fd < 0 && (wr_clock.wall_ms < s->quiet_until || !s->ops->open(s)))
            break;
        if (send(s->fd, line.p, line.n, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN)
            return;
        s->err = errno;
        (void)close(s->fd);
        s->fd = -1;
    }
    if (wr_clock.wall_ms < s->quiet_until)
        return;
    s->quiet_until = wr_clock.wall_ms + RETRY_MS;
    wr_say(WR_LOG_WARN, s->err, "send() to \"%s\" failed", s->name);
}

static void target_write(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    char buf[LINE];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (wr_clock.syslog.n == 0)
        wr_clock_update();
    put_head(&t, WR_CHECK(s->state, SYSLOG), level);
    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n--;
    wr_text_str(&t, line);
    target_send(s, wr_text_view(&t));
}

static const struct wr_sink_ops syslog_ops = { target_open, target_write, target_close };

/* ---- parameters ---- */

/* The state of reading; the first mistake is kept. */
struct parse {
    struct wr_pool *pool;
    struct target *to;
    bool severity_seen, tag_seen;
    const char *err;
};

static void note_mistake(struct parse *p, const char *text, struct wr_str about)
{
    if (p->err == NULL)
        p->err = wr_pool_fmt(p->pool, "%s \"" WR_FMT "\"", text, WR_ARG(about)).p;
}

static void refuse_second(struct parse *p, bool seen, const char *name)
{
    if (seen)
        note_mistake(p, "duplicate syslog", wr_str_c(name));
}

static void read_server(struct parse *p, struct wr_str v)
{
    refuse_second(p, p->to->addr.len > 0, "server");
    /* An IPv6 address without brackets has no port. */
    if (wr_addr_parse(v, PORT, &p->to->addr))
        return;
    if (wr_addr_parse_ip(v, &p->to->addr))
        wr_addr_set_port(&p->to->addr, PORT);
    else
        note_mistake(p, "host not found in syslog server", v);
}

static void read_facility(struct parse *p, struct wr_str v)
{
    refuse_second(p, p->to->facility >= 0, "facility");
    for (unsigned i = 0; i < WR_COUNT(facilities); i++) {
        if (wr_str_is(v, facilities[i])) {
            p->to->facility = (int)i;
            return;
        }
    }
    note_mistake(p, "unknown syslog facility", v);
}

static void read_severity(struct parse *p, struct wr_str v)
{
    refuse_second(p, p->severity_seen, "severity");
    p->severity_seen = true;
    /* debug_http and similar words are levels of the error log only. */
    if (wr_str_starts(v, WR_STR("debug_")) || !wr_level_parse(v, &p->to->severity))
        note_mistake(p, "unknown syslog severity", v);
}

static void read_tag(struct parse *p, struct wr_str v)
{
    refuse_second(p, p->tag_seen, "tag");
    p->tag_seen = true;
    if (v.n > TAG_MAX && p->err == NULL)
        p->err = "syslog tag length exceeds 32";
    for (size_t i = 0; i < v.n; i++) {
        if (!wr_is_word_char(v.p[i]) && p->err == NULL)
            p->err = "syslog \"tag\" only allows alphanumeric characters and underscore";
    }
    if (p->err == NULL && v.n > 0)
        p->to->tag = v;
}

static void read_param(struct parse *p, struct wr_str param)
{
    struct wr_str value = param, name = wr_str_cut(&value, '=');

    if (wr_str_is(param, "nohostname"))
        p->to->nohostname = true;
    else if (value.p == NULL)
        note_mistake(p, "unknown syslog parameter", param);
    else if (wr_str_is(name, "server"))
        read_server(p, value);
    else if (wr_str_is(name, "facility"))
        read_facility(p, value);
    else if (wr_str_is(name, "severity"))
        read_severity(p, value);
    else if (wr_str_is(name, "tag"))
        read_tag(p, value);
    else
        note_mistake(p, "unknown syslog parameter", param);
}

/* The sink outlives the pool of the configuration that named it. */
static struct target *copy_target(const struct target *read)
{
    struct target *to = wr_malloc(sizeof(*to) + read->tag.n);

    *to = *read;
    memcpy(to->text, read->tag.p, read->tag.n);
    to->tag = wr_str_of(to->text, read->tag.n);
    return to;
}

struct wr_sink *wr_syslog_open(struct wr_pool *pool, struct wr_str params, const char **err)
{
    struct target to = { .magic = WR_TYPE_SYSLOG, .facility = -1, .severity = WR_LOG_INFO,
                         .tag = WR_STR_INIT("weir") };
    struct parse p = { .pool = pool, .to = &to };
    struct wr_str prefix = WR_STR("syslog:"), rest;
    const char *name;
    struct wr_sink *s;

    rest = wr_str_starts(params, prefix) ? wr_str_skip(params, prefix.n) : params;
    name = wr_pool_fmt(pool, "syslog:" WR_FMT, WR_ARG(rest)).p;
    s = wr_sink_find(name);
    if (s != NULL) {
        s->users++;
        return s;
    }
    if (rest.n == 0)
        rest.p = NULL;
    while (rest.p != NULL)
        read_param(&p, wr_str_cut(&rest, ','));
    if (to.addr.len == 0 && p.err == NULL)
        p.err = "no syslog server specified";
    if (p.err != NULL) {
        *err = p.err;
        return NULL;
    }
    if (to.facility < 0)
        to.facility = LOCAL7;
    return wr_sink_add(name, &syslog_ops, copy_target(&to));
}

/* c-ares driven by our loop: its sockets are watched (level triggered: its reads need not drain
 * them), its retries share one timer. question calls it. Owns the c-ares channels and the watches.
 *
 * To forge an answer an attacker has to guess the id of the question and the port it came from.
 * c-ares keeps a socket open while any question on it is pending, so one question that is never
 * answered would fix the port of all later ones. Therefore a c-ares channel, here called a line,
 * takes 8 questions and then no more until all of them are answered.
 *
 * c-ares may call back from inside any of its functions, so callbacks only record what came. c-ares
 * is entered from tasks only, so a callback never destroys the channel that is calling it. */
#include "dns/dns_impl.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define RESOLV_CONF "/etc/resolv.conf"

/* A try waits 1 s, 2 s, 4 s for each server in turn. After that question.c asks again. */
enum { TRY_MS = 1000, TRIES = 3, RECHECK_MS = 1000, CLASS_IN = 1, DNS_PORT = 53 };
enum { EDNS_SIZE = 1232 };  /* bytes of an answer over UDP that no network has to divide */
enum { QUESTIONS_A_LINE = 8 };

struct wr_line {
    uint32_t magic;
    struct wr_link link;
    struct wr_channel *channel;
    struct wr_link asks;      /* of struct wr_ask: pending, with mixed case */
    ares_channel ares;
    uint32_t asked, pending;  /* questions; asked: since the sockets were closed last */
};

struct ares_fd {
    struct wr_watch watch;    /* first */
    struct wr_doomed doomed;
    struct wr_link link;
    struct wr_line *line;
    int fd;
    uint32_t events;          /* seen, not yet passed to c-ares */
};

/* ---- sockets ---- */
static void on_event(struct wr_watch *w, uint32_t events)
{
    struct ares_fd *s = wr_container(w, struct ares_fd, watch);

    s->events |= events;
    wr_task_wake(s->line->channel->loop, &s->line->channel->io);
}

static void free_socket(struct wr_doomed *d)
{
    free(wr_container(d, struct ares_fd, doomed));
}

static struct ares_fd *find_socket(struct wr_channel *ch, int fd)
{
    struct wr_link *k;

    for (k = ch->sockets.next; k != &ch->sockets; k = k->next) {
        struct ares_fd *s = wr_container(k, struct ares_fd, link);

        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static void watch_socket(struct wr_line *line, int fd, uint32_t events)
{
    struct wr_channel *ch = line->channel;
    struct ares_fd *s = wr_calloc(1, sizeof(*s));

    s->watch.on_event = on_event;
    s->line = line;
    s->fd = fd;
    wr_list_push(&ch->sockets, &s->link);
    if (!wr_watch_add(ch->loop, fd, &s->watch, events))
        wr_say(WR_LOG_CRIT, errno, "epoll_ctl() of a name server's socket failed");
}

static void forget_socket(struct ares_fd *s)
{
    /* c-ares closes the socket next, but run_channel may still use s: free it in the reaping */
    wr_watch_del(s->line->channel->loop, s->fd);
    wr_list_remove(&s->link);
    s->doomed.free = free_socket;
    wr_condemn(s->line->channel->loop, &s->doomed);
}

static void socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct wr_line *line = WR_CHECK(data, LINE);
    struct wr_channel *ch = line->channel;
    struct ares_fd *s = find_socket(ch, fd);
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);

    if (s == NULL && events != 0)
        watch_socket(line, fd, events);
    else if (s != NULL && events == 0)
        forget_socket(s);
    else if (s != NULL && !wr_watch_change(ch->loop, fd, &s->watch, events))
        wr_say(WR_LOG_CRIT, errno, "epoll_ctl() of a name server's socket failed");
}

static struct ares_fd *socket_with_events(struct wr_channel *ch)
{
    struct wr_link *k;

    for (k = ch->sockets.next; k != &ch->sockets; k = k->next) {
        struct ares_fd *s = wr_container(k, struct ares_fd, link);

        if (s->events != 0)
            return s;
    }
    return NULL;
}

static struct wr_line *line_at(struct wr_link *k)
{
    return wr_container(k, struct wr_line, link);
}

static void set_timer(struct wr_channel *ch)
{
    uint64_t ms = UINT64_MAX;

    for (struct wr_link *k = ch->lines.next; k != &ch->lines; k = k->next) {
        struct timeval tv;

        if (ares_timeout(line_at(k)->ares, NULL, &tv) != NULL)
            ms = wr_min(ms, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
    }
    if (ms != UINT64_MAX)
        wr_timer_set(ch->loop, &ch->timer, ms);
    else
        wr_timer_idle(&ch->timer);
}

/* Pending questions are reported as unanswered: they are asked again. */
static void close_line(struct wr_line *line)
{
    wr_list_remove(&line->link);
    if (line->channel->line == line)
        line->channel->line = NULL;
    ares_destroy(line->ares);
    WR_UNTYPED(line);
    free(line);
}

/* Closes all lines but the one in use; idle_only: only those without pending questions. */
static void close_lines(struct wr_channel *ch, bool idle_only)
{
    struct wr_link *next;

    for (struct wr_link *k = ch->lines.next; k != &ch->lines; k = next) {
        struct wr_line *line = line_at(k);

        next = k->next;
        if (line != ch->line && (!idle_only || line->pending == 0))
            close_line(line);
    }
}

static void run_channel(struct wr_task *t)
{
    struct wr_channel *ch = wr_container(t, struct wr_channel, io);
    struct ares_fd *s;

    /* sockets come and go meanwhile: begin at the front each time */
    while ((s = socket_with_events(ch)) != NULL) {
        uint32_t out = s->events & EPOLLOUT, in = s->events & ~(uint32_t)EPOLLOUT;

        s->events = 0;
        ch->heard = in != 0 && !(in & EPOLLERR);
        ares_process_fd(s->line->ares, in ? s->fd : ARES_SOCKET_BAD, out ? s->fd : ARES_SOCKET_BAD);
    }
    ch->heard = false;
    for (struct wr_link *k = ch->lines.next; k != &ch->lines; k = k->next)
        ares_process_fd(line_at(k)->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    close_lines(ch, true);
    set_timer(ch);
}

/* ---- making the channel ---- */
static bool set_servers(ares_channel ares, const struct wr_resolver_opts *o)
{
    struct ares_addr_port_node *node = wr_calloc(o->nservers, sizeof(*node));
    int status;

    for (uint32_t i = 0; i < o->nservers; i++) {
        struct wr_str bytes = wr_addr_bytes(&o->servers[i]);
        uint16_t port = wr_addr_port(&o->servers[i]);

        node[i].family = o->servers[i].sa.sa_family;
        WR_ASSERT(bytes.n == 4 || bytes.n == 16);
        memcpy(&node[i].addr, bytes.p, bytes.n);
        node[i].udp_port = node[i].tcp_port = port != 0 ? port : DNS_PORT;
        node[i].next = i + 1 < o->nservers ? &node[i + 1] : NULL;
    }
    status = ares_set_servers_ports(ares, node);
    free(node);
    return status == ARES_SUCCESS;
}

static void set_local(ares_channel ares, const struct wr_resolver_opts *o)
{
    if (o->local[0].len > 0)
        ares_set_local_ip4(ares, ntohl(o->local[0].in.sin_addr.s_addr));
    if (o->local[1].len > 0)
        ares_set_local_ip6(ares, o->local[1].in6.sin6_addr.s6_addr);
}

static ares_channel start_ares(struct wr_channel *ch, struct wr_line *line)
{
    static bool library;
    char lookups[] = "b"; /* not the hosts file: weir reads it itself */
    struct ares_options o = {
        /* with one server its "failure" is the answer */
        .flags = ARES_FLAG_NOALIASES | ARES_FLAG_EDNS
                 | (ch->opts->nservers == 1 ? ARES_FLAG_NOCHECKRESP : 0),
        .ednspsz = EDNS_SIZE,
        .timeout = TRY_MS,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = socket_state,
        .sock_state_cb_data = line,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS
               | ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ
               | (ch->opts->nservers > 1 ? ARES_OPT_ROTATE : 0);
    ares_channel ares;
    int status;

    if (!library && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return NULL;
    library = true;
    status = ares_init_options(&ares, &o, mask);
    if (status != ARES_SUCCESS) {
        wr_say(WR_LOG_ERROR, 0, "c-ares could not be started: %s", ares_strerror(status));
        return NULL;
    }
    if (ch->opts->nservers > 0 && !set_servers(ares, ch->opts)) {
        ares_destroy(ares);
        return NULL;
    }
    set_local(ares, ch->opts);
    if (ch->opts->mixed_case)
        wr_case_watch(ares, &line->asks);
    return ares;
}

/* Opens a line and makes it the one in use. NULL: it could not be made, and nothing has changed. */
static struct wr_line *open_line(struct wr_channel *ch)
{
    struct wr_line *line = wr_calloc(1, sizeof(*line));

    WR_TYPED(line, LINE);
    line->channel = ch;
    wr_list_init(&line->asks);
    line->ares = start_ares(ch, line);
    if (line->ares == NULL) {
        free(line);
        return NULL;
    }
    wr_list_push(&ch->lines, &line->link);
    return ch->line = line;
}

static bool has_new_conf(struct wr_channel *ch)
{
    struct stat st;

    if (stat(RESOLV_CONF, &st) < 0)
        memset(&st, 0, sizeof(st));
    if (st.st_size == ch->conf_size && st.st_mtim.tv_sec == ch->conf_mtime.tv_sec
        && st.st_mtim.tv_nsec == ch->conf_mtime.tv_nsec)
        return false;
    ch->conf_size = st.st_size;
    ch->conf_mtime = st.st_mtim;
    return true;
}

void wr_channel_open(struct wr_channel *ch, struct wr_loop *l, const struct wr_resolver_opts *o)
{
    *ch = (struct wr_channel){ .loop = l, .opts = o, .io.run = run_channel, .timer.task = &ch->io };
    wr_list_init(&ch->sockets);
    wr_list_init(&ch->lines);
    (void)has_new_conf(ch);
    ch->conf_checked = wr_now();
    (void)open_line(ch);
}

void wr_channel_close(struct wr_channel *ch)
{
    ch->line = NULL;
    close_lines(ch, false);
    wr_task_cancel(&ch->io);
    wr_timer_off(ch->loop, &ch->timer);
}

void wr_channel_refresh(struct wr_channel *ch)
{
    const struct wr_line *old = ch->line;

    if (old != NULL && (ch->opts->nservers > 0 || wr_now() - ch->conf_checked < RECHECK_MS))
        return;
    ch->conf_checked = wr_now();
    if (!has_new_conf(ch) && old != NULL)
        return;
    /* if the new file cannot be read, the old servers stay in use */
    if (open_line(ch) != NULL)
        close_lines(ch, false);
}

/* ---- asking ---- */
/* c-ares skips a server that answers "failure", "refused" or "not implemented", and after the last
 * one c-ares 1.18 reports ECONNREFUSED for that as well. If it was an answer that ended the
 * question (ch->heard), the servers can be reached. */
static enum wr_dns_code code_of(const struct wr_channel *ch, int status)
{
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA: return WR_DNS_OK;
    case ARES_EFORMERR:
    case ARES_EBADNAME: return WR_DNS_FORMERR;
    case ARES_ESERVFAIL: return WR_DNS_SERVFAIL;
    case ARES_ENOTFOUND: return WR_DNS_NXDOMAIN;
    case ARES_ENOTIMP: return WR_DNS_NOTIMP;
    case ARES_EREFUSED: return WR_DNS_REFUSED;
    case ARES_ETIMEOUT: return WR_DNS_TIMEDOUT;
    case ARES_ECONNREFUSED: return ch->heard ? WR_DNS_SERVFAIL : WR_DNS_NO_SERVER;
    default: return WR_DNS_BAD;
    }
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *p, int n)
{
    static struct wr_dns_answer answer; /* large; `answered` copies it */
    struct wr_ask *a = arg;

    (void)timeouts;
    wr_list_remove(&a->link);
    if (a->line != NULL && --a->line->pending == 0)
        a->line->asked = 0; /* c-ares closes its sockets */
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) {
        a->answered(a, NULL);
        return;
    }
    answer.code = code_of(a->channel, status);
    answer.n = answer.ttl = 0;
    answer.alias[0] = '\0';
    /* c-ares has checked that the message repeats our question; with a search domain the name in it
     * may differ from ours */
    if (p != NULL && n > 0)
        wr_dns_parse(p, (size_t)n, WR_STR(""), a->type, &answer);
    a->answered(a, &answer);
}

static const char *name_to_send(struct wr_ask *a)
{
    if (!a->channel->opts->mixed_case)
        return a->name;
    wr_case_mix(a->name, a->mixed);
    wr_list_push(&a->line->asks, &a->link);
    return a->mixed;
}

void wr_channel_ask(struct wr_channel *ch, struct wr_ask *a)
{
    a->channel = ch;
    /* if that fails: a port that can be guessed is better than no answer */
    if (ch->line != NULL && ch->line->asked == QUESTIONS_A_LINE)
        (void)open_line(ch);
    a->line = ch->line;
    if (a->line != NULL) {
        a->line->asked = wr_min(a->line->asked + 1, (uint32_t)QUESTIONS_A_LINE);
        a->line->pending++;
    }
    if (a->line == NULL)
        on_answer(a, ARES_ECONNREFUSED, 0, NULL, 0);
    else if (ch->opts->nservers > 0)
        ares_query(a->line->ares, name_to_send(a), CLASS_IN, a->type, on_answer, a);
    else
        ares_search(a->line->ares, a->name, CLASS_IN, a->type, on_answer, a);
    set_timer(ch);
}

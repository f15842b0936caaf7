/* A whole session: bytes of a client go through a worker's loop, with the configuration of
 * app_session.conf, to a server in this program, whose bytes go back. Assertions: no session or
 * buffer is left, nothing is logged as [alert], and no bytes of a client or server produce a head
 * that the next party could read in another way.
 *
 * An input: the first byte selects the address; then come the client's bytes. NUL and a letter
 * control the rest: c (the client's bytes follow), b (the server's), 0 (a NUL), f (the client sends
 * FIN), F (the server closes), x (the client closes), s (the client stops reading, or resumes). */
#include "app/app.h"

#include <errno.h>
#include <ftw.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONF "t/fuzz/app_session.conf"
#define HEAD_MAX 65536
#define SERVERS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head {                  /* the first one that came over a connection */
    char p[HEAD_MAX];
    size_t n;
    bool checked;
};

struct server {
    int fd;
    bool heard;
    struct head head;
};

static struct {
    char dir[64];
    struct wr_conf *conf;
    struct wr_loop *loop;
    int answers;               /* listens at DIR/answers.sock */
    int client;                /* -1: closed */
    bool stopped, http;
    char asked[2048];          /* the beginning of what the client said */
    size_t nasked;
    struct head head;
    struct server server[SERVERS];
    uint32_t nservers;
    struct wr_str script;      /* of the server, until somebody has asked it */
} me;

/* ---- once ---- */

static void fail_with(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    abort();
}

static void no_alert(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    (void)s;
    if (level > WR_LOG_ALERT)
        return;
    fprintf(stderr, WR_FMT, WR_ARG(line));
    abort();
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    return remove(path);
}

static void make_file(const char *name, size_t n)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/html/%s", me.dir, name);
    f = fopen(path, "w");
    if (f == NULL)
        fail_with(path);
    for (size_t i = 0; i < n; i++)
        fputc((int)('a' + i % 26), f);
    fclose(f);
}

static void make_folder(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char html[96];

    snprintf(me.dir, sizeof(me.dir), "/tmp/weir-fuzz-XXXXXX");
    if (mkdtemp(me.dir) == NULL)
        fail_with("mkdtemp");
    snprintf(html, sizeof(html), "%s/html", me.dir);
    if (chmod(me.dir, 0755) != 0 || mkdir(html, 0755) != 0)
        fail_with(html);
    make_file("index.html", 100);
    make_file("404.html", 20);
    make_file("large.txt", 600000);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/answers.sock", me.dir);
    me.answers = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(me.answers, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(me.answers, 64) != 0)
        fail_with(at.sun_path);
}

/* The file, with DIR filled in. */
static struct wr_str read_conf(void)
{
    static char text[65536];
    size_t n = 0;
    FILE *f = fopen(CONF, "r");
    char line[1024];

    if (f == NULL)
        fail_with(CONF);
    while (fgets(line, sizeof(line), f) != NULL) {
        const char *p = line, *dir;

        while ((dir = strstr(p, "DIR/")) != NULL) {
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s%s", (int)(dir - p), p, me.dir);
            p = dir + 3;
        }
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", p);
    }
    fclose(f);
    return wr_str_of(text, n);
}

static void load_conf(void)
{
    static const struct wr_sink_ops ops = { NULL, no_alert, NULL };

    wr_self_init();
    wr_clock_update();
    wr_modules_init();
    wr_error_log_default = "/dev/null";
    make_folder();
    me.conf = wr_conf_load_text(CONF, read_conf(), WR_STR(""), me.dir);
    wr_diag_print(me.conf->tree, stderr, NULL);
    if (me.conf->tree->errors > 0 || !wr_folders_make(me.conf) || !wr_upstreams_open(me.conf))
        abort();
    wr_upstreams_commit(me.conf, 1, false);
    wr_sink_find("/dev/null")->ops = &ops;
    wr_log_default = (struct wr_log *)(uintptr_t)wr_scope_log(wr_conf_layer(me.conf, WR_L7));
}

static void end_run(void)
{
    for (uint32_t i = 0; i < wr_modules_count; i++) {
        if (wr_modules[i]->worker_exit != NULL)
            wr_modules[i]->worker_exit(me.conf);
    }
    wr_loop_free(me.loop);
    wr_conf_free(me.conf);
    wr_blocks_drop_cache();
    (void)nftw(me.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void on_event(struct wr_watch *w, uint32_t events)
{
    (void)w;
    (void)events;
}

/* An event is always ready: so a turn that may wait runs the tasks before sleep, but never
 * waits. */
static void never_sleep(void)
{
    static struct wr_watch always = { on_event };
    int fd = eventfd(1, EFD_CLOEXEC);

    if (fd < 0 || !wr_watch_add(me.loop, fd, &always, EPOLLIN))
        fail_with("eventfd");
}

static void begin_run(void)
{
    load_conf();
    atexit(end_run);
    me.loop = wr_loop_new(64);
    never_sleep();
    wr_sessions_use(me.loop, me.conf);
    for (uint32_t i = 0; i < wr_modules_count; i++) {
        if (wr_modules[i]->worker_init != NULL
            && !wr_modules[i]->worker_init(me.conf, me.loop))
            abort();
    }
}

/* ---- heads as the next party reads them ---- */

static size_t count_field(struct wr_str head, const char *name)
{
    size_t n = 0;

    while (head.n > 0) {
        struct wr_str line = wr_str_cut(&head, '\n'), field = wr_str_cut(&line, ':');

        n += wr_str_ieq(field, wr_str_c(name)) ? 1 : 0;
    }
    return n;
}

/* Lines end in CRLF, and hold no control byte. */
static void check_lines(struct wr_str head)
{
    for (size_t i = 0; i < head.n; i++) {
        unsigned char b = (unsigned char)head.p[i];

        if (b == '\r')
            WR_ASSERT(i + 1 < head.n && head.p[i + 1] == '\n');
        else if (b == '\n')
            WR_ASSERT(i > 0 && head.p[i - 1] == '\r');
        else
            WR_ASSERT((b >= ' ' && b != 0x7f) || b == '\t');
    }
    WR_ASSERT(count_field(head, "content-length") <= 1);
    WR_ASSERT(count_field(head, "transfer-encoding") <= 1);
    WR_ASSERT(count_field(head, "content-length") + count_field(head, "transfer-encoding") <= 1);
}

static void check_request(struct wr_str head)
{
    struct wr_str rest = head, line = wr_str_cut(&rest, '\n');
    size_t spaces = 0;

    check_lines(head);
    for (size_t i = 0; i < line.n; i++)
        spaces += line.p[i] == ' ';
    WR_ASSERT(spaces == 2);
    WR_ASSERT(memchr(line.p, '#', line.n) == NULL);
    if (wr_str_ends(line, WR_STR(" HTTP/1.1\r")))
        WR_ASSERT(count_field(head, "host") == 1);
    else
        WR_ASSERT(wr_str_ends(line, WR_STR(" HTTP/1.0\r")));
}

static void take_bytes(struct head *h, const char *p, size_t n, void (*check)(struct wr_str))
{
    const char *end;

    n = wr_min(n, sizeof(h->p) - h->n);
    memcpy(h->p + h->n, p, n);
    h->n += n;
    end = memmem(h->p, h->n, "\r\n\r\n", 4);
    if (h->checked || end == NULL)
        return;
    h->checked = true;
    check(wr_str_of(h->p, (size_t)(end - h->p) + 2));
}

/* ---- the two ends ---- */

/* FUZZ_VERBOSE: print what came, for a person who examines an input. */
static void show_bytes(const char *side, const char *p, ssize_t n)
{
    if (getenv("FUZZ_VERBOSE") == NULL)
        return;
    fprintf(stderr, "-- %s\n", side);
    fwrite(p, 1, wr_min((size_t)n, (size_t)2000), stderr);
}

/* A request without a version (HTTP/0.9) gets no head. */
static bool has_version(void)
{
    const char *end = memchr(me.asked, '\n', me.nasked);

    return end != NULL && memmem(me.asked, (size_t)(end - me.asked), " HTTP/1.", 8) != NULL;
}

static void client_reads(void)
{
    static char buf[65536];
    ssize_t n;

    while (me.client >= 0 && !me.stopped && (n = recv(me.client, buf, sizeof(buf), 0)) > 0) {
        show_bytes("to the client", buf, n);
        if (me.http && has_version())
            take_bytes(&me.head, buf, (size_t)n, check_lines);
    }
}

static void serve_client(struct server *s)
{
    static char buf[65536];
    ssize_t n;

    while (s->fd >= 0 && (n = recv(s->fd, buf, sizeof(buf), 0)) > 0) {
        show_bytes("to a server", buf, n);
        s->heard = true;
        if (me.http)
            take_bytes(&s->head, buf, (size_t)n, check_request);
    }
    if (s->fd >= 0 && s->heard && me.script.n > 0) {
        (void)!send(s->fd, me.script.p, me.script.n, MSG_NOSIGNAL);
        me.script.n = 0;
    }
}

static void servers_act(void)
{
    int fd;

    while (me.nservers < SERVERS && (fd = accept4(me.answers, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct server *s = &me.server[me.nservers++];

        s->fd = fd;
        s->heard = s->head.checked = false;
        s->head.n = 0;
    }
    for (uint32_t i = me.nservers; i > 0; i--)
        serve_client(&me.server[i - 1]);
}

static void servers_close(void)
{
    for (uint32_t i = 0; i < me.nservers; i++)
        close(me.server[i].fd);
    me.nservers = 0;
}

static void run_turns(int turns)
{
    while (turns-- > 0) {
        wr_loop_turn(me.loop, 0);
        client_reads();
        servers_act();
    }
}

static void client_says(const uint8_t *p, size_t n)
{
    size_t known = wr_min(n, sizeof(me.asked) - me.nasked);

    memcpy(me.asked + me.nasked, p, known);
    me.nasked += known;
    for (int tries = 0; n > 0 && me.client >= 0 && tries < 50; tries++) {
        ssize_t r = send(me.client, p, n, MSG_NOSIGNAL);

        if (r < 0 && errno != EAGAIN)
            return;
        p += r > 0 ? r : 0;
        n -= r > 0 ? (size_t)r : 0;
        run_turns(2);
    }
}

static void client_closes(void)
{
    if (me.client >= 0)
        close(me.client);
    me.client = -1;
}

/* ---- an input ---- */

static struct wr_listener *find_listener(unsigned number)
{
    struct wr_listener *first = wr_conf_listens(me.conf)->first, *l;
    unsigned n = 0;

    for (l = first; l != NULL; l = l->next)
        n++;
    for (l = first, number %= n; number > 0; number--)
        l = l->next;
    return l;
}

static void connect_to(struct wr_listener *l)
{
    struct wr_addr from;
    int fd[2], small = 4096;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0
        || !wr_addr_parse(WR_STR("192.0.2.1:5000"), 0, &from))
        fail_with("socketpair");
    (void)setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    me.client = fd[1];
    me.http = l->layer->bit == WR_L7;
    me.stopped = me.head.checked = false;
    me.head.n = 0;
    me.script.n = me.nasked = 0;
    l->accepted(l, fd[0], &from);
}

static bool is_text(uint8_t op) { return op == 'c' || op == 'b'; }

static void run_op(uint8_t op, const uint8_t *p, size_t n)
{
    switch (op) {
    case 'b':
        me.script = wr_str_of((const char *)p, n);
        break;
    case 'f':
        if (me.client >= 0)
            shutdown(me.client, SHUT_WR);
        break;
    case 'F':
        servers_close();
        break;
    case 'x':
        client_closes();
        break;
    case 's':
        me.stopped = !me.stopped;
        break;
    default:
        client_says(p, n);
    }
    run_turns(6);
}

static void play_input(const uint8_t *p, size_t n)
{
    uint8_t op = 'c';

    for (int acts = 0; n > 0 && acts < 40; acts++) {
        const uint8_t *end = memchr(p, '\0', n);
        size_t length = end != NULL ? (size_t)(end - p) : n;

        if (length > 0 && is_text(op))
            run_op(op, p, length);
        if (end == NULL || length + 1 >= n)
            return;
        p += length + 1;
        n -= length + 1;
        op = *p;
        if (op == '0') { /* the NUL itself */
            client_says((const uint8_t *)"", 1);
            op = 'c';
        } else if (!is_text(op))
            run_op(op, p, 0);
        p++;
        n--;
        if (!is_text(op))
            op = 'c';
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (me.loop == NULL)
        begin_run();
    if (size == 0)
        return 0;
    connect_to(find_listener(data[0]));
    play_input(data + 1, size - 1);
    run_turns(10);
    /* with both ends gone nothing is left to wait for */
    client_closes();
    servers_close();
    for (int turns = 0; turns < 200 && (wr_sessions_live() > 0 || wr_connections() > 0); turns++) {
        run_turns(1);
        servers_close();
    }
    wr_loop_turn(me.loop, 1); /* access logs are written when it may sleep */
    WR_ASSERT(wr_sessions_live() == 0);
    WR_ASSERT(wr_connections() == 0);
    WR_ASSERT(wr_blocks_live() == 0);
    return 0;
}

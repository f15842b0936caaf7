/* The resolver against a small name server in the same loop; /etc/hosts is replaced by another
 * file. */
#include "lib/event_lib.h"

#include "dns/dns_impl.h"

#include <sys/epoll.h>

enum { A = 1, AAAA = 28, SRV = 33, SILENT = 99 };

/* ---- the name server ---- */
struct zone_row {
    const char *name;
    unsigned type, rcode, ttl; /* rcode SILENT: no answer at all */
    const char *data;          /* "10.0.0.1 10.0.0.2", or "priority weight port target" */
};

static const struct zone_row zone[] = {
    { "two.test", A, 0, 60, "10.0.0.1 10.0.0.2" },
    { "two.test", AAAA, 0, 30, "fd00::1" },
    { "four.test", A, 0, 1, "10.0.0.4" },
    { "four.test", AAAA, 3, 0, "" },
    { "none.test", A, 3, 0, "" },
    { "none.test", AAAA, 3, 0, "" },
    { "broken.test", A, 2, 0, "" },
    { "broken.test", AAAA, 0, 0, "" },
    { "silent.test", A, SILENT, 0, "" },
    { "silent.test", AAAA, SILENT, 0, "" },
    { "half.test", A, 0, 60, "10.0.0.5" },
    { "half.test", AAAA, SILENT, 0, "" },
    { "_web._tcp.svc.test", SRV, 0, 60, "1 50 8080 two.test" },
    { "_x._y.svc.test", SRV, 0, 60, "2 0 81 four.test" },
    { "_dead._tcp.svc.test", SRV, 0, 60, "0 0 0 ." },
    { "_part._tcp.svc.test", SRV, 0, 60, "0 0 81 broken.test" },
};

static struct server {
    struct wr_watch watch;
    struct wr_task task;
    struct wr_loop *loop;
    int fd;
    unsigned questions;
    struct wr_addr addr;
} server;

struct reply {
    unsigned char p[512];
    size_t n;
};

static void put16(struct reply *r, unsigned v)
{
    r->p[r->n++] = (unsigned char)(v >> 8);
    r->p[r->n++] = (unsigned char)v;
}

static void put_name(struct reply *r, struct wr_str name)
{
    while (name.n > 0) {
        struct wr_str label = wr_str_cut(&name, '.');

        if (label.n == 0)
            break;
        r->p[r->n++] = (unsigned char)label.n;
        memcpy(r->p + r->n, label.p, label.n);
        r->n += label.n;
    }
    r->p[r->n++] = 0;
}

static unsigned next_number(struct wr_str *s)
{
    uint64_t v;

    ck_assert(wr_str_u64(wr_str_cut(s, ' '), &v));
    return (unsigned)v;
}

static void put_record(struct reply *r, const struct zone_row *row, struct wr_str data)
{
    struct wr_addr a;
    size_t at;

    put16(r, 0xc00c);
    put16(r, row->type);
    put16(r, 1);
    put16(r, 0);
    put16(r, row->ttl);
    at = r->n;
    put16(r, 0);
    if (row->type == SRV) {
        for (int i = 0; i < 3; i++)
            put16(r, next_number(&data));
        put_name(r, data);
    } else {
        ck_assert(wr_addr_parse_ip(data, &a));
        memcpy(r->p + r->n, wr_addr_bytes(&a).p, wr_addr_bytes(&a).n);
        r->n += wr_addr_bytes(&a).n;
    }
    r->p[at + 1] = (unsigned char)(r->n - at - 2);
}

static const struct zone_row *find_row(const char *name, unsigned type)
{
    for (size_t i = 0; i < WR_COUNT(zone); i++)
        if (strcmp(zone[i].name, name) == 0 && zone[i].type == type)
            return &zone[i];
    ck_abort_msg("nobody should ask for %s, type %u", name, type);
    return NULL;
}

static void answer(struct reply *r, const struct zone_row *row)
{
    struct wr_str all = wr_str_c(row->data);
    unsigned n = 0;

    r->p[2] = 0x81;
    r->p[3] = (unsigned char)(0x80 | row->rcode);
    while (all.n > 0) {
        put_record(r, row, row->type == SRV ? all : wr_str_cut(&all, ' '));
        n++;
        if (row->type == SRV)
            break;
    }
    r->p[7] = (unsigned char)n;
}

static void serve(struct wr_task *t)
{
    struct wr_addr from;
    struct reply r;
    ssize_t n;

    (void)t;
    from.len = sizeof(from.in);
    while ((n = recvfrom(server.fd, r.p, sizeof(r.p), MSG_DONTWAIT, &from.sa, &from.len)) > 0) {
        char name[256] = "";
        struct wr_scan s = wr_scan_of(r.p + 12, (size_t)n - 12);
        const struct zone_row *row;
        uint8_t len;

        while ((len = wr_scan_u8(&s)) != 0) {
            struct wr_str label = wr_scan_take(&s, len);
            size_t at = strlen(name);

            snprintf(name + at, sizeof(name) - at, "%s" WR_FMT, at > 0 ? "." : "", WR_ARG(label));
        }
        row = find_row(name, wr_scan_u16(&s));
        wr_scan_skip(&s, 2);
        server.questions++;
        if (row->rcode == SILENT)
            continue;
        r.n = (size_t)((const unsigned char *)s.p - r.p); /* without the OPT record */
        r.p[11] = 0;
        answer(&r, row);
        ck_assert_int_eq(sendto(server.fd, r.p, r.n, 0, &from.sa, from.len), (ssize_t)r.n);
    }
}

static void on_question(struct wr_watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    wr_task_wake(server.loop, &server.task);
}

/* ---- askers ---- */
struct asker {
    struct wr_query q;
    unsigned told;
    struct wr_names names;
    struct wr_name_addr at[32];
    struct asker *cancels, *asks;
    const char *name;
};

static struct wr_loop *l;
static struct wr_resolver *r;

static void told(struct wr_query *q, const struct wr_names *names)
{
    struct asker *a = wr_container(q, struct asker, q);

    a->told++;
    a->names = *names;
    for (uint32_t i = 0; i < names->n && i < WR_COUNT(a->at); i++)
        a->at[i] = names->at[i];
    a->names.at = a->at;
    ck_assert(names->ttl_ms > 0);
    if (a->cancels != NULL)
        wr_resolve_cancel(&a->cancels->q);
    if (a->asks != NULL)
        wr_resolve(r, &a->asks->q, wr_str_c(a->asks->name), WR_STR(""));
}

static void ask(struct asker *a, const char *name, const char *service)
{
    unsigned before = a->told;

    a->q.done = told;
    wr_resolve(r, &a->q, wr_str_c(name), wr_str_c(service));
    ck_assert_uint_eq(a->told, before);
}

static void has_address(const struct asker *a, uint32_t i, const char *text)
{
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    ck_assert_uint_lt(i, a->names.n);
    wr_addr_text(&a->names.at[i].addr, &t);
    ck_assert(wr_str_is(wr_text_view(&t), text));
}

static void setup(struct wr_resolver_opts o)
{
    wr_self_init();
    l = wr_loop_new(16);
    server = (struct server){ .watch.on_event = on_question, .task.run = serve, .loop = l };
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert(wr_addr_parse_ip(WR_STR("127.0.0.1"), &server.addr));
    ck_assert_int_eq(bind(server.fd, &server.addr.sa, server.addr.len), 0);
    ck_assert(wr_socket_local(server.fd, &server.addr));
    ck_assert(wr_watch_add(l, server.fd, &server.watch, EPOLLIN | EPOLLET));
    o.servers = &server.addr;
    o.nservers = 1;
    r = wr_resolver_new(l, &o);
}

static void teardown(void)
{
    wr_resolver_free(r);
    close(server.fd);
    wr_loop_free(l);
}

START_TEST(both_families_asked_once)
{
    struct asker a = { 0 }, b = { 0 }, c = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    ask(&a, "two.test", "");
    ask(&b, "TWO.test.", "");
    turn_until(l, a.told && b.told);
    ck_assert_int_eq(a.names.code, WR_DNS_OK);
    ck_assert_uint_eq(a.names.n, 3);
    has_address(&a, 0, "10.0.0.1:0");
    has_address(&a, 1, "10.0.0.2:0");
    has_address(&a, 2, "[fd00::1]:0");
    ck_assert(a.names.ttl_ms > 29000 && a.names.ttl_ms <= 30000);
    has_address(&b, 2, "[fd00::1]:0");
    ask(&c, "two.test", "");
    turn_until(l, c.told);
    ck_assert_uint_eq(c.names.n, 3);
    ck_assert_uint_eq(server.questions, 2);
    teardown();
}
END_TEST

START_TEST(one_family_is_enough)
{
    struct asker a = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    ask(&a, "four.test", "");
    turn_until(l, a.told);
    ck_assert_int_eq(a.names.code, WR_DNS_OK);
    ck_assert_uint_eq(a.names.n, 1);
    teardown();
}
END_TEST

START_TEST(families_may_be_left_out)
{
    struct asker a = { 0 };

    setup((struct wr_resolver_opts){ .no_ipv4 = true });
    ask(&a, "two.test", "");
    turn_until(l, a.told);
    ck_assert_uint_eq(a.names.n, 1);
    has_address(&a, 0, "[fd00::1]:0");
    ck_assert_uint_eq(server.questions, 1);
    teardown();
}
END_TEST

START_TEST(asked_again_after_its_ttl)
{
    struct asker a = { 0 };

    setup((struct wr_resolver_opts){ .no_ipv6 = true });
    ask(&a, "four.test", "");
    turn_until(l, a.told == 1);
    ask(&a, "four.test", "");
    turn_until(l, a.told == 2);
    ck_assert_uint_eq(server.questions, 1);
    wr_clock.mono_ms += 1001;
    ask(&a, "four.test", "");
    turn_until(l, a.told == 3);
    ck_assert_uint_eq(server.questions, 2);
    teardown();
}
END_TEST

START_TEST(valid_overrides_the_ttl)
{
    struct asker a = { 0 };

    setup((struct wr_resolver_opts){ .valid_ms = 500000 });
    ask(&a, "four.test", "");
    turn_until(l, a.told);
    ck_assert(a.names.ttl_ms > 499000);
    teardown();
}
END_TEST

START_TEST(failures)
{
    struct asker a = { 0 }, b = { 0 }, c = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    ask(&a, "none.test", "");
    ask(&b, "broken.test", "");
    ask(&c, "", "");
    turn_until(l, a.told && b.told && c.told);
    ck_assert_int_eq(a.names.code, WR_DNS_NXDOMAIN);
    ck_assert_int_eq(b.names.code, WR_DNS_SERVFAIL);
    ck_assert_int_eq(c.names.code, WR_DNS_FORMERR);
    ck_assert_uint_eq(a.names.n + b.names.n + c.names.n, 0);
    teardown();
}
END_TEST

START_TEST(services)
{
    struct asker a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    ask(&d, "svc.test", "part");
    ask(&a, "svc.test", "web");
    ask(&b, "svc.test", "_x._y");
    ask(&c, "svc.test", "dead");
    turn_until(l, a.told && b.told && c.told && d.told);
    ck_assert_int_eq(d.names.code, WR_DNS_SERVFAIL); /* its target: not the end of the service */
    ck_assert(!a.names.failed4 && !a.names.failed6);
    ck_assert_uint_eq(a.names.n, 3);
    has_address(&a, 0, "10.0.0.1:8080");
    has_address(&a, 2, "[fd00::1]:8080");
    ck_assert_uint_eq(a.names.at[0].priority, 1);
    ck_assert_uint_eq(a.names.at[0].weight, 50);
    ck_assert_uint_eq(b.names.n, 1);
    has_address(&b, 0, "10.0.0.4:81");
    ck_assert_int_eq(c.names.code, WR_DNS_NXDOMAIN);
    teardown();
}
END_TEST

START_TEST(time_is_limited)
{
    struct asker a = { 0 }, b = { 0 };
    uint64_t began;

    setup((struct wr_resolver_opts){ .timeout_ms = 1500 });
    began = wr_now();
    ask(&a, "silent.test", "");
    turn_until(l, a.told);
    ck_assert_int_eq(a.names.code, WR_DNS_TIMEDOUT);
    ck_assert(wr_now() - began >= 1500);
    ck_assert_uint_ge(server.questions, 4); /* it has retried meanwhile */
    ask(&b, "half.test", "");
    turn_until(l, b.told);
    ck_assert_int_eq(b.names.code, WR_DNS_OK); /* one family came in time */
    ck_assert_uint_eq(b.names.n, 1);
    ck_assert(!b.names.kept);
    b.told = false;
    ask(&b, "two.test", "");
    turn_until(l, b.told);
    ck_assert(!b.names.kept);
    b.told = false;
    ask(&b, "two.test", "");
    turn_until(l, b.told);
    ck_assert(b.names.kept);
    teardown();
}
END_TEST

START_TEST(cancelled_and_dropped)
{
    struct asker a = { 0 }, b = { 0 }, c = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    ask(&a, "two.test", "");
    ask(&b, "two.test", "");
    ask(&c, "silent.test", "");
    wr_resolve_cancel(&a.q);
    wr_resolve_cancel(&a.q);
    turn_until(l, b.told);
    ck_assert_uint_eq(a.told, 0);
    teardown();
    ck_assert_uint_eq(c.told, 0);
    ck_assert_ptr_null(c.q.asked);
}
END_TEST

START_TEST(done_may_cancel_and_ask)
{
    struct asker a = { 0 }, b = { 0 }, c = { .name = "two.test", .q.done = told };

    setup((struct wr_resolver_opts){ 0 });
    a.cancels = &b;
    a.asks = &c;
    ask(&a, "two.test", "");
    ask(&b, "two.test", "");
    turn_until(l, a.told);
    ck_assert_uint_eq(c.told, 0); /* not in the same turn */
    turn_until(l, c.told);
    ck_assert_uint_eq(b.told, 0);
    ck_assert_uint_eq(server.questions, 2);
    teardown();
}
END_TEST

START_TEST(nobody_there)
{
    struct asker a = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    close(server.fd);
    server.fd = -1;
    ask(&a, "two.test", "");
    turn_until(l, a.told);
    ck_assert_int_eq(a.names.code, WR_DNS_NO_SERVER);
    teardown();
}
END_TEST

START_TEST(literals)
{
    struct asker a = { 0 }, b = { 0 };

    setup((struct wr_resolver_opts){ 0 });
    ask(&a, "192.0.2.7", "");
    ask(&b, "::1", "");
    turn_until(l, a.told && b.told);
    has_address(&a, 0, "192.0.2.7:0");
    has_address(&b, 0, "[::1]:0");
    teardown();
}
END_TEST

/* ---- hosts ---- */
static char path[] = "/tmp/weir-unit-XXXXXX";

static void write_hosts(const char *text)
{
    FILE *f = fopen(path, "w");

    fputs(text, f);
    fclose(f);
}

START_TEST(hosts)
{
    struct asker a = { 0 }, b = { 0 };
    struct wr_names n;

    setup((struct wr_resolver_opts){ .hosts = true, .no_ipv6 = true });
    close(mkstemp(path));
    wr_hosts_use(path);
    write_hosts("# a comment\n"
                "10.1.1.1\tbackend.test  Alias # and more\r\n"
                "10.1.1.2 backend.test backend.test\n"
                "fd00::5 six.test backend.test\n"
                "not-an-address x.test\nfe80::1%lo scoped.test\n\n10.9.9.9 last.test");
    wr_hosts_lookup(WR_STR("BACKEND.test."), &n);
    ck_assert_uint_eq(n.n, 3);
    wr_hosts_lookup(WR_STR("alias"), &n);
    ck_assert_uint_eq(n.n, 1);
    wr_hosts_lookup(WR_STR("last.test"), &n);
    ck_assert_uint_eq(n.n, 1);
    wr_hosts_lookup(WR_STR("x.test"), &n);
    ck_assert_uint_eq(n.n, 0);
    ck_assert_int_eq(n.code, WR_DNS_NXDOMAIN);
    wr_hosts_lookup(WR_STR("Localhost"), &n);
    ck_assert_uint_eq(n.n, 2);

    ask(&a, "backend.test", "");
    ask(&b, "two.test", "");
    turn_until(l, a.told && b.told);
    ck_assert_uint_eq(a.names.n, 2); /* no_ipv6 counts here, too */
    ck_assert_uint_eq(server.questions, 1);

    write_hosts("10.2.2.2 new.test\n");
    wr_clock.mono_ms += 1000;
    wr_hosts_lookup(WR_STR("new.test"), &n);
    ck_assert_uint_eq(n.n, 1);
    unlink(path);
    wr_clock.mono_ms += 1000;
    wr_hosts_lookup(WR_STR("new.test"), &n);
    ck_assert_uint_eq(n.n, 0);
    wr_hosts_use("/etc/hosts");
    teardown();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        both_families_asked_once, one_family_is_enough, families_may_be_left_out,
        asked_again_after_its_ttl, valid_overrides_the_ttl, failures, services, time_is_limited,
        cancelled_and_dropped, done_may_cancel_and_ask, nobody_there, literals, hosts, NULL,
    };

    return run_suite("dns_resolver", tests);
}

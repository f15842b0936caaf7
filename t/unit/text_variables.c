/* Variables: definitions, caching, cycles, captures, and the variables of both layers. */
#include "lib/unit.h"

#include "lib/exchange_fake.h"

static void begin(struct fake *f, const char *text, uint32_t layer)
{
    bool ok = fake_begin(f, text, layer);

    ck_assert_msg(ok, "%s: %s", text, fake_findings(f->conf));
}

static struct wr_str value(struct fake *f)
{
    return wr_template_str(&f->x, f->t);
}

static void check_value(const char *text, uint32_t layer, const char *want)
{
    struct fake f;

    begin(&f, text, layer);
    ck_view(value(&f), want);
    fake_end(&f);
}

START_TEST(definitions_may_follow)
{
    check_value("stream { value $x; calc $x \"<$y>\"; calc $Y $name; }", WR_L4, "<weir>");
    check_value("http { server { value $x; } server { calc $x $only_http; } }", WR_L7, "http");
    /* The layers do not see each other. */
    check_value("stream { calc $x 4; value $x; } http { calc $x 7; }", WR_L4, "4");
}
END_TEST

START_TEST(the_last_computation_wins)
{
    check_value("stream { calc $x 1; calc $x 2; value $x; }", WR_L4, "2");
    check_value("stream { assign $x; calc $x 2; value $x; }", WR_L4, "2");
    check_value("stream { calc $x 1; assign $x; value $x; }", WR_L4, "1");
    check_value("stream { assign $x; value $x; }", WR_L4, "unassigned");
    check_value("stream { match ^(?<x>a); value \"<$x>\"; }", WR_L4, "<>");
}
END_TEST

START_TEST(definitions_over_the_modules)
{
    check_value("stream { calc $args 1; value $args; }", WR_L4, "1");
    check_value("stream { assign $args; value $args; }", WR_L4, "a=b");
    check_value("stream { value $pre_x; calc $pre_x 1; }", WR_L4, "1");
    check_value("stream { assign $pre_x; value $pre_x; }", WR_L4, "unassigned");
}
END_TEST

static const struct {
    const char *text, *findings;
} wrong[] = {
    { "stream { calc $name 1; }", "1:15 the duplicate \"name\" variable\n" },
    { "stream { assign $Name; }", "1:17 the duplicate \"Name\" variable\n" },
    { "stream { calc $only_http 1; }", "" },
    { "stream { calc x 1; }", "1:15 invalid variable name \"x\"\n" },
    { "stream { calc $ 1; }", "1:15 invalid variable name \"$\"\n" },
    { "stream { calc $x-y 1; }", "1:15 invalid variable name \"$x-y\"\n" },
    { "stream { calc $x $y; calc $z $y; }", "1:18 unknown \"y\" variable\n" },
    { "stream { value $countd; }",
      "1:16 unknown \"countd\" variable (did you mean \"$counted\"?)\n" },
    { "stream { value $mine; } http { calc $mine 1; }", "1:16 unknown \"mine\" variable\n" },
    { "stream { calc $mine 1; value $mime; }",
      "1:30 unknown \"mime\" variable (did you mean \"$mine\"?)\n" },
    { "stream { value $a; server { value $b; } } http { value $c; }",
      "1:16 unknown \"a\" variable\n1:35 unknown \"b\" variable\n1:56 unknown \"c\" variable\n" },
    { "stream { match ^(?<name>a); }", "1:16 the duplicate \"name\" variable\n" },
    { "stream { match ^(a; }",
      "1:16 pcre2_compile() failed: missing closing parenthesis in \"^(a\"\n" },
    { "stream { match \"a)b\"; }",
      "1:16 pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\"\n" },
};

START_TEST(refuses)
{
    for (size_t i = 0; i < WR_COUNT(wrong); i++) {
        struct wr_conf *c = fake_load(wrong[i].text);

        ck_assert_str_eq(fake_findings(c), wrong[i].findings);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(keeps_what_is_cached)
{
    struct fake f;

    begin(&f, "stream { calc $c \"c$counted\"; fresh $f \"f$counted\";"
              " value $kept$kept,$counted$counted,$c$c,$f$f,$missing; }", WR_L4);
    ck_view(value(&f), "11,23,c4c4,f5f6,");
    ck_view(value(&f), "11,78,c4c4,f9f10,");
    fake_end(&f);
}
END_TEST

static const struct wr_var *var(struct fake *f, const char *name)
{
    struct wr_cf cf = { .conf = f->conf, .pool = f->conf->pool,
                        .scope = (struct wr_scope *)(uintptr_t)f->x.scope };

    return wr_var_mention(&cf, wr_str_c(name), 0);
}

START_TEST(stores)
{
    struct fake f;

    begin(&f, "stream { calc $x 1; fresh $y 1; assign $z; value $x$y$z$args; }", WR_L4);
    ck_view(value(&f), "11unassigneda=b");
    wr_var_store(&f.x, var(&f, "x"), WR_STR("X"));
    wr_var_store(&f.x, var(&f, "y"), WR_STR("Y"));
    wr_var_store(&f.x, var(&f, "z"), WR_STR("Z"));
    wr_var_store(&f.x, var(&f, "args"), WR_STR("new"));
    ck_view(value(&f), "XYZa=b");
    ck_assert_str_eq(fake_set_to, "new");
    fake_end(&f);
}
END_TEST

static char said[4096];

static void capture(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    size_t n = strlen(said), at = wr_str_search(line, WR_STR("cycle"));

    (void)s;
    snprintf(said + n, sizeof(said) - n, "%s " WR_FMT, wr_level_name(level),
             WR_ARG(wr_str_skip(line, at)));
}

START_TEST(cycles_are_cut)
{
    static const struct wr_sink_ops ops = { .write = capture };
    struct wr_sink *sink = wr_sink_add("capture", &ops, NULL);
    struct wr_log log = { .max = WR_LOG_INFO, .n = 1, .target = { { sink, WR_LOG_INFO } } };
    struct fake f;

    begin(&f, "stream { calc $a \"a$b$b\"; calc $b \"b$c\"; fresh $c \"c$a\";"
              " value \"$a|$a|$c\"; }", WR_L4);
    f.x.log = &log;
    ck_view(value(&f), "abcbc|abcbc|cabcbc");
    ck_assert_str_eq(said, "error cycle while evaluating variable \"a\"\n");
    fake_end(&f);
    wr_sink_release(sink);
}
END_TEST

static void match(struct fake *f, const char *subject)
{
    struct wr_str groups[20];
    uint32_t n = wr_regex_captures(f->c->match) + 1;
    char *gone = wr_malloc(strlen(subject) + 1);

    memcpy(gone, subject, strlen(subject) + 1);
    ck_assert_int_eq(wr_regex_match(f->c->match, wr_str_c(gone), groups, n), 1);
    wr_captures_set(&f->x, f->c->match, groups, n);
    free(gone);
}

START_TEST(captures)
{
    struct fake f;

    begin(&f, "stream { match \"^(?<one>.)(x)?(?<three>.*)$\";"
              " value \"$1,$2,$3,$4,$one,$three\"; }", WR_L4);
    ck_view(value(&f), ",,,,,");
    match(&f, "ab");
    ck_view(value(&f), "a,,b,,a,b");
    match(&f, "axbc");
    ck_view(value(&f), "a,x,bc,,a,bc");
    match(&f, "z");
    ck_view(value(&f), "z,,,,z,");
    fake_end(&f);

    begin(&f, "stream { match (.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(?<k>.); value $1$8$9$k; }", WR_L4);
    match(&f, "abcdefghijk");
    ck_view(value(&f), "ahik");
    fake_end(&f);
}
END_TEST

/* ---- variables of both layers ---- */

static void session(struct fake *f, const char *client, const char *local, const char *names)
{
    static char text[512];

    snprintf(text, sizeof(text), "stream { value \"%s\"; }", names);
    begin(f, text, WR_L4);
    ck_assert(wr_addr_parse(wr_str_c(client), 0, &f->s.client));
    ck_assert(wr_addr_parse(wr_str_c(local), 0, &f->s.local));
    f->s.begun_ms = wr_now();
    f->s.number = 12345678901;
}

START_TEST(addresses)
{
    const char *names = "$remote_addr,$remote_port,$server_addr,$server_port";
    struct fake f;

    session(&f, "10.1.2.3:4567", "127.0.0.1:80", names);
    ck_view(value(&f), "10.1.2.3,4567,127.0.0.1,80");
    fake_end(&f);
    session(&f, "[2001:db8::1]:1", "[::1]:65535", names);
    ck_view(value(&f), "2001:db8::1,1,::1,65535");
    fake_end(&f);
    session(&f, "unix:/c", "unix:/run/w", names);
    ck_view(value(&f), "unix:,,unix:/run/w,");
    fake_end(&f);

    session(&f, "10.1.2.3:4567", "127.0.0.1:80", "$binary_remote_addr");
    ck_view(value(&f), "\012\001\002\003");
    fake_end(&f);
    session(&f, "unix:/c", "unix:/run/w", "$binary_remote_addr");
    ck_view(value(&f), "unix:");
    fake_end(&f);
}
END_TEST

START_TEST(the_session)
{
    struct fake f;

    session(&f, "10.1.2.3:4567", "127.0.0.1:80",
            "$connection $status $bytes_sent $bytes_received $session_time $protocol"
            " <$proxy_protocol_addr$proxy_protocol_tlv_0x05>");
    f.x.client = (struct wr_endpoint){
        .conn = &f.s.conn, .sent_before = 10, .received_before = 20,
    };
    f.s.conn.sent = 15;
    f.s.conn.received = 26;
    ck_view(value(&f), "12345678901 000 5 6 0.000 TCP <>");
    f.s.conn.sent = 11;
    f.s.conn.received = 22;
    f.s.begun_ms -= 61002;
    f.x.status = 502;
    f.l.opts.type = SOCK_DGRAM;
    ck_view(value(&f), "12345678901 502 1 2 61.002 UDP <>");
    fake_end(&f);
}
END_TEST

START_TEST(the_process)
{
    struct fake f;
    char want[512], host[256];

    ck_assert_int_eq(gethostname(host, sizeof(host)), 0);
    for (char *p = host; *p != '\0'; p++)
        *p = (char)wr_lower((unsigned char)*p);
    session(&f, "10.1.2.3:4567", "127.0.0.1:80",
            "$hostname $pid $msec $time_iso8601 $time_local $nginx_version");
    snprintf(want, sizeof(want), "%s %ld %llu.%03llu " WR_FMT " " WR_FMT " " WR_NGINX_VERSION, host,
             (long)getpid(), (unsigned long long)(wr_clock.wall_ms / 1000),
             (unsigned long long)(wr_clock.wall_ms % 1000), WR_ARG(wr_clock.iso8601),
             WR_ARG(wr_clock.local));
    ck_view(value(&f), want);
    fake_end(&f);
}
END_TEST

UNIT_MAIN("text/variables", definitions_may_follow, the_last_computation_wins,
          definitions_over_the_modules, refuses, keeps_what_is_cached, stores, cycles_are_cut,
          captures, addresses, the_session, the_process)

/* The head of a reply: decided without a connection, and written by HTTP/1. */
#include "lib/unit.h"

#include "lib/config_fake.h"

#include "http/http_impl.h"
#include "http1/http1_impl.h"

extern struct wr_module wr_module_http1;
struct wr_module *const wr_modules[] = { &wr_module_vars, &wr_module_core_vars,
                                         &wr_module_log_conf, &wr_module_thread_pool,
                                         &wr_module_listen, &wr_module_http, &wr_module_http1,
                                         NULL };

#define V "weir/" WR_VERSION
#define MODIFIED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* ---- decided ---- */

enum { HEAD = 1, HAS_LENGTH = 2, FILTERED = 4, HIDDEN = 8 };
static const struct decision {
    const char *conf;          /* in server {} */
    unsigned status;
    enum wr_framing framing;
    uint64_t length, ready;    /* ready: bytes of a stored body */
    const char *fields;        /* names, each after a space */
    const char *want;          /* the head in words; after # the framing decided */
    unsigned how;
} decisions[] = {
    { "", 200, WR_BODY_LENGTH, 5, 5, "", "200 " V " date type=t modified length=5 #1", 0 },
    { "server_tokens off;", 200, WR_BODY_LENGTH, 5, 5, "",
      "200 weir date type=t modified length=5 #1", 0 },
    /* Values of a server or add_header are among the fields. */
    { "", 200, WR_BODY_LENGTH, 5, 5, " Server Date Last-Modified", "200 type=t length=5 #1", 0 },
    { "", 200, WR_BODY_LENGTH, 5, 5, "", "200 date type=t modified length=5 #1", HIDDEN },
    /* Without a length: that of the stored body; unknown with a filter, or from a server. */
    { "", 200, WR_BODY_NONE, 0, 7, "", "200 " V " date type=t modified length=7 #1", 0 },
    { "", 200, WR_BODY_NONE, 0, 0, "", "200 " V " date type=t modified length=0 #1", 0 },
    { "", 200, WR_BODY_CLOSE, 0, 7, "", "200 " V " date type=t modified #2", FILTERED },
    { "", 200, WR_BODY_CHUNKED, 0, 7, "", "200 " V " date type=t modified #2", FILTERED },
    /* HEAD. */
    { "", 200, WR_BODY_LENGTH, 5, 0, "", "200 " V " date type=t modified length=5 bare #1",
      HEAD },
    { "", 200, WR_BODY_NONE, 9, 0, "", "200 " V " date type=t modified length=9 bare #0",
      HEAD | HAS_LENGTH },
    { "", 200, WR_BODY_NONE, 0, 0, "", "200 " V " date type=t modified bare #0", HEAD },
    { "", 200, WR_BODY_CHUNKED, 0, 0, "", "200 " V " date type=t modified bare #2",
      HEAD | FILTERED },
    /* A filter that changes the length does so of HEAD, too, though it has no body to filter. */
    { "", 200, WR_BODY_CHUNKED, 0, 7, "", "200 " V " date type=t modified bare #2", HEAD },
    /* Statuses with rules of their own. */
    { "", 204, WR_BODY_LENGTH, 5, 0, "", "204 " V " date bare #0", 0 },
    { "", 304, WR_BODY_LENGTH, 5, 0, "", "304 " V " date type=t modified bare #1", 0 },
    { "", 206, WR_BODY_LENGTH, 5, 5, "", "206 " V " date type=t modified length=5 #1", 0 },
    { "", 404, WR_BODY_LENGTH, 5, 5, "", "404 " V " date type=t length=5 #1", 0 },
    { "", 101, WR_BODY_NONE, 0, 0, " Upgrade", "101 " V " date #0", 0 },
};

struct replying {
    struct wr_conf *conf;
    struct wr_session s;
    struct wr_exchange x;
    struct wr_http h;
};

static void prepare(struct replying *p, const struct decision *d)
{
    static struct wr_relay_filter filter;
    struct wr_bufq body = { 0 };
    char text[256], names[64], *rest = names;

    memset(p, 0, sizeof(*p));
    WR_TYPED(&p->h, HTTP);
    snprintf(text, sizeof(text), "http { server { %s } }", d->conf);
    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    p->conf = wr_conf_load_text("t.conf", wr_str_c(text), WR_STR(""), "/p");
    p->x.pool = wr_pool_new(0);
    p->x.s = &p->s;
    p->x.of_layer = &p->h;
    p->x.scope = wr_conf_layer(p->conf, WR_L7)->children;
    for (uint64_t i = 0; i < d->ready; i++)
        wr_bufq_borrow(&body, "x", 1);
    wr_endpoint_store(&p->x.peer, p->x.pool, wr_exchange_waiter(&p->x), &body);
    p->h.header_only = (d->how & HEAD) != 0 || d->status == 204 || d->status == 304;
    p->h.filters = (d->how & FILTERED) != 0 ? &filter : NULL;
    wr_response_init(&p->h.res);
    p->h.res.status = d->status;
    p->h.res.framing = d->framing;
    p->h.res.length = d->length;
    p->h.res.has_length = (d->how & HAS_LENGTH) != 0;
    p->h.res.no_server = (d->how & HIDDEN) != 0;
    p->h.res.type = WR_STR("t");
    p->h.res.last_modified = MODIFIED;
    snprintf(names, sizeof(names), "%s", d->fields);
    for (char *name = strtok_r(names, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest))
        (void)wr_fields_add(p->x.pool, &p->h.res.fields, wr_str_c(name), WR_STR("x"));
}

static const char *said(struct replying *p, const struct wr_reply_out *out)
{
    struct wr_text t = wr_text_grow(p->x.pool, 64, 4096);
    const char *s;

    wr_text_fmt(&t, "%u", out->status);
    if (out->server.n > 0)
        wr_text_fmt(&t, " " WR_FMT, WR_ARG(out->server));
    if (out->date.n > 0)
        wr_text_c(&t, " date");
    if (out->type.n > 0)
        wr_text_fmt(&t, " type=" WR_FMT, WR_ARG(out->type));
    if (out->last_modified >= 0)
        wr_text_c(&t, out->last_modified == MODIFIED ? " modified" : " another time");
    if (out->says_length)
        wr_text_fmt(&t, " length=%llu", (unsigned long long)out->length);
    wr_text_fmt(&t, "%s #%d", out->bare ? " bare" : "", p->h.res.framing);
    ck_assert_ptr_eq(out->fields, &p->h.res.fields);
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

START_TEST(decided)
{
    for (size_t i = 0; i < WR_COUNT(decisions); i++) {
        struct wr_reply_out out;
        struct replying p;

        prepare(&p, &decisions[i]);
        wr_http_decide_reply(&p.x, &out);
        ck_assert_msg(strcmp(said(&p, &out), decisions[i].want) == 0, "%zu: %s, not %s", i,
                      said(&p, &out), decisions[i].want);
        wr_pool_free(p.x.pool);
        wr_conf_free(p.conf);
    }
}
END_TEST

/* ---- written ---- */

#define STR(text) WR_STR_INIT(text)

static const struct {
    struct wr_reply_out out;
    struct wr_h1_hop hop;
    const char *want;
} written[] = {
    { { .status = 200, .server = STR("s"), .date = STR("d"), .type = STR("t"),
        .last_modified = MODIFIED, .says_length = true, .length = 12345 },
      { .connection = WR_H1_KEEP, .keep_s = 5 },
      "HTTP/1.1 200 OK\r\nServer: s\r\nDate: d\r\nContent-Type: t\r\nContent-Length: 12345\r\n"
      "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
      "Keep-Alive: timeout=5\r\nX: y\r\n\r\n" },
    { { .status = 404, .reason = STR("Gone Fishing"), .last_modified = -1 },
      { .chunked = true, .connection = WR_H1_CLOSE, .keep_s = 5 },
      "HTTP/1.1 404 Gone Fishing\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
      "X: y\r\n\r\n" },
    { { .status = 101, .last_modified = -1 }, { .connection = WR_H1_UPGRADE, .keep_s = 5 },
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nX: y\r\n\r\n" },
    { { .status = 299, .type = STR("a\r\nB: c\x7f"), .last_modified = -1 },
      { .connection = WR_H1_KEEP },
      "HTTP/1.1 299 \r\nContent-Type: a  B: c \r\nConnection: keep-alive\r\nX: y\r\n\r\n" },
    { { .status = 8, .last_modified = WR_MODIFIED_UNREAD }, { .connection = WR_H1_CLOSE },
      "HTTP/1.1 008 \r\nConnection: close\r\nX: y\r\n\r\n" },
};

START_TEST(as_text)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields f = { 0 };

    wr_clock_update();
    wr_fields_add(pool, &f, WR_STR("Gone"), WR_STR("x"))->gone = true;
    (void)wr_fields_add(pool, &f, WR_STR("X"), WR_STR("y"));
    for (size_t i = 0; i < WR_COUNT(written); i++) {
        struct wr_reply_out out = written[i].out;
        struct wr_text t = wr_text_grow(pool, 16, 4096);

        out.fields = &f;
        wr_h1_write_reply(&t, &out, &written[i].hop);
        ck_assert_msg(wr_str_is(wr_text_view(&t), written[i].want), "%zu: " WR_FMT, i,
                      WR_ARG(wr_text_view(&t)));
    }
    wr_pool_free(pool);
}
END_TEST

/* ---- the other direction ---- */

START_TEST(requests)
{
    static const struct wr_field own[] = {
        { .name = STR("Connection"), .value = STR("upgrade"), .id = WR_F_CONNECTION },
        { .name = STR("Location"), .value = STR("/\n"), .id = WR_F_LOCATION },
    }, passed = { .name = STR("a"), .value = STR("") };
    const struct wr_field *fields[] = { &own[0], &own[1], &passed };
    static const struct {
        struct wr_request_out out;
        const char *want;
    } rows[] = {
        { { .method_text = STR("GET"), .target = STR("/"), .authority = STR("h\t\n"), .version = 11,
            .n = 3, .own = 2, .framing = WR_BODY_CHUNKED },
          "GET / HTTP/1.1\r\nHost: h\t \r\nConnection: upgrade\r\nLocation: / \r\n"
          "Transfer-Encoding: chunked\r\na: \r\n\r\n" },
        { { .method_text = STR("P"), .target = STR("*"), .version = 10, .close = true, .n = 1,
            .framing = WR_BODY_LENGTH, .length = 0 },
          "P * HTTP/1.0\r\nConnection: close\r\nContent-Length: 0\r\nConnection: upgrade\r\n\r\n" },
        { { .method_text = STR("HEAD"), .target = STR("/x"), .version = 11,
            .authority = STR("a") },
          "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" },
    };
    struct wr_pool *pool = wr_pool_new(0);

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_request_out out = rows[i].out;
        struct wr_text t = wr_text_grow(pool, 16, 4096);

        out.fields = fields;
        wr_h1_write_request(&t, &out);
        ck_assert_msg(wr_str_is(wr_text_view(&t), rows[i].want), "%zu: " WR_FMT, i,
                      WR_ARG(wr_text_view(&t)));
    }
    wr_pool_free(pool);
}
END_TEST

/* The part of a request that the engine fills before a module completes it. */
START_TEST(bodies)
{
    static const struct {
        enum wr_framing came, want;
        uint64_t length;
    } rows[] = {
        { WR_BODY_NONE, WR_BODY_NONE, 0 },       { WR_BODY_NONE, WR_BODY_LENGTH, 4 },
        { WR_BODY_LENGTH, WR_BODY_LENGTH, 0 },   { WR_BODY_LENGTH, WR_BODY_LENGTH, 4 },
        { WR_BODY_CHUNKED, WR_BODY_LENGTH, 0 },  { WR_BODY_CHUNKED, WR_BODY_CHUNKED, UINT64_MAX },
        { WR_BODY_NONE, WR_BODY_CHUNKED, UINT64_MAX },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_request r = { .method = WR_M_PUT, .framing = rows[i].came };
        struct wr_request_out out = wr_request_out(&r, rows[i].length);

        ck_assert_int_eq(out.framing, rows[i].want);
        ck_assert_int_eq(out.method, WR_M_PUT);
        ck_assert_uint_eq(out.length, rows[i].length);
    }
}
END_TEST

/* A head that is too long for its text sets overflow; the bytes that were written have no gap. */
START_TEST(too_long)
{
    char room[64];
    struct wr_fields f = { 0 };
    struct wr_reply_out out = { .status = 200, .last_modified = -1, .fields = &f };
    struct wr_h1_hop hop = { .connection = WR_H1_CLOSE };

    for (size_t cap = 0; cap < sizeof(room); cap++) {
        struct wr_text t = wr_text_on(room, cap);

        wr_h1_write_reply(&t, &out, &hop);
        ck_assert(t.overflow == (cap < 38));
        ck_assert(wr_str_starts(WR_STR("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
                                wr_text_view(&t)));
    }
}
END_TEST

UNIT_MAIN("http1/reply", decided, as_text, requests, bodies, too_long)

/* Any bytes as a request and the reply a server gives it: up to the first NUL the path the request
 * asks for, decoded, which rules put into fields; behind it the fields of the reply. Whatever
 * proxy_redirect and proxy_cookie_* make of them must be as many fields as before, each one line,
 * and no cookie more or less. The first byte chooses the rules. */
#include "http1/http1_impl.h"

#include "../../modules/http/proxy/proxy_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOCATION(name, rules) \
    "location /" name "/ { proxy_ignore_headers X-Accel-Redirect; " \
    "proxy_pass http://b/two/; " rules "}"

static const char config[] = "http { access_log off; server { listen 80; server_name s;"
    LOCATION("a", "proxy_cookie_path / $uri; proxy_cookie_domain b $uri;")
    LOCATION("b", "proxy_redirect http://b/ $uri/; proxy_cookie_path ~(.*) $1$uri$1;")
    LOCATION("c", "proxy_redirect ~^(http)(.*) $1$uri$2; proxy_cookie_domain ~(?<d>.*) $d$d;")
    LOCATION("d", "proxy_redirect $uri $uri; proxy_cookie_flags ~. secure httponly samesite=lax;")
    LOCATION("e", "proxy_cookie_flags a nosecure nohttponly nosamesite; proxy_cookie_path $uri /;")
    LOCATION("f", "proxy_cookie_flags ~^(.) $1 samesite=$uri; proxy_cookie_domain .b $uri;"
                  "absolute_redirect off; proxy_redirect /two/ $args$uri;")
    "} }";

struct answered {
    struct wr_session s;
    struct wr_exchange x;
    struct wr_http h;
};

static struct wr_conf *conf;

static void free_conf(void)
{
    wr_conf_free(conf);
}

static struct wr_conf *load_once(void)
{
    if (conf == NULL) {
        wr_modules_init();
        wr_clock_update();
        wr_error_log_default = "stderr";
        conf = wr_conf_load_text("fuzz", wr_str_c(config), WR_STR(""), "/");
        WR_ASSERT(conf->tree->errors == 0 && atexit(free_conf) == 0);
    }
    return conf;
}

static void begin_request(struct answered *a, uint8_t rules, struct wr_str uri)
{
    static const struct wr_log quiet = { .max = WR_LOG_EMERG };
    static struct wr_listener listener;
    const struct wr_scope *server;

    memset(a, 0, sizeof(*a));
    a->s.conf = load_once();
    a->s.layer = a->x.layer = &wr_layer_http;
    a->s.listener = &listener;
    a->s.conn.fd = -1;
    WR_ASSERT(wr_addr_parse(WR_STR("192.0.2.1:5000"), 0, &a->s.client));
    WR_ASSERT(wr_addr_parse(WR_STR("127.0.0.1:8080"), 0, &a->s.local));
    a->x.main = &a->x;
    a->x.conf = a->s.conf;
    a->x.client_addr = &a->s.client;
    a->x.s = &a->s;
    a->x.of_layer = &a->h;
    WR_TYPED(&a->h, HTTP);
    a->x.pool = wr_pool_new(0);
    a->x.log = &quiet;
    server = wr_conf_layer(a->s.conf, WR_L7)->children;
    a->h.server = server->object;
    a->x.scope = server->children;
    for (unsigned i = rules % 6; i > 0; i--)
        a->x.scope = a->x.scope->next;
    a->h.req.method = WR_M_GET;
    a->h.req.uri = uri;
    a->h.req.host = WR_STR("s");
}

static bool take_reply(struct answered *a, struct wr_str fields)
{
    struct wr_text t = wr_text_grow(a->x.pool, fields.n + 32, SIZE_MAX / 2);
    struct wr_h1_progress progress = { 0 };

    wr_text_c(&t, "HTTP/1.1 200 OK\r\n");
    wr_text_str(&t, fields);
    wr_text_c(&t, "\r\n\r\n");
    return wr_h1_response(wr_text_view(&t), SIZE_MAX / 2, WR_M_GET, a->x.pool, &progress,
                          &a->h.res) == WR_PARSE_OK;
}

static uint32_t count_fields(const struct wr_fields *f, bool cookies)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->n; i++)
        n += !f->at[i].gone && (!cookies || f->at[i].id == WR_F_SET_COOKIE);
    return n;
}

/* As the reply's head has it. */
static void check_lines(struct answered *a)
{
    const struct wr_fields *f = &a->h.res.fields;
    struct wr_text t = wr_text_grow(a->x.pool, 1024, SIZE_MAX / 2);
    struct wr_str rest;
    uint32_t lines = 0;

    wr_h1_write_fields(&t, f);
    for (rest = wr_text_view(&t); rest.n > 0; lines++) {
        struct wr_str line = wr_str_cut(&rest, '\n');

        WR_ASSERT(rest.p != NULL && line.n > 0 && line.p[line.n - 1] == '\r');
        for (size_t i = 0; i + 1 < line.n; i++)
            WR_ASSERT(((unsigned char)line.p[i] >= ' ' || line.p[i] == '\t') && line.p[i] != 0x7f);
        WR_ASSERT(wr_str_find(line, ':') > 0 && wr_str_find(line, ':') < line.n);
    }
    WR_ASSERT(lines == count_fields(f, false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str in = wr_str_of((const char *)data, size), uri = wr_str_cut(&in, '\0');
    struct answered a;

    if (uri.n < 2 || uri.p[1] != '/')
        return 0;
    begin_request(&a, (uint8_t)uri.p[0], wr_str_skip(uri, 1));
    if (take_reply(&a, wr_str_of(in.p != NULL ? in.p : "", in.n))) {
        uint32_t cookies = count_fields(&a.h.res.fields, true);

        WR_ASSERT(wr_proxy_reply(&a.x) == WR_PASS);
        WR_ASSERT(count_fields(&a.h.res.fields, true) == cookies);
        check_lines(&a);
    }
    wr_pool_free(a.x.pool);
    return 0;
}

/* Any bytes as a log format and as the logged request: up to the first NUL the words of
 * `log_format`, one for each line; after it the head of a request. In each escape mode a client's
 * bytes must not look like the administrator's text, and nothing is written past a small buffer. */
#include "http1/http1_impl.h"

#include "../../modules/shared/access_log/access_log_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS 16

static const char config[] =
    "http { access_log off; server { listen 80; server_name ~^(?<name>.+)$; location / { } } }";
static const char *const modes[] = { "escape=default", "escape=json", "escape=none" };

struct logged {
    struct wr_conf *conf;
    struct wr_session s;
    struct wr_exchange x;
    struct wr_http h;
    struct wr_http_session hs;
};

/* ---- a request nobody sent ---- */

static void begin_request(struct logged *l, struct wr_str request)
{
    static const struct wr_log quiet = { .max = WR_LOG_EMERG };
    static struct wr_listener listener;
    struct wr_head_limits limits = { .line = 8192, .total = 32768 };
    struct wr_head_rules rules = { .limits = &limits };
    struct wr_h1_progress progress = { 0 };

    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    l->conf = wr_conf_load_text("fuzz", wr_str_c(config), WR_STR(""), "/");
    WR_ASSERT(l->conf->tree->errors == 0);
    l->s.conf = l->conf;
    l->s.layer = l->x.layer = &wr_layer_http;
    l->s.listener = &listener;
    l->s.conn.fd = -1;
    WR_ASSERT(wr_addr_parse(WR_STR("192.0.2.1:5000"), 0, &l->s.client));
    WR_ASSERT(wr_addr_parse(WR_STR("127.0.0.1:8080"), 0, &l->s.local));
    l->s.of_layer = &l->hs;
    WR_TYPED(&l->hs, HTTP_SESSION);
    l->x.s = &l->s;
    l->x.main = &l->x;
    l->x.conf = l->s.conf;
    l->x.client_addr = &l->s.client;
    l->x.pool = rules.pool = wr_pool_new(0);
    l->x.of_layer = &l->h;
    WR_TYPED(&l->h, HTTP);
    l->x.scope = wr_conf_layer(l->conf, WR_L7)->children;
    l->h.session = &l->hs;
    l->h.server = l->x.scope->object;
    l->x.log = &quiet;
    wr_response_init(&l->h.res);
    if (wr_h1_request(wr_pool_str(l->x.pool, request), &rules, &progress, &l->h.req)
        != WR_PARSE_OK || !wr_uri_normalize(l->x.pool, l->h.req.target, true, &l->h.req))
        l->x.status = 400;
}

static void end_request(struct logged *l)
{
    wr_pool_free(l->x.pool);
    wr_conf_free(l->conf);
}

/* ---- the format ---- */

/* NULL: it is not a valid format. */
static const struct wr_log_format *define_format(struct logged *l, struct wr_str text,
                                                 const char *mode)
{
    struct wr_word words[WORDS + 3] = {
        { .text = WR_STR("log_format") }, { .text = WR_STR("f") }, { .text = wr_str_c(mode) }
    };
    struct wr_node node = { .words = words, .nwords = 3 };
    struct wr_log_formats formats;
    struct wr_cf cf = { .conf = l->conf, .pool = l->conf->pool, .node = &node,
                        .scope = (struct wr_scope *)(uintptr_t)l->x.scope };

    while (text.n > 0 && node.nwords < WR_COUNT(words))
        words[node.nwords++].text = wr_str_cut(&text, '\n');
    cf.nargs = node.nwords - 1;
    wr_log_formats_init(l->conf->pool, &formats);
    if (!wr_log_format_define(&cf, &formats))
        return NULL;
    wr_module_vars.missing(&cf);
    if (l->conf->tree->errors > 0)
        return NULL;
    return wr_log_format_find(&cf, &formats, WR_STR("f"));
}

/* ---- what a line may contain ---- */

static bool has_any(struct wr_str s, const char *set)
{
    for (; *set != '\0'; set++)
        if (wr_str_find(s, *set) != s.n)
            return true;
    return false;
}

/* Line ends do not count: they end words of the format. */
static bool has_control(struct wr_str s, bool format)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 32 && !(format && s.p[i] == '\n'))
            return true;
    return false;
}

static bool is_hex(struct wr_str s, size_t at, size_t n)
{
    for (; n > 0; n--, at++)
        if (at >= s.n || memchr("0123456789ABCDEFabcdef", s.p[at], 22) == NULL)
            return false;
    return true;
}

/* Only for formats without quotes and backslashes of their own. */
static void check_quoting(struct wr_str line, bool json)
{
    for (size_t i = 0; i < line.n; i++) {
        WR_ASSERT(line.p[i] != '"');
        if (line.p[i] != '\\')
            continue;
        WR_ASSERT(++i < line.n);
        if (line.p[i] == (json ? 'u' : 'x'))
            WR_ASSERT(is_hex(line, i + 1, json ? 4 : 2));
        else
            WR_ASSERT(json && memchr("\"\\bfnrt", line.p[i], 7) != NULL);
    }
}

static void check_bounds(struct logged *l, const struct wr_log_format *f, struct wr_str whole)
{
    char buf[64];

    for (size_t cap = 0; cap <= sizeof(buf); cap += 7) {
        struct wr_text out = wr_text_on(buf, cap);

        wr_log_format_line(&l->x, f, &out);
        WR_ASSERT(out.n <= cap && out.n <= whole.n && memcmp(buf, whole.p, out.n) == 0);
    }
}

static void check_line(struct logged *l, struct wr_str text, unsigned mode)
{
    struct wr_text out = wr_text_grow(l->x.pool, 256, 1 << 20);
    const struct wr_log_format *f = define_format(l, text, modes[mode]);
    struct wr_str line;

    if (f == NULL)
        return;
    wr_log_format_line(&l->x, f, &out);
    line = wr_text_view(&out);
    check_bounds(l, f, line);
    if (mode == WR_ESCAPE_NONE || out.overflow)
        return;
    if (!has_any(text, "\"\\"))
        check_quoting(line, mode == WR_ESCAPE_JSON);
    WR_ASSERT(has_control(text, true) || !has_control(line, false));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str request = wr_str_of((const char *)data, size);
    struct wr_str text = wr_str_cut(&request, '\0');
    struct logged l;

    if (size > 16384)
        return 0;
    memset(&l, 0, sizeof(l));
    begin_request(&l, request);
    for (unsigned mode = 0; mode < WR_COUNT(modes); mode++)
        check_line(&l, text, mode);
    end_request(&l);
    return 0;
}

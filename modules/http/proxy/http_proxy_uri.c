/* http_proxy_uri: parses the URL of proxy_pass, and makes the target of the request to a server.
 * Pure: views in, views and text out. */
#include "proxy_impl.h"

/* ---- the URL ---- */

/* The offset where host and port end and the URI begins. */
static size_t find_uri(struct wr_str s)
{
    size_t n;

    if (wr_str_starts(s, WR_STR("unix:"))) {
        n = wr_str_find(wr_str_skip(s, 5), ':');
        return 5 + n;
    }
    n = wr_str_find(s, '/');
    return wr_min(n, wr_str_find(s, '?'));
}

/* The port follows the last colon, unless that belongs to an IPv6 address in brackets. */
static void split_port(struct wr_proxy_url *u)
{
    struct wr_str host = u->target;
    size_t colon = wr_str_rfind(host, ':');
    uint64_t port;

    u->host = host;
    u->port = u->secure ? WR_STR("443") : WR_STR("80");
    if (colon == host.n || (host.n > 0 && host.p[host.n - 1] == ']'))
        return;
    u->port = wr_str_skip(host, colon + 1);
    if (wr_str_u64(u->port, &port) && port == wr_proxy_url_port(u))
        u->host.n = colon;
}

static bool has_scheme(struct wr_str url, struct wr_str scheme)
{
    return url.n >= scheme.n && wr_str_ieq(wr_str_of(url.p, scheme.n), scheme);
}

const char *wr_proxy_url_parse(struct wr_str url, struct wr_proxy_url *out)
{
    struct wr_str rest;
    size_t scheme, n;

    *out = (struct wr_proxy_url){ .secure = has_scheme(url, WR_STR("https://")) };
    if (!out->secure && !has_scheme(url, WR_STR("http://")))
        return "invalid URL prefix";
    scheme = out->secure ? 8 : 7;
    rest = wr_str_skip(url, scheme);
    n = find_uri(rest);
    out->target = wr_str_of(rest.p, n);
    out->origin = wr_str_of(url.p, scheme + n);
    if (wr_str_starts(rest, WR_STR("unix:"))) {
        out->host = WR_STR("localhost");
        out->port = WR_STR("");
        rest = wr_str_skip(rest, wr_min(n + 1, rest.n));
        n = 0;
    } else {
        split_port(out);
    }
    if (n < rest.n)
        out->uri = wr_str_skip(rest, n);
    return NULL;
}

/* ---- the target ---- */

#define TARGET_MAX (1 << 20)

/* Text from variables: escape every character that would end the target or the line. */
static void put_guarded(struct wr_text *out, struct wr_str s)
{
    size_t from = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c > ' ' && c != 0x7f)
            continue;
        wr_text_str(out, wr_str_of(s.p + from, i - from));
        wr_text_str(out, wr_str_of((char[]){ '%', wr_hex_upper[c >> 4], wr_hex_upper[c & 15] }, 3));
        from = i + 1;
    }
    wr_text_str(out, wr_str_skip(s, from));
}

static void put_slash(struct wr_text *out, struct wr_str s)
{
    if (s.n == 0 || s.p[0] == '?')
        wr_text_char(out, '/');
}

static void put_replaced(struct wr_text *out, const struct wr_http *h, struct wr_str location,
                         struct wr_str uri)
{
    struct wr_str rest = h->req.uri;

    if (uri.p != NULL && !h->uri_set_by_break) {
        put_slash(out, uri);
        wr_text_str(out, uri);
        rest = wr_str_skip(rest, location.n);
    }
    /* Escape again if the client's target had escapes, or if the URI is no longer the client's. */
    if (h->req.quoted || h->internal || h->uri_internal || h->uri_set_by_break)
        wr_uri_escape(out, rest, WR_ESC_URI);
    else
        wr_text_str(out, rest);
    if (h->req.args.n > 0) {
        wr_text_char(out, '?');
        wr_text_str(out, h->req.args);
    }
}

struct wr_str wr_proxy_target(struct wr_pool *pool, const struct wr_http *h,
                              const struct wr_proxy_pass *pass, const struct wr_proxy_url *url)
{
    bool own = pass->url_tpl != NULL && url->uri.n > 0;
    struct wr_str sent = h->req.target;
    struct wr_text t;

    if (!own && url->uri.p == NULL && !h->uri_internal && !h->uri_set_by_break) {
        if (sent.n > 0 && sent.p[0] != '?')
            return sent;
        t = wr_text_grow(pool, sent.n + 1, TARGET_MAX);
        put_slash(&t, sent);
        wr_text_str(&t, sent);
    } else {
        t = wr_text_grow(pool, sent.n + 64, TARGET_MAX);
        if (own) {
            put_slash(&t, url->uri);
            put_guarded(&t, url->uri);
        } else {
            put_replaced(&t, h, pass->location, url->uri);
        }
    }
    return t.overflow ? wr_str_of(NULL, 0) : wr_text_view(&t);
}

/* http_vars: variables about a request: its line, uri, arguments, fields, body, connection, and the
 * file its uri maps to. Those about the reply are in reply_vars. Values are views into the
 * exchange's pool or made there. */
#include "http/http_impl.h"

#include <errno.h>
#include <limits.h>
#include <sys/random.h>

/* ---- the request line ---- */

enum part { LINE, TARGET, METHOD, URI, ARGS };

static bool get_part(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_request *r = &wr_http_of(x)->req;

    switch ((enum part)v->data) {
    case LINE:
        *out = r->line;
        break;
    case TARGET:
        *out = r->target;
        break;
    case METHOD:
        *out = wr_http_of(x->main)->req.method_text; /* of subrequests, too */
        break;
    case URI:
        *out = r->uri;
        break;
    case ARGS:
        *out = r->args;
        break;
    }
    return out->p != NULL;
}

static bool set_args(struct wr_exchange *x, const struct wr_var *v, struct wr_str value)
{
    (void)v;
    wr_http_of(x)->req.args = value;
    wr_http_of(x)->uri_internal = true;
    return true;
}

static bool get_is_args(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_http_of(x)->req.args.n > 0 ? WR_STR("?") : WR_STR("");
    return true;
}

static bool get_arg(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    return v->tail.n > 0 && wr_arg_find(wr_http_of(x)->req.args, v->tail, out);
}

static bool get_server_protocol(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    unsigned version = wr_http_of(x)->req.version;

    (void)v;
    *out = version == 11 ? WR_STR("HTTP/1.1") : WR_STR("HTTP/1.0");
    return version > 9; /* no value for HTTP/0.9, which sends no version */
}

/* ---- fields ---- */

static bool get_http(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    return wr_fields_joined(x->pool, &wr_http_of(x)->req.fields, v->tail,
                            wr_str_is(v->tail, "cookie") ? "; " : ", ", out);
}

static bool get_cookie(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_fields *f = &wr_http_of(x)->req.fields;

    for (uint32_t i = 0; i < f->n; i++)
        if (f->at[i].id == WR_F_COOKIE && !f->at[i].gone
            && wr_cookie_find(f->at[i].value, v->tail, out))
            return true;
    return false;
}

static bool get_content_length(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_http *h = wr_http_of(x);
    uint64_t n = h->req.length;

    (void)v;
    if (h->req.framing == WR_BODY_CHUNKED && h->body.complete)
        n = h->body.size;
    else if (wr_fields_first(&h->req.fields, WR_F_CONTENT_LENGTH) == NULL)
        return false;
    *out = wr_pool_fmt(x->pool, "%llu", (unsigned long long)n);
    return true;
}

static bool get_content_type(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    return wr_fields_joined(x->pool, &wr_http_of(x)->req.fields, WR_STR("content_type"), ", ",
                            out);
}

static bool get_remote_user(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct wr_str credentials = wr_fields_value(&wr_http_of(x)->req.fields, WR_F_AUTHORIZATION);
    struct wr_str password;

    (void)v;
    return wr_basic_credentials(x->pool, credentials, out, &password) && out->n > 0;
}

/* ---- body ---- */

static bool get_request_body(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_body *b = &wr_http_of(x)->body;
    char *p;

    (void)v;
    if (b->q.n == 0 || b->file != NULL)
        return false;
    p = wr_pool_try(x->pool, b->q.n);
    if (p == NULL)
        return false;
    *out = wr_str_of(p, wr_bufq_peek(&b->q, p, b->q.n));
    return true;
}

/* A body's file has no name until this gives it one. */
static bool get_request_body_file(struct wr_exchange *x, const struct wr_var *v,
                                  struct wr_str *out)
{
    (void)v;
    *out = wr_str_c(wr_http_body_path(x));
    return out->n > 0;
}

static bool get_request_length(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%llu", (unsigned long long)wr_endpoint_received(&x->client));
    return true;
}

/* ---- host, server, port ---- */

static bool get_host(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct wr_http *h = wr_http_of(x);

    (void)v;
    *out = h->req.host.n > 0 ? h->req.host : h->server->v.name;
    return true;
}

static bool get_server_name(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_http_of(x)->server->v.name;
    return true;
}

static bool get_request_port(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    unsigned port = wr_http_of(x)->req.host_port;

    if (v->data == 1) /* $is_request_port */
        *out = port != 0 ? WR_STR(":") : WR_STR("");
    else
        *out = port != 0 ? wr_pool_fmt(x->pool, "%u", port) : WR_STR("");
    return true;
}

static bool get_scheme(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    bool secure = wr_tls_up(&x->s->conn);

    if (v->data == 1) /* $https */
        *out = secure ? WR_STR("on") : WR_STR("");
    else
        *out = secure ? WR_STR("https") : WR_STR("http");
    return true;
}

/* ---- the file the uri maps to ---- */

static bool get_document_root(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct wr_text t = wr_text_grow(x->pool, 128, PATH_MAX);

    (void)v;
    if (!wr_http_root(x, &t))
        return false;
    *out = wr_text_view(&t);
    return true;
}

static bool get_realpath_root(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct wr_text t = wr_text_grow(x->pool, 128, PATH_MAX);
    char real[PATH_MAX];
    const char *path;

    (void)v;
    if (!wr_http_root(x, &t) || !wr_text_cstr(&t, &path))
        return false;
    if (realpath(path, real) == NULL) {
        wr_xlog(x, WR_LOG_CRIT, errno, "realpath() \"%s\" failed", path);
        return false;
    }
    *out = wr_pool_str(x->pool, wr_str_c(real));
    return true;
}

static bool get_request_filename(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct wr_text t = wr_text_grow(x->pool, 128, PATH_MAX);

    (void)v;
    if (!wr_http_path(x, wr_http_of(x)->req.uri, &t))
        return false;
    *out = wr_text_view(&t);
    return true;
}

/* ---- the connection ---- */

static bool get_connection_requests(struct wr_exchange *x, const struct wr_var *v,
                                    struct wr_str *out)
{
    (void)v;
    *out = wr_pool_fmt(x->pool, "%u", wr_http_of(x)->session->requests);
    return true;
}

static bool get_pipe(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    *out = wr_http_of(x)->pipelined ? WR_STR("p") : WR_STR(".");
    return true;
}

enum tcp { RTT, RTTVAR, SND_CWND, RCV_SPACE };

static bool get_tcpinfo(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    struct wr_tcp_info info;
    uint32_t n = 0;

    if (x->s->conn.fd < 0 || !wr_socket_tcp_info(x->s->conn.fd, &info))
        return false;
    switch ((enum tcp)v->data) {
    case RTT:
        n = info.rtt;
        break;
    case RTTVAR:
        n = info.rttvar;
        break;
    case SND_CWND:
        n = info.snd_cwnd;
        break;
    case RCV_SPACE:
        n = info.rcv_space;
        break;
    }
    *out = wr_pool_fmt(x->pool, "%u", n);
    return true;
}

static bool get_request_id(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    uint64_t id[2];
    struct wr_text t = wr_text_grow(x->pool, 33, 33);

    (void)v;
    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
        id[0] = wr_random(), id[1] = wr_random();
    wr_text_hex(&t, id, sizeof(id));
    *out = wr_text_view(&t);
    return true;
}

#define ROW(nm, fn, n, fl) { .name = nm, .layers = WR_L7, .flags = (fl), .get = fn, .data = (n) }

static const struct wr_variable variables[] = {
    { .name = "args", .layers = WR_L7, .flags = WR_VAR_SETTABLE, .get = get_part, .data = ARGS,
      .set = set_args },
    ROW("arg_", get_arg, 0, WR_VAR_PREFIX),
    ROW("connection_requests", get_connection_requests, 0, 0),
    ROW("content_length", get_content_length, 0, 0),
    ROW("content_type", get_content_type, 0, 0),
    ROW("cookie_", get_cookie, 0, WR_VAR_PREFIX),
    ROW("document_root", get_document_root, 0, 0),
    ROW("document_uri", get_part, URI, 0),
    ROW("host", get_host, 0, 0),
    ROW("http_", get_http, 0, WR_VAR_PREFIX),
    ROW("https", get_scheme, 1, 0),
    ROW("is_args", get_is_args, 0, 0),
    ROW("is_request_port", get_request_port, 1, 0),
    ROW("pipe", get_pipe, 0, 0),
    ROW("query_string", get_part, ARGS, 0),
    ROW("realpath_root", get_realpath_root, 0, 0),
    ROW("remote_user", get_remote_user, 0, 0),
    ROW("request", get_part, LINE, 0),
    ROW("request_body", get_request_body, 0, 0),
    ROW("request_body_file", get_request_body_file, 0, 0),
    ROW("request_filename", get_request_filename, 0, 0),
    ROW("request_id", get_request_id, 0, WR_VAR_CACHED),
    ROW("request_length", get_request_length, 0, 0),
    ROW("request_method", get_part, METHOD, 0),
    ROW("request_port", get_request_port, 0, 0),
    ROW("request_uri", get_part, TARGET, 0),
    ROW("scheme", get_scheme, 0, 0),
    ROW("server_name", get_server_name, 0, 0),
    ROW("server_protocol", get_server_protocol, 0, 0),
    ROW("tcpinfo_rcv_space", get_tcpinfo, RCV_SPACE, 0),
    ROW("tcpinfo_rtt", get_tcpinfo, RTT, 0),
    ROW("tcpinfo_rttvar", get_tcpinfo, RTTVAR, 0),
    ROW("tcpinfo_snd_cwnd", get_tcpinfo, SND_CWND, 0),
    ROW("uri", get_part, URI, 0),
    { 0 },
};

struct wr_module wr_module_http_vars = {
    .name = "http_vars",
    .layers = WR_L7,
    .variables = variables,
};

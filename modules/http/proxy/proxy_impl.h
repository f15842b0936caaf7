/* proxy_impl: shared by the files of proxy_pass at layer 7. The engine (core/http) connects, sends,
 * waits, tries another server and relays; these files make the request's head and choose which
 * fields of the reply are passed on.
 *
 *   http_proxy.c          the directives and the content hook
 *   http_proxy_uri.c      the URL of proxy_pass, and how it changes a request's URI (pure)
 *   http_proxy_request.c  the request
 *   http_proxy_reply.c    the reply's fields
 *   http_proxy_accel.c    X-Accel-*
 *   http_proxy_rewrite.c  proxy_redirect and the rules for cookies
 *   http_proxy_cookie.c   parses and writes Set-Cookie */
#ifndef WR_PROXY_IMPL_H
#define WR_PROXY_IMPL_H

#include "http/http.h"

/* ---- a set of field names: those that are not passed on ---- */
struct wr_proxy_names {
    uint64_t known[(WR_F_COUNT + 63) / 64]; /* bit set of ids */
    uint64_t lengths;                       /* bit n: one of the others has n bytes (63: or more) */
    WR_VEC(struct wr_str) others;
};
void wr_proxy_names_add(struct wr_pool *p, struct wr_proxy_names *n, struct wr_str name);
bool wr_proxy_names_other(const struct wr_proxy_names *n, struct wr_str name);
static inline bool wr_proxy_names_has(const struct wr_proxy_names *n, unsigned id,
                                      struct wr_str name)
{
    if (id != WR_F_OTHER)
        return (n->known[id / 64] >> id % 64 & 1) != 0;
    return (n->lengths >> wr_min(name.n, 63U) & 1) != 0 && wr_proxy_names_other(n, name);
}

/* ---- proxy_pass ---- */
struct wr_proxy_url {          /* "http://host:port/uri" */
    struct wr_str origin;      /* "http://host:port" */
    struct wr_str target;      /* "host:port", "unix:/path": names the upstream */
    struct wr_str host;        /* $proxy_host: without the scheme's own port; unix: localhost */
    struct wr_str port;        /* $proxy_port; empty for unix */
    struct wr_str uri;         /* from the first '/' or '?' on; p NULL: none */
    bool secure;               /* https:// */
};
static inline uint16_t wr_proxy_url_port(const struct wr_proxy_url *u)
{
    return u->secure ? 443 : 80;
}
/* Views into url. NULL, or the error in nginx's words. */
const char *wr_proxy_url_parse(struct wr_str url, struct wr_proxy_url *out) WR_CHECKED;

struct wr_proxy_pass {         /* set in the location, kept in its `if` and limit_except */
    const struct wr_node *node; /* NULL: no proxy_pass here */
    struct wr_upstream *upstream;
    struct wr_template *url_tpl; /* with variables: instead of upstream and url */
    struct wr_proxy_url url;
    struct wr_str location;    /* what url.uri replaces: the name of the location */
};

/* The target of the request to a server, by nginx's rules: a view, or made in the pool; p NULL: too
 * long. url: that of this request; if proxy_pass has variables, a URI in it is the whole target. */
struct wr_str wr_proxy_target(struct wr_pool *pool, const struct wr_http *h,
                              const struct wr_proxy_pass *pass, const struct wr_proxy_url *url);

/* ---- the request ---- */
struct wr_proxy_set {          /* proxy_set_header, as written */
    struct wr_str name;
    struct wr_template *value;
};
struct wr_proxy_line {         /* a field of the plan */
    struct wr_field field;
    struct wr_template *value; /* instead of its own; NULL: none */
};
struct wr_proxy_plan {         /* proxy_set_header merged with the defaults */
    struct wr_template *host;  /* if NULL or empty, the host of proxy_pass is used */
    WR_VEC(struct wr_proxy_line) lines;
    struct wr_proxy_names skip; /* fields of the client that are not passed */
    /* proxy_set_header names Connection; Content-Length or Transfer-Encoding */
    bool own_connection, own_length;
};

/* ---- replies ---- */
struct wr_proxy_rewrite {      /* one rule of proxy_redirect, proxy_cookie_domain, _path */
    struct wr_regex *regex;    /* NULL: `from` is a text */
    struct wr_template *from, *to; /* NULL: from_text, to_text */
    struct wr_str from_text, to_text;
    bool standard;             /* proxy_redirect default: made from proxy_pass */
};
struct wr_proxy_rules {
    WR_VEC(struct wr_proxy_rewrite) at;
    bool off, set;
    const struct wr_node *standard; /* where `default` was written */
};
struct wr_proxy_cookie_rule {  /* proxy_cookie_flags */
    struct wr_regex *regex;
    struct wr_template *name;
    WR_VEC(struct wr_template *) flags;
};

struct wr_proxy_conf {
    struct wr_http_proxy_conf base; /* first */
    struct wr_proxy_pass pass;
    struct wr_peer_tls tls;      /* with https:// */
    struct wr_announce announce; /* proxy_protocol */
    WR_VEC(struct wr_proxy_set) set;
    struct wr_template *method;
    bool http10;
    WR_VEC(struct wr_str) hide;
    WR_VEC(struct wr_str) show;     /* proxy_pass_header */
    struct wr_proxy_rules redirect, cookie_domain, cookie_path;
    WR_VEC(struct wr_proxy_cookie_rule) cookie_flags;
    bool cookie_flags_off;
    /* made by finish, where there is a proxy_pass */
    struct wr_proxy_plan plan;
    struct wr_proxy_names hidden;
    struct wr_proxy_rules location; /* redirect with its default in place */
};
struct wr_proxy_ctx {          /* of an exchange; used when proxy_pass has variables */
    struct wr_proxy_url url;
};
extern struct wr_module wr_module_http_proxy;

/* The URL of proxy_pass in this exchange. */
const struct wr_proxy_url *wr_proxy_url_of(const struct wr_exchange *x);

/* http_proxy_request.c */
bool wr_proxy_set_header(struct wr_cf *cf, void *conf);
void wr_proxy_plan_make(struct wr_pool *pool, struct wr_proxy_conf *c);
bool wr_proxy_request(struct wr_exchange *x, struct wr_request_out *out);

/* http_proxy_rewrite.c */
bool wr_proxy_set_redirect(struct wr_cf *cf, void *conf);
bool wr_proxy_set_cookie_domain(struct wr_cf *cf, void *conf);
bool wr_proxy_set_cookie_path(struct wr_cf *cf, void *conf);
bool wr_proxy_rules_finish(struct wr_cf *cf, struct wr_proxy_conf *c);
void wr_proxy_rewrite_redirects(struct wr_exchange *x, const struct wr_proxy_conf *c);
/* Rewrite by the first rule that matches; false: none does. domain: a cookie's domain, compared
 * without regard to case and to one leading dot. */
bool wr_proxy_rules_apply(struct wr_exchange *x, const struct wr_proxy_rules *rules, bool domain,
                          struct wr_str value, struct wr_str *out);

/* http_proxy_cookie.c */
bool wr_proxy_set_cookie_flags(struct wr_cf *cf, void *conf);
void wr_proxy_rewrite_cookies(struct wr_exchange *x, const struct wr_proxy_conf *c);

/* http_proxy_accel.c: PASS, or X-Accel-Redirect has sent the request to another location. */
enum wr_verdict wr_proxy_accel(struct wr_exchange *x, const struct wr_http_proxy_conf *c);

/* http_proxy_reply.c */
void wr_proxy_hidden_make(struct wr_pool *pool, struct wr_proxy_conf *c);
enum wr_verdict wr_proxy_reply(struct wr_exchange *x);

#endif

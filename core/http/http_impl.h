/* Private to the files of http: what carries a request from one of them to the next, and the
 * setters of directives. */
#ifndef WR_HTTP_IMPL_H
#define WR_HTTP_IMPL_H

#include "http/http.h"

/* True: heads may be read: the handshake is over, or the client speaks plain HTTP (which gets an
 * error, in plain). False: not yet, or the session has ended. */
bool wr_http_secured(struct wr_session *s);
/* Hook: on `listen ... ssl` a request must come over TLS, with the certificate its server wants. */
enum wr_verdict wr_http_check_client(struct wr_exchange *x);
/* wr_layer.by_name: the scope of the server with this name (SNI). */
const struct wr_scope *wr_http_by_name(const struct wr_session *s, struct wr_str name);

/* ---- speakers: those of all modules ---- */
void wr_speakers_init(void);   /* may be called again */
uint32_t wr_speakers_word(struct wr_str word); /* layer->speaks */
/* All ALPN names for a listener with these words, in wire format; the standard speaker's last. */
struct wr_str wr_speakers_alpn(struct wr_pool *p, uint32_t words);
/* Chooses the speaker of s; call it when first bytes may have come. False: they do not tell yet. */
bool wr_speakers_begin(struct wr_session *s) WR_CHECKED;

/* ---- body ---- */
enum wr_verdict wr_http_preread_body(struct wr_exchange *x) WR_CHECKED; /* PASS, REJECTED */
/* Call it before reading the body: sends 100 Continue to a client that waits for it. */
static inline void wr_http_want_body(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);

    if (wr_unlikely(h->expect)) {
        h->expect = false;
        h->speaker->server.interim(x, 100);
    }
}

/* ---- sending to a server ---- */
/* True: a part of the body was sent on and not kept, so there cannot be another try. */
static inline bool wr_http_has_lost_body(const struct wr_exchange *x)
{
    return x->up.taken > 0 && !wr_http_of(x)->body.complete;
}
/* Ends the reply of the current try; the step retry decides what comes next. */
enum wr_go wr_http_fail_try(struct wr_exchange *x, enum wr_failure why);
/* The final reply of the server is in h->res, as received: sets the next step. */
enum wr_go wr_http_take_reply(struct wr_exchange *x);

/* ---- proxy_hook ---- */
extern const struct wr_proxy_hook *wr_proxy_hook; /* NULL: no module has one */
extern uint64_t wr_proxy_hook_idle;
/* NULL where the module has nothing to do. */
static inline const struct wr_proxy_hook *wr_proxy_hook_of(const struct wr_exchange *x)
{
    return (x->scope->idle & wr_proxy_hook_idle) == 0 ? wr_proxy_hook : NULL;
}
/* True: the hook serves another reply instead of this failure; the step was set. */
bool wr_proxy_hook_fails(struct wr_exchange *x, unsigned status);
/* The client has left or is too slow: lets the exchange go on without it if its reply is wanted.
 * False: it is not. */
bool wr_http_go_on(struct wr_exchange *x);
/* The reply was sent. True: the exchange goes on, for the hook; the step was set. */
bool wr_proxy_hook_after(struct wr_exchange *x);

/* ---- reply_head ---- */
/* Fills out from h->res. Also decides h->res.framing: LENGTH, NONE, or CHUNKED if the length is not
 * known. */
void wr_http_decide_reply(struct wr_exchange *x, struct wr_reply_out *out);

/* ---- steps ---- */
extern const struct wr_step wr_step_route, wr_step_bad_line, wr_step_body, wr_step_head,
    wr_step_respond, wr_step_http_relay;
enum wr_go wr_http_left(struct wr_exchange *x); /* x->left of a request */
/* The reply cannot be completed: ends the exchange, so that the reply does not look complete. Logs
 * the reason if p is an error. */
enum wr_go wr_http_cut(struct wr_exchange *x, enum wr_pump p);
enum wr_go wr_http_tunnel_run(struct wr_exchange *x); /* step relay of an upgraded connection */
/* True: the reply comes from a peer, not from a file or a text. */
static inline bool wr_http_is_proxied(const struct wr_exchange *x, const struct wr_http *h)
{
    return h->proxy != NULL && x->tries != NULL && x->peer.ops != NULL
        && x->peer.ops->give == NULL;
}
/* True: a body that streams through has exceeded client_max_body_size; its length was not known
 * before. */
static inline bool wr_http_streams_too_much(const struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    return x->up.src != NULL && c->client_max_body > 0
        && wr_http_of(x)->body.size + x->up.taken > c->client_max_body;
}

/* ---- directives ---- */
extern const struct wr_directive wr_http_rows[];
struct wr_http_state {          /* of a configuration, state of wr_module_http */
    WR_VEC(struct wr_http_server *) servers;
    struct wr_dict *types;      /* the default where there is no types {} */
};
bool wr_http_set_aio(struct wr_cf *cf, void *conf);
bool wr_http_set_http(struct wr_cf *cf, void *conf);
bool wr_http_set_server(struct wr_cf *cf, void *conf);
bool wr_http_set_listen(struct wr_cf *cf, void *conf);
bool wr_http_set_root(struct wr_cf *cf, void *conf);
bool wr_http_set_types(struct wr_cf *cf, void *conf);
struct wr_dict *wr_http_default_types(struct wr_pool *p);

#endif

/* take_reply: decides what becomes of a server's reply once its head is there: another server is
 * tried, error_page replaces it, another location serves it, or the step respond passes it on. */
#include "http/http_impl.h"

/* True: proxy_next_upstream names the status, and there is another server to try. */
static bool must_try_another(struct wr_exchange *x)
{
    struct wr_tries *a = x->tries;
    struct wr_retry_facts f = {
        .failure = WR_FAIL_STATUS, .next = a->rows->next,
        .tries = a->all.n - a->first - a->stale,
        .max_tries = a->rows->next_tries, .elapsed_ms = wr_now() - a->begun_ms,
        .max_ms = a->rows->next_timeout_ms,
        .lost = wr_http_has_lost_body(x),
    };

    if (wr_http_of(x)->res.status < 400
        || (a->rows->next & wr_next_of_status(wr_http_of(x)->res.status)) == 0)
        return false;
    f.sent = !wr_method_idempotent(wr_http_of(x)->req.method);
    return wr_retry_policy(&f) == WR_RETRY_NEXT && wr_peer_is_left(x) && wr_retry_take(x);
}

/* proxy_intercept_errors: error_page makes the reply, which keeps the server's fields about
 * authentication. */
static enum wr_go intercept_reply(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_fields came = h->res.fields;
    unsigned status = h->res.status;

    wr_response_init(&h->res);
    for (uint32_t i = 0; i < came.n; i++) {
        const struct wr_field *f = &came.at[i];

        if (!f->gone && (f->id == WR_F_WWW_AUTHENTICATE || f->id == WR_F_PROXY_AUTHENTICATE))
            wr_fields_put(x->pool, &h->res.fields, f->id, f->name, f->value);
    }
    return x->layer->reject(x, status);
}

/* The cookie that binds the client to this server; p NULL: none. */
static struct wr_str sticky_cookie(struct wr_exchange *x)
{
    const struct wr_upstream *u = x->tries->u;

    return u != NULL && u->sticky != NULL ? u->sticky->reply(x) : wr_str_of(NULL, 0);
}

static void add_cookie(struct wr_exchange *x, struct wr_fields *f, struct wr_str cookie)
{
    if (cookie.p != NULL)
        (void)wr_fields_add_id(x->pool, f, WR_F_SET_COOKIE, cookie);
}

/* Passes the reply on, changed as the proxy module does it; cookie: added to it, p NULL: none. */
static enum wr_go pass_reply(struct wr_exchange *x, struct wr_str cookie)
{
    const struct wr_proxy_hook *hook = wr_proxy_hook_of(x);
    struct wr_http *h = wr_http_of(x);

    if (h->proxy_conf->intercept_errors && h->res.status >= 300
        && wr_http_has_page(x, h->res.status)) {
        add_cookie(x, &h->kept, cookie);
        if (hook != NULL)
            hook->intercept(x);
        return intercept_reply(x);
    }
    switch (h->proxy->reply(x)) {
    case WR_PASS:
        add_cookie(x, &h->res.fields, cookie); /* is neither hidden nor rewritten */
        break;
    case WR_TAKEN:
        add_cookie(x, &h->kept, cookie);
        return WR_GO;
    default: /* rejected */
        return x->layer->reject(x, x->status != 0 ? x->status : 502);
    }
    if (h->res.status == 101) {
        h->tunnel = true;
        h->keepalive = h->expect = false;
    }
    x->status = h->res.status;
    x->step = &wr_step_respond;
    return WR_GO;
}

enum wr_go wr_http_take_reply(struct wr_exchange *x)
{
    const struct wr_proxy_hook *hook = wr_proxy_hook_of(x);
    struct wr_http *h = wr_http_of(x);
    struct wr_try *t = wr_try_now(x->tries);
    struct wr_str cookie;

    t->header_ms = wr_now() - t->begun_ms;
    t->head_size = h->res.head_size;
    wr_http_keep_reply(x);
    t->status = h->res.status;
    if (must_try_another(x))
        return wr_http_fail_try(x, WR_FAIL_STATUS);
    h->asking = false;
    cookie = sticky_cookie(x);
    if (hook != NULL)
        hook->head(x);
    return pass_reply(x, cookie);
}

void wr_http_serve(struct wr_exchange *x)
{
    wr_http_keep_reply(x);
    (void)pass_reply(x, wr_str_of(NULL, 0));
}

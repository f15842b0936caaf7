/* body: reads a request's whole body for callers that need all of it before they begin: in memory
 * up to client_body_buffer_size, then in a temp file. */
#include "http/http_impl.h"

#define READS 16 /* in one turn */

const char *wr_http_body_path(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    const struct wr_body *b = &wr_http_of(x)->body;

    if (b->file == NULL)
        return NULL;
    return wr_temp_name(b->file, c->client_body_temp_levels, c->client_body_in_file_only == 1);
}

static bool spill_body(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_body *b = &wr_http_of(x)->body;

    if (b->file == NULL) {
        b->file = WR_NEW(x->pool, struct wr_temp);
        *b->file = wr_http_temp(x, wr_pool_cstr(x->pool, c->client_body_temp_path));
        if (!wr_temp_append(b->file, "", 0)) /* creates it: an empty body may need a file, too */
            return false;
        wr_xlog(x, WR_LOG_WARN, 0, "a client request body is buffered to a temporary file in %s",
                b->file->folder);
    }
    while (b->q.n > 0) {
        const struct wr_slice *s = b->q.head;

        if (!wr_temp_append(b->file, s->p, s->n))
            return false;
        wr_bufq_drop(&b->q, s->n);
    }
    return true;
}

static void drop_body(void *q)
{
    wr_bufq_clear(q);
}

static enum wr_verdict add_bytes(struct wr_exchange *x, const char *p, size_t n)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);

    if (h->body.size == 0)
        wr_pool_cleanup(x->pool, drop_body, &h->body.q);
    h->body.size += n;
    if (c->client_max_body > 0 && h->body.size > c->client_max_body) {
        wr_xlog(x, WR_LOG_ERROR, 0, "client intended to send too large chunked body: %llu bytes",
                (unsigned long long)h->body.size);
        return wr_reject(x, 413, NULL);
    }
    wr_bufq_copy(&h->body.q, p, n);
    if ((h->body.q.n > c->client_body_buffer || h->body.file != NULL) && !spill_body(x))
        return wr_reject(x, 500, NULL);
    return WR_PASS;
}

static enum wr_verdict reject_broken(struct wr_exchange *x)
{
    const char *why = wr_endpoint_why(&x->client);

    wr_http_of(x)->keepalive = false;
    if (why != NULL)
        return wr_reject(x, 400, why);
    wr_http_of(x)->aborted = true;
    return wr_reject(x, wr_endpoint_error(&x->client) == 0 ? 400 : 499,
                     "client prematurely closed connection");
}

/* The body is complete; with client_body_in_file_only write it to a file with a name. */
static bool complete_body(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    if (c->client_body_in_file_only > 0 && (!spill_body(x) || wr_http_body_path(x) == NULL))
        return false;
    wr_http_of(x)->body.complete = true;
    return true;
}

/* Reads the part of the body that came together with the head; the body is complete if that was
 * all. */
enum wr_verdict wr_http_preread_body(struct wr_exchange *x)
{
    if (wr_endpoint_unread(&x->client) > 0 && !wr_endpoint_at_end(&x->client))
        wr_http_want_body(x);
    while (wr_endpoint_unread(&x->client) > 0 && !wr_endpoint_at_end(&x->client)) {
        size_t got;
        enum wr_io io = x->client.ops->read(&x->client, wr_scratch, 65536, &got);
        enum wr_verdict v = io == WR_IO_OK ? add_bytes(x, wr_scratch, got) : WR_PASS;

        if (io == WR_IO_ERROR)
            return reject_broken(x);
        if (v != WR_PASS)
            return v;
        if (io == WR_IO_AGAIN)
            break;
    }
    if (wr_endpoint_at_end(&x->client) && !complete_body(x))
        return wr_reject(x, 500, NULL);
    return WR_PASS;
}

enum wr_verdict wr_http_read_body(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);

    if (h->req.framing == WR_BODY_NONE)
        h->body.complete = true;
    else if (!h->body.complete)
        wr_http_want_body(x);
    for (int reads = 0; !h->body.complete; reads++) {
        size_t got = 0;
        enum wr_verdict v = WR_PASS;

        if (reads == READS) { /* other exchanges get their turn */
            wr_exchange_wake(x);
            return WR_HOLD;
        }

        switch (x->client.ops->read(&x->client, wr_scratch, 65536, &got)) {
        case WR_IO_OK:
            v = add_bytes(x, wr_scratch, got);
            wr_timer_set(x->loop, &x->idle, c->client_body_timeout_ms);
            break;
        case WR_IO_EOF:
            if (!complete_body(x))
                return wr_reject(x, 500, NULL);
            break;
        case WR_IO_ERROR:
            return reject_broken(x);
        case WR_IO_AGAIN:
            if (wr_patience_keep(x, (struct wr_patience){ .whom = WR_AWAITS_CLIENT },
                                 c->client_body_timeout_ms) != WR_TIMEOUT_REFUSE)
                return WR_HOLD;
            h->keepalive = false;
            return wr_reject(x, 408, NULL);
        }
        if (v != WR_PASS)
            return v;
    }
    wr_timer_off(x->loop, &x->idle);
    return WR_PASS;
}

void wr_http_discard_body(struct wr_exchange *x)
{
    wr_http_of(x)->discard = true; /* the session drops the rest after the reply */
}

void wr_http_add_body_filter(struct wr_exchange *x, struct wr_relay_filter *f)
{
    struct wr_relay_filter **at = &wr_http_of(x)->filters;

    while (*at != NULL)
        at = &(*at)->next;
    *at = f;
}

/* mux_speaker: what the core is handed: client connections, on which each head is an exchange,
 * links to servers, and mux_pass. */
#include "mux.h"

static struct mux *mux_of_client(const struct wr_session *s)
{
    return WR_CHECK(*(void **)(void *)wr_http_session_of(s)->state, MUX);
}

static void rest(struct wr_session *s, const struct mux *m)
{
    wr_session_idle(s, m->n == 0);
    wr_conn_timeout(&s->conn, m->n == 0 ? wr_http_header_ms(s) : 0);
}

static void over(struct wr_exchange *x)
{
    struct mux_stream *st = WR_CHECK(x->client.state, MUX_STREAM);
    struct mux *m = st->m;

    wr_bufq_clear(&wr_http_of(x)->body.q);
    mux_stream_leave(st, WR_STR("c"));
    if (m != NULL && !x->s->ending) {
        rest(x->s, m);
        wr_loop_flush_later(x->s->loop, &m->flush);
    }
}

/* ---- heads ---- */

static bool request_of(struct wr_exchange *x, struct wr_str p, struct wr_request *r)
{
    struct wr_str name, value, all = p;

    while (p.n > 0 && mux_get(&p, &name, &value)) {
        if (wr_str_is(name, ":method"))
            r->method_text = value;
        else if (wr_str_is(name, ":target"))
            r->target = value;
        else if (wr_str_is(name, ":authority"))
            (void)wr_fields_add(x->pool, &r->fields, WR_STR("Host"), value);
    }
    r->method = wr_method_of(r->method_text);
    r->line = wr_pool_fmt(x->pool, WR_FMT " " WR_FMT " MUX/1", WR_ARG(r->method_text),
                          WR_ARG(r->target));
    for (size_t i = 0; i < r->target.n; i++)
        if (r->target.p[i] == ' ' || r->target.p[i] == '#' || r->target.p[i] == '\t')
            return false;
    for (size_t i = 0; i < r->method_text.n; i++)
        if (!(r->method_text.p[i] >= 'A' && r->method_text.p[i] <= 'Z'))
            return false;
    return p.n == 0 && r->method_text.n > 0 && mux_fields(x->pool, all, &r->fields)
        && wr_host_parse(x->pool, wr_fields_value(&r->fields, WR_F_HOST), &r->host, &r->host_port);
}

static bool request_came(struct mux *m, struct mux_stream *st, uint32_t id, struct wr_str p,
                         bool last)
{
    struct wr_session *s = m->owner;
    struct wr_exchange *x;
    struct wr_http *h;

    if (st != NULL || id <= m->last)
        return false;
    if (m->leaving || m->n == MUX_STREAMS) {
        m->last = id;
        mux_frame(m, 'r', id, WR_STR("n"));
        return true;
    }
    x = wr_http_request_new(s, 0);
    x->over = over;
    st = mux_stream_new(m, x, id);
    st->in_end = last;
    x->client = (struct wr_endpoint){ .ops = &mux_endpoint, .conn = &s->conn, .state = st };
    h = wr_http_of(x);
    h->request_length = p.n;
    if (!request_of(x, wr_pool_str(x->pool, p), &h->req))
        wr_http_request_bad(x, 400, "client sent an invalid mux head", true);
    else if (!last)
        h->req.framing = WR_BODY_CHUNKED;
    wr_fields_remove(&h->req.fields, WR_F_CONTENT_LENGTH); /* the end says it */
    (void)wr_http_host_known(x, &h->req);
    wr_exchange_wake(x);
    rest(s, m);
    return true;
}

static void put_known(struct wr_text *t, const char *name, struct wr_str value)
{
    if (value.n > 0)
        mux_put(t, wr_str_c(name), value);
}

static bool put_reply(struct wr_exchange *x, const struct wr_reply_out *out)
{
    struct mux_stream *st = WR_CHECK(x->client.state, MUX_STREAM);
    struct wr_text t = wr_text_grow(x->pool, 512, 65536);

    mux_put(&t, WR_STR(":status"), wr_pool_fmt(x->pool, "%u", out->status));
    put_known(&t, "server", out->server);
    put_known(&t, "date", out->date);
    put_known(&t, "content-type", out->type);
    for (uint32_t i = 0; i < out->fields->n; i++) {
        const struct wr_field *f = &out->fields->at[i];

        if (!f->gone && !wr_field_is_hop(f->id))
            mux_put(&t, f->name, f->value);
    }
    if (st->m != NULL && !st->reset && !t.overflow)
        mux_frame(st->m, 'h', st->id, wr_text_view(&t));
    wr_http_of(x)->header_bytes_sent = t.n;
    return !t.overflow;
}

static void interim(struct wr_exchange *x, unsigned status)
{
    (void)x; /* the window says how much of a body may come */
    (void)status;
}

static void cut(struct wr_exchange *x, enum wr_abort how)
{
    (void)how; /* over resets what is not complete */
    (void)x;
}

/* ---- the session ---- */

static void client_lost(struct mux *m)
{
    wr_session_end(m->owner);
}

static void client_drained(struct mux *m)
{
    if (m->leaving && m->n == 0)
        wr_session_end(m->owner);
}

static const struct mux_side server_side = { request_came, client_lost, client_drained };

static void client_begin(struct wr_session *s)
{
    struct mux *m = mux_new(&server_side, &s->conn, s);

    *(void **)(void *)wr_http_session_of(s)->state = m;
    m->preface = MUX_PREFACE;
    wr_conn_timeout(&s->conn, wr_http_header_ms(s));
}

static void wake(struct wr_session *s)
{
    struct mux *m = mux_of_client(s);

    if (m->n == 0 && s->conn.deadline.fired)
        wr_session_end(s);
    else
        mux_run(m);
}

static void client_drain(struct wr_session *s)
{
    struct mux *m = mux_of_client(s);

    m->leaving = true;
    mux_number(m, 'g', 0, m->last);
}

static void ended(struct wr_session *s)
{
    mux_free(mux_of_client(s));
}

/* ---- the link ---- */

static struct mux *mux_of_link(const struct wr_peer_link *l)
{
    return WR_CHECK(l->of_speaker, MUX);
}

static bool reply_came(struct mux *m, struct mux_stream *s, uint32_t id, struct wr_str p, bool last)
{
    if (s == NULL)
        return id <= m->last;
    *wr_vec_push(s->x->pool, &s->heads) = wr_pool_str(s->x->pool, p);
    s->in_end = last;
    wr_exchange_wake(s->x);
    return true;
}

static void link_lost(struct mux *m)
{
    struct wr_peer_link *l = m->owner;

    l->of_speaker = NULL;
    mux_free(m);
    wr_peer_link_gone(l);
}

static void link_drained(struct mux *m)
{
    if (m->goaway != UINT32_MAX && !m->leaving) {
        m->leaving = true;
        wr_peer_link_gone(m->owner);
    }
}

static const struct mux_side peer_side = { reply_came, link_lost, link_drained };

static bool speaks(struct wr_str alpn)
{
    return alpn.n == 0 || wr_str_is(alpn, "mux/1");
}

static enum wr_room room(struct wr_peer_link *l)
{
    const struct mux *m = l->of_speaker;

    if (m == NULL || m->goaway != UINT32_MAX)
        return WR_ROOM_GONE;
    return m->n < MUX_STREAMS ? WR_ROOM_READY : WR_ROOM_FULL;
}

static void link_begin(struct wr_peer_link *l)
{
    struct mux *m = mux_new(&peer_side, &l->conn, l);

    l->of_speaker = m;
    wr_bufq_copy(&m->out, MUX_PREFACE, sizeof(MUX_PREFACE) - 1);
}

static void link_run(struct wr_peer_link *l)
{
    if (l->of_speaker != NULL)
        mux_run(mux_of_link(l));
}

static void link_drain(struct wr_peer_link *l)
{
    size_t put;

    if (l->of_speaker == NULL)
        return;
    mux_number(mux_of_link(l), 'g', 0, 0);
    (void)!wr_conn_write_q(&l->conn, &mux_of_link(l)->out, SIZE_MAX, &put);
}

static void link_end(struct wr_peer_link *l)
{
    mux_free(mux_of_link(l));
    l->of_speaker = NULL;
}

static const struct wr_link_speaker link_speaker = {
    .name = "mux", .speaks = speaks, .lease = room, .begin = link_begin, .run = link_run,
    .drain = link_drain, .end = link_end,
};

/* ---- a request ---- */

static bool put_request(struct wr_exchange *x, const struct wr_request_out *out)
{
    struct mux *m = x->attempts->lease.link->of_speaker;
    struct wr_text t = wr_text_grow(x->pool, 512, 65536);
    struct mux_stream *s;
    bool last = out->framing == WR_BODY_NONE
             || (out->framing == WR_BODY_LENGTH && out->length == 0);

    mux_put(&t, WR_STR(":method"), out->method_text);
    mux_put(&t, WR_STR(":target"), out->target);
    mux_put(&t, WR_STR(":authority"), out->authority);
    for (uint32_t i = 0; i < out->n; i++)
        if (!wr_field_is_hop(out->fields[i]->id))
            mux_put(&t, out->fields[i]->name, out->fields[i]->value);
    s = mux_stream_new(m, x, m->last + 1);
    x->peer = (struct wr_endpoint){
        .ops = &mux_endpoint, .conn = wr_try_conn(x->attempts), .state = s,
    };
    s->out_end = last;
    if (!t.overflow)
        mux_frame(m, last ? 'H' : 'h', s->id, wr_text_view(&t));
    s->lease = &x->attempts->lease;
    s->lease->sent += t.n;
    return !t.overflow;
}

/* ---- its reply ---- */

static bool reply_of(struct wr_exchange *x, struct wr_str p, struct wr_response *r)
{
    struct wr_str rest = p, name, value;
    uint64_t status;

    wr_response_init(r);
    if (!mux_get(&rest, &name, &value) || !wr_str_is(name, ":status")
        || !wr_str_u64(value, &status) || status < 100 || status > 999
        || !mux_fields(x->pool, rest, &r->fields))
        return false;
    r->status = (unsigned)status;
    r->version = 11;
    r->head_size = p.n;
    r->framing = WR_BODY_CHUNKED;
    r->type = wr_fields_value(&r->fields, WR_F_CONTENT_TYPE);
    wr_fields_remove(&r->fields, WR_F_CONTENT_TYPE);
    wr_fields_remove(&r->fields, WR_F_CONTENT_LENGTH);
    return true;
}

static enum wr_io next_head(struct wr_exchange *x)
{
    struct mux_stream *s = WR_CHECK(x->peer.state, MUX_STREAM);
    struct wr_str first;

    if (s->heads.n == 0)
        return s->m == NULL || s->reset ? WR_IO_EOF : WR_IO_AGAIN;
    first = s->heads.at[0];
    memmove(s->heads.at, s->heads.at + 1, --s->heads.n * sizeof(first));
    if (reply_of(x, first, &wr_http_of(x)->res))
        return WR_IO_OK;
    s->why = "upstream sent an invalid mux head";
    return WR_IO_ERROR;
}

static void cancel(struct wr_exchange *x, enum wr_failure why)
{
    (void)why;
    if (x->peer.ops != NULL)
        x->peer.ops->end(&x->peer, WR_END_RESET);
}

static struct wr_try_verdict verdict(const struct wr_exchange *x, enum wr_failure why)
{
    const struct mux_stream *s = x->peer.ops == NULL ? NULL : WR_CHECK(x->peer.state, MUX_STREAM);
    const struct wr_lease *e = &x->attempts->lease;

    return wr_try_judge(&(struct wr_try_facts){
        .failure = why,
        .reused = e->reused,
        .idempotent = wr_method_idempotent(wr_http_of(x)->req.method),
        .refused = s != NULL && s->refused,
        .sent = wr_lease_sent(e),
        .received = wr_lease_received(e),
    });
}

/* ---- the speaker ---- */

static enum wr_claim claims(struct wr_str first)
{
    struct wr_str own = WR_STR(MUX_PREFACE);

    if (!wr_str_starts(own, wr_str_of(first.p, wr_min(first.n, own.n))))
        return WR_CLAIM_NO;
    return first.n < own.n ? WR_CLAIM_MORE : WR_CLAIM_YES;
}

static const struct wr_http_speaker speaker = {
    .name = "mux",
    .word = "mux",
    .alpn = WR_STR_INIT("\x05mux/1"),
    .claims = claims,
    .server = { .begin = client_begin, .wake = wake, .interim = interim, .reply = put_reply,
                .abort = cut, .drain = client_drain, .ended = ended },
    .peer = { .request = put_request, .head = next_head, .cancel = cancel, .verdict = verdict,
              .link = &link_speaker },
};

/* ---- mux_pass ---- */

struct mux_conf {
    struct wr_http_proxy_conf base;
    struct wr_upstream *upstream; /* NULL: not here */
};

static bool set_pass(struct wr_cf *cf, void *conf)
{
    struct mux_conf *c = conf;

    c->upstream = wr_upstream_named(cf, 1, wr_cf_arg(cf, 1), 0);
    return c->upstream != NULL;
}

static bool complete(struct wr_exchange *x, struct wr_request_out *out)
{
    struct wr_request *r = &wr_http_of(x)->req;

    out->target = r->target;
    out->authority = r->host;
    out->fields = WR_NEW_ARRAY(x->pool, const struct wr_field *, (size_t)r->fields.n + 1);
    for (uint32_t i = 0; i < r->fields.n; i++)
        if (!r->fields.at[i].gone && r->fields.at[i].id != WR_F_HOST
            && r->fields.at[i].id != WR_F_CONTENT_LENGTH)
            out->fields[out->n++] = &r->fields.at[i];
    return true;
}

static enum wr_verdict pass_reply(struct wr_exchange *x)
{
    wr_fields_remove(&wr_http_of(x)->res.fields, WR_F_DATE);
    wr_fields_remove(&wr_http_of(x)->res.fields, WR_F_SERVER);
    return WR_PASS;
}

static const struct wr_http_proxy_ops ops = {
    .name = "mux", .speaker = &speaker, .request = complete, .reply = pass_reply,
};

static enum wr_verdict content(struct wr_exchange *x)
{
    const struct mux_conf *c = wr_conf_of(x, &wr_module_mux);

    if (c->upstream == NULL)
        return WR_PASS;
    return wr_http_proxy(x, &ops, &c->base, c->upstream, c->upstream->name, 0);
}

static void enter(struct wr_scope *scope, void *conf)
{
    struct mux_conf *c = conf;

    (void)scope;
    c->upstream = NULL;
}

static bool finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct mux_conf *c = conf;

    (void)scope;
    c->base.chunked_out = c->base.pass_trailers = true;
    if (!wr_http_proxy_finish(cf, &c->base, "mux"))
        return false;
    if (c->upstream != NULL)
        wr_http_proxy_folders(cf, &c->base);
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("mux_pass", WR_L7 | WR_LV_LOCATION | WR_LOCAL, 1, 1, set_pass, NULL,
              "where requests go, in the words of mux"),
    WR_HTTP_PROXY_ROWS("mux", WR_PROXY_TEMP_PATH, struct mux_conf, base),
    { 0 },
};

struct wr_module wr_module_mux = {
    .name = "mux",
    .layers = WR_L7,
    .conf_size = sizeof(struct mux_conf),
    .directives = directives,
    .speaker = &speaker,
    .phases = (const struct wr_phase_hook[]){
        { .phase = WR_PH_CONTENT, .layers = WR_L7, .run = content, .rank = -1 },
        { 0 },
    },
    .enter = enter,
    .finish = finish,
};

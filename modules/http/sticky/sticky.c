/* sticky: clients stay with the server that answered them first. The step pick asks `find` before
 * the balancer; a reply brings the cookie, or teaches the session. A client whose server is down,
 * has failed or is gone is bound anew; one whose server is only full is sent elsewhere for this
 * request and stays bound. */
#include "sticky_impl.h"

#define COOKIE_MAX 4096
#define COOKIES_MAX 64            /* cookies of one name that are looked at */

struct bond {                    /* of an exchange */
    const struct wr_upstream *u; /* the group it is about */
    bool looked;                 /* the next fields are set */
    struct wr_str value;         /* route, or the address a session points to; p NULL: none */
    struct wr_sticky_key session;
    struct wr_sticky_target target;
    enum wr_sticky_found found;  /* the session */
    bool full;                   /* the server it is bound to has no room */
    struct wr_sticky_value full_value; /* the first value of that server */
    bool answered, learned;
};
struct at_end {                  /* learns before the client has the whole reply */
    struct wr_relay_filter filter;
    struct wr_exchange *x;
    uint64_t seen, length;       /* length UINT64_MAX: not known */
};

/* An internal redirect may lead the exchange to another group. */
static struct bond *bond_of(struct wr_exchange *x, const struct wr_upstream *u)
{
    struct bond *b = wr_ctx_of(x, &wr_module_sticky);

    if (b->u != u)
        *b = (struct bond){ .u = u };
    return b;
}

static struct wr_sticky *sticky_of(const struct wr_upstream *u)
{
    return WR_CHECK(u->sticky_conf, STICKY);
}

static struct wr_str first_text(struct wr_exchange *x, const struct wr_sticky_texts *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        struct wr_str s = wr_template_str(x, t->at[i]);

        if (s.n > 0)
            return s;
    }
    return wr_str_of(NULL, 0);
}

/* ---- the values of servers ---- */

static void make_values(const void *arg, struct wr_str route, const struct wr_addr *addr,
                        struct wr_sticky_value *out)
{
    const struct wr_sticky *s = arg;
    uint64_t hash = wr_addr_hash(addr);

    if (s->method == WR_STICKY_LEARN) {
        *out = (struct wr_sticky_value){ .n = sizeof(hash) };
        memcpy(out->p, &hash, sizeof(hash));
        return;
    }
    if (s->nsecrets == 0)
        *out = wr_sticky_name(route, addr);
    for (uint32_t i = 0; i < s->nsecrets; i++)
        out[i] = wr_sticky_sign(s->secrets[i], route, addr);
}

static struct wr_sticky_index *index_of(struct wr_sticky *s, const struct wr_peer_group *g,
                                        bool backup)
{
    struct wr_sticky_index *ix = &s->index[backup];

    if (wr_unlikely(ix->stale || ix->pool == NULL))
        wr_sticky_index_make(ix, g, wr_max(s->nsecrets, 1u), make_values, s);
    return ix;
}

static void sticky_changed(struct wr_upstream *u)
{
    struct wr_sticky *s = sticky_of(u);

    s->index[0].stale = s->index[1].stale = true;
}

/* ---- finding the bound server ---- */

/* True: the peer would be usable if it had room. */
static bool is_only_full(const struct wr_pick *p, const struct wr_peer *peer)
{
    struct wr_pick crowded = *p;

    crowded.crowded = true;
    return atomic_load_explicit(&peer->slot->max_conns, memory_order_relaxed) > 0
        && wr_peer_usable(&crowded, peer);
}

/* Several servers may have one route, or one address: the one a session points to by its key comes
 * first, then the one with the least connections for its weight, ties by chance. */
struct choice {
    struct wr_peer *peer;        /* NULL: none */
    bool by_key;
    uint64_t conns, weight;
};

/* Less than 0: a is better. */
static int compare_choices(const struct choice *a, const struct choice *b)
{
    uint64_t x = a->conns * b->weight, y = b->conns * a->weight;

    if (b->peer == NULL || a->by_key != b->by_key)
        return b->peer == NULL || a->by_key ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* ties: how many were as good as *best. */
static void consider_peer(struct choice *best, uint32_t *ties, struct wr_peer *peer,
                          uint64_t server)
{
    struct choice c = {
        .peer = peer,
        .by_key = server != 0 && peer->slot->key == server,
        .conns = atomic_load_explicit(&peer->slot->conns, memory_order_relaxed),
        .weight = atomic_load_explicit(&peer->slot->weight, memory_order_relaxed),
    };
    int order = compare_choices(&c, best);

    *ties = order < 0 ? 1 : *ties + (order == 0);
    if (order < 0 || (order == 0 && wr_random() % *ties == 0))
        *best = c;
}

/* The usable peer with this value. *full: there is one that only has no room. */
static struct wr_peer *peer_of(const struct wr_sticky_index *ix, struct wr_peer_group *g,
                               struct wr_pick *p, struct wr_str value, uint64_t server,
                               struct wr_peer **full)
{
    struct choice best = { .peer = NULL };
    uint32_t at = 0, ties = 0, i;

    p->bound = true;
    while ((i = wr_sticky_index_next(ix, value, &at)) < g->n) {
        struct wr_peer *peer = &g->at[i];

        if (wr_peer_usable(p, peer))
            consider_peer(&best, &ties, peer, server);
        else if (*full == NULL && is_only_full(p, peer))
            *full = peer;
    }
    p->bound = false;
    return best.peer;
}

/* A browser may send several cookies of the name, for several paths: the first that names a usable
 * server counts. One that names none, or is not signed, is passed over. */
static struct wr_peer *find_by_cookie(const struct wr_sticky *s, const struct wr_sticky_index *ix,
                                      struct wr_peer_group *g, struct wr_pick *p,
                                      struct wr_peer **full)
{
    const struct wr_fields *fields = &wr_http_of(p->x)->req.fields;
    struct wr_field *f = wr_fields_first(fields, WR_F_COOKIE);
    struct wr_peer *peer = NULL;
    struct wr_str value;
    uint32_t seen = 0;

    for (; f != NULL; f = wr_fields_find(fields, f->name, f)) {
        struct wr_str rest = f->value;

        while (peer == NULL && seen++ < COOKIES_MAX
               && wr_sticky_cookie(&rest, s->cookie.name, &value))
            peer = peer_of(ix, g, p, value, 0, full);
        if (peer != NULL)
            break;
    }
    return peer;
}

static void look_up(struct wr_exchange *x, const struct wr_sticky *s, struct bond *b)
{
    struct wr_str text = first_text(x, &s->lookup);

    b->looked = true;
    b->value = wr_str_of(NULL, 0);
    if (s->method == WR_STICKY_ROUTE || text.n == 0) {
        b->value = text;
        return;
    }
    b->session = wr_sticky_key_of(text);
    b->found = wr_sticky_look(s->zone, &b->session, s->timeout_s, &b->target);
    if (b->found == WR_STICKY_YES)
        b->value = wr_str_of((const char *)&b->target.addr, sizeof(b->target.addr));
}

static struct wr_peer *sticky_find(struct wr_upstream *u, struct wr_peer_group *g,
                                   struct wr_pick *p)
{
    struct wr_sticky *s = sticky_of(u);
    const struct wr_sticky_index *ix = index_of(s, g, p->backup);
    struct bond *b = bond_of(p->x, u);
    struct wr_peer *full = NULL, *peer = NULL;

    if (!p->backup)
        b->full = false;
    if (s->method == WR_STICKY_COOKIE) {
        peer = find_by_cookie(s, ix, g, p, &full);
    } else {
        if (!b->looked)
            look_up(p->x, s, b);
        if (b->value.n > 0)
            peer = peer_of(ix, g, p, b->value, b->target.server, &full);
    }
    if (peer == NULL && full != NULL) {
        const struct wr_sticky_value *v = wr_sticky_index_value(ix, full);

        b->full = true;
        b->full_value = v != NULL ? *v : (struct wr_sticky_value){ .n = 0 };
    }
    return peer;
}

/* ---- the cookie ---- */

static enum wr_same_site same_site(struct wr_exchange *x, const struct wr_sticky_cookie *c)
{
    struct wr_str word;
    enum wr_same_site site;

    if (c->same_site == NULL)
        return c->fixed_same_site;
    word = wr_template_str(x, c->same_site);
    site = wr_same_site_of(word);
    return word.n > 0 && site == WR_SAME_SITE_NO ? WR_SAME_SITE_STRICT : site;
}

/* The value of the server that answered; of the client's own one if that is only full. */
static struct wr_sticky_value value_to_send(struct wr_sticky *s, const struct bond *b,
                                            const struct wr_peer *peer)
{
    if (b->full)
        return b->full_value;
    for (unsigned i = 0; i < 2; i++) {
        const struct wr_sticky_value *v = wr_sticky_index_value(&s->index[i], peer);

        if (v != NULL)
            return *v;
    }
    return (struct wr_sticky_value){ .n = 0 }; /* it has left the group meanwhile */
}

static struct wr_str make_cookie(struct wr_exchange *x, struct wr_sticky *s, const struct bond *b)
{
    const struct wr_sticky_cookie *c = &s->cookie;
    struct wr_sticky_value v = value_to_send(s, b, &wr_try_now(x->tries)->peer);
    struct wr_text t = wr_text_grow(x->pool, 128, COOKIE_MAX);
    struct wr_str domain = wr_str_of(NULL, 0);

    if (v.n == 0 || !wr_sticky_is_value(wr_sticky_text(&v)))
        return domain;
    if (c->domain != NULL)
        domain = wr_template_str(x, c->domain);
    if (!wr_sticky_is_value(domain)) /* a variable with a value of the client */
        domain.n = 0;
    wr_text_str(&t, c->name);
    wr_text_char(&t, '=');
    wr_text_str(&t, wr_sticky_text(&v));
    wr_sticky_attributes(&t, c, (time_t)(wr_clock.wall_ms / 1000), domain, same_site(x, c));
    return t.overflow ? wr_str_of(NULL, 0) : wr_text_view(&t);
}

/* ---- learning ---- */

static void learn_session(struct wr_exchange *x, const struct wr_sticky *s, struct bond *b)
{
    const struct wr_peer *peer = &wr_try_now(x->tries)->peer;
    struct wr_str text;
    struct wr_sticky_key key;
    struct wr_sticky_target target;
    struct wr_addr addr;
    bool same;

    b->learned = true;
    text = first_text(x, &s->create);
    if (text.n == 0 || !wr_peer_addr(peer, &addr))
        return;
    key = wr_sticky_key_of(text);
    target = (struct wr_sticky_target){ peer->slot->key, wr_addr_hash(&addr) };
    same = b->looked && memcmp(&key, &b->session, sizeof(key)) == 0;
    /* Full, or the table was locked: the session stays where it is. */
    if (same && (b->full || b->found == WR_STICKY_BUSY))
        return;
    wr_sticky_store(s->zone, &key, s->timeout_s, &target);
}

static enum wr_filtered run_at_end(struct wr_relay_filter *f, enum wr_push push,
                                   struct wr_bufq *out)
{
    struct at_end *e = wr_container(f, struct at_end, filter);
    const struct wr_upstream *u = e->x->tries->u;
    struct bond *b = wr_ctx_of(e->x, &wr_module_sticky);

    e->seen += f->in.n;
    if (!b->learned && b->u == u && (push == WR_PUSH_FIN || e->seen >= e->length))
        learn_session(e->x, sticky_of(u), b);
    wr_bufq_move(out, &f->in, f->in.n);
    return WR_FILTERED;
}

/* Without `header` a session is learned when the reply is complete. A filter learns it, so that a
 * client that has the end finds the session in any worker. */
static void learn_at_end(struct wr_exchange *x)
{
    const struct wr_response *r = &wr_http_of(x)->res;
    struct at_end *e = WR_NEW(x->pool, struct at_end);

    e->x = x;
    e->length = r->framing == WR_BODY_LENGTH ? r->length : UINT64_MAX;
    e->filter = (struct wr_relay_filter){ .run = run_at_end, .passes = true };
    wr_http_add_body_filter(x, &e->filter);
}

static bool has_body(const struct wr_exchange *x)
{
    const struct wr_http *h = wr_http_of(x);

    return h->req.method != WR_M_HEAD && h->res.status >= 200 && h->res.status != 204
        && h->res.status != 304 && h->res.framing != WR_BODY_NONE
        && !(h->res.framing == WR_BODY_LENGTH && h->res.length == 0);
}

static struct wr_str sticky_reply(struct wr_exchange *x)
{
    struct wr_upstream *u = x->tries->u;
    struct wr_sticky *s = sticky_of(u);
    struct bond *b = bond_of(x, u);

    if (s->method == WR_STICKY_COOKIE && x->parent == NULL)
        return make_cookie(x, s, b);
    if (s->method != WR_STICKY_LEARN)
        return wr_str_of(NULL, 0);
    b->answered = true;
    b->learned = false;
    if (s->header || !has_body(x))
        learn_session(x, s, b);
    else if (first_text(x, &s->create).n > 0)
        learn_at_end(x); /* a name that only a trailer brings is learned when the try ends */
    return wr_str_of(NULL, 0);
}

/* The client has left before the end, or another reply took the place of this one. */
static void sticky_done(struct wr_exchange *x)
{
    struct bond *b = bond_of(x, x->tries->u);

    if (b->answered && !b->learned)
        learn_session(x, sticky_of(x->tries->u), b);
    b->answered = false;
}

const struct wr_sticky_ops wr_sticky_ops = {
    .find = sticky_find,
    .reply = sticky_reply,
    .done = sticky_done,
    .changed = sticky_changed,
};

static bool sticky_prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_sticky) = WR_NEW(cf->pool, struct wr_sticky_state);
    return true;
}

static void sticky_exit(struct wr_conf *conf)
{
    const struct wr_sticky_state *state = wr_conf_state(conf, &wr_module_sticky);

    for (struct wr_sticky *s = state->all; s != NULL; s = s->next) {
        wr_sticky_index_free(&s->index[0]);
        wr_sticky_index_free(&s->index[1]);
    }
}

struct wr_module wr_module_sticky = {
    .name = "sticky",
    .layers = WR_L7,
    .ctx_size = sizeof(struct bond),
    .directives = wr_sticky_directives,
    .prepare = sticky_prepare,
    .check = wr_sticky_check,
    .worker_exit = sticky_exit,
};

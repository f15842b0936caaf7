/* peer_names: resolves the names of servers. At start the master asks for all of them at once with
 * one deadline. Afterwards the keeper asks for a name when its TTL ends, retries unknown names, and
 * publishes changed addresses to the zones. */
#include "upstream/upstream_impl.h"

#define RETRY_MS 1000        /* unknown names: the first pause; also how often /etc/hosts is read */
#define RETRY_MAX_MS 30000   /* longest pause between questions that were not answered */
#define TTL_MIN_MS 1000
#define TTL_MAX_MS 3600000

struct watched_name {        /* one `server` line with a name */
    struct wr_task task;
    struct wr_timer timer;   /* to look at the name again */
    struct wr_query query;
    struct wr_upstream *u;
    struct wr_server *s;
    struct wr_resolver *resolver;
    struct wr_loop *loop;
    struct batch *batch;     /* start only */
    uint64_t ask_at, backoff;
    uint64_t gone_at;        /* when the name was first found not to exist; 0: it exists */
    enum wr_dns_code code;   /* of the last log line; OK: the name is known */
    bool asking;
};

/* Name servers shuffle their answers; sort them into an order that stays. */
static int compare_addresses(const void *pa, const void *pb)
{
    const struct wr_name_addr *a = pa, *b = pb;
    struct wr_str x = wr_addr_bytes(&a->addr), y = wr_addr_bytes(&b->addr);
    int by = (int)a->priority - (int)b->priority;

    if (by == 0)
        by = (x.n > y.n) - (x.n < y.n);
    if (by == 0)
        by = memcmp(x.p, y.p, x.n);
    return by != 0 ? by : (int)wr_addr_port(&a->addr) - (int)wr_addr_port(&b->addr);
}

static bool has_address(const struct wr_name_addr *at, uint32_t n, const struct wr_addr *a)
{
    while (n-- > 0)
        if (wr_addr_eq(&at[n].addr, a))
            return true;
    return false;
}

/* Appends the known addresses of a family whose name server has failed now. */
static uint32_t keep_failed(const struct wr_names *n, const struct wr_server *s,
                            struct wr_name_addr *out, uint32_t count)
{
    uint32_t fresh = count;

    for (uint32_t i = 0; s->known != NULL && i < s->known->n && count < WR_NAMES; i++) {
        const struct wr_name_addr *a = &s->known->at[i];

        if ((a->addr.sa.sa_family == AF_INET ? n->failed4 : n->failed6)
            && !has_address(out, fresh, &a->addr))
            out[count++] = *a;
    }
    return count;
}

/* Writes the addresses to out (room for WR_NAMES) with the server's port, each once; SRV answers
 * have ports of their own, and may have an address twice. */
static uint32_t collect_addresses(const struct wr_names *n, const struct wr_server *s,
                                  struct wr_name_addr *out)
{
    bool srv = s->service.n > 0;
    uint32_t count, distinct = 0;

    for (count = 0; count < n->n; count++) {
        out[count] = n->at[count];
        if (!srv)
            wr_addr_set_port(&out[count].addr, s->port);
    }
    if (n->failed4 || n->failed6)
        count = keep_failed(n, s, out, count);
    qsort(out, count, sizeof(*out), compare_addresses);
    for (uint32_t i = 0; i < count; i++)
        if (srv || distinct == 0 || !wr_addr_eq(&out[distinct - 1].addr, &out[i].addr))
            out[distinct++] = out[i];
    return distinct;
}

static bool find_in_hosts(const struct wr_server *s, struct wr_names *out)
{
    out->n = 0;
    if (s->service.n == 0)
        wr_hosts_lookup(s->host, out);
    return out->n > 0;
}

static void each_name(struct wr_conf *c, void (*fn)(struct wr_upstream *, struct wr_server *,
                                                    void *), void *arg)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        for (uint32_t k = 0; k < all->all.at[i]->servers.n; k++)
            if (all->all.at[i]->servers.at[k].named)
                fn(all->all.at[i], &all->all.at[i]->servers.at[k], arg);
}

static struct wr_resolver *system_resolver(struct wr_loop *l, uint64_t timeout_ms)
{
    struct wr_resolver_opts o = { .hosts = true, .timeout_ms = timeout_ms };

    return wr_resolver_new(l, &o);
}

/* ---- at start: one deadline for the whole configuration ---- */

struct batch {
    struct wr_conf *conf;
    struct wr_loop *loop;
    struct wr_resolver *resolver;
    uint64_t deadline_ms;
    uint32_t open;
    WR_VEC(struct watched_name *) all;
};

static void set_known(struct wr_conf *c, struct wr_server *s, const struct wr_names *n)
{
    struct wr_known_addrs *known = WR_NEW(c->pool, struct wr_known_addrs);

    known->cap = WR_NAMES;
    known->at = WR_NEW_ARRAY(c->pool, struct wr_name_addr, known->cap);
    known->n = collect_addresses(n, s, known->at);
    s->known = known;
}

static void warn_unknown(const struct watched_name *k, enum wr_dns_code code)
{
    k->s->unanswered = k->u->grace_ms > 0 || (code != WR_DNS_NXDOMAIN && code != WR_DNS_OK);
    wr_diag_add(k->batch->conf->tree, WR_LOG_WARN, k->s->node, k->u->implicit ? k->u->word : 1,
                "it is resolved again after the workers have started",
                "host not found in upstream \"" WR_FMT "\" (%s)", WR_ARG(k->s->text),
                wr_dns_code_text(code));
}

static void start_done(struct wr_query *q, const struct wr_names *n)
{
    struct watched_name *k = wr_container(q, struct watched_name, query);

    k->asking = false;
    k->batch->open--;
    if (n->code == WR_DNS_OK && n->n > 0)
        set_known(k->batch->conf, k->s, n);
    else
        warn_unknown(k, n->code);
}

static void start_ask(struct wr_upstream *u, struct wr_server *s, void *arg)
{
    struct batch *b = arg;
    struct wr_names found;
    struct watched_name *k;

    if (s->known != NULL)
        return;
    if (find_in_hosts(s, &found)) {
        set_known(b->conf, s, &found);
        return;
    }
    if (b->loop == NULL)
        b->loop = wr_loop_new(64);
    if (u->resolver == NULL && b->resolver == NULL)
        b->resolver = system_resolver(b->loop, b->deadline_ms);
    k = WR_NEW(b->conf->pool, struct watched_name);
    k->u = u;
    k->s = s;
    k->batch = b;
    k->query.done = start_done;
    k->asking = true;
    *wr_vec_push(b->conf->pool, &b->all) = k;
    b->open++;
    wr_resolve(u->resolver != NULL ? wr_resolver_of(u->resolver, b->loop) : b->resolver, &k->query,
               s->host, s->service);
}

void wr_names_start(struct wr_conf *c, uint64_t deadline_ms)
{
    struct batch b = { .conf = c, .deadline_ms = deadline_ms };
    uint64_t end;

    wr_clock_update();
    end = wr_now() + deadline_ms;
    each_name(c, start_ask, &b);
    while (b.open > 0 && wr_now() < end)
        wr_loop_turn(b.loop, (int)(end - wr_now()));
    for (uint32_t i = 0; i < b.all.n; i++)
        if (b.all.at[i]->asking) {
            wr_resolve_cancel(&b.all.at[i]->query);
            warn_unknown(b.all.at[i], WR_DNS_TIMEDOUT);
        }
    if (b.resolver != NULL)
        wr_resolver_free(b.resolver);
    wr_resolvers_forget();
    if (b.loop != NULL)
        wr_loop_free(b.loop);
    if (c->report != NULL)
        c->report(c);
}

/* ---- keeper ---- */

static void say_addresses(const struct watched_name *k, const struct wr_name_addr *addrs,
                          uint32_t n)
{
    char buf[512];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    for (uint32_t i = 0; i < n; i++) {
        wr_text_c(&t, i > 0 ? ", " : "");
        wr_addr_text(&addrs[i].addr, &t);
    }
    wr_say(WR_LOG_NOTICE, 0, "upstream \"" WR_FMT "\": \"" WR_FMT "\" is at " WR_FMT "%s",
           WR_ARG(k->u->name), WR_ARG(k->s->host), WR_ARG(wr_text_view(&t)),
           t.overflow ? " ..." : "");
}

static void publish_addresses(struct watched_name *k, const struct wr_names *n)
{
    struct wr_name_addr *addrs = wr_calloc(WR_NAMES, sizeof(*addrs));
    uint32_t count = collect_addresses(n, k->s, addrs);

    if (wr_peer_zone_update(k->u, k->s, addrs, count) || k->code != WR_DNS_OK)
        say_addresses(k, addrs, count);
    free(addrs);
}

/* The name does not exist, or has no addresses, since gone_at: after its time of grace the group
 * does without them. */
static void lose_addresses(struct watched_name *k)
{
    uint32_t n = k->s->known != NULL ? k->s->known->n : 0;

    if (n == 0 || wr_now() - k->gone_at < k->u->grace_ms)
        return;
    if (wr_peer_zone_update(k->u, k->s, NULL, 0))
        wr_say(WR_LOG_WARN, 0, "upstream \"" WR_FMT "\": \"" WR_FMT "\" is gone, as are its %u "
               "addresses (%u: %s)", WR_ARG(k->u->name), WR_ARG(k->s->host), n,
               (unsigned)k->code, wr_dns_code_text(k->code));
}

/* Plans the next look at a name that is unknown: also for /etc/hosts, and for the end of its time
 * of grace. */
static void look_again(struct watched_name *k)
{
    uint64_t end = k->gone_at + k->u->grace_ms, ms = RETRY_MS;

    if (k->gone_at != 0 && end > wr_now())
        ms = wr_min(ms, end - wr_now());
    wr_timer_set(k->loop, &k->timer, ms);
}

static void name_known(struct watched_name *k, const struct wr_names *n)
{
    uint64_t ttl = wr_max(wr_min(n->ttl_ms, (uint64_t)TTL_MAX_MS), (uint64_t)TTL_MIN_MS);

    k->gone_at = 0;
    k->backoff = RETRY_MS;
    k->ask_at = wr_now() + ttl;
    publish_addresses(k, n);
    k->code = WR_DNS_OK;
    wr_timer_set(k->loop, &k->timer, ttl);
}

/* A name that does not exist has no addresses, after its time of grace. If its name server fails to
 * answer, the known addresses stay. */
static void name_unknown(struct watched_name *k, const struct wr_names *n)
{
    /* WR_DNS_OK: the name exists, without addresses */
    bool gone = n->code == WR_DNS_NXDOMAIN || n->code == WR_DNS_OK;
    enum wr_dns_code code = gone ? WR_DNS_NXDOMAIN : n->code;
    uint64_t next = gone ? wr_max(n->ttl_ms, (uint64_t)RETRY_MS) : k->backoff;

    if (code != k->code)
        wr_say(WR_LOG_ERROR, 0, "upstream \"" WR_FMT "\": \"" WR_FMT "\" could not be resolved "
               "(%u: %s), next try in %u s", WR_ARG(k->u->name), WR_ARG(k->s->host),
               (unsigned)code, wr_dns_code_text(code), (unsigned)((next + 999) / 1000));
    k->code = code;
    k->ask_at = wr_now() + next;
    k->backoff = gone ? RETRY_MS : wr_min(k->backoff * 2, (uint64_t)RETRY_MAX_MS);
    if (gone && k->gone_at == 0)
        k->gone_at = wr_now();
    if (gone)
        lose_addresses(k);
    look_again(k);
}

static void watch_done(struct wr_query *q, const struct wr_names *n)
{
    struct watched_name *k = wr_container(q, struct watched_name, query);

    k->asking = false;
    if (n->code == WR_DNS_OK && n->n > 0)
        name_known(k, n);
    else
        name_unknown(k, n);
}

static void watch_run(struct wr_task *t)
{
    struct watched_name *k = wr_container(t, struct watched_name, task);
    struct wr_names found;

    if (find_in_hosts(k->s, &found)) {
        if (k->asking)
            wr_resolve_cancel(&k->query);
        k->asking = false;
        name_known(k, &found);
        return;
    }
    if (k->code == WR_DNS_NXDOMAIN)
        lose_addresses(k);
    if (!k->asking && wr_now() >= k->ask_at) {
        k->asking = true;
        wr_resolve(k->resolver, &k->query, k->s->host, k->s->service);
    }
    /* While the name is unknown it may be added to /etc/hosts. */
    if (k->asking || k->code != WR_DNS_OK)
        look_again(k);
}

struct watch_args {
    struct wr_conf *conf;
    struct wr_loop *loop;
    struct wr_resolver *resolver;
};

static void watch_one(struct wr_upstream *u, struct wr_server *s, void *arg)
{
    struct watch_args *all = arg;
    struct watched_name *k = WR_NEW(all->conf->pool, struct watched_name);

    if (u->resolver == NULL && all->resolver == NULL)
        all->resolver = system_resolver(all->loop, 5000);
    *k = (struct watched_name){ .u = u, .s = s, .loop = all->loop, .backoff = RETRY_MS };
    k->resolver = u->resolver != NULL ? wr_resolver_of(u->resolver, all->loop) : all->resolver;
    k->task.run = watch_run;
    k->timer.task = &k->task;
    k->query.done = watch_done;
    wr_task_wake(all->loop, &k->task);
}

static struct wr_resolver *keeper_resolver;

void wr_names_watch(struct wr_conf *c, struct wr_loop *l)
{
    struct watch_args all = { .conf = c, .loop = l };

    each_name(c, watch_one, &all);
    keeper_resolver = all.resolver;
}

void wr_names_unwatch(void)
{
    if (keeper_resolver != NULL)
        wr_resolver_free(keeper_resolver);
    keeper_resolver = NULL;
}

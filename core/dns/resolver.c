/* The resolver: queries for names, a cache of answers, and the callbacks that report them. The
 * keeper calls it for upstream names, requests for names known only at run time. Owns its entries,
 * one for each name asked for lately; the queries in them belong to the callers.
 *
 * An entry is in one of three lists: asking (the DNS has been asked), todo (the work task must look
 * at it), idle (its answer is kept until it expires, and may be dropped to make room). */
#include "dns/dns_impl.h"

enum { BUCKETS = 256, ENTRIES_MAX = 4096, NAME_LIMIT = 255, TIMEOUT_MS = 30000 };

struct entry {
    struct wr_link bucket;    /* not linked: for one query only, freed when that is answered */
    struct wr_link list;
    struct wr_link waiters;   /* struct wr_query */
    struct wr_resolver *resolver;
    struct wr_question question;
    bool known;               /* `answer` is the answer, valid until `expires` */
    struct wr_names answer;   /* answer.at: allocated */
    uint64_t expires;
    char name[NAME_LIMIT + 1];
};

struct wr_resolver {
    struct wr_loop *loop;
    struct wr_resolver_opts opts;
    struct wr_channel channel;
    struct wr_task work, timeouts;
    struct wr_link asking, todo, idle;
    uint32_t entries;
    struct wr_link table[BUCKETS];
};

/* ---- entries ---- */
static void move_entry(struct entry *e, struct wr_link *to)
{
    wr_list_remove(&e->list);
    wr_list_push(to, &e->list);
}

static void put_to_work(struct entry *e)
{
    move_entry(e, &e->resolver->todo);
    wr_task_wake(e->resolver->loop, &e->resolver->work);
}

static void quiet(struct wr_question *q)
{
    put_to_work(wr_container(q, struct entry, question));
}

static struct entry *new_entry(struct wr_resolver *r, struct wr_str name, bool srv)
{
    struct entry *e = wr_calloc(1, sizeof(*e));

    e->resolver = r;
    wr_list_init(&e->waiters);
    memcpy(e->name, name.p, name.n);
    e->question.name = e->name;
    e->question.srv = srv;
    e->question.channel = &r->channel;
    e->question.quiet = quiet;
    r->entries++;
    return e;
}

static void free_entry(struct entry *e)
{
    wr_list_remove(&e->bucket);
    wr_list_remove(&e->list);
    wr_question_clear(&e->question);
    e->resolver->entries--;
    free(e->answer.at);
    free(e);
}

static struct wr_name_addr *copy_addresses(const struct wr_name_addr *at, uint32_t n)
{
    struct wr_name_addr *copy = n > 0 ? wr_calloc(n, sizeof(*copy)) : NULL;

    if (n > 0)
        memcpy(copy, at, n * sizeof(*copy));
    return copy;
}

static void keep_answer(struct entry *e, const struct wr_names *names)
{
    e->answer = *names;
    e->answer.at = copy_addresses(names->at, names->n);
    e->expires = wr_now() + names->ttl_ms;
    e->known = true;
}

static struct wr_link *bucket_of(struct wr_resolver *r, struct wr_str name)
{
    return &r->table[wr_hash(name) % BUCKETS];
}

static struct entry *find_entry(struct wr_resolver *r, struct wr_str name, bool srv)
{
    struct wr_link *head = bucket_of(r, name), *k;

    for (k = head->next; k != head; k = k->next) {
        struct entry *e = wr_container(k, struct entry, bucket);

        if (e->question.srv == srv && wr_str_is(name, e->name))
            return e;
    }
    return NULL;
}

/* Frees the oldest idle entries while there are too many, and those that have expired. */
static void make_room(struct wr_resolver *r)
{
    while (!wr_list_empty(&r->idle)) {
        struct entry *e = wr_container(r->idle.next, struct entry, list);

        if (r->entries < ENTRIES_MAX && wr_now() < e->expires)
            return;
        free_entry(e);
    }
}

/* ---- reporting ---- */
static void detach_query(struct wr_resolver *r, struct wr_query *q)
{
    wr_list_remove(&q->link);
    wr_timer_off(r->loop, &q->timer);
    q->asked = NULL;
}

/* done() may ask again, cancel other queries and free the memory of its query. */
static void tell_all(struct wr_resolver *r, struct wr_link *queries, const struct wr_names *names)
{
    while (!wr_list_empty(queries)) {
        struct wr_query *q = wr_container(queries->next, struct wr_query, link);

        detach_query(r, q);
        q->done(q, names);
    }
}

static void take_list(struct wr_link *from, struct wr_link *to)
{
    wr_list_init(to);
    while (!wr_list_empty(from)) {
        struct wr_link *k = from->next;

        wr_list_remove(k);
        wr_list_push(to, k);
    }
}

static void tell_waiters(struct entry *e, bool kept)
{
    struct wr_resolver *r = e->resolver;
    struct wr_names names = e->answer;
    struct wr_link queries;

    names.kept = kept;
    names.at = copy_addresses(names.at, names.n); /* done() may drop the entry */
    names.ttl_ms = e->expires > wr_now() ? e->expires - wr_now() : 1;
    /* done() may ask for the same name: queries that come now are answered in the next turn */
    take_list(&e->waiters, &queries);
    if (wr_linked(&e->bucket))
        move_entry(e, &r->idle);
    else
        free_entry(e);
    tell_all(r, &queries, &names);
    free(names.at);
}

static void work(struct wr_task *t)
{
    struct wr_resolver *r = wr_container(t, struct wr_resolver, work);
    struct wr_link list;
    struct wr_names names;

    /* a done() may cause new work: that is for the next turn */
    take_list(&r->todo, &list);
    while (!wr_list_empty(&list)) {
        struct entry *e = wr_container(list.next, struct entry, list);
        bool kept = e->known;

        /* settling may ask, be answered at once and put the entry back into todo */
        move_entry(e, &r->asking);
        if (!kept) {
            if (!wr_question_settle(&e->question, !wr_list_empty(&e->waiters), &names))
                continue;
            wr_question_clear(&e->question);
            keep_answer(e, &names);
            free(names.at);
        }
        tell_waiters(e, kept);
    }
}

static void take_timed_out(struct entry *e, struct wr_link *queries)
{
    struct wr_link *q, *next;

    for (q = e->waiters.next; q != &e->waiters; q = next) {
        next = q->next;
        if (wr_container(q, struct wr_query, link)->timer.fired) {
            wr_list_remove(q);
            wr_list_push(queries, q);
        }
    }
}

static void time_out(struct wr_task *t)
{
    struct wr_resolver *r = wr_container(t, struct wr_resolver, timeouts);
    struct wr_link queries, *k = r->asking.next;
    struct wr_names names;

    wr_list_init(&queries);
    while (k != &r->asking) {
        struct entry *e = wr_container(k, struct entry, list);

        k = k->next;
        take_timed_out(e, &queries);
        if (wr_list_empty(&queries))
            continue;
        wr_question_out_of_time(&e->question, &names);
        tell_all(r, &queries, &names);
        free(names.at);
        k = r->asking.next; /* done() may have changed the list */
    }
}

/* ---- asking ---- */
static void wait_in(struct entry *e, struct wr_query *q)
{
    wr_list_push(&e->waiters, &q->link);
    if (e->known)
        put_to_work(e);
    else
        wr_timer_set(e->resolver->loop, &q->timer, e->resolver->opts.timeout_ms);
}

/* Answers this query only, without the DNS. */
static void answer_now(struct wr_resolver *r, struct wr_query *q, const struct wr_names *names)
{
    struct entry *e = new_entry(r, WR_STR(""), false);

    keep_answer(e, names);
    wait_in(e, q);
}

static bool is_family_wanted(const struct wr_resolver *r, const struct wr_addr *a)
{
    return a->sa.sa_family == AF_INET ? !r->opts.no_ipv4 : !r->opts.no_ipv6;
}

static bool is_answered_by_hosts(struct wr_resolver *r, struct wr_query *q, struct wr_str name)
{
    struct wr_name_addr *wanted;
    struct wr_names found;
    uint32_t n = 0;

    wr_hosts_lookup(name, &found);
    wanted = copy_addresses(found.at, found.n);
    for (uint32_t i = 0; i < found.n; i++)
        if (is_family_wanted(r, &wanted[i].addr))
            wanted[n++] = wanted[i];
    found.at = wanted;
    found.n = n;
    if (n > 0)
        answer_now(r, q, &found);
    free(wanted);
    return n > 0;
}

static bool is_answered_without_dns(struct wr_resolver *r, struct wr_query *q, struct wr_str name)
{
    struct wr_name_addr literal = { .priority = 0 };

    if (wr_addr_parse_ip(name, &literal.addr)) {
        answer_now(r, q, &(struct wr_names){ .n = 1, .at = &literal, .ttl_ms = 3600 * 1000 });
        return true;
    }
    return r->opts.hosts && is_answered_by_hosts(r, q, name);
}

static void ask_dns(struct wr_resolver *r, struct wr_query *q, struct wr_str name, bool srv)
{
    struct entry *e = find_entry(r, name, srv);

    wr_channel_refresh(&r->channel);
    if (e != NULL && e->known && wr_list_empty(&e->waiters) && wr_now() >= e->expires) {
        free_entry(e);
        e = NULL;
    }
    if (e != NULL) {
        wait_in(e, q);
        return;
    }
    make_room(r);
    /* names may come from clients: in a flood each query gets an answer, but no entry */
    if (r->entries >= ENTRIES_MAX) {
        answer_now(r, q, &(struct wr_names){ .code = WR_DNS_SERVFAIL, .ttl_ms = 1000 });
        return;
    }
    e = new_entry(r, name, srv);
    wr_list_push(bucket_of(r, name), &e->bucket);
    move_entry(e, &r->asking);
    wait_in(e, q);
    /* last, as it may be answered before it returns */
    wr_question_start(&e->question);
}

/* Makes the name to ask for: lower case, no final dot, the service in front. */
static bool full_name(struct wr_str name, struct wr_str service, struct wr_text *out)
{
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    if (service.n > 0 && wr_str_find(service, '.') == service.n)
        wr_text_fmt(out, "_" WR_FMT "._tcp.", WR_ARG(service));
    else if (service.n > 0)
        wr_text_fmt(out, WR_FMT ".", WR_ARG(service));
    for (size_t i = 0; i < name.n; i++)
        wr_text_char(out, (char)wr_lower((unsigned char)name.p[i]));
    /* c-ares takes zero-terminated names: one with a zero byte inside would ask for another name */
    return name.n > 0 && !out->overflow && wr_str_find(wr_text_view(out), '\0') == out->n;
}

void wr_resolve(struct wr_resolver *r, struct wr_query *q, struct wr_str name,
                struct wr_str service)
{
    char buf[NAME_LIMIT];
    struct wr_text text = wr_text_on(buf, sizeof(buf));

    WR_ASSERT(q->asked == NULL);
    q->asked = r;
    q->timer.task = &r->timeouts;
    if (!full_name(name, service, &text))
        answer_now(r, q, &(struct wr_names){ .code = WR_DNS_FORMERR, .ttl_ms = 10000 });
    else if (service.n > 0 || !is_answered_without_dns(r, q, wr_text_view(&text)))
        ask_dns(r, q, wr_text_view(&text), service.n > 0);
}

void wr_resolve_cancel(struct wr_query *q)
{
    if (q->asked != NULL)
        detach_query(q->asked, q);
}

/* ---- the resolver itself ---- */
struct wr_resolver *wr_resolver_new(struct wr_loop *l, const struct wr_resolver_opts *o)
{
    struct wr_resolver *r = wr_calloc(1, sizeof(*r));

    r->loop = l;
    r->opts = *o;
    r->opts.nservers = o->servers != NULL ? o->nservers : 0;
    if (r->opts.timeout_ms == 0)
        r->opts.timeout_ms = TIMEOUT_MS;
    if (r->opts.nservers > 0) {
        r->opts.servers = wr_calloc(o->nservers, sizeof(*o->servers));
        memcpy(r->opts.servers, o->servers, o->nservers * sizeof(*o->servers));
    }
    r->work.run = work;
    r->timeouts.run = time_out;
    wr_list_init(&r->asking);
    wr_list_init(&r->todo);
    wr_list_init(&r->idle);
    for (size_t i = 0; i < BUCKETS; i++)
        wr_list_init(&r->table[i]);
    wr_channel_open(&r->channel, l, &r->opts);
    return r;
}

static void free_list(struct wr_resolver *r, struct wr_link *list)
{
    while (!wr_list_empty(list)) {
        struct entry *e = wr_container(list->next, struct entry, list);

        while (!wr_list_empty(&e->waiters))
            detach_query(r, wr_container(e->waiters.next, struct wr_query, link));
        free_entry(e);
    }
}

void wr_resolver_free(struct wr_resolver *r)
{
    if (r == NULL)
        return;
    wr_channel_close(&r->channel); /* pending questions come back as unanswered */
    wr_task_cancel(&r->work);
    wr_task_cancel(&r->timeouts);
    free_list(r, &r->asking);
    free_list(r, &r->todo);
    free_list(r, &r->idle);
    if (r->opts.nservers > 0)
        free(r->opts.servers);
    free(r);
}

/* One question to the DNS: all record types of a name asked for at once, then for services the
 * addresses of the targets, and one result made of all answers. The resolver calls it. Owns its
 * parts. */
#include "dns/dns_impl.h"

enum {
    TYPE_A = 1, TYPE_AAAA = 28, TYPE_SRV = 33,
    TARGETS_MAX = 256,                 /* different ones; further records are dropped */
    TARGET_ADDRESSES = 16,             /* of each target; more while all have less than WR_NAMES */
    ASKS_A_ROUND = 32,
    TTL_MIN = 1, TTL_MAX = 3600,       /* s */
    ALIASES_MAX = 16,                  /* followed one after the other */
    NEGATIVE_TTL = 5, NEGATIVE_MAX = 10, FAILURE_TTL = 2, PARTIAL_TTL = 30
};

struct wr_part {
    struct wr_ask ask;
    struct wr_question *question;
    enum wr_dns_code code;
    bool again;               /* ask, or ask again: channel closed, no answer, or an alias */
    bool answered;            /* code, n and records are the answer */
    uint32_t n, ttl;
    uint32_t aliases, chain_ttl; /* aliases followed so far, and their smallest TTL */
    struct wr_dns_record *records;
    const char *target;       /* asked for; NULL: the name of the question */
    char alias[sizeof(((struct wr_dns_answer *)0)->alias)];
};

/* Makes the target of an alias the next name to ask for. False: the answer is final. */
static bool follow_alias(struct wr_part *p, const struct wr_dns_answer *answer)
{
    /* '?': the parser replaced bytes, this is not the name */
    if (answer->alias[0] == '\0' || p->aliases == ALIASES_MAX || strchr(answer->alias, '?') != NULL)
        return false;
    p->chain_ttl = wr_min(p->aliases++ == 0 ? UINT32_MAX : p->chain_ttl, answer->ttl);
    memcpy(p->alias, answer->alias, sizeof(p->alias));
    p->ask.name = p->alias;
    return true;
}

/* Hundreds of targets, each with hundreds of addresses, would take a hundred megabytes. */
static uint32_t how_many_to_keep(const struct wr_question *q, uint32_t n)
{
    uint32_t room = q->kept < WR_NAMES ? WR_NAMES - q->kept : 0;

    return q->targets ? wr_min(n, wr_max(room, (uint32_t)TARGET_ADDRESSES)) : n;
}

static void answered(struct wr_ask *a, const struct wr_dns_answer *answer)
{
    struct wr_part *p = wr_container(a, struct wr_part, ask);
    struct wr_question *q = p->question;

    p->again = answer == NULL || follow_alias(p, answer);
    p->answered = !p->again;
    if (p->answered) {
        p->code = answer->code;
        p->ttl = p->aliases > 0 && answer->n > 0 ? wr_min(answer->ttl, p->chain_ttl) : answer->ttl;
        p->n = how_many_to_keep(q, answer->n);
        q->kept += p->n;
        /* copy: the answer is on the stack of the channel's callback */
        p->records = p->n > 0 ? wr_calloc(p->n, sizeof(*p->records)) : NULL;
        for (uint32_t i = 0; i < p->n; i++)
            p->records[i] = answer->at[i];
    }
    if (--q->pending == 0)
        q->quiet(q);
}

/* q->pending must be set before the first part is asked, as answers may come at once. */
static void ask_part(struct wr_part *p)
{
    p->again = false;
    p->code = WR_DNS_OK;
    wr_channel_ask(p->question->channel, &p->ask);
}

/* Asks for the next parts that wait for it. False: there are none. */
static bool ask_round(struct wr_question *q)
{
    struct wr_part *round[ASKS_A_ROUND];
    uint32_t n = 0;

    for (uint32_t i = 0; i < q->nparts && n < ASKS_A_ROUND; i++)
        if (q->parts[i].again)
            round[n++] = &q->parts[i];
    q->pending = n;
    for (uint32_t i = 0; i < n; i++)
        ask_part(round[i]);
    return n > 0;
}

static void ask_all(struct wr_question *q)
{
    if (!ask_round(q))
        q->quiet(q);
}

static void add_part(struct wr_question *q, uint16_t type, const char *target)
{
    struct wr_part *p = &q->parts[q->nparts++];

    p->question = q;
    p->ask.type = type;
    p->ask.answered = answered;
    p->ask.name = target != NULL ? target : q->name;
    p->target = target;
    p->again = true;
}

static void add_families(struct wr_question *q, const char *target)
{
    if (!q->channel->opts->no_ipv4)
        add_part(q, TYPE_A, target);
    if (!q->channel->opts->no_ipv6)
        add_part(q, TYPE_AAAA, target);
}

void wr_question_start(struct wr_question *q)
{
    q->parts = wr_calloc(2, sizeof(*q->parts));
    q->nparts = 0;
    q->targets = false;
    q->kept = 0;
    q->ttl = UINT32_MAX;
    if (q->srv)
        add_part(q, TYPE_SRV, NULL);
    else
        add_families(q, NULL);
    ask_all(q);
}

static void free_parts(struct wr_part *parts, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(parts[i].records);
    free(parts);
}

void wr_question_clear(struct wr_question *q)
{
    WR_ASSERT(q->pending == 0);
    free_parts(q->parts, q->nparts);
    free(q->services);
    q->services = NULL;
    q->parts = NULL;
    q->nservices = q->nparts = 0;
}

static bool is_same_name(const char *a, const char *b)
{
    return wr_str_ieq(wr_str_c(a), wr_str_c(b));
}

static int compare_targets(const void *a, const void *b)
{
    return strcasecmp(((const struct wr_dns_record *)a)->name,
                      ((const struct wr_dns_record *)b)->name);
}

/* Goes on from the SRV records to the addresses of their targets, asking for each target once. */
static void ask_targets(struct wr_question *q)
{
    struct wr_part *old = q->parts;
    const char *last = "";

    q->services = old->records;
    q->nservices = old->n;
    old->records = NULL;
    qsort(q->services, q->nservices, sizeof(*q->services), compare_targets);
    q->parts = wr_calloc(2 * TARGETS_MAX, sizeof(*q->parts));
    q->nparts = 0;
    q->targets = true;
    q->kept = 0;
    q->ttl = old->ttl;
    /* RFC 2782: the target "." (an empty name) means that there is no such service */
    for (uint32_t i = 0; i < q->nservices && q->nparts < 2 * TARGETS_MAX - 1; i++) {
        const char *target = q->services[i].name;

        if (!is_same_name(target, last))
            add_families(q, target);
        last = target;
    }
    free_parts(old, 1);
    ask_all(q);
}

static bool has_records(const struct wr_question *q)
{
    for (uint32_t i = 0; i < q->nparts; i++)
        if (q->parts[i].n > 0)
            return true;
    return false;
}

/* Asks again for the parts that need it. When one family has an answer, the other is not asked
 * again. */
static bool ask_again(struct wr_question *q, bool patient)
{
    if (ask_round(q))
        return true;
    /* c-ares has tried all servers by now; we retry until our own timeout */
    for (uint32_t i = 0; i < q->nparts && patient && !has_records(q); i++)
        q->parts[i].again = q->parts[i].code == WR_DNS_TIMEDOUT;
    return ask_round(q);
}

/* service: NULL, or the record by which the addresses were found. */
static void put_addresses(const struct wr_part *p, const struct wr_dns_record *service,
                          struct wr_names *out)
{
    for (uint32_t i = 0; i < p->n && out->n < WR_NAMES; i++) {
        struct wr_name_addr *a = &out->at[out->n++];

        a->addr = p->records[i].addr;
        if (service == NULL)
            continue;
        a->priority = service->priority;
        a->weight = service->weight;
        wr_addr_set_port(&a->addr, service->port);
    }
}

static void put_services(const struct wr_question *q, struct wr_names *out)
{
    uint32_t part = 0;

    /* both are in the order of the targets */
    for (uint32_t i = 0; i < q->nservices; i++) {
        const struct wr_dns_record *service = &q->services[i];

        while (part < q->nparts && strcasecmp(q->parts[part].target, service->name) < 0)
            part++;
        for (uint32_t k = part; k < q->nparts && is_same_name(q->parts[k].target, service->name);
             k++)
            put_addresses(&q->parts[k], service, out);
    }
}

/* A temporary failure outweighs "no such name", after which a caller would give up. */
static enum wr_dns_code failure_code(const struct wr_question *q)
{
    for (uint32_t i = 0; i < q->nparts; i++)
        if (q->parts[i].code != WR_DNS_OK && q->parts[i].code != WR_DNS_NXDOMAIN)
            return q->parts[i].code;
    return WR_DNS_NXDOMAIN;
}

static uint32_t clamp_ttl(uint32_t v, uint32_t low, uint32_t high)
{
    return wr_min(wr_max(v, low), high);
}

static uint64_t good_for_ms(const struct wr_question *q, const struct wr_names *out)
{
    uint32_t positive = q->ttl, negative = UINT32_MAX;

    for (uint32_t i = 0; i < q->nparts; i++) {
        const struct wr_part *p = &q->parts[i];

        if (p->n > 0)
            positive = wr_min(positive, p->ttl);
        else if (p->ttl > 0)
            negative = wr_min(negative, p->ttl);
    }
    if (out->code == WR_DNS_OK)
        return UINT64_C(1000) * clamp_ttl(positive, TTL_MIN, TTL_MAX);
    if (out->code != WR_DNS_NXDOMAIN)
        return UINT64_C(1000) * FAILURE_TTL;
    return UINT64_C(1000)
           * (negative == UINT32_MAX ? NEGATIVE_TTL : clamp_ttl(negative, TTL_MIN, NEGATIVE_MAX));
}

static bool is_failed(const struct wr_part *p)
{
    return !p->answered || (p->code != WR_DNS_OK && p->code != WR_DNS_NXDOMAIN);
}

static uint32_t count_addresses(const struct wr_question *q)
{
    uint32_t n = 1; /* for calloc */

    for (uint32_t i = 0; i < q->nparts; i++)
        n += q->parts[i].n;
    return q->targets ? WR_NAMES : n;
}

/* Some parts have failed: the addresses that they would have had may still be right. */
static void note_failures(const struct wr_question *q, struct wr_names *out)
{
    for (uint32_t i = 0; i < q->nparts; i++) {
        const struct wr_part *p = &q->parts[i];

        out->failed4 |= p->ask.type == TYPE_A && is_failed(p);
        out->failed6 |= p->ask.type == TYPE_AAAA && is_failed(p);
    }
    if (out->failed4 || out->failed6)
        out->ttl_ms = wr_min(out->ttl_ms, UINT64_C(1000) * PARTIAL_TTL);
}

static void combine_answers(const struct wr_question *q, struct wr_names *out)
{
    *out = (struct wr_names){ .at = wr_calloc(count_addresses(q), sizeof(*out->at)) };
    for (uint32_t i = 0; i < q->nparts && !q->srv; i++)
        put_addresses(&q->parts[i], NULL, out);
    if (q->targets)
        put_services(q, out);
    out->code = out->n > 0 ? WR_DNS_OK : failure_code(q);
    out->ttl_ms = good_for_ms(q, out);
    if ((out->code == WR_DNS_OK || out->code == WR_DNS_NXDOMAIN) && q->channel->opts->valid_ms > 0)
        out->ttl_ms = q->channel->opts->valid_ms;
    if (out->code == WR_DNS_OK)
        note_failures(q, out);
}

bool wr_question_settle(struct wr_question *q, bool patient, struct wr_names *out)
{
    WR_ASSERT(q->pending == 0);
    if (ask_again(q, patient))
        return false;
    if (q->srv && !q->targets && q->parts->n > 0) {
        ask_targets(q);
        return false;
    }
    combine_answers(q, out);
    return true;
}

void wr_question_out_of_time(const struct wr_question *q, struct wr_names *out)
{
    combine_answers(q, out);
    out->ttl_ms = UINT64_C(1000) * FAILURE_TTL;
    if (out->n == 0)
        out->code = WR_DNS_TIMEDOUT;
}

/* The DNS answer parser (RFC 1035 4, 2782, 3596): message in, records out, no other effects. The
 * resolver calls it with messages that c-ares received; a fuzz target. All bytes are read through
 * wr_scan; every loop is bounded by the message or by a constant. */
#include "dns/dns.h"

enum {
    TYPE_A = 1, TYPE_CNAME = 5, TYPE_SOA = 6, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_SRV = 33,
    CLASS_IN = 1,
    NAME_MAX_WIRE = 255, POINTER = 0xc0, FLAG_ANSWER = 0x8000, RCODE = 0x0f,
    RECORDS_LOOKED_AT = 1024, /* a message of 64 KB can contain 5000 */
    CHAIN_MAX = 16, JUMPS_MAX = 64,
    NAME_BYTES_MAX = 1 << 19  /* of all names in a message, read through pointers and again for each
                               * alias: a few milliseconds */
};

struct message {
    struct wr_scan s;         /* the cursor */
    const unsigned char *p;
    size_t n;
    uint16_t answers, authority;
    size_t name_bytes;        /* read so far */
};

struct record {
    char owner[NAME_MAX_WIRE + 1];
    uint16_t type, class, length;
    uint32_t ttl;
    struct wr_scan data;      /* rdata only; a compressed name may point out of it */
};

const char *wr_dns_code_text(enum wr_dns_code c)
{
    switch (c) {
    case WR_DNS_OK: return "No error";
    case WR_DNS_FORMERR: return "Format error";
    case WR_DNS_SERVFAIL: return "Server failure";
    case WR_DNS_NXDOMAIN: return "Host not found";
    case WR_DNS_NOTIMP: return "Unimplemented";
    case WR_DNS_REFUSED: return "Operation refused";
    case WR_DNS_TIMEDOUT: return "Operation timed out";
    case WR_DNS_BAD: return "Malformed answer";
    case WR_DNS_NO_SERVER: return "No name server answers";
    }
    return "Unknown error";
}

/* ---- names ---- */
/* Names are logged and compared; a dot inside a label would split it in two. */
static char printable_byte(uint8_t c)
{
    return c > ' ' && c < 0x7f && c != '.' && c != '"' && c != '\\' ? (char)c : '?';
}

static void take_label(struct wr_scan *s, size_t n, struct wr_text *out)
{
    struct wr_str bytes = wr_scan_take(s, n);
    char label[UINT8_MAX];

    if (out->n > 0)
        wr_text_char(out, '.');
    for (size_t i = 0; i < bytes.n; i++)
        label[i] = printable_byte((uint8_t)bytes.p[i]);
    wr_text_str(out, wr_str_of(label, bytes.n));
}

/* Reads a name at *s and leaves *s behind it. Each pointer must lead to an offset before the
 * beginning of the name, or of the part that the last pointer led to, so they cannot form a circle.
 * There may be JUMPS_MAX of them. */
static bool take_name(struct message *m, struct wr_scan *s, char *name, size_t size)
{
    struct wr_text out = wr_text_on(name, size - 1);
    struct wr_scan jumped, *at = s;
    size_t began = (size_t)(s->p - m->p);
    unsigned jumps = 0;
    uint8_t n;

    while ((n = wr_scan_u8(at)) != 0) {
        m->name_bytes += (size_t)n + 1; /* a pointer counts as many */
        if ((n & POINTER) == POINTER) {
            size_t to = (size_t)(n & ~POINTER) << 8 | wr_scan_u8(at);

            if (at->bad || to >= began || ++jumps > JUMPS_MAX)
                return false;
            began = to;
            jumped = wr_scan_of(m->p + to, m->n - to);
            at = &jumped;
        } else if ((n & POINTER) != 0 || out.overflow) {
            return false;
        } else {
            take_label(at, n, &out);
        }
    }
    name[out.n] = '\0';
    return !at->bad && !out.overflow && m->name_bytes <= NAME_BYTES_MAX;
}

/* ---- records ---- */
static bool take_record(struct message *m, struct record *r)
{
    struct wr_str data;

    if (!take_name(m, &m->s, r->owner, sizeof(r->owner)))
        return false;
    r->type = wr_scan_u16(&m->s);
    r->class = wr_scan_u16(&m->s);
    r->ttl = wr_scan_u32(&m->s);
    r->length = wr_scan_u16(&m->s);
    data = wr_scan_take(&m->s, r->length);
    if (m->s.bad)
        return false;
    if (r->ttl > INT32_MAX) /* RFC 2181 8: a TTL with its top bit set is zero */
        r->ttl = 0;
    r->data = wr_scan_of(data.p, data.n);
    return true;
}

static bool take_address(struct record *r, struct wr_dns_record *out)
{
    struct wr_addr *a = &out->addr;
    bool v4 = r->type == TYPE_A;
    struct wr_str bytes = wr_scan_take(&r->data, v4 ? 4 : 16);

    if (r->data.bad || wr_scan_left(&r->data) != 0)
        return false;
    if (v4) {
        a->in.sin_family = AF_INET;
        a->len = sizeof(a->in);
        memcpy(&a->in.sin_addr, bytes.p, bytes.n);
    } else {
        a->in6.sin6_family = AF_INET6;
        a->len = sizeof(a->in6);
        memcpy(&a->in6.sin6_addr, bytes.p, bytes.n);
    }
    return true;
}

static bool take_target(struct message *m, struct record *r, struct wr_dns_record *out)
{
    if (r->type == TYPE_SRV) {
        out->priority = wr_scan_u16(&r->data);
        out->weight = wr_scan_u16(&r->data);
        out->port = wr_scan_u16(&r->data);
    }
    return !r->data.bad && take_name(m, &r->data, out->name, sizeof(out->name))
           && wr_scan_left(&r->data) == 0;
}

static bool read_data(struct message *m, struct record *r, struct wr_dns_record *out)
{
    memset(out, 0, sizeof(*out));
    out->type = r->type;
    out->ttl = r->ttl;
    switch (r->type) {
    case TYPE_A:
    case TYPE_AAAA:
        return take_address(r, out);
    case TYPE_CNAME:
    case TYPE_SRV:
    case TYPE_PTR:
        return take_target(m, r, out);
    default:
        return true;
    }
}

/* ---- sections ---- */
struct chain {
    char want[NAME_MAX_WIRE + 1]; /* the owner name of the records we look for */
    uint16_t type;
    unsigned hops;
    bool moved;               /* an alias was followed in this pass */
};

/* True: of the name and the type that we look for, or an alias of the name. */
static bool is_looked_for(const struct chain *c, const struct record *r)
{
    return r->class == CLASS_IN && (r->type == c->type || r->type == TYPE_CNAME)
        && wr_str_ieq(wr_str_c(r->owner), wr_str_c(c->want));
}

static bool keep_record(struct chain *c, const struct wr_dns_record *rec,
                        struct wr_dns_answer *out)
{
    out->ttl = wr_min(out->ttl, rec->ttl);
    if (rec->type == c->type) {
        if (out->n < WR_COUNT(out->at))
            out->at[out->n++] = *rec;
        return true;
    }
    if (++c->hops > CHAIN_MAX)
        return false;
    memcpy(c->want, rec->name, sizeof(c->want));
    c->moved = true;
    return true;
}

/* Goes through the answers once; m->s ends behind them. */
static bool pass_answers(struct message *m, struct chain *c, struct wr_dns_answer *out)
{
    struct wr_dns_record rec;
    struct record r;

    for (unsigned i = 0; i < m->answers; i++) {
        if (i >= RECORDS_LOOKED_AT || !take_record(m, &r))
            return false;
        if (is_looked_for(c, &r) && (!read_data(m, &r, &rec) || !keep_record(c, &rec, out)))
            return false;
    }
    return true;
}

/* Goes through the answers until the chain does not grow, as the aliases may come in any order. */
static bool take_answers(struct message *m, struct chain *c, struct wr_dns_answer *out)
{
    const struct wr_scan begin = m->s;

    /* at most CHAIN_MAX passes: each but the last adds a hop */
    out->ttl = UINT32_MAX;
    do {
        m->s = begin;
        out->n = 0;
        c->moved = false;
        if (!pass_answers(m, c, out))
            return false;
    } while (c->moved);
    return true;
}

/* RFC 2308 5: how long a negative answer is valid. */
static uint32_t negative_ttl(struct message *m)
{
    char name[NAME_MAX_WIRE + 1];
    struct record r;
    uint32_t minimum;

    for (unsigned i = 0; i < m->authority && i < RECORDS_LOOKED_AT; i++) {
        if (!take_record(m, &r))
            return 0;
        if (r.type != TYPE_SOA || r.class != CLASS_IN)
            continue;
        if (!take_name(m, &r.data, name, sizeof(name))
            || !take_name(m, &r.data, name, sizeof(name)) || !wr_scan_skip(&r.data, 16))
            return 0;
        minimum = wr_scan_u32(&r.data);
        return wr_min(r.ttl, minimum);
    }
    return 0;
}

/* A chain of aliases that ends without records, and without a SOA that would deny them: some
 * servers do not resolve the target themselves, so report it for the next question. */
static void end_negative(struct message *m, const struct chain *c, struct wr_dns_answer *out)
{
    uint32_t ttl = negative_ttl(m);

    if (out->code == WR_DNS_OK && ttl == 0 && c->hops > 0)
        memcpy(out->alias, c->want, sizeof(out->alias));
    else
        out->ttl = ttl;
}

static bool take_question(struct message *m, uint16_t questions, struct chain *c)
{
    char name[NAME_MAX_WIRE + 1];

    if (questions != 1 || !take_name(m, &m->s, name, sizeof(name)) || !wr_scan_skip(&m->s, 4))
        return false;
    if (c->want[0] == '\0')
        memcpy(c->want, name, sizeof(c->want));
    return true;
}

bool wr_dns_asks(const void *p, size_t n, struct wr_str name, uint16_t type)
{
    struct message m = { .s = wr_scan_of(p, n), .p = p, .n = n };
    char asked[NAME_MAX_WIRE + 1];

    return wr_scan_skip(&m.s, 4) && wr_scan_u16(&m.s) == 1 && wr_scan_skip(&m.s, 6)
        && take_name(&m, &m.s, asked, sizeof(asked)) && wr_str_is(name, asked)
        && wr_scan_u16(&m.s) == type && wr_scan_u16(&m.s) == CLASS_IN && !m.s.bad;
}

static bool parse_message(struct message *m, struct chain *c, struct wr_dns_answer *out)
{
    uint16_t flags, questions;

    wr_scan_skip(&m->s, 2);
    flags = wr_scan_u16(&m->s);
    questions = wr_scan_u16(&m->s);
    m->answers = wr_scan_u16(&m->s);
    m->authority = wr_scan_u16(&m->s);
    wr_scan_skip(&m->s, 2);
    if (m->s.bad || !(flags & FLAG_ANSWER) || (flags & RCODE) > WR_DNS_REFUSED)
        return false;
    out->code = (enum wr_dns_code)(flags & RCODE);
    /* an answer with an error need not repeat the question */
    if (out->code != WR_DNS_OK && out->code != WR_DNS_NXDOMAIN)
        return true;
    if (!take_question(m, questions, c) || !take_answers(m, c, out))
        return false;
    /* an alias may lead to a name that does not exist */
    if (out->code != WR_DNS_OK)
        out->n = 0;
    if (out->n == 0)
        end_negative(m, c, out);
    return true;
}

static void clear_answer(struct wr_dns_answer *out)
{
    out->code = WR_DNS_BAD;
    out->n = 0;
    out->ttl = 0;
    out->alias[0] = '\0';
}

void wr_dns_parse(const void *p, size_t n, struct wr_str name, uint16_t type,
                  struct wr_dns_answer *out)
{
    struct message m = { .s = wr_scan_of(p, n), .p = p, .n = n };
    struct chain c = { .type = type };

    clear_answer(out);
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n <= NAME_MAX_WIRE) {
        memcpy(c.want, name.p != NULL ? name.p : "", name.n);
        if (parse_message(&m, &c, out))
            return;
    }
    clear_answer(out);
}

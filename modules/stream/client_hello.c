/* client_hello: finds the ClientHello in the bytes a client sent and reads it; ssl_preread calls it
 * whenever more of them have come. It owns nothing: views point into those bytes or, when the
 * message is split over records, into a copy in the pool.
 *
 * A message that two parsers could read differently yields no names: lengths of extensions do not
 * add up, an extension occurs twice, there are two server names. These texts go into logs and
 * addresses, so a server name that is not a host name is left empty, and a protocol that is not
 * printable is left out. */
#include "client_hello.h"

#define HANDSHAKE 22
#define MESSAGE_CLIENT_HELLO 1
#define HEAD_SIZE 4
#define RECORD_MAX 16384
#define RANDOM_SIZE 32
#define TLS13 0x0304

/* ---- records ---- */

/* The parts of one message. */
struct message {
    unsigned char head[HEAD_SIZE]; /* type and length, which may be split over records as well */
    size_t have, need;             /* bytes with the head; need 0: not known yet */
    struct wr_str first;           /* the part in the first record */
};

/* Reject at the first wrong byte: a client that speaks another protocol may wait for an answer. */
static enum wr_hello record_header(struct wr_scan *s, size_t *n)
{
    if (wr_scan_left(s) > 0 && wr_scan_u8(s) != HANDSHAKE)
        return WR_HELLO_NOT_TLS;
    if (wr_scan_left(s) > 0 && wr_scan_u8(s) != 3)
        return WR_HELLO_NOT_TLS;
    (void)wr_scan_u8(s); /* the minor version has no meaning: RFC 8446 5.1 */
    *n = wr_scan_u16(s);
    if (s->bad)
        return WR_HELLO_MORE;
    return *n > RECORD_MAX ? WR_HELLO_NOT_TLS : WR_HELLO_DONE;
}

static enum wr_hello add_part(struct message *m, struct wr_str part)
{
    struct wr_scan head;

    for (size_t i = 0; i < part.n && m->have + i < HEAD_SIZE; i++)
        m->head[m->have + i] = (unsigned char)part.p[i];
    if (m->have == 0)
        m->first = part;
    m->have += part.n;
    head = wr_scan_of(m->head, wr_min(m->have, (size_t)HEAD_SIZE));
    if (m->have > 0 && wr_scan_u8(&head) != MESSAGE_CLIENT_HELLO)
        return WR_HELLO_NOT_TLS;
    m->need = HEAD_SIZE + wr_scan_u24(&head);
    return !head.bad && m->have >= m->need ? WR_HELLO_DONE : WR_HELLO_MORE;
}

static enum wr_hello find_message(struct wr_scan *s, struct message *m)
{
    enum wr_hello v = WR_HELLO_MORE;

    while (v == WR_HELLO_MORE && wr_scan_left(s) > 0) {
        size_t n;

        v = record_header(s, &n);
        if (v == WR_HELLO_MORE)
            break;
        if (v == WR_HELLO_DONE)
            v = add_part(m, wr_scan_take(s, wr_min(n, wr_scan_left(s))));
    }
    return v;
}

/* The message in one piece; all of it has come. */
static struct wr_str whole_message(struct wr_scan s, const struct message *m, struct wr_pool *pool)
{
    struct wr_text t;
    size_t n;

    if (m->first.n >= m->need)
        return wr_str_of(m->first.p, m->need);
    t = wr_text_grow(pool, m->need, m->need);
    while (t.n < m->need && record_header(&s, &n) == WR_HELLO_DONE) {
        struct wr_str part = wr_scan_take(&s, wr_min(n, wr_scan_left(&s)));

        wr_text_str(&t, wr_str_of(part.p, wr_min(part.n, m->need - t.n)));
    }
    return wr_text_view(&t);
}

/* ---- extensions: each returns false when the bytes are not well-formed ---- */

/* The next n bytes as a cursor of their own. */
static struct wr_scan sub_scan(struct wr_scan *s, size_t n)
{
    struct wr_str v = wr_scan_take(s, n);
    struct wr_scan part = wr_scan_of(v.p, v.n);

    part.bad = s->bad;
    return part;
}

static bool is_read_through(const struct wr_scan *s)
{
    return !s->bad && wr_scan_left(s) == 0;
}

static bool read_server_name(struct wr_scan *data, struct wr_client_hello *out)
{
    struct wr_scan list = sub_scan(data, wr_scan_u16(data));
    uint8_t type = wr_scan_u8(&list);
    struct wr_str name = wr_scan_take(&list, wr_scan_u16(&list));

    if (!is_read_through(data) || !is_read_through(&list) || type != 0)
        return false;
    if (wr_is_host_name(name))
        out->name = name;
    return true;
}

/* A comma would make two protocols of one in the list. */
static bool is_protocol(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ',')
            return false;
    return true;
}

static bool read_alpn(struct wr_scan *data, struct wr_pool *pool, struct wr_client_hello *out)
{
    struct wr_scan list = sub_scan(data, wr_scan_u16(data));
    struct wr_text t;

    if (!is_read_through(data) || wr_scan_left(&list) == 0)
        return false;
    /* Each protocol has a length byte on the wire and a comma in the text. */
    t = wr_text_grow(pool, wr_scan_left(&list), wr_scan_left(&list));
    while (wr_scan_left(&list) > 0) {
        struct wr_str protocol = wr_scan_take(&list, wr_scan_u8(&list));

        if (list.bad || protocol.n == 0)
            return false;
        if (!is_protocol(protocol))
            continue;
        if (t.n > 0)
            wr_text_char(&t, ',');
        wr_text_str(&t, protocol);
    }
    out->alpn = wr_text_view(&t);
    return true;
}

static uint16_t known_version(uint16_t version)
{
    if (version >> 8 == 0x7f) /* a draft of TLS 1.3 */
        return TLS13;
    return version >= 0x0300 && version <= TLS13 ? version : 0;
}

/* Replaces the version in the head of the message, which stays 1.2 for ever: RFC 8446 4.2.1. */
static bool read_versions(struct wr_scan *data, struct wr_client_hello *out)
{
    struct wr_scan list = sub_scan(data, wr_scan_u8(data));
    uint16_t highest = 0;

    if (!is_read_through(data) || wr_scan_left(&list) == 0)
        return false;
    while (wr_scan_left(&list) > 0 && !list.bad) {
        uint16_t v = known_version(wr_scan_u16(&list));

        highest = wr_max(highest, v);
    }
    if (highest > 0)
        out->version = highest;
    return !list.bad;
}

/* ---- the message ---- */

enum extension {
    SERVER_NAME = 0,
    ALPN = 16,
    SUPPORTED_VERSIONS = 43,
    BIT_LIMIT = 64 /* those below are noted as bits, to find duplicates */
};

static bool read_extension(uint16_t type, struct wr_scan *data, struct wr_pool *pool,
                           struct wr_client_hello *out)
{
    switch (type) {
    case SERVER_NAME:
        return read_server_name(data, out);
    case ALPN:
        return read_alpn(data, pool, out);
    case SUPPORTED_VERSIONS:
        return read_versions(data, out);
    default: /* an extension that no variable needs */
        return true;
    }
}

static bool read_extensions(struct wr_scan *all, struct wr_pool *pool, struct wr_client_hello *out)
{
    uint64_t met = 0;

    while (wr_scan_left(all) > 0) {
        uint16_t type = wr_scan_u16(all);
        size_t n = wr_scan_u16(all), left = wr_scan_left(all);
        uint64_t bit = type < BIT_LIMIT ? UINT64_C(1) << type : 0;
        struct wr_scan data;

        if (all->bad || (met & bit) != 0)
            return false;
        met |= bit;
        /* An extension that is cut off at the end may still give the protocol, as in nginx. */
        data = sub_scan(all, wr_min(n, left));
        if (!read_extension(type, &data, pool, out) || n > left)
            return false;
    }
    return true;
}

static bool read_message(struct wr_scan s, struct wr_pool *pool, struct wr_client_hello *out)
{
    struct wr_scan all;

    wr_scan_skip(&s, HEAD_SIZE);
    out->version = wr_scan_u16(&s);
    wr_scan_skip(&s, RANDOM_SIZE);
    wr_scan_skip(&s, wr_scan_u8(&s));  /* session */
    wr_scan_skip(&s, wr_scan_u16(&s)); /* ciphers */
    wr_scan_skip(&s, wr_scan_u8(&s));  /* compressions */
    if (is_read_through(&s))
        return true;
    all = sub_scan(&s, wr_scan_u16(&s));
    if (!is_read_through(&s))
        return false;
    if (!read_extensions(&all, pool, out))
        out->name = out->alpn = wr_str_of(NULL, 0);
    return true;
}

/* The hello of SSL 2, which may offer later versions: RFC 5246 E.2. */
static enum wr_hello parse_old_hello(struct wr_scan *s, struct wr_client_hello *out)
{
    if (wr_scan_skip(s, 2) && wr_scan_left(s) > 0 && wr_scan_u8(s) != MESSAGE_CLIENT_HELLO)
        return WR_HELLO_NOT_TLS;
    out->version = wr_scan_u16(s);
    return s->bad ? WR_HELLO_MORE : WR_HELLO_DONE;
}

static enum wr_hello parse_hello(struct wr_scan s, struct wr_pool *pool,
                                 struct wr_client_hello *out)
{
    struct wr_scan first = s, records = s;
    struct message m = { .have = 0 };
    struct wr_str text;
    enum wr_hello v;

    if ((wr_scan_u8(&first) & 0x80) != 0)
        return parse_old_hello(&s, out);
    v = find_message(&records, &m);
    if (v != WR_HELLO_DONE)
        return v;
    text = whole_message(s, &m, pool);
    return read_message(wr_scan_of(text.p, text.n), pool, out) ? WR_HELLO_DONE : WR_HELLO_NOT_TLS;
}

enum wr_hello wr_client_hello_parse(struct wr_str seen, struct wr_pool *pool,
                                    struct wr_client_hello *out)
{
    enum wr_hello v;

    *out = (struct wr_client_hello){ .version = 0 };
    v = parse_hello(wr_scan_of(seen.p, seen.n), pool, out);
    if (v != WR_HELLO_DONE)
        *out = (struct wr_client_hello){ .version = 0 };
    return v;
}

struct wr_str wr_client_hello_version(uint16_t version)
{
    static const struct wr_str names[] = {
        WR_STR_INIT("SSLv3"),   WR_STR_INIT("TLSv1"),   WR_STR_INIT("TLSv1.1"),
        WR_STR_INIT("TLSv1.2"), WR_STR_INIT("TLSv1.3"),
    };

    if (version == 0x0002)
        return WR_STR("SSLv2");
    return version >> 8 == 3 && (version & 0xff) < WR_COUNT(names) ? names[version & 0xff]
                                                                   : WR_STR("");
}

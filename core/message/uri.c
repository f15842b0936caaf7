/* uri: brings paths and hosts into the form that routing compares: paths decoded and without dot
 * segments, hosts in lower case. Called for each request, by rewrite and by the proxy. Pure: the
 * results are views into the input, or in the pool. */
#include "message/message.h"

/* The byte encoded as %XX at s.p[i]; -1: it is not an escape. */
static int decode_escape(struct wr_str s, size_t i)
{
    int high, low;

    if (s.n - i < 3)
        return -1;
    high = wr_hex_digit(s.p[i + 1]);
    low = wr_hex_digit(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Length of the path at the beginning of target; *plain: it is normalized already. */
static size_t path_span(struct wr_str target, bool merge_slashes, bool *plain)
{
    size_t i;

    *plain = true;
    for (i = 0; i < target.n; i++) {
        switch (target.p[i]) {
        case '?':
            return i;
        case '%':
        case '\0':
            *plain = false;
            break;
        case '/':
            if (i + 1 < target.n && (target.p[i + 1] == '.' ||
                                     (target.p[i + 1] == '/' && merge_slashes)))
                *plain = false;
            break;
        default:
            break;
        }
    }
    return i;
}

struct path {
    char *p;
    size_t n;
    size_t segment;            /* beginning of the last segment: after a '/' */
    bool merge_slashes, complex;
};

/* The last segment is complete: a '/' (slash) or the end follows. False: ".." above the root. */
static bool end_segment(struct path *u, bool slash)
{
    struct wr_str s = wr_str_of(u->p + u->segment, u->n - u->segment);

    if (wr_str_is(s, ".")) {
        u->n = u->segment;
        u->complex = true;
    } else if (wr_str_is(s, "..")) {
        if (u->segment == 1)
            return false;
        for (u->n = u->segment - 1; u->p[u->n - 1] != '/'; u->n--)
            ;
        u->complex = true;
    } else if (slash && s.n == 0 && u->merge_slashes) {
        u->complex = true;
    } else if (slash) {
        u->p[u->n++] = '/';
    }
    u->segment = u->n;
    return true;
}

/* Decodes the path. An escaped slash separates segments, too; other escapes never do. */
static bool decode_path(struct path *u, struct wr_str path, bool *quoted)
{
    size_t i = 1;

    u->p[0] = '/';
    u->n = u->segment = 1;
    while (i < path.n) {
        int c = (unsigned char)path.p[i];
        size_t n = 1;

        if (c == '%') {
            c = decode_escape(path, i);
            *quoted = true;
            n = 3;
        }
        if (c <= 0)
            return false;
        i += n;
        if (c != '/')
            u->p[u->n++] = (char)c;
        else if (!end_segment(u, true))
            return false;
    }
    return end_segment(u, false);
}

bool wr_uri_normalize(struct wr_pool *pool, struct wr_str target, bool merge_slashes,
                      struct wr_request *out)
{
    struct path u = { .merge_slashes = merge_slashes };
    struct wr_str path, args;
    bool plain;

    out->quoted = out->complex = false;
    out->args = wr_str_of(NULL, 0);
    out->uri = target;
    if (target.n == 0 || target.p[0] != '/')
        return wr_str_is(target, "*");
    path = wr_str_of(target.p, path_span(target, merge_slashes, &plain));
    args = wr_str_skip(target, path.n);
    if (args.n > 0)
        out->args = wr_str_skip(args, 1);
    out->uri = path;
    if (plain)
        return true;
    u.p = wr_pool_alloc(pool, path.n);
    if (!decode_path(&u, path, &out->quoted))
        return false;
    out->uri = wr_str_of(u.p, u.n);
    out->complex = u.complex;
    return true;
}

struct wr_str wr_uri_unescape(struct wr_pool *pool, struct wr_str s)
{
    size_t i = wr_str_find(s, '%'), n = i;
    char *p;

    if (i == s.n)
        return s;
    p = wr_pool_alloc(pool, s.n);
    memcpy(p, s.p, i);
    while (i < s.n) {
        int c = s.p[i] == '%' ? decode_escape(s, i) : -1;

        p[n++] = c < 0 ? s.p[i] : (char)c;
        i += c < 0 ? 1 : 3;
    }
    return wr_str_of(p, n);
}

#define IN_URI (1U << WR_ESC_URI)
#define IN_ARGS (1U << WR_ESC_ARGS)
#define IN_COMPONENT (1U << WR_ESC_COMPONENT)
#define IN_REFRESH (1U << WR_ESC_REFRESH)
#define IN_MEMCACHED (1U << WR_ESC_MEMCACHED)
#define IN_ALL (IN_URI | IN_ARGS | IN_COMPONENT | IN_REFRESH | IN_MEMCACHED)

/* The kinds in which c is escaped: bits 1 << wr_escape_kind. */
static unsigned must_escape(unsigned char c)
{
    static const unsigned char kinds[128] = {
        ['"'] = IN_URI | IN_ARGS | IN_COMPONENT | IN_REFRESH,
        ['#'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['%'] = IN_ALL,
        ['&'] = IN_ARGS | IN_COMPONENT,
        ['+'] = IN_ARGS | IN_COMPONENT,
        ['\''] = IN_COMPONENT | IN_REFRESH,
        ['?'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['<'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['>'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['\\'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['^'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['`'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['{'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['|'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['}'] = IN_URI | IN_ARGS | IN_COMPONENT,
        ['!'] = IN_COMPONENT, ['$'] = IN_COMPONENT, ['('] = IN_COMPONENT, [')'] = IN_COMPONENT,
        ['*'] = IN_COMPONENT, [','] = IN_COMPONENT, ['/'] = IN_COMPONENT, [':'] = IN_COMPONENT,
        [';'] = IN_ARGS | IN_COMPONENT, ['='] = IN_COMPONENT, ['@'] = IN_COMPONENT,
        ['['] = IN_COMPONENT, [']'] = IN_COMPONENT,
    };

    if (c <= ' ')
        return IN_ALL;
    return c >= 0x7f ? IN_ALL & ~IN_MEMCACHED : kinds[c];
}

void wr_uri_escape(struct wr_text *t, struct wr_str s, enum wr_escape_kind kind)
{
    size_t from = 0, i;

    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char escape[3] = { '%', wr_hex_upper[c >> 4], wr_hex_upper[c & 15] };

        if (!(must_escape(c) & 1U << kind))
            continue;
        wr_text_str(t, wr_str_of(s.p + from, i - from));
        wr_text_str(t, wr_str_of(escape, 3));
        from = i + 1;
    }
    wr_text_str(t, wr_str_of(s.p + from, s.n - from));
}

static inline bool is_name_char(char c)
{
    return wr_is_alnum(c) || (c != '\0' && strchr("-._~%!$&'()*+,;=", c) != NULL);
}

/* Length of a registered name (RFC 3986 3.2.2) without empty labels: "a..b" is refused. */
static size_t name_span(struct wr_str s, bool *upper)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!is_name_char(c) || (c == '.' && (i == 0 || s.p[i - 1] == '.')))
            break;
        *upper |= c >= 'A' && c <= 'Z';
    }
    return i;
}

/* "v1.fe80::a+en1": an address of a future version of IP, RFC 3986 3.2.2. */
static bool is_future(struct wr_str s)
{
    size_t i = 1;

    if (s.n == 0 || (s.p[0] | 0x20) != 'v')
        return false;
    while (i < s.n && wr_hex_digit(s.p[i]) >= 0)
        i++;
    if (i == 1 || i + 1 >= s.n || s.p[i] != '.')
        return false;
    while (++i < s.n)
        if (s.p[i] != ':' && (s.p[i] == '%' || !is_name_char(s.p[i])))
            return false;
    return true;
}

static size_t literal_span(struct wr_str s, bool *upper)
{
    size_t n = wr_str_find(s, ']') + 1;
    struct wr_addr addr;

    if (n > s.n || (!wr_addr_parse_ip(wr_str_of(s.p, n), &addr)
                    && !is_future(wr_str_of(s.p + 1, n - 2))))
        return 0;
    for (size_t i = 0; i < n; i++)
        *upper |= s.p[i] >= 'A' && s.p[i] <= 'Z';
    return n;
}

static bool port_of(struct wr_str s, uint16_t *port)
{
    uint64_t v = 0;

    *port = 0;
    if (s.n == 0)
        return true;
    if (s.p[0] != ':' || s.n > 6)
        return false;
    if (s.n > 1 && (!wr_str_u64(wr_str_skip(s, 1), &v) || v == 0 || v > UINT16_MAX))
        return false;
    *port = (uint16_t)v;
    return true;
}

bool wr_host_parse(struct wr_pool *pool, struct wr_str host, struct wr_str *name, uint16_t *port)
{
    bool upper = false;
    size_t n;

    if (host.n == 0)
        return false;
    n = host.p[0] == '[' ? literal_span(host, &upper) : name_span(host, &upper);
    if (n == 0 || !port_of(wr_str_skip(host, n), port))
        return false;
    if (host.p[n - 1] == '.')
        n--;
    *name = wr_str_of(host.p, n);
    if (upper)
        *name = wr_pool_lower(pool, *name);
    return true;
}

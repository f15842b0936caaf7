/* protocol_detect: tells the protocol of a client by its first bytes. Pure; called by
 * protocol_preread. A test says what the bytes may still become, so the answer comes with the first
 * byte that decides. */
#include "protocol_detect.h"

enum fit { NO, MAYBE, YES };

#define LINE_LONGEST 8192    /* of a request line: longer is not one */

/* `seen` begins with the text, or is the beginning of it. */
static enum fit fits_text(struct wr_str seen, struct wr_str text)
{
    if (memcmp(seen.p, text.p, wr_min(seen.n, text.n)) != 0)
        return NO;
    return seen.n < text.n ? MAYBE : YES;
}

/* A record with a ClientHello, RFC 8446 5.1, or the hello of SSL 2 that offers a later version. */
static enum fit fits_tls(struct wr_str seen)
{
    const unsigned char *p = (const unsigned char *)seen.p;
    size_t n = seen.n;

    if ((p[0] & 0x80) != 0) {
        if ((n > 2 && p[2] != 1) || (n > 3 && p[3] != 3 && p[3] != 0) || (n > 4 && p[3] == 0
                                                                          && p[4] != 2))
            return NO;
        return n > 4 ? YES : MAYBE;
    }
    if (p[0] != 0x16 || (n > 1 && p[1] != 3) || (n > 2 && p[2] > 4) || (n > 5 && p[5] != 1))
        return NO;
    return n > 5 ? YES : MAYBE;
}

static enum fit fits_http2(struct wr_str seen)
{
    return fits_text(seen, WR_STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
}

static enum fit fits_ssh(struct wr_str seen)
{
    return fits_text(seen, WR_STR("SSH-"));
}

/* The length of the first message, then a version or the number of a request (protocol 3.x;
 * CancelRequest, SSLRequest, GSSENCRequest). */
static enum fit fits_postgres(struct wr_str seen)
{
    const unsigned char *p = (const unsigned char *)seen.p;
    static const unsigned char requests[2] = { 0x04, 0xd2 }, version[2] = { 0, 3 };
    size_t n = seen.n, rest = n > 4 ? wr_min(n - 4, (size_t)2) : 0;

    if (p[0] != 0 || (n > 1 && p[1] != 0) || (n > 3 && p[2] == 0 && p[3] < 8))
        return NO;
    if (memcmp(p + (n > 4 ? 4 : 0), requests, rest) == 0 && rest > 0)
        return n < 8 ? MAYBE : p[6] == 0x16 && p[7] >= 0x2e && p[7] <= 0x30 ? YES : NO;
    if (rest > 0 && memcmp(p + 4, version, rest) != 0)
        return NO;
    return n < 6 ? MAYBE : YES;
}

/* TPKT (RFC 1006) with a connection request of X.224 that fills it. */
static enum fit fits_rdp(struct wr_str seen)
{
    const unsigned char *p = (const unsigned char *)seen.p;
    size_t n = seen.n;

    if (p[0] != 3 || (n > 1 && p[1] != 0) || (n > 5 && p[5] != 0xe0))
        return NO;
    if (n > 4 && ((unsigned)p[2] << 8 | p[3]) != (unsigned)p[4] + 5)
        return NO;
    return n > 5 ? YES : MAYBE;
}

/* A command as an array of strings ("*2\r\n$3\r\nGET\r\n..."). */
static enum fit fits_redis_array(struct wr_str seen)
{
    size_t i = 1;

    if (seen.p[0] != '*')
        return NO;
    while (i < seen.n && i < 8 && seen.p[i] >= '0' && seen.p[i] <= '9')
        i++;
    if (i == seen.n)
        return MAYBE;
    return i > 1 ? fits_text(wr_str_skip(seen, i), WR_STR("\r\n$")) : NO;
}

/* Commands with which clients begin that write a line by hand. */
static enum fit fits_redis_line(struct wr_str seen)
{
    static const struct wr_str commands[] = {
        WR_STR_INIT("PING\r\n"), WR_STR_INIT("PING\n"), WR_STR_INIT("AUTH "),
        WR_STR_INIT("HELLO "), WR_STR_INIT("INFO\r\n"), WR_STR_INIT("INFO\n"),
    };
    enum fit best = NO;

    for (size_t i = 0; i < WR_COUNT(commands); i++)
        best = wr_max(best, fits_text(seen, commands[i]));
    return best;
}

static bool is_method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

/* A request line of HTTP/1: METHOD SP "/", or a whole line that ends in " HTTP/1.x". */
static enum fit fits_http(struct wr_str seen)
{
    size_t method = 0, end;
    struct wr_str line;

    while (method < seen.n && method < 32 && is_method_char(seen.p[method]))
        method++;
    if (method == seen.n)
        return MAYBE;
    if (method < 3 || seen.p[method] != ' ')
        return NO;
    if (method + 1 == seen.n)
        return MAYBE;
    if (seen.p[method + 1] == '/')
        return YES;
    end = wr_str_find(seen, '\n');
    if (end == seen.n)
        return seen.n < LINE_LONGEST ? MAYBE : NO;
    line = wr_str_of(seen.p, end > 0 && seen.p[end - 1] == '\r' ? end - 1 : end);
    return wr_str_ends(line, WR_STR(" HTTP/1.1")) || wr_str_ends(line, WR_STR(" HTTP/1.0")) ? YES
                                                                                             : NO;
}

struct wr_str wr_protocol_detect(struct wr_str seen)
{
    static const struct {
        struct wr_str name;
        enum fit (*fits)(struct wr_str seen);
    } tests[] = {
        { WR_STR_INIT("tls"), fits_tls },
        { WR_STR_INIT("http2"), fits_http2 },
        { WR_STR_INIT("ssh"), fits_ssh },
        { WR_STR_INIT("postgres"), fits_postgres },
        { WR_STR_INIT("rdp"), fits_rdp },
        { WR_STR_INIT("redis"), fits_redis_array },
        { WR_STR_INIT("redis"), fits_redis_line },
        { WR_STR_INIT("http"), fits_http },
    };
    bool maybe = seen.n == 0;

    for (size_t i = 0; seen.n > 0 && i < WR_COUNT(tests); i++) {
        enum fit fit = tests[i].fits(seen);

        if (fit == YES)
            return tests[i].name;
        maybe |= fit == MAYBE;
    }
    return maybe ? WR_STR("") : WR_STR("other");
}

/* start_talk: words in plain text before TLS to a server begins (STARTTLS): PostgreSQL, SMTP, IMAP,
 * LDAP. Pure: the bytes that have come in, the answer out. Called by start_tls. */
#include "link/link_impl.h"

/* ---- PostgreSQL: SSLRequest, one byte ---- */

static enum wr_start_next talk_pgsql(struct wr_start_talk *t, struct wr_str in)
{
    if (t->step == 0) {
        t->step = 1;
        t->out = WR_STR("\0\0\0\x08\x04\xd2\x16\x2f");
        return WR_START_SENDS;
    }
    if (in.n == 0)
        return WR_START_MORE;
    t->used = 1;
    return in.p[0] == 'S' ? WR_START_READY : in.p[0] == 'N' ? WR_START_REFUSED : WR_START_BROKEN;
}

/* ---- lines ---- */

/* Takes the next line, without its end, from *rest. */
static bool take_line(struct wr_str *rest, struct wr_str *line)
{
    size_t end = wr_str_find(*rest, '\n');

    if (end == rest->n)
        return false;
    *line = wr_str_of(rest->p, end > 0 && rest->p[end - 1] == '\r' ? end - 1 : end);
    *rest = wr_str_skip(*rest, end + 1);
    return true;
}

/* ---- SMTP, RFC 3207 ---- */

static bool is_reply_line(struct wr_str line)
{
    for (size_t i = 0; i < 3; i++)
        if (line.n <= i || line.p[i] < '0' || line.p[i] > '9')
            return false;
    return line.n == 3 || line.p[3] == ' ' || line.p[3] == '-';
}

/* Takes a whole reply: lines "250-...", then "250 ...". *offers: one of them is STARTTLS. */
static enum wr_start_next take_reply(struct wr_start_talk *t, struct wr_str in, bool *offers)
{
    struct wr_str rest = in, line;

    *offers = false;
    while (take_line(&rest, &line)) {
        if (!is_reply_line(line))
            return WR_START_BROKEN;
        *offers |= line.n > 4 && wr_str_ieq(wr_str_skip(line, 4), WR_STR("STARTTLS"));
        if (line.n > 3 && line.p[3] == '-')
            continue;
        t->used = in.n - rest.n;
        return line.p[0] == '2' ? WR_START_READY : WR_START_REFUSED;
    }
    return WR_START_MORE;
}

static enum wr_start_next talk_smtp(struct wr_start_talk *t, struct wr_str in)
{
    bool offers;
    enum wr_start_next next = take_reply(t, in, &offers);

    if (next != WR_START_READY)
        return next;
    switch (t->step++) {
    case 0:
        t->greeting = wr_str_of(in.p, t->used);
        t->out = WR_STR("EHLO localhost\r\n");
        return WR_START_SENDS;
    case 1:
        if (!offers)
            return WR_START_REFUSED;
        t->out = WR_STR("STARTTLS\r\n");
        return WR_START_SENDS;
    default: /* 220: ready to start TLS */
        return WR_START_READY;
    }
}

/* ---- IMAP, RFC 3501 6.2.1 ---- */

static enum wr_start_next talk_imap(struct wr_start_talk *t, struct wr_str in)
{
    struct wr_str rest = in, line;

    if (t->step == 0) {
        if (!take_line(&rest, &line))
            return WR_START_MORE;
        t->used = in.n - rest.n;
        if (!wr_str_starts(line, WR_STR("* OK")))
            return wr_str_starts(line, WR_STR("* ")) ? WR_START_REFUSED : WR_START_BROKEN;
        t->greeting = wr_str_of(in.p, t->used);
        t->out = WR_STR("weir STARTTLS\r\n");
        t->step = 1;
        return WR_START_SENDS;
    }
    while (take_line(&rest, &line)) {
        if (wr_str_starts(line, WR_STR("* ")))
            continue;
        t->used = in.n - rest.n;
        if (!wr_str_starts(line, WR_STR("weir ")))
            return WR_START_BROKEN;
        return wr_str_starts(line, WR_STR("weir OK")) ? WR_START_READY : WR_START_REFUSED;
    }
    return WR_START_MORE;
}

/* ---- LDAP, RFC 4511 4.14 ---- */

/* Reads the head of an element of BER. False: it is not complete, or s->bad. */
static bool take_head(struct wr_scan *s, uint8_t *tag, size_t *n)
{
    unsigned bytes;

    *tag = wr_scan_u8(s);
    *n = wr_scan_u8(s);
    if (*n < 0x80)
        return !s->bad;
    bytes = (unsigned)*n & 0x7f;
    *n = 0;
    for (unsigned i = 0; i < bytes && i < 4; i++)
        *n = *n << 8 | wr_scan_u8(s);
    return !s->bad && bytes > 0 && bytes <= 4;
}

/* LDAPMessage { messageID 1, ExtendedResponse [APPLICATION 24] { resultCode, ... } } */
static enum wr_start_next read_answer(struct wr_scan s)
{
    uint8_t tag, value;
    size_t n;

    if (!take_head(&s, &tag, &n) || tag != 0x02 || n != 1 || wr_scan_u8(&s) != 1)
        return WR_START_BROKEN;
    if (!take_head(&s, &tag, &n) || tag != 0x78)
        return WR_START_BROKEN;
    if (!take_head(&s, &tag, &n) || tag != 0x0a || n != 1)
        return WR_START_BROKEN;
    value = wr_scan_u8(&s);
    return s.bad ? WR_START_BROKEN : value == 0 ? WR_START_READY : WR_START_REFUSED;
}

static enum wr_start_next talk_ldap(struct wr_start_talk *t, struct wr_str in)
{
    struct wr_scan s = wr_scan_of(in.p, in.n);
    uint8_t tag;
    size_t n;

    if (t->step == 0) {
        t->step = 1;
        t->out = WR_STR("\x30\x1d\x02\x01\x01\x77\x18\x80\x16" "1.3.6.1.4.1.1466.20037");
        return WR_START_SENDS;
    }
    if (in.n > 0 && (unsigned char)in.p[0] != 0x30)
        return WR_START_BROKEN;
    if (!take_head(&s, &tag, &n))
        return in.n < 6 ? WR_START_MORE : WR_START_BROKEN;
    if (n > WR_START_MAX)
        return WR_START_BROKEN;
    if (wr_scan_left(&s) < n)
        return WR_START_MORE;
    t->used = in.n - (wr_scan_left(&s) - n);
    s.end = s.p + n;
    return read_answer(s);
}

/* ---- all ---- */

enum wr_start_next wr_start_talk(enum wr_start how, struct wr_start_talk *t, struct wr_str in)
{
    static enum wr_start_next (*const talks[])(struct wr_start_talk *, struct wr_str) = {
        [WR_START_PGSQL] = talk_pgsql, [WR_START_SMTP] = talk_smtp,
        [WR_START_IMAP] = talk_imap, [WR_START_LDAP] = talk_ldap,
    };
    enum wr_start_next next;

    t->used = 0;
    t->out = t->greeting = wr_str_of(NULL, 0);
    next = talks[how](t, in);
    /* Bytes in plain text behind an answer were said by nobody we can trust. */
    if ((next == WR_START_READY || (next == WR_START_SENDS && in.n > 0)) && t->used != in.n)
        return WR_START_BROKEN;
    return next == WR_START_MORE && in.n >= WR_START_MAX ? WR_START_BROKEN : next;
}

/* check_ldap: does an LDAP server take a bind (RFC 4511)? Pure.
 *
 * A simple bind, anonymous or with user= (a DN) and its password. The server is up when the result
 * is success. An unbind ends the conversation. */
#include "check_wire.h"

#define VERSION 3
#define MESSAGE_ID 1
#define TAG_SEQUENCE 0x30
#define TAG_INTEGER 0x02
#define TAG_OCTETS 0x04
#define TAG_ENUM 0x0a
#define TAG_BIND 0x60
#define TAG_BIND_ANSWER 0x61
#define TAG_EXTENDED_ANSWER 0x78     /* not asked for: the server says that it closes */
#define TAG_SIMPLE 0x80

struct result_name {
    uint32_t code;
    const char *name;
};

static const struct result_name results[] = {
    { 1, "operations error" },
    { 2, "protocol error" },
    { 7, "authentication method not supported" },
    { 8, "stronger authentication required" },
    { 13, "confidentiality required" },
    { 34, "invalid DN syntax" },
    { 48, "inappropriate authentication" },
    { 49, "invalid credentials" },
    { 50, "insufficient access rights" },
    { 51, "busy" },
    { 52, "unavailable" },
    { 53, "unwilling to perform" },
    { 80, "other" },
};

static enum wr_check_next fail_malformed(struct wr_check_talk *t)
{
    return wr_check_fail(t, "the answer is not one of LDAP");
}

/* ---- what is sent ---- */

/* Bytes of a length in BER, always with two bytes of number, so that sizes are simple to add. */
#define HEAD 4

static void put_head(struct wr_text *out, char tag, size_t n)
{
    wr_text_char(out, tag);
    wr_text_char(out, (char)0x82);
    wr_check_put_be(out, (uint32_t)n, 2);
}

static enum wr_check_next begin_ldap(struct wr_check_talk *t)
{
    static const char id[] = { TAG_INTEGER, 1, MESSAGE_ID };
    static const char version[] = { TAG_INTEGER, 1, VERSION };
    size_t n = sizeof(version) + HEAD + t->conf->user.n + HEAD + t->conf->password.n;

    put_head(&t->out, TAG_SEQUENCE, sizeof(id) + HEAD + n);
    wr_text_str(&t->out, wr_str_of(id, sizeof(id)));
    put_head(&t->out, TAG_BIND, n);
    wr_text_str(&t->out, wr_str_of(version, sizeof(version)));
    put_head(&t->out, TAG_OCTETS, t->conf->user.n);
    wr_text_str(&t->out, t->conf->user);
    put_head(&t->out, (char)TAG_SIMPLE, t->conf->password.n);
    wr_text_str(&t->out, t->conf->password);
    return WR_CHECK_MORE;
}

static enum wr_check_next send_unbind(struct wr_check_talk *t, enum wr_check_next verdict)
{
    wr_text_str(&t->out, WR_STR("\x30\x05\x02\x01\x02\x42\x00"));
    return verdict;
}

/* ---- what is received ---- */

/* Reads tag and length of an element. SIZE_MAX: a length of more than 4 bytes, or none. */
static size_t take_head(struct wr_scan *b, uint8_t *tag)
{
    unsigned bytes;
    size_t n;

    *tag = wr_scan_u8(b);
    n = wr_scan_u8(b);
    if (n < 0x80)
        return n;
    bytes = n & 0x7f;
    if (bytes == 0 || bytes > 4)
        return SIZE_MAX;
    for (n = 0; bytes > 0; bytes--)
        n = n << 8 | wr_scan_u8(b);
    return n;
}

/* Takes an element of this tag out of b; bad if it is another one or not whole. */
static struct wr_str take_element(struct wr_scan *b, uint8_t wanted)
{
    uint8_t tag;
    size_t n = take_head(b, &tag);

    if (tag != wanted)
        b->bad = true;
    return wr_scan_take(b, b->bad ? 0 : n);
}

/* An integer or enumeration of at most 4 bytes. */
static uint32_t take_number(struct wr_scan *b, uint8_t tag)
{
    struct wr_str bytes = take_element(b, tag);
    uint32_t v = 0;

    if (bytes.n == 0 || bytes.n > 4)
        b->bad = true;
    for (size_t i = 0; i < bytes.n && i < 4; i++)
        v = v << 8 | (unsigned char)bytes.p[i];
    return v;
}

/* "LDAP result 49, invalid credentials: MESSAGE" */
static enum wr_check_next fail_result(struct wr_check_talk *t, uint32_t code, struct wr_str message)
{
    wr_text_fmt(&t->why, "LDAP result %u", code);
    for (size_t i = 0; i < WR_COUNT(results); i++)
        if (results[i].code == code)
            wr_text_fmt(&t->why, ", %s", results[i].name);
    if (message.n > 0)
        wr_text_c(&t->why, ": ");
    return wr_check_fail_saying(t, message);
}

/* body: the message without its outer head. */
static enum wr_check_next take_message(struct wr_check_talk *t, struct wr_str body)
{
    struct wr_scan b = wr_scan_of(body.p, body.n), answer;
    uint32_t id = take_number(&b, TAG_INTEGER), code;
    bool is_farewell = !b.bad && id == 0 && wr_scan_left(&b) > 0 && *b.p == TAG_EXTENDED_ANSWER;
    struct wr_str inner = take_element(&b, is_farewell ? TAG_EXTENDED_ANSWER : TAG_BIND_ANSWER);
    struct wr_str message;

    answer = wr_scan_of(inner.p, inner.n);
    code = take_number(&answer, TAG_ENUM);
    (void)take_element(&answer, TAG_OCTETS); /* the DN that was found */
    message = take_element(&answer, TAG_OCTETS);
    if (b.bad || answer.bad || (!is_farewell && id != MESSAGE_ID))
        return fail_malformed(t);
    if (code == 0 && !is_farewell)
        return send_unbind(t, wr_check_pass(t, "LDAP result 0, success"));
    return send_unbind(t, fail_result(t, code, message));
}

static enum wr_check_next input_ldap(struct wr_check_talk *t, struct wr_str in,
                                     enum wr_check_end end, size_t *used)
{
    struct wr_scan b = wr_scan_of(in.p, in.n);
    uint8_t tag;
    size_t n = take_head(&b, &tag);

    if ((in.n > 0 && tag != TAG_SEQUENCE) || (!b.bad && n > WR_CHECK_READ_MAX))
        return fail_malformed(t);
    if (!b.bad && n <= wr_scan_left(&b)) {
        *used = in.n - wr_scan_left(&b) + n;
        return take_message(t, wr_scan_take(&b, n));
    }
    return end == WR_CHECK_OPEN ? WR_CHECK_MORE : wr_check_fail_end(t, end, "while binding");
}

const struct wr_check_kind wr_check_ldap = {
    .name = "ldap",
    .layers = WR_L4,
    .params = WR_CHECK_USER,
    .needs_user = true,
    .begin = begin_ldap,
    .input = input_ldap,
};

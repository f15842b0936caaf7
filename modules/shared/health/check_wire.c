/* check_wire: what the kinds of checks for databases share: numbers as they are sent, digests,
 * messages of a server for people to read. Pure. */
#include "check_wire.h"

#define MESSAGE_MAX 160 /* bytes of a server's message that are shown */
#define SECRET_PART 8   /* as many bytes of a password are as good as all of it */

void wr_check_put_be(struct wr_text *t, uint32_t v, unsigned bytes)
{
    while (bytes-- > 0)
        wr_text_char(t, (char)(v >> 8 * bytes & 0xff));
}

void wr_check_put_le(struct wr_text *t, uint32_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        wr_text_char(t, (char)(v >> 8 * i & 0xff));
}

bool wr_check_take_line(struct wr_str *in, struct wr_str *line)
{
    size_t n = wr_str_find(*in, '\n');

    if (n == in->n)
        return false;
    *line = wr_str_of(in->p, n > 0 && in->p[n - 1] == '\r' ? n - 1 : n);
    *in = wr_str_skip(*in, n + 1);
    return true;
}

bool wr_check_digest(const EVP_MD *md, const struct wr_str *parts, size_t n, unsigned char *out)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c != NULL && EVP_DigestInit_ex(c, md, NULL) == 1;

    for (size_t i = 0; ok && i < n; i++)
        ok = EVP_DigestUpdate(c, parts[i].p, parts[i].n) == 1;
    ok = ok && EVP_DigestFinal_ex(c, out, NULL) == 1;
    EVP_MD_CTX_free(c);
    return ok;
}

enum wr_check_next wr_check_pass(struct wr_check_talk *t, const char *seen)
{
    wr_text_c(&t->why, seen);
    return WR_CHECK_PASS;
}

/* Returns how many bytes at the beginning of s are of the password: a server that does not know a
 * command may repeat it, and cut it. */
static size_t secret_length(const struct wr_check_conf *c, struct wr_str s)
{
    size_t n = 0, most = wr_min(c->password.n, s.n);

    while (n < most && s.p[n] == c->password.p[n])
        n++;
    return n >= wr_min(c->password.n, (size_t)SECRET_PART) ? n : 0;
}

static void say_byte(struct wr_text *t, const char *byte)
{
    if (*byte >= ' ' && *byte <= '~') {
        wr_text_char(t, *byte);
    } else {
        wr_text_c(t, "\\x");
        wr_text_hex(t, byte, 1);
    }
}

enum wr_check_next wr_check_fail_saying(struct wr_check_talk *t, struct wr_str message)
{
    size_t n = message.n;

    while (n > 0 && (message.p[n - 1] == '.' || (unsigned char)message.p[n - 1] <= ' '))
        n--;
    if (n == 0 && t->why.n == 0)
        return wr_check_fail(t, "an error without a message");
    message.n = n;
    for (size_t i = 0, secret; i < wr_min(n, (size_t)MESSAGE_MAX); i += wr_max(secret, (size_t)1)) {
        secret = secret_length(t->conf, wr_str_skip(message, i));
        if (secret > 0)
            wr_text_c(&t->why, "***");
        else
            say_byte(&t->why, &message.p[i]);
    }
    return WR_CHECK_FAIL;
}

enum wr_check_next wr_check_fail_end(struct wr_check_talk *t, enum wr_check_end end,
                                     const char *while_doing)
{
    if (end == WR_CHECK_CLOSED)
        return wr_check_fail(t, "the server closed the connection %s", while_doing);
    return wr_check_fail(t, "the server sent more than %u bytes %s", WR_CHECK_READ_MAX,
                         while_doing);
}

enum wr_check_next wr_check_role(struct wr_check_talk *t, const char *const *roles,
                                 struct wr_str has)
{
    const char *wanted = roles[t->conf->role];

    wr_text_fmt(&t->why, "role is " WR_FMT, WR_ARG(has));
    if (wr_str_is(has, wanted))
        return WR_CHECK_PASS;
    return wr_check_fail(t, ", %s wanted", wanted);
}

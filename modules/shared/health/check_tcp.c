/* check_tcp: the kind of check of a server at layer 4, unless it has a type: the connection can be
 * made, or, with `match`, a text is sent and the reply is as expected. Pure. */
#include "health_impl.h"

struct tcp_match {
    struct wr_match base;        /* first */
    struct wr_str send, expect;  /* p NULL: not given */
    struct wr_regex *regex;      /* instead of expect; NULL: none */
};

static const struct tcp_match *match_of(const struct wr_check_talk *t)
{
    return wr_container(t->conf->match, const struct tcp_match, base);
}

static bool must_reply(const struct tcp_match *m)
{
    return m->expect.p != NULL || m->regex != NULL;
}

static enum wr_check_next tcp_begin(struct wr_check_talk *t)
{
    if (t->conf->match == NULL) {
        wr_text_c(&t->why, "connected");
        return WR_CHECK_PASS;
    }
    wr_text_str(&t->out, match_of(t)->send);
    if (must_reply(match_of(t)))
        return WR_CHECK_MORE;
    wr_text_c(&t->why, "sent");
    return WR_CHECK_PASS;
}

static bool is_expected(const struct tcp_match *m, struct wr_str in)
{
    if (m->regex != NULL)
        return wr_regex_match(m->regex, in, NULL, 0) == 1;
    return wr_str_search(in, m->expect) < in.n || m->expect.n == 0;
}

/* All bytes so far are kept: a regex may match across pieces. */
static enum wr_check_next tcp_input(struct wr_check_talk *t, struct wr_str in,
                                    enum wr_check_end end, size_t *used)
{
    const struct tcp_match *m = match_of(t);

    (void)used;
    if (in.n > 0 && is_expected(m, in)) {
        wr_text_c(&t->why, "the reply matches");
        return WR_CHECK_PASS;
    }
    if (end == WR_CHECK_OPEN)
        return WR_CHECK_MORE;
    if (in.n == 0)
        return wr_check_fail(t, "the server closed the connection without a reply");
    (void)wr_check_fail(t, "the reply ");
    wr_check_quote(&t->why, in);
    wr_text_c(&t->why, " does not match ");
    wr_check_quote(&t->why, m->regex != NULL ? wr_regex_pattern(m->regex) : m->expect);
    return WR_CHECK_FAIL;
}

/* ---- match { send ...; expect ...; } ---- */

static struct wr_match *tcp_match_new(struct wr_pool *pool, struct wr_str name)
{
    struct tcp_match *m = WR_NEW(pool, struct tcp_match);

    m->base = (struct wr_match){ .name = name };
    return &m->base;
}

/* Word i, with bytes as \xXX. */
static bool read_text(struct wr_cf *cf, uint32_t i, struct wr_str *out)
{
    struct wr_str word = wr_cf_arg(cf, i);

    for (size_t k = 0; k + 1 < word.n; k++) {
        bool escape = word.p[k] == '\\' && word.p[k + 1] == 'x';

        if (escape && (word.n - k < 4 || wr_hex_digit(word.p[k + 2]) < 0
                       || wr_hex_digit(word.p[k + 3]) < 0))
            return wr_cf_error_hint(cf, i, "\"\\x\" takes two hexadecimal digits: \\x0a",
                                    "invalid escape in \"" WR_FMT "\"", WR_ARG(word));
    }
    *out = wr_check_unescape(cf->pool, word);
    return true;
}

static bool set_expect(struct wr_cf *cf, struct tcp_match *m)
{
    struct wr_str op = wr_cf_arg(cf, 1);
    bool fold = wr_str_is(op, "~*");

    if (m->expect.p != NULL || m->regex != NULL)
        return wr_cf_error(cf, 0, "\"expect\" directive is duplicate");
    if (cf->nargs == 1) {
        return read_text(cf, 1, &m->expect)
            && (m->expect.n > 0 || wr_cf_error(cf, 1, "\"expect\" needs a text"));
    }
    if (!fold && !wr_str_is(op, "~"))
        return wr_cf_error(cf, 1, "invalid operator \"" WR_FMT "\" of \"expect\": write \"expect "
                           "TEXT;\" or \"expect ~ REGEX;\"", WR_ARG(op));
    m->regex = wr_cf_regex(cf, 2, wr_cf_arg(cf, 2), fold);
    return m->regex != NULL;
}

static bool tcp_match_line(struct wr_cf *cf, struct wr_match *match)
{
    struct tcp_match *m = wr_container(match, struct tcp_match, base);
    struct wr_str name = wr_cf_arg(cf, 0);

    if (wr_str_is(name, "expect") && (cf->nargs == 1 || cf->nargs == 2))
        return set_expect(cf, m);
    if (!wr_str_is(name, "send"))
        return wr_str_is(name, "expect")
             ? wr_cf_error_hint(cf, 0, "write \"expect TEXT;\" or \"expect ~ REGEX;\"",
                                "invalid number of arguments in \"expect\" directive")
             : wr_cf_error(cf, 0, "unknown directive \"" WR_FMT "\" in \"match\": a match of "
                           "stream has \"send\" and \"expect\"", WR_ARG(name));
    if (cf->nargs != 1)
        return wr_cf_error_hint(cf, 0, "write \"send TEXT;\", TEXT in quotes if it has spaces",
                                "invalid number of arguments in \"send\" directive");
    if (m->send.p != NULL)
        return wr_cf_error(cf, 0, "\"send\" directive is duplicate");
    return read_text(cf, 1, &m->send)
        && (m->send.n <= 8192 || wr_cf_error(cf, 1, "text of \"send\" is too long"));
}

const struct wr_check_kind wr_check_tcp = {
    .name = "tcp",
    .layers = WR_L4,
    .params = WR_CHECK_MATCH,
    .begin = tcp_begin,
    .input = tcp_input,
    .match_new = tcp_match_new,
    .match_line = tcp_match_line,
};

/* check_smtp: is a mail server ready to receive (RFC 5321)? Pure.
 *
 * Greeting 220, EHLO (HELO if the server does not know it), QUIT. The server is up when it takes
 * the first two; how it ends is its own affair. */
#include "check_wire.h"

enum smtp_step { SMTP_GREETING, SMTP_EHLO, SMTP_HELO, SMTP_QUIT };

struct check_smtp {
    uint32_t magic;
    enum smtp_step step;
};

static const char *const doing[] = {
    [SMTP_GREETING] = "before its greeting",
    [SMTP_EHLO] = "instead of answering EHLO",
    [SMTP_HELO] = "instead of answering HELO",
    [SMTP_QUIT] = "",
};

static enum wr_check_next send_line(struct wr_check_talk *t, struct check_smtp *s,
                                    enum smtp_step step, const char *line)
{
    wr_text_c(&t->out, line);
    s->step = step;
    return WR_CHECK_MORE;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* line: the last one of a reply, "250 text". */
static enum wr_check_next take_reply(struct wr_check_talk *t, struct check_smtp *s,
                                     struct wr_str line)
{
    struct wr_str code = wr_str_of(line.p, 3);

    switch (s->step) {
    case SMTP_GREETING:
        if (wr_str_is(code, "220"))
            return send_line(t, s, SMTP_EHLO, "EHLO localhost\r\n");
        break;
    case SMTP_EHLO:
        if (wr_str_is(code, "500") || wr_str_is(code, "502"))
            return send_line(t, s, SMTP_HELO, "HELO localhost\r\n");
        /* fall through */
    case SMTP_HELO:
        if (wr_str_is(code, "250"))
            return send_line(t, s, SMTP_QUIT, "QUIT\r\n");
        break;
    case SMTP_QUIT:
        return wr_check_pass(t, "SMTP 250");
    }
    wr_text_c(&t->out, "QUIT\r\n");
    wr_text_c(&t->why, "SMTP ");
    return wr_check_fail_saying(t, line);
}

/* Takes all replies that are complete: lines "250-text" go on, "250 text" and "250" end one. */
static enum wr_check_next take_replies(struct wr_check_talk *t, struct check_smtp *s,
                                       struct wr_str in, size_t *used)
{
    enum wr_check_next next = WR_CHECK_MORE;

    while (next == WR_CHECK_MORE) {
        struct wr_str rest = wr_str_skip(in, *used), line;

        for (size_t i = 0; i < wr_min(rest.n, (size_t)3); i++)
            if (!is_digit(rest.p[i]))
                return wr_check_fail(t, "the answer is not one of SMTP");
        if (!wr_check_take_line(&rest, &line))
            break;
        *used = in.n - rest.n;
        if (line.n < 3 || (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
            return wr_check_fail(t, "the answer is not one of SMTP");
        if (line.n == 3 || line.p[3] == ' ')
            next = take_reply(t, s, line);
    }
    return next;
}

static enum wr_check_next begin_smtp(struct wr_check_talk *t)
{
    struct check_smtp *s = wr_check_state(t);

    WR_TYPED(s, CHECK_SMTP);
    return WR_CHECK_MORE; /* the server begins */
}

static enum wr_check_next input_smtp(struct wr_check_talk *t, struct wr_str in,
                                     enum wr_check_end end, size_t *used)
{
    struct check_smtp *s = WR_CHECK(t->state, CHECK_SMTP);
    enum wr_check_next next = take_replies(t, s, in, used);

    if (next != WR_CHECK_MORE || end == WR_CHECK_OPEN)
        return next;
    if (s->step == SMTP_QUIT)
        return wr_check_pass(t, "SMTP 250");
    return wr_check_fail_end(t, end, doing[s->step]);
}

const struct wr_check_kind wr_check_smtp = {
    .name = "smtp",
    .layers = WR_L4,
    .state_size = sizeof(struct check_smtp),
    .begin = begin_smtp,
    .input = input_smtp,
};

/* check_redis: is a Redis server up, and is it a master or a replica? Pure.
 *
 * AUTH if there is a password, PING, ROLE if role= is given. A server that loads its data, or that
 * has lost its master and serves nothing without, answers PING with an error, which is the reason.
 * The format of messages: Redis's documentation, "Redis serialization protocol", RESP2. */
#include "check_wire.h"

enum redis_step { REDIS_AUTH, REDIS_PING, REDIS_ROLE };

struct check_redis {
    uint32_t magic;
    enum redis_step step;
};

static const char *const roles[] = { "any", "master", "replica", NULL };
static const char *const doing[] = {
    [REDIS_AUTH] = "while logging in",
    [REDIS_PING] = "instead of answering PING",
    [REDIS_ROLE] = "when it was asked for its role",
};

static enum wr_check_next fail_malformed(struct wr_check_talk *t)
{
    return wr_check_fail(t, "the answer is not one of Redis");
}

/* Words that are not given (p NULL) are left out. */
static enum wr_check_next send_words(struct wr_check_talk *t, struct wr_str a, struct wr_str b,
                                     struct wr_str c)
{
    struct wr_str words[3] = { a, b, c };
    unsigned n = 0;

    for (size_t i = 0; i < WR_COUNT(words); i++)
        n += words[i].p != NULL;
    wr_text_fmt(&t->out, "*%u\r\n", n);
    for (size_t i = 0; i < WR_COUNT(words); i++) {
        if (words[i].p == NULL)
            continue;
        wr_text_fmt(&t->out, "$%zu\r\n", words[i].n);
        wr_text_str(&t->out, words[i]);
        wr_text_c(&t->out, "\r\n");
    }
    return WR_CHECK_MORE;
}

static enum wr_check_next send_ping(struct wr_check_talk *t, struct check_redis *s)
{
    s->step = REDIS_PING;
    return send_words(t, WR_STR("PING"), (struct wr_str){ 0 }, (struct wr_str){ 0 });
}

static enum wr_check_next begin_redis(struct wr_check_talk *t)
{
    struct check_redis *s = wr_check_state(t);

    WR_TYPED(s, CHECK_REDIS);
    if (t->conf->password.p == NULL)
        return send_ping(t, s);
    s->step = REDIS_AUTH;
    return send_words(t, WR_STR("AUTH"), t->conf->user, t->conf->password);
}

/* The answer to ROLE is a list; its first word is the role: "*5", "$5", "slave". */
static enum wr_check_next take_role(struct wr_check_talk *t, struct wr_str rest)
{
    struct wr_str size, role;

    if (!wr_check_take_line(&rest, &size))
        return WR_CHECK_MORE;
    if (size.n < 2 || size.p[0] != '$')
        return fail_malformed(t);
    if (!wr_check_take_line(&rest, &role))
        return WR_CHECK_MORE;
    if (wr_str_is(role, "slave"))
        role = WR_STR("replica");
    if (!wr_str_is(role, "replica") && !wr_str_is(role, "master") && !wr_str_is(role, "sentinel"))
        return fail_malformed(t);
    return wr_check_role(t, roles, role);
}

/* line is the first one of an answer; rest is what follows, of which nothing is used. */
static enum wr_check_next take_answer(struct wr_check_talk *t, struct check_redis *s,
                                      struct wr_str line, struct wr_str rest)
{
    if (line.n > 1 && line.p[0] == '-')
        return wr_check_fail_saying(t, wr_str_skip(line, 1));
    switch (s->step) {
    case REDIS_AUTH:
        return wr_str_is(line, "+OK") ? send_ping(t, s) : fail_malformed(t);
    case REDIS_PING:
        if (!wr_str_is(line, "+PONG"))
            return fail_malformed(t);
        if (t->conf->role == 0)
            return wr_check_pass(t, "PONG");
        s->step = REDIS_ROLE;
        return send_words(t, WR_STR("ROLE"), (struct wr_str){ 0 }, (struct wr_str){ 0 });
    case REDIS_ROLE:
        break;
    }
    return line.n > 1 && line.p[0] == '*' ? take_role(t, rest) : fail_malformed(t);
}

static enum wr_check_next take_lines(struct wr_check_talk *t, struct check_redis *s,
                                     struct wr_str in, size_t *used)
{
    struct wr_str rest = in, line;
    enum wr_check_next next = WR_CHECK_MORE;

    if (in.n > 0 && in.p[0] != '+' && in.p[0] != '-' && in.p[0] != '*')
        return fail_malformed(t);
    while (next == WR_CHECK_MORE && wr_check_take_line(&rest, &line)) {
        enum redis_step step = s->step;

        next = take_answer(t, s, line, rest);
        if (step == REDIS_ROLE)
            break; /* the whole list is looked at again when there is more of it */
        *used = in.n - rest.n;
    }
    return next;
}

static enum wr_check_next input_redis(struct wr_check_talk *t, struct wr_str in,
                                      enum wr_check_end end, size_t *used)
{
    struct check_redis *s = WR_CHECK(t->state, CHECK_REDIS);
    enum wr_check_next next = take_lines(t, s, in, used);

    if (next == WR_CHECK_MORE && end != WR_CHECK_OPEN)
        return wr_check_fail_end(t, end, doing[s->step]);
    return next;
}

const struct wr_check_kind wr_check_redis = {
    .name = "redis",
    .layers = WR_L4,
    .params = WR_CHECK_USER | WR_CHECK_ROLE,
    .roles = roles,
    .state_size = sizeof(struct check_redis),
    .begin = begin_redis,
    .input = input_redis,
};

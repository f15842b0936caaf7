/* check_talk: conversations of a check with a server whose bytes stand in a test. */
#ifndef CHECK_TALK_H
#define CHECK_TALK_H

#include "unit.h"

#include "../../../modules/shared/health/health_impl.h"

struct turn {
    struct wr_str sent;  /* what the check sent since the turn before; p NULL: anything */
    struct wr_str reply; /* what the server sends then; p NULL: it closes */
};
struct told {            /* the conf and what is told to the check */
    const char *user, *password;
    uint32_t role;
    bool tls;
    const char *database;
    size_t turns;
    struct turn turn[8];
    const char *verdict; /* "pass", "pass: WHAT WAS SEEN", "more" or the reason */
    struct wr_str last;  /* what is sent with the verdict; p NULL: anything */
    const struct wr_check_conf *conf; /* instead of user, password and role */
};

static struct wr_pool *text_pool;

static inline struct wr_pool *texts(void) /* for the texts of a test: end it with drop_texts() */
{
    if (text_pool == NULL)
        text_pool = wr_pool_new(0);
    return text_pool;
}

static inline void drop_texts(void)
{
    wr_pool_free(text_pool);
    text_pool = NULL;
}

/* Texts joined. */
static inline struct wr_str join(size_t n, const struct wr_str *parts)
{
    struct wr_text t = wr_text_grow(texts(), 64, 1 << 20);

    for (size_t i = 0; i < n; i++)
        wr_text_str(&t, parts[i]);
    return wr_text_view(&t);
}
#define JOIN(...) \
    join(sizeof((const struct wr_str[]){ __VA_ARGS__ }) / sizeof(struct wr_str), \
         (const struct wr_str[]){ __VA_ARGS__ })

struct side {            /* of the check */
    const struct wr_check_kind *kind;
    struct wr_check_talk t;
    enum wr_check_next next;
    char in[WR_CHECK_READ_MAX];
    size_t n;
    struct wr_text sent;
};

/* One call. The bytes are in a block of their own, so that ASan finds a read past their end. */
static inline void side_call(struct side *d, enum wr_check_end end)
{
    size_t used = 0;
    char *own = malloc(wr_max(d->n, (size_t)1));

    memcpy(own, d->in, d->n);
    d->t.out.n = 0;
    d->next = d->kind->input(&d->t, wr_str_of(own, d->n), end, &used);
    free(own);
    ck_assert_uint_le(used, d->n);
    memmove(d->in, d->in + used, d->n - used);
    d->n -= used;
    if (d->next == WR_CHECK_WORK) {
        ck_assert(d->t.out.n == 0 && end == WR_CHECK_OPEN);
        side_call(d, end);
        return;
    }
    ck_assert(!d->t.out.overflow);
    wr_text_str(&d->sent, wr_text_view(&d->t.out));
    ck_assert(end == WR_CHECK_OPEN || d->next == WR_CHECK_PASS || d->next == WR_CHECK_FAIL);
    if (d->next != WR_CHECK_TLS)
        return;
    ck_assert(d->t.can_secure && d->kind->upgrades);
    d->t.can_secure = false;
    d->t.secured = true;
    d->next = WR_CHECK_MORE;
    side_call(d, end);
}

/* Gives the bytes in pieces, as long as the check wants them. */
static inline void side_give(struct side *d, struct wr_str bytes, size_t piece)
{
    while (bytes.n > 0 && d->next == WR_CHECK_MORE) {
        size_t n = wr_min(wr_min(piece, bytes.n), sizeof(d->in) - d->n);

        ck_assert_uint_gt(n, 0);
        memcpy(d->in + d->n, bytes.p, n);
        d->n += n;
        bytes = wr_str_skip(bytes, n);
        side_call(d, d->n == sizeof(d->in) ? WR_CHECK_FULL : WR_CHECK_OPEN);
    }
}

static inline void side_begin(struct side *d, const struct wr_check_kind *kind,
                              const struct wr_check_conf *conf, bool tls)
{
    static char why[WR_CHECK_WHY_MAX];

    memset(d, 0, sizeof(*d));
    d->kind = kind;
    d->sent = wr_text_grow(texts(), 64, 1 << 20);
    d->t = (struct wr_check_talk){
        .conf = conf,
        .pool = wr_pool_new(256 << 10),
        .why = wr_text_on(why, sizeof(why)),
        .can_secure = tls && kind->upgrades,
        .secured = tls && !kind->upgrades,
    };
    d->t.out = wr_text_grow(d->t.pool, 64, 16384);
    d->t.state = wr_pool_zalloc(d->t.pool, kind->state_size + 1);
    d->next = kind->begin(&d->t);
    wr_text_str(&d->sent, wr_text_view(&d->t.out));
}

static inline void check_sent(struct side *d, struct wr_str wanted, const char *verdict, size_t i)
{
    struct wr_text got = wr_text_grow(texts(), 64, 1 << 20);
    struct wr_text want = wr_text_grow(texts(), 64, 1 << 20);

    wr_text_hex(&got, d->sent.p, d->sent.n);
    wr_text_hex(&want, wanted.p, wanted.n);
    ck_assert_msg(wanted.p == NULL || wr_str_eq(wr_text_view(&d->sent), wanted),
                  "%s: sent before reply %zu is " WR_FMT ", not " WR_FMT, verdict, i,
                  WR_ARG(wr_text_view(&got)), WR_ARG(wr_text_view(&want)));
    d->sent.n = 0;
}

static inline void tell(const struct wr_check_kind *kind, const struct told *c, size_t piece)
{
    struct wr_check_conf conf = { .user = wr_str_c(c->user), .password = wr_str_c(c->password),
                                  .database = wr_str_c(c->database), .role = c->role };
    static struct side d;
    struct wr_str result;

    side_begin(&d, kind, c->conf != NULL ? c->conf : &conf, c->tls);
    for (size_t i = 0; i < c->turns; i++) {
        check_sent(&d, c->turn[i].sent, c->verdict, i);
        if (c->turn[i].reply.p != NULL)
            side_give(&d, c->turn[i].reply, piece);
        else
            side_call(&d, WR_CHECK_CLOSED);
    }
    check_sent(&d, c->last, c->verdict, c->turns);
    result = d.next == WR_CHECK_PASS
        ? JOIN(WR_STR("pass: "), wr_text_view(&d.t.why))
        : d.next == WR_CHECK_MORE    ? WR_STR("more")
                                     : wr_text_view(&d.t.why);
    if (d.next == WR_CHECK_PASS && strcmp(c->verdict, "pass") == 0)
        result = WR_STR("pass");
    ck_assert_msg(wr_str_is(result, c->verdict), "\"" WR_FMT "\", not \"%s\"", WR_ARG(result),
                  c->verdict);
    ck_assert(d.next != WR_CHECK_FAIL || d.t.why.n > 0);
    wr_pool_free(d.t.pool);
}

/* The conversation, with the server's bytes as they stand there, and one by one, and three by
 * three. */
static inline void converse(const struct wr_check_kind *kind, const struct told *c)
{
    for (size_t piece = 1; piece <= WR_CHECK_READ_MAX; piece = piece == 1 ? 3 : piece * 32768)
        tell(kind, c, piece);
}

#endif

/* shout: a filter of reply bodies, as an example and for the tests: it makes letters capitals. It
 * changes the bytes, so files are read into memory for it, in pieces. `shout slow` waits before
 * each piece, `shout broken` fails after the first. */
#include "http/http.h"

enum { OFF, ON, SLOW, BROKEN };
struct shout_conf { uint32_t how; };
struct shout {
    struct wr_relay_filter filter;
    struct wr_exchange *x;
    struct wr_timer timer;
    uint32_t how;
    bool begun;
};

extern struct wr_module wr_module_shout;

static void take_piece(struct wr_bufq *in, struct wr_bufq *out)
{
    while (in->n > 0) {
        char piece[1000];
        size_t n = wr_bufq_peek(in, piece, sizeof(piece));

        for (size_t i = 0; i < n; i++)
            if (piece[i] >= 'a' && piece[i] <= 'z')
                piece[i] = (char)(piece[i] - 'a' + 'A');
        wr_bufq_copy(out, piece, n);
        wr_bufq_drop(in, n);
    }
}

static enum wr_filtered shout_run(struct wr_relay_filter *f, enum wr_push push WR_UNUSED,
                                  struct wr_bufq *out)
{
    struct shout *s = wr_container(f, struct shout, filter);

    if (s->how == BROKEN && s->begun) {
        wr_xlog(s->x, WR_LOG_ERROR, 0, "the voice is gone");
        return WR_FILTER_FAILED;
    }
    if (s->how == SLOW && f->in.n > 0 && !s->timer.fired) {
        if (s->timer.at == 0)
            wr_timer_set(s->x->loop, &s->timer, 5);
        return WR_FILTER_WAITS;
    }
    wr_timer_idle(&s->timer);
    s->begun = s->begun || f->in.n > 0;
    take_piece(&f->in, out);
    return WR_FILTERED;
}

static void stop_timer(void *arg)
{
    struct shout *s = arg;

    wr_timer_off(s->x->loop, &s->timer);
}

static enum wr_filter_result shout_head(struct wr_exchange *x)
{
    const struct shout_conf *c = wr_conf_of(x, &wr_module_shout);
    struct shout *s;

    if (c->how == OFF)
        return WR_FILTER_OK;
    s = WR_NEW(x->pool, struct shout);
    s->filter = (struct wr_relay_filter){ .run = shout_run };
    s->x = x;
    s->how = c->how;
    s->timer.task = &x->task;
    wr_pool_cleanup(x->pool, stop_timer, s);
    wr_http_add_body_filter(x, &s->filter);
    return WR_FILTER_OK;
}

static const struct wr_enum ways[] = {
    { "off", OFF }, { "on", ON }, { "slow", SLOW }, { "broken", BROKEN }, { 0 },
};

static const struct wr_directive directives[] = {
    WR_ENUM("shout", WR_L7 | WR_IN_LOCATIONS, struct shout_conf, how, ways, "off",
            "replies in capitals"),
    { 0 },
};

struct wr_module wr_module_shout = {
    .name = "shout",
    .layers = WR_L7,
    .conf_size = sizeof(struct shout_conf),
    .directives = directives,
    .filters = (const struct wr_filter[]){ { WR_FR_SUB, shout_head }, { 0 } },
};

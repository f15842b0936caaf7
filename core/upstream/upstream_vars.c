/* upstream_vars: $upstream_addr and similar variables of both layers: one entry for each try. */
#include "upstream/upstream.h"

enum what { ADDR, SENT, RECEIVED, CONNECT_TIME, FIRST_BYTE_TIME, SESSION_TIME, QUEUE_TIME };

void wr_try_seconds(struct wr_text *t, uint64_t ms)
{
    if (ms == WR_NOT_YET) {
        wr_text_char(t, '-');
        return;
    }
    wr_text_u64(t, ms / 1000);
    wr_text_char(t, '.');
    wr_text_pad(t, ms % 1000, 3);
}

void wr_try_peer_text(struct wr_text *t, const struct wr_try *try)
{
    if (try->addr.len > 0)
        wr_addr_text(&try->addr, t);
    else
        wr_text_str(t, try->group);
}

static void append_try(struct wr_text *t, const struct wr_tries *a, const struct wr_try *try,
                       uintptr_t what)
{
    bool now = try->ended_ms == WR_NOT_YET;

    switch ((enum what)what) {
    case ADDR:
        wr_try_peer_text(t, try);
        break;
    case SENT:
        wr_text_u64(t, now ? wr_lease_sent(&a->lease) : try->sent);
        break;
    case RECEIVED:
        wr_text_u64(t, now ? wr_lease_received(&a->lease) : try->received);
        break;
    case CONNECT_TIME:
        wr_try_seconds(t, try->connect_ms);
        break;
    case QUEUE_TIME:
        wr_try_seconds(t, try->queue_ms);
        break;
    case FIRST_BYTE_TIME:
        wr_try_seconds(t, try->first_byte_ms);
        break;
    case SESSION_TIME:
        wr_try_seconds(t, now ? wr_now() - try->begun_ms : try->ended_ms);
        break;
    }
}

bool wr_tries_text(struct wr_exchange *x, wr_try_text *text_of, uintptr_t what, struct wr_str *out)
{
    const struct wr_tries *a = x->tries;
    struct wr_text t;

    if (a == NULL || a->all.n == 0)
        return false;
    t = wr_text_grow(x->pool, 64, 65536);
    for (uint32_t i = 0; i < a->all.n; i++) {
        if (i > 0)
            wr_text_c(&t, a->all.at[i].anew ? " : " : ", ");
        text_of(&t, a, &a->all.at[i], what);
    }
    *out = wr_text_view(&t);
    return true;
}

static bool get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    return wr_tries_text(x, append_try, v->data, out);
}

static const struct wr_variable variables[] = {
    { .name = "upstream_addr", .layers = WR_ANY, .get = get, .data = ADDR },
    { .name = "upstream_bytes_sent", .layers = WR_ANY, .get = get, .data = SENT },
    { .name = "upstream_bytes_received", .layers = WR_ANY, .get = get, .data = RECEIVED },
    { .name = "upstream_connect_time", .layers = WR_ANY, .get = get, .data = CONNECT_TIME },
    { .name = "upstream_first_byte_time", .layers = WR_L4, .get = get, .data = FIRST_BYTE_TIME },
    { .name = "upstream_queue_time", .layers = WR_ANY, .get = get, .data = QUEUE_TIME },
    { .name = "upstream_session_time", .layers = WR_L4, .get = get, .data = SESSION_TIME },
    { 0 },
};

struct wr_module wr_module_upstream_vars = {
    .name = "upstream_vars",
    .layers = WR_ANY,
    .variables = variables,
};

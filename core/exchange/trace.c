/* trace: logs the ring of an exchange: its last 64 events, which are always recorded. Called when
 * something goes wrong and on request. One line each, so that the rings of many can be compared. */
#include "exchange/exchange.h"

static void add_events(const struct wr_trace *t, struct wr_text *out)
{
    uint32_t from = t->n > WR_TRACE ? t->n - WR_TRACE : 0;

    if (from > 0)
        wr_text_fmt(out, " (%u before)", from);
    for (uint32_t i = from; i < t->n; i++) {
        const struct wr_trace_entry *e = &t->at[i % WR_TRACE];

        wr_text_fmt(out, " +%u %s", e->at_ms, e->what);
        if (e->arg != 0)
            wr_text_fmt(out, "(%u)", e->arg);
    }
}

void wr_trace_dump(const struct wr_exchange *x, enum wr_level l)
{
    char buf[1536];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    add_events(&x->trace, &t);
    wr_log_put(x->log, l, 0, &x->source, "trace at +%llu ms:" WR_FMT,
               (unsigned long long)(wr_now() - x->begun_ms), WR_ARG(wr_text_view(&t)));
}

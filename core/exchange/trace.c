/* trace: the last 64 events of an exchange, always recorded, shown when something goes wrong. */
#include "exchange/exchange.h"

void wr_trace(struct wr_exchange *x, const char *what, int64_t arg)
{
    struct wr_trace *t = &x->trace;
    struct wr_trace_entry *last = &t->at[(t->n - 1) % WR_TRACE];

    /* A relay wakes thousands of times: the same event again only counts up. */
    if (t->n > 0 && last->what == what) {
        last->arg++;
        return;
    }
    t->at[t->n % WR_TRACE] = (struct wr_trace_entry){
        .at_ms = (uint32_t)(wr_now() - x->begun_ms),
        .what = what,
        .arg = arg,
    };
    t->n++;
}

void wr_trace_dump(const struct wr_exchange *x, const struct wr_log *log, enum wr_level l)
{
    const struct wr_trace *t = &x->trace;
    uint32_t from = t->n > WR_TRACE ? t->n - WR_TRACE : 0;

    for (uint32_t i = from; i < t->n; i++) {
        const struct wr_trace_entry *e = &t->at[i % WR_TRACE];

        wr_log(log, l, 0, &x->source, "trace +%u ms: %s (%lld)", e->at_ms, e->what,
               (long long)e->arg);
    }
}

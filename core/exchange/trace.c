/* trace: the last 64 events of an exchange, always recorded, shown when something goes wrong. */
#include "exchange/exchange.h"

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

/* phase: runs the hooks of the modules in the order of enum wr_phase and of their ranks. The table
 * is made of wr_modules when the program starts; the order of linking does not matter. */
#include "exchange/exchange.h"

struct ranked_hook {
    enum wr_verdict (*run)(struct wr_exchange *x);
    int rank;
    uint64_t idle;             /* bit in wr_scope.idle: no calls there; 0: always called */
};
struct hooks {
    uint32_t n;
    struct ranked_hook *at;
};
enum { AT_L4, AT_L7, AT_CHILD, TABLES };
static struct hooks table[TABLES][WR_PHASES]; /* AT_CHILD: of layer 7 */

uint64_t wr_module_idle_bit(const struct wr_module *m)
{
    uint32_t bit = 0;

    for (struct wr_module *const *before = wr_modules; *before != m; before++)
        bit += (*before)->has_work != NULL;
    return m->has_work != NULL && bit < 64 ? UINT64_C(1) << bit : 0;
}

/* A child skips limits and access: they were checked for its parent. */
static bool has_phase(uint32_t t, enum wr_phase phase)
{
    return t != AT_CHILD || (phase != WR_PH_PREACCESS && phase != WR_PH_ACCESS);
}

/* Runs fn for each hook of each table, in link order. */
static void each_hook(void (*fn)(struct hooks *h, const struct wr_module *m,
                                 const struct wr_phase_hook *hook))
{
    for (struct wr_module *const *m = wr_modules; *m != NULL; m++)
        for (const struct wr_phase_hook *p = (*m)->phases; p != NULL && p->run != NULL; p++)
            for (uint32_t t = 0; t < TABLES; t++)
                if ((p->layers & ~(*m)->without & (t == AT_L4 ? WR_L4 : WR_L7)) != 0
                    && has_phase(t, p->phase))
                    fn(&table[t][p->phase], *m, p);
}

static void count_hook(struct hooks *h, const struct wr_module *m,
                       const struct wr_phase_hook *hook)
{
    (void)m;
    (void)hook;
    h->n++;
}

static void insert_hook(struct hooks *h, const struct wr_module *m,
                        const struct wr_phase_hook *hook)
{
    uint32_t i;

    for (i = h->n++; i > 0 && h->at[i - 1].rank > hook->rank; i--)
        h->at[i] = h->at[i - 1];
    h->at[i] = (struct ranked_hook){ hook->run, hook->rank, wr_module_idle_bit(m) };
}

void wr_phases_init(void)
{
    each_hook(count_hook);
    for (uint32_t t = 0; t < TABLES; t++)
        for (uint32_t i = 0; i < WR_PHASES; i++) {
            struct hooks *h = &table[t][i];

            h->at = wr_calloc(h->n + 1, sizeof(*h->at));
            h->n = 0;
        }
    each_hook(insert_hook);
}

static bool mark_scope(struct wr_scope *s, void *arg)
{
    (void)arg;
    for (struct wr_module *const *m = wr_modules; *m != NULL; m++) {
        const void *conf = wr_scope_conf(s, *m);

        if ((*m)->has_work != NULL && conf != NULL && !(*m)->has_work(conf))
            s->idle |= wr_module_idle_bit(*m);
    }
    return true;
}

void wr_phases_mark(struct wr_conf *c)
{
    wr_scope_each(c->main, mark_scope, NULL);
}

/* Call it right before each hook, as the hook before may have changed the scope. */
static inline bool is_idle(const struct wr_exchange *x, const struct ranked_hook *hook)
{
    return hook->idle != 0 && (x->scope->idle & hook->idle) != 0;
}

static const struct hooks *hooks_of(const struct wr_exchange *x)
{
    return table[x->layer->bit == WR_L4 ? AT_L4 : x->parent == NULL ? AT_L7 : AT_CHILD];
}

static enum wr_go phases_run(struct wr_exchange *x)
{
    const struct hooks *const all = hooks_of(x);

    for (; x->phase < WR_PH_LOG; x->phase++, x->hook = 0) {
        const struct hooks *h = &all[x->phase];

        while (x->hook < h->n) {
            const struct ranked_hook *hook = &h->at[x->hook];
            enum wr_verdict v;

            if (is_idle(x, hook)) {
                x->hook++;
                continue;
            }
            v = hook->run(x);
            if (wr_unlikely(x->gave_up)) /* the runner rejects, whatever v is */
                return WR_GO;
            switch (v) {
            case WR_PASS:
                x->hook++;
                break;
            case WR_SKIP:
                x->hook = h->n;
                break;
            case WR_HOLD:
                return WR_WAIT;
            case WR_TAKEN:
                return WR_GO;
            case WR_ROUTE:
                x->hook = 0;
                h = &all[x->phase];
                break;
            case WR_REJECTED:
                return x->layer->reject(x, x->status);
            }
        }
    }
    return x->layer->no_content(x);
}

const struct wr_step wr_step_phases = { "phases", NULL, phases_run };

void wr_phases_log(struct wr_exchange *x)
{
    const struct hooks *h = &hooks_of(x)[WR_PH_LOG];

    for (uint32_t i = 0; i < h->n; i++)
        if (!is_idle(x, &h->at[i]))
            (void)h->at[i].run(x);
}

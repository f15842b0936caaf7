/* thread_pool_conf: the thread_pool directive and the pools of a worker, for reading and writing
 * files in threads (aio). The pool "default" is always there. Owns the threads, which end with the
 * worker. */
#include "exchange/exchange.h"

#define THREADS_MAX 65536
#define DEFAULT_THREADS 32
#define DEFAULT_QUEUE 65536

struct pools {
    struct wr_thread_pool *first, **last;
};

static struct wr_thread_pool *add_pool(struct wr_pool *pool, struct pools *all, struct wr_str name)
{
    struct wr_thread_pool *p = WR_NEW(pool, struct wr_thread_pool);

    p->name = name;
    p->threads = DEFAULT_THREADS;
    p->max_queue = DEFAULT_QUEUE;
    *all->last = p;
    all->last = &p->next;
    return p;
}

static struct wr_thread_pool *find_pool(const struct pools *all, struct wr_str name)
{
    struct wr_thread_pool *p = all->first;

    while (p != NULL && !wr_str_eq(p->name, name))
        p = p->next;
    return p;
}

struct wr_thread_pool *wr_thread_pool_find(const struct wr_conf *c, struct wr_str name)
{
    return find_pool(wr_conf_state(c, &wr_module_thread_pool), name);
}

static bool take_param(struct wr_cf *cf, uint32_t i, struct wr_thread_pool *p)
{
    struct wr_str s = wr_cf_arg(cf, i), v;
    uint64_t n = 0;

    if (wr_param(s, "threads", &v)) {
        if (!wr_str_u64(v, &n) || n == 0 || n > THREADS_MAX)
            return wr_cf_error(cf, i, "invalid threads value \"" WR_FMT "\"", WR_ARG(s));
        p->threads = (uint32_t)n;
        return true;
    }
    if (wr_param(s, "max_queue", &v)) {
        if (!wr_str_u64(v, &n) || n > UINT32_MAX)
            return wr_cf_error(cf, i, "invalid max_queue value \"" WR_FMT "\"", WR_ARG(s));
        p->max_queue = (uint32_t)n;
        return true;
    }
    return wr_cf_error(cf, i, "invalid parameter \"" WR_FMT "\"", WR_ARG(s));
}

static bool set_thread_pool(struct wr_cf *cf, void *conf)
{
    struct pools *all = wr_cf_state(cf, &wr_module_thread_pool);
    struct wr_thread_pool *p = find_pool(all, wr_cf_arg(cf, 1));

    (void)conf;
    if (p != NULL && p->configured)
        return wr_cf_error(cf, 1, "duplicate thread pool \"" WR_FMT "\"", WR_ARG(p->name));
    if (p == NULL)
        p = add_pool(cf->pool, all, wr_cf_arg(cf, 1));
    p->configured = true;
    p->threads = 0;
    for (uint32_t i = 2; i <= cf->nargs; i++)
        if (!take_param(cf, i, p))
            return false;
    return p->threads > 0
        || wr_cf_error(cf, 0, "\"thread_pool\" must have \"threads\" parameter");
}

static bool prepare(struct wr_cf *cf)
{
    struct pools *all = WR_NEW(cf->pool, struct pools);

    all->last = &all->first;
    (void)add_pool(cf->pool, all, WR_STR("default"));
    wr_cf_state(cf, &wr_module_thread_pool) = all;
    return true;
}

static bool worker_init(struct wr_conf *c, struct wr_loop *l)
{
    const struct pools *all = wr_conf_state(c, &wr_module_thread_pool);

    for (struct wr_thread_pool *p = all->first; p != NULL; p = p->next)
        p->run = wr_threads_new(l, p->name, p->threads, p->max_queue);
    return true;
}

static void worker_exit(struct wr_conf *c)
{
    const struct pools *all = wr_conf_state(c, &wr_module_thread_pool);

    for (struct wr_thread_pool *p = all->first; p != NULL; p = p->next) {
        wr_threads_free(p->run);
        p->run = NULL;
    }
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("thread_pool", WR_LV_MAIN | WR_MULTI, 2, 3, set_thread_pool, NULL,
              "NAME threads=N [max_queue=N]: threads of a worker that read files (see aio)"),
    { .name = NULL },
};

struct wr_module wr_module_thread_pool = {
    .name = "thread_pool",
    .directives = directives,
    .prepare = prepare,
    .worker_init = worker_init,
    .worker_exit = worker_exit,
};

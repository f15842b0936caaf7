/* file_threads: the `aio` directive: whether threads of a pool or the worker itself read a
 * request's files. Called for static files and for temp files of bodies and replies. */
#include "http/http_impl.h"

static const struct wr_str standard = WR_STR_INIT("default");

static bool use_pool(struct wr_cf *cf, struct wr_http_conf *c, struct wr_str name)
{
    c->aio = WR_AIO_THREADS;
    if (wr_str_find(name, '$') < name.n) {
        c->aio_pool_name = wr_template_new(cf, 1, name);
        return c->aio_pool_name != NULL;
    }
    c->aio_pool = wr_thread_pool_find(cf->conf, name);
    return c->aio_pool != NULL
        || wr_cf_error(cf, 1, "unknown thread pool \"" WR_FMT "\"", WR_ARG(name));
}

bool wr_http_set_aio(struct wr_cf *cf, void *conf)
{
    struct wr_http_conf *c = conf;
    struct wr_str arg = wr_cf_arg(cf, 1), name;

    c->aio_pool_name = NULL;
    if (wr_param(arg, "threads", &name))
        return use_pool(cf, c, name);
    (void)use_pool(cf, c, standard);
    if (wr_str_is(arg, "off"))
        c->aio = WR_AIO_OFF;
    else if (wr_str_is(arg, "on"))
        c->aio = WR_AIO_DIRECT;
    else if (!wr_str_is(arg, "threads"))
        return wr_cf_error(cf, 1, "\"aio\" directive invalid value");
    return true;
}

static struct wr_thread_pool *find_named(struct wr_exchange *x, const struct wr_template *t)
{
    struct wr_str name = wr_template_str(x, t);
    struct wr_thread_pool *p = wr_thread_pool_find(x->conf, name);

    if (p == NULL)
        wr_xlog(x, WR_LOG_ERROR, 0, "thread pool \"" WR_FMT "\" not found", WR_ARG(name));
    return p;
}

bool wr_http_threads(struct wr_exchange *x, bool direct, struct wr_threads **out)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    const struct wr_thread_pool *p = c->aio_pool;

    *out = NULL;
    if (c->aio == WR_AIO_OFF || (c->aio == WR_AIO_DIRECT && !direct))
        return true;
    if (c->aio_pool_name != NULL)
        p = find_named(x, c->aio_pool_name);
    if (p == NULL)
        return false;
    *out = p->run;
    return true;
}

struct wr_temp wr_http_temp(struct wr_exchange *x, const char *folder)
{
    struct wr_temp t = {
        .pool = x->pool, .folder = folder, .who = { x->loop, &x->task },
        .log = x->log, .source = &x->source,
    };

    (void)!wr_http_threads(x, false, &t.readers); /* without such a pool the worker reads */
    return t;
}

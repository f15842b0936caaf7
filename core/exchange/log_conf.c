/* log_conf: the error_log directive. Each scope may have several targets; the first in a block
 * replaces the inherited list. `finish` opens the targets and makes the wr_log of each distinct
 * struct; it and its references to sinks live as long as the configuration.
 *
 * nginx's debug_core, debug_event, ... select debug messages of one subject. Here each of them
 * means all debug messages. */
#include "exchange/exchange.h"

#include <errno.h>

#define TARGETS WR_COUNT(((struct wr_log *)NULL)->target)
#define MEMORY_MIN 4096

const char *wr_error_log_default;

/* ---- the directive ---- */

static bool is_debug_subject(struct wr_str word)
{
    return wr_str_starts(word, WR_STR("debug_"));
}

/* error_log FILE [LEVEL], or several debug_ words instead of the level. */
static bool parse_level(struct wr_cf *cf, enum wr_level *level)
{
    *level = WR_LOG_ERROR;
    for (uint32_t i = 2; i <= cf->nargs; i++) {
        struct wr_str word = wr_cf_arg(cf, i);
        bool later = i > 2, subject = is_debug_subject(word);
        bool after_plain = later && !is_debug_subject(wr_cf_arg(cf, 2));

        if (!wr_level_parse(word, level) || (subject && after_plain))
            return wr_cf_error(cf, i, "invalid log level \"" WR_FMT "\"", WR_ARG(word));
        if (!subject && later)
            return wr_cf_error(cf, i, "duplicate log level \"" WR_FMT "\"", WR_ARG(word));
    }
    return true;
}

static bool check_memory(struct wr_cf *cf, struct wr_str size)
{
    uint64_t n;

    if (wr_parse_size(size, &n) && n >= MEMORY_MIN && n <= UINT32_MAX)
        return true;
    return wr_cf_error(cf, 1, "invalid buffer size \"" WR_FMT "\"", WR_ARG(size));
}

/* Opened by the setter, not by `finish`: errors of its parameters belong to this line. */
static struct wr_sink *open_syslog(struct wr_cf *cf, struct wr_str params)
{
    const char *err = NULL;
    struct wr_sink *sink = wr_syslog_open(cf->pool, params, &err);

    if (sink == NULL)
        (void)wr_cf_error(cf, 1, "%s", err);
    else
        wr_conf_hold_log(cf->conf, sink);
    return sink;
}

/* The name of the sink. As in nginx, "" is stderr. */
static const char *sink_name(struct wr_cf *cf, struct wr_str word)
{
    if (word.n == 0 || wr_str_is(word, "stderr"))
        return "stderr";
    if (wr_str_starts(word, WR_STR("memory:")))
        return wr_pool_cstr(cf->pool, word);
    return wr_cf_path(cf, word, false);
}

static bool set_error_log(struct wr_cf *cf, void *conf)
{
    struct wr_log_conf *c = conf;
    struct wr_str word = wr_cf_arg(cf, 1), memory = WR_STR("memory:"), syslog = WR_STR("syslog:");
    struct wr_log_target t = { .node = cf->node };

    if (cf->first) {
        c->targets = WR_NEW_ARRAY(cf->pool, struct wr_log_target, TARGETS);
        c->n = 0;
    }
    if (c->n == TARGETS)
        return wr_cf_error(cf, 0, "at most %zu error logs in one block", TARGETS);
    if (!parse_level(cf, &t.level))
        return false;
    if (wr_str_starts(word, memory) && !check_memory(cf, wr_str_skip(word, memory.n)))
        return false;
    if (wr_str_starts(word, syslog)) {
        t.sink = open_syslog(cf, wr_str_skip(word, syslog.n));
        if (t.sink == NULL)
            return false;
    } else {
        t.name = sink_name(cf, word);
    }
    c->targets[c->n++] = t;
    return true;
}

/* ---- finish ---- */

static bool open_target(struct wr_cf *cf, struct wr_log_target *t)
{
    if (t->sink != NULL)
        return true;
    t->sink = wr_sink_open(t->name);
    if (t->sink == NULL) {
        int err = errno;

        return wr_cf_error_at(cf, t->node, 1, "open() \"%s\" failed (%d: %s)", t->name, err,
                              strerror(err));
    }
    wr_conf_hold_log(cf->conf, t->sink);
    return true;
}

static void use_default(struct wr_cf *cf, struct wr_log_conf *c)
{
    const char *path = wr_error_log_default != NULL ? wr_error_log_default : WR_ERROR_LOG_PATH;

    c->targets = WR_NEW(cf->pool, struct wr_log_target);
    c->targets[0] = (struct wr_log_target){ .name = sink_name(cf, wr_str_c(path)),
                                            .level = WR_LOG_ERROR };
    c->n = 1;
}

static bool log_conf_finish(struct wr_cf *cf, struct wr_scope *scope, void *conf)
{
    struct wr_log_conf *c = conf;
    struct wr_log *log = WR_NEW(cf->pool, struct wr_log);

    (void)scope;
    if (c->n == 0)
        use_default(cf, c);
    for (uint32_t i = 0; i < c->n; i++) {
        if (!open_target(cf, &c->targets[i]))
            return false;
        log->target[i].sink = c->targets[i].sink;
        log->target[i].level = c->targets[i].level;
        log->max = wr_max(log->max, c->targets[i].level);
    }
    log->n = c->n;
    c->log = log;
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("error_log", WR_LV_MAIN | WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY,
              set_error_log, NULL, "where errors are logged, and from which level on"),
    { .name = NULL },
};

struct wr_module wr_module_log_conf = {
    .name = "log_conf",
    .layers = WR_ANY,
    .conf_size = sizeof(struct wr_log_conf),
    .directives = directives,
    .finish = log_conf_finish,
};

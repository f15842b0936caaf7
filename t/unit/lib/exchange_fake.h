/* Shared by the tests of core/exchange: two layers with servers, directives that mention and
 * define variables, rows of variables, and an exchange that was never accepted. Included by one
 * test each. */
#ifndef EXCHANGE_FAKE_H
#define EXCHANGE_FAKE_H

#include "listen/listen.h"

struct fake_conf {
    struct wr_template *value;
    struct wr_regex *match;
};
extern struct wr_module fake_module;

static void fake_log_context(const struct wr_exchange *x, struct wr_text *t)
{
    (void)x;
    (void)t;
}

static const struct wr_layer fake_layers[2] = {
    { .name = "stream", .bit = WR_L4, .log_context = fake_log_context },
    { .name = "http", .bit = WR_L7, .log_context = fake_log_context },
};
static const struct wr_layer *fake_layer(uint32_t bit)
{
    return &fake_layers[bit == WR_L7];
}

/* ---- directives ---- */

static bool fake_block(struct wr_cf *cf, void *conf)
{
    struct wr_str name = wr_cf_arg(cf, 0);
    uint32_t layer = wr_str_is(name, "stream") ? WR_L4 : wr_str_is(name, "http") ? WR_L7 : 0;

    (void)conf;
    return wr_cf_block(cf, layer, layer != 0 ? WR_LV_LAYER : WR_LV_SERVER, NULL, NULL);
}

static bool fake_computed(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    *out = wr_template_str(x, v->object);
    return true;
}

/* calc and fresh define as map does, fresh as a volatile one. */
static bool fake_calc(struct wr_cf *cf, void *conf)
{
    uint32_t kept = wr_str_is(wr_cf_arg(cf, 0), "calc") ? WR_VAR_CACHED : 0;
    struct wr_var *v = wr_var_define(cf, 1, fake_computed, WR_VAR_USER | kept);

    (void)conf;
    if (v == NULL)
        return false;
    v->object = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
    return v->object != NULL;
}

static bool fake_unassigned(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)x;
    (void)v;
    *out = WR_STR("unassigned");
    return true;
}

/* assign defines as set does; it assigns nothing, the test does. */
static bool fake_assign(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_var_define(cf, 1, fake_unassigned, WR_VAR_CACHED | WR_VAR_SETTABLE) != NULL;
}

static bool fake_match(struct wr_cf *cf, void *conf)
{
    struct fake_conf *c = conf;

    c->match = wr_cf_regex(cf, 1, wr_cf_arg(cf, 1), false);
    return c->match != NULL;
}

/* The arguments of attach: "TEXT[ default] ". */
static char fake_attached[4096];

static bool fake_attach(struct wr_cf *cf, const struct wr_listen_line *line)
{
    size_t n = strlen(fake_attached);

    (void)cf;
    snprintf(fake_attached + n, sizeof(fake_attached) - n, WR_FMT "%s ",
             WR_ARG(line->listener->text), line->default_server ? " default" : "");
    return true;
}

static bool fake_listen(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_listen_conf(cf, fake_layer(cf->scope->layer), cf->scope->layer == WR_L7 ? 80 : 0,
                          fake_attach);
}

/* ---- variables ---- */

static unsigned fake_calls; /* of $kept and $counted */
static bool fake_still;     /* they always say 1 */
static char fake_set_to[64];

static bool fake_number(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)v;
    fake_calls = fake_still ? 1 : fake_calls + 1;
    *out = wr_pool_fmt(x->pool, "%u", fake_calls);
    return true;
}

static bool fake_missing(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)x;
    (void)v;
    *out = WR_STR("not to be seen");
    return false;
}

static bool fake_tail(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    *out = wr_pool_fmt(x->pool, "%s" WR_FMT, v->data != 0 ? "long:" : "", WR_ARG(v->tail));
    return true;
}

static bool fake_text(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    (void)x;
    *out = wr_str_c((const char *)v->data);
    return true;
}

static bool fake_bytes(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    char *p = wr_pool_alloc(x->pool, 256);

    (void)v;
    for (unsigned i = 0; i < 256; i++)
        p[i] = (char)i;
    *out = wr_str_of(p, 256);
    return true;
}

static bool fake_big(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    char *p = wr_pool_alloc(x->pool, 65536);

    (void)v;
    memset(p, 'b', 65536);
    *out = wr_str_of(p, 65536);
    return true;
}

static bool fake_set(struct wr_exchange *x, const struct wr_var *v, struct wr_str value)
{
    (void)x;
    (void)v;
    snprintf(fake_set_to, sizeof(fake_set_to), WR_FMT, WR_ARG(value));
    return true;
}

#define FAKE_VAR(nm, ly, fl, gt, ...) \
    { .name = nm, .layers = ly, .flags = fl, .get = gt, __VA_ARGS__ }
static const struct wr_variable fake_variables[] = {
    FAKE_VAR("counted", WR_ANY, 0, fake_number),
    FAKE_VAR("kept", WR_ANY, WR_VAR_CACHED, fake_number),
    FAKE_VAR("missing", WR_ANY, WR_VAR_CACHED, fake_missing),
    FAKE_VAR("name", WR_ANY, 0, fake_text, .data = (uintptr_t) "weir"),
    FAKE_VAR("empty", WR_ANY, 0, fake_text, .data = (uintptr_t) ""),
    FAKE_VAR("zero", WR_ANY, 0, fake_text, .data = (uintptr_t) "0"),
    FAKE_VAR("bytes", WR_ANY, 0, fake_bytes),
    FAKE_VAR("big", WR_ANY, 0, fake_big),
    FAKE_VAR("only_http", WR_L7, 0, fake_text, .data = (uintptr_t) "http"),
    FAKE_VAR("pre_", WR_ANY, WR_VAR_PREFIX, fake_tail),
    FAKE_VAR("pre_long_", WR_ANY, WR_VAR_PREFIX, fake_tail, .data = 1),
    FAKE_VAR("pre_exact", WR_ANY, 0, fake_text, .data = (uintptr_t) "exact"),
    FAKE_VAR("args", WR_ANY, WR_VAR_SETTABLE, fake_text, .data = (uintptr_t) "a=b",
             .set = fake_set),
    { .name = NULL },
};

static const struct wr_directive fake_rows[] = {
    WR_CUSTOM("stream", WR_LV_MAIN | WR_BLOCK, 0, 0, fake_block, NULL, "layer 4"),
    WR_CUSTOM("http", WR_LV_MAIN | WR_BLOCK, 0, 0, fake_block, NULL, "layer 7"),
    WR_CUSTOM("server", WR_ANY | WR_LV_LAYER | WR_BLOCK | WR_MULTI, 0, 0, fake_block, NULL, "one"),
    WR_CUSTOM("listen", WR_ANY | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY, fake_listen, NULL, "at"),
    WR_CUSTOM("calc", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 2, 2, fake_calc, NULL, "like map"),
    WR_CUSTOM("fresh", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 2, 2, fake_calc, NULL,
              "like a volatile map"),
    WR_CUSTOM("assign", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, 1, fake_assign, NULL, "like set"),
    WR_CUSTOM("match", WR_ANY | WR_IN_LOCATIONS, 1, 1, fake_match, NULL, "a regex"),
    WR_TEMPLATE("value", WR_ANY | WR_IN_LOCATIONS, struct fake_conf, value, NULL, "a template"),
    { .name = NULL },
};
struct wr_module fake_module = {
    .name = "fake",
    .layers = WR_ANY,
    .conf_size = sizeof(struct fake_conf),
    .directives = fake_rows,
    .variables = fake_variables,
};
#ifndef FAKE_MODULES
#define FAKE_MODULES /* "&wr_module_x, &wr_module_y," of a test that needs more */
#endif
struct wr_module *const wr_modules[] = { &wr_module_vars, &wr_module_core_vars,
                                         &wr_module_proxy_protocol, &wr_module_log_conf,
                                         &wr_module_listen, &fake_module, FAKE_MODULES NULL };

/* ---- a configuration, and an exchange in its first server ---- */

static WR_UNUSED struct wr_conf *fake_load(const char *text)
{
    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    fake_attached[0] = '\0';
    fake_calls = 0;
    return wr_conf_load_text("t.conf", wr_str_c(text), WR_STR(""), "/");
}

/* "[warn ]LINE:COLUMN text[ (hint)]\n" of each finding; in the pool of the tree. */
static WR_UNUSED const char *fake_findings(const struct wr_conf *c)
{
    struct wr_text out = wr_text_grow(c->pool, 256, 1 << 20);
    const char *s;

    for (const struct wr_diag *d = c->tree->diags; d != NULL; d = d->next) {
        wr_text_c(&out, d->level == WR_LOG_WARN ? "warn " : "");
        if (d->at.file != NULL)
            wr_text_fmt(&out, "%u:%u ", d->at.line, d->at.column);
        wr_text_c(&out, d->text);
        if (d->hint != NULL)
            wr_text_fmt(&out, " (%s)", d->hint);
        wr_text_char(&out, '\n');
    }
    return wr_text_cstr(&out, &s) ? s : "";
}

struct fake {
    struct wr_conf *conf;
    struct wr_session s;
    struct wr_listener l;
    struct wr_exchange x;
    const struct fake_conf *c;  /* of the first server */
    const struct wr_template *t; /* its value */
};

/* The scope is the first server of the layer, or the layer. False: the configuration has errors. */
static WR_UNUSED bool fake_begin(struct fake *f, const char *text, uint32_t layer)
{
    const struct wr_scope *scope;

    memset(f, 0, sizeof(*f));
    f->conf = fake_load(text);
    if (f->conf->tree->errors > 0)
        return false;
    scope = wr_conf_layer(f->conf, layer);
    if (scope->children != NULL)
        scope = scope->children;
    f->c = wr_scope_conf(scope, &fake_module);
    f->t = f->c->value;
    f->s.conf = f->conf;
    f->s.layer = fake_layer(layer);
    f->s.listener = &f->l;
    f->s.conn.fd = -1;
    f->x.s = &f->s;
    f->x.main = &f->x;
    f->x.conf = f->conf;
    f->x.client_addr = &f->s.client;
    f->x.pool = wr_pool_new(0);
    f->x.layer = f->s.layer;
    f->x.scope = scope;
    f->x.log = wr_scope_log(scope);
    return true;
}

static WR_UNUSED void fake_end(struct fake *f)
{
    wr_pool_free(f->x.pool);
    wr_conf_free(f->conf);
}

#endif

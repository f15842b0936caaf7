/* Shared by the tests of core/config: text forms of trees and findings, and a small set of made
 * modules, enough to have every property a row can have. Included by one test each. */
#ifndef WR_CONFIG_FAKE_H
#define WR_CONFIG_FAKE_H

#include <check.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

/* ---- trees as text ---- */

static WR_UNUSED void show_children(const struct wr_node *block, struct wr_text *out)
{
    const struct wr_node *n;
    uint32_t i;

    for (n = block->children; n != NULL; n = n->next) {
        for (i = 0; i < n->nwords; i++) {
            if (i > 0)
                wr_text_char(out, ' ');
            if (n->words[i].quote != 0)
                wr_text_char(out, n->words[i].quote);
            wr_text_str(out, n->words[i].text);
            if (n->words[i].quote != 0)
                wr_text_char(out, n->words[i].quote);
        }
        if (n->block) {
            wr_text_c(out, " {");
            show_children(n, out);
            wr_text_c(out, "}");
        } else {
            wr_text_char(out, ';');
        }
    }
}

/* "a b;c {d;}", in the pool of the tree. */
static WR_UNUSED const char *show(const struct wr_tree *t)
{
    struct wr_text out = wr_text_grow(t->pool, 256, 1 << 20);
    const char *s;

    show_children(t->root, &out);
    ck_assert(wr_text_cstr(&out, &s));
    return s;
}

/* "LINE:COLUMN text (hint) +MORE\n" of each finding; warnings begin with "warn ". */
static WR_UNUSED const char *findings(const struct wr_tree *t)
{
    struct wr_text out = wr_text_grow(t->pool, 256, 1 << 20);
    const struct wr_diag *d;
    const char *s;

    for (d = t->diags; d != NULL; d = d->next) {
        if (d->level == WR_LOG_WARN)
            wr_text_c(&out, "warn ");
        if (d->at.file != NULL)
            wr_text_fmt(&out, "%u:%u ", d->at.line, d->at.column);
        wr_text_c(&out, d->text);
        if (d->hint != NULL)
            wr_text_fmt(&out, " (%s)", d->hint);
        if (d->more.n > 0)
            wr_text_fmt(&out, " +%u", d->more.n);
        wr_text_char(&out, '\n');
    }
    ck_assert(wr_text_cstr(&out, &s));
    return s;
}

#ifdef WR_FAKE_MODULES

/* The setters and hooks that were called, in order: "name:argument " or "name ". */
static char fake_trace[4096];

static void fake_note(const char *what, struct wr_str arg)
{
    size_t n = strlen(fake_trace);

    snprintf(fake_trace + n, sizeof(fake_trace) - n, "%s%s" WR_FMT " ", what,
             arg.n > 0 ? ":" : "", WR_ARG(arg));
}

static const struct wr_enum fake_cases[] = {
    { "off", 0 }, { "error", 1 }, { "timeout", 2 }, { "http_500", 4 }, { NULL, 0 },
};
static const struct wr_bounds fake_workers = { 1, 1024 }, fake_depth = { 2, UINT32_MAX };

struct fake_list {
    struct wr_str word;
    struct fake_list *next;
};
struct fake_conf { /* of all fake modules alike */
    bool flag;
    uint32_t num, choice;
    size_t size;
    uint64_t offset, msec, sec;
    struct wr_str text, path, local;
    struct fake_list *list;
    uint32_t finished;
};

extern struct wr_module fake_core, fake_events, fake_stream, fake_http, fake_proxy, fake_log;

static bool fake_mark(struct wr_cf *cf, void *conf)
{
    (void)conf;
    if (!cf->defaulting)
        fake_note(cf->row->name, cf->nargs > 0 ? wr_cf_arg(cf, 1) : WR_STR(""));
    return true;
}

static bool fake_local(struct wr_cf *cf, void *conf)
{
    fake_mark(cf, conf);
    return wr_set_str(cf, conf);
}

static bool fake_append(struct wr_cf *cf, void *conf)
{
    struct fake_conf *c = conf;
    struct fake_list **at, *e = WR_NEW(cf->pool, struct fake_list);

    if (cf->first)
        c->list = NULL;
    e->word = wr_cf_arg(cf, 1);
    for (at = &c->list; *at != NULL; at = &(*at)->next)
        ;
    *at = e;
    return true;
}

static bool fake_block(struct wr_cf *cf, void *conf)
{
    static const struct wr_enum levels[] = {
        { "events", WR_LV_EVENTS }, { "stream", WR_LV_LAYER },   { "http", WR_LV_LAYER },
        { "server", WR_LV_SERVER }, { "location", WR_LV_LOCATION }, { "if", WR_LV_LOCATION_IF },
        { "upstream", WR_LV_UPSTREAM }, { NULL, 0 },
    };
    const struct wr_enum *l = levels;
    struct wr_scope *s = NULL;
    uint32_t layer = cf->module == &fake_stream ? WR_L4 : cf->module == &fake_http ? WR_L7 : 0;
    bool ok;

    fake_mark(cf, conf);
    while (strcmp(l->name, cf->row->name) != 0)
        l++;
    ok = wr_cf_block(cf, layer, l->value, (void *)(uintptr_t)cf->row, &s);
    ck_assert(s != NULL && s->object == cf->row);
    return ok;
}

/* As map: its children are no directives. */
static bool fake_define(struct wr_cf *cf, void *conf)
{
    const struct wr_node *n;

    fake_mark(cf, conf);
    for (n = cf->node->children; n != NULL; n = n->next)
        if (n->nwords != 2)
            return wr_cf_error_at(cf, n, 0, "invalid number of the map parameters");
    return true;
}

static bool fake_refuse(struct wr_cf *cf, void *conf)
{
    (void)conf;
    return wr_cf_error(cf, cf->nargs, "invalid parameter \"" WR_FMT "\"",
                       WR_ARG(wr_cf_arg(cf, cf->nargs)));
}

static void fake_enter(struct wr_scope *s, void *conf)
{
    (void)s;
    ((struct fake_conf *)conf)->local = (struct wr_str){ NULL, 0 };
}

static bool fake_finish(struct wr_cf *cf, struct wr_scope *s, void *conf)
{
    ck_assert(cf->scope == s);
    ((struct fake_conf *)conf)->finished++;
    return true;
}

static bool fake_prepare(struct wr_cf *cf)
{
    ck_assert_ptr_null(cf->node);
    fake_note("prepare", WR_STR(""));
    wr_cf_state(cf, cf->module) = WR_NEW(cf->pool, struct fake_conf);
    return true;
}

static bool fake_check(struct wr_cf *cf)
{
    fake_note("check", WR_STR(""));
    ck_assert_ptr_nonnull(wr_cf_state(cf, cf->module));
    return true;
}

#define FAKE struct fake_conf
#define FAKE_MODULE .conf_size = sizeof(FAKE), .finish = fake_finish

static const struct wr_directive fake_core_rows[] = {
    WR_ROW("worker_processes", WR_LV_MAIN, 1, 1, wr_set_num, FAKE, num, &fake_workers, "1",
           "how many workers"),
    WR_FLAG("daemon", WR_LV_MAIN, FAKE, flag, "on", "goes into the background"),
    WR_ROW("pid", WR_LV_MAIN, 1, 1, wr_set_path, FAKE, path, NULL, "logs/weir.pid", "the file"),
    { 0 },
};
static const struct wr_directive fake_events_rows[] = {
    WR_CUSTOM("events", WR_LV_MAIN | WR_BLOCK, 0, 0, fake_block, NULL, "the loop"),
    WR_NUM("worker_connections", WR_LV_EVENTS, FAKE, num, "512", "connections of a worker"),
    { 0 },
};
static const struct wr_directive fake_stream_rows[] = {
    WR_CUSTOM("stream", WR_LV_MAIN | WR_BLOCK, 0, 0, fake_block, NULL, "layer 4"),
    WR_CUSTOM("server", WR_L4 | WR_LV_LAYER | WR_BLOCK | WR_MULTI, 0, 0, fake_block, NULL, "one"),
    WR_CUSTOM("upstream", WR_L4 | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 1, 1, fake_block, NULL,
              "a group"),
    WR_WORDS("server", WR_ANY | WR_LV_UPSTREAM | WR_MULTI, 1, WR_ARGS_ANY, fake_mark,
             "ADDRESS [weight=1] [max_conns=NUMBER] [fail_timeout=10s] [slow_start=TIME] [backup] "
             "[down]", NULL, "a peer"),
    WR_CUSTOM("listen", WR_L4 | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY, fake_mark, NULL,
              "an address"),
    { 0 },
};
static const struct wr_directive fake_http_rows[] = {
    WR_CUSTOM("http", WR_LV_MAIN | WR_BLOCK, 0, 0, fake_block, NULL, "layer 7"),
    WR_CUSTOM("server", WR_L7 | WR_LV_LAYER | WR_BLOCK | WR_MULTI, 0, 0, fake_block, NULL, "one"),
    WR_CUSTOM("location", WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_BLOCK | WR_MULTI, 1, 2,
              fake_block, NULL, "a part of the tree"),
    WR_CUSTOM("if", WR_L7 | WR_LV_LOCATION | WR_BLOCK | WR_MULTI | WR_EARLY, 1, WR_ARGS_ANY,
              fake_block, NULL, "a condition"),
    WR_CUSTOM("set", WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_LV_LOCATION_IF | WR_MULTI, 2, 2,
              fake_mark, NULL, "a variable"),
    WR_CUSTOM("server_name", WR_L7 | WR_LV_SERVER | WR_MULTI, 1, WR_ARGS_ANY, fake_mark, NULL,
              "names"),
    WR_CUSTOM("listen", WR_L7 | WR_LV_SERVER | WR_MULTI, 1, 1, fake_mark, NULL, "an address"),
    { 0 },
};
static const struct wr_directive fake_proxy_rows[] = {
    WR_ROW("proxy_pass", WR_ANY | WR_LV_SERVER | WR_LV_LOCATION | WR_LV_LOCATION_IF | WR_LOCAL, 1,
           1, fake_local, FAKE, local, NULL, NULL, "where to"),
    WR_MSEC("proxy_timeout", WR_ANY | WR_IN_LOCATION_IFS, FAKE, msec, "10m", "between two reads"),
    WR_SIZE("proxy_buffer_size", WR_ANY | WR_IN_LOCATIONS, FAKE, size, "16k", "of the buffer"),
    WR_FLAG("proxy_half_close", WR_L4 | WR_IN_LOCATIONS, FAKE, flag, "off", "keeps half open"),
    WR_ROW("proxy_next_upstream", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, wr_set_mask,
           FAKE, choice, fake_cases, "error timeout", "when to try the next"),
    WR_CUSTOM("map", WR_ANY | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 2, 2, fake_define, NULL, "map"),
    WR_CUSTOM("late", WR_ANY | WR_LV_LAYER | WR_LATE, 0, 0, fake_mark, NULL, "after the maps"),
    WR_CUSTOM("soon", WR_ANY | WR_LV_LAYER, 0, 0, fake_mark, NULL, "before the maps"),
    WR_ROW("allow", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, 1, fake_append, FAKE, list, NULL, NULL,
           "in"),
    WR_ROW("deny", WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, 1, fake_append, FAKE, list, NULL, NULL,
           "out"),
    WR_CUSTOM("refuse", WR_ANY | WR_IN_LOCATIONS, 1, WR_ARGS_ANY, fake_refuse, NULL,
              "always wrong"),
    { 0 },
};
static const struct wr_directive fake_log_rows[] = {
    WR_ROW("error_log", WR_LV_MAIN | WR_ANY | WR_IN_LOCATIONS | WR_MULTI, 1, 2, fake_append, FAKE,
           list, NULL, "stderr", "where errors go"),
    WR_NUM("log_depth", WR_ANY | WR_IN_LOCATIONS, FAKE, num, "7", "only in the layers"),
    WR_ROW("choice", WR_ANY | WR_IN_LOCATIONS, 1, 1, wr_set_enum, FAKE, choice, fake_cases,
           "timeout", "one of four"),
    WR_ROW("file_size", WR_ANY | WR_IN_LOCATIONS, 1, 1, wr_set_offset, FAKE, offset, NULL, "1g",
           "big"),
    WR_ROW("valid", WR_ANY | WR_IN_LOCATIONS, 1, 1, wr_set_sec, FAKE, sec, NULL, "1d", "how long"),
    WR_ROW("log_name", WR_ANY | WR_IN_LOCATIONS, 1, 1, wr_set_str, FAKE, text, NULL, "'a b'",
           "a text"),
    WR_ROW("hash_size", WR_ANY | WR_IN_LOCATIONS, 1, 1, wr_set_ignored_num, FAKE, num, &fake_depth,
           NULL, "changes nothing"),
    { 0 },
};

struct wr_module fake_core = { .name = "core", .directives = fake_core_rows, FAKE_MODULE,
                               .prepare = fake_prepare, .check = fake_check };
struct wr_module fake_events = { .name = "events", .directives = fake_events_rows, FAKE_MODULE };
struct wr_module fake_stream = { .name = "stream", .layers = WR_L4, FAKE_MODULE,
                                 .directives = fake_stream_rows };
struct wr_module fake_http = { .name = "http", .layers = WR_L7, FAKE_MODULE,
                               .directives = fake_http_rows };
struct wr_module fake_proxy = { .name = "proxy", .layers = WR_ANY, .enter = fake_enter,
                                .directives = fake_proxy_rows, FAKE_MODULE };
struct wr_module fake_log = { .name = "log", .layers = WR_ANY, FAKE_MODULE,
                              .directives = fake_log_rows };
struct wr_module *const wr_modules[] = { &fake_core, &fake_events, &fake_stream, &fake_http,
                                         &fake_proxy, &fake_log, NULL };

/* A configuration from text; freed by wr_conf_free. */
static WR_UNUSED struct wr_conf *fake_load(const char *text)
{
    wr_modules_init();
    fake_trace[0] = '\0';
    return wr_conf_load_text("test.conf", wr_str_c(text), WR_STR(""), "/prefix");
}

static WR_UNUSED struct fake_conf *fake_of(const struct wr_scope *s, const struct wr_module *m)
{
    return wr_scope_conf(s, m);
}

/* The list of conf as "a b ". */
static WR_UNUSED const char *fake_words(const struct fake_conf *c)
{
    static char buf[256];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const struct fake_list *e;
    const char *s;

    for (e = c->list; e != NULL; e = e->next)
        wr_text_fmt(&t, WR_FMT " ", WR_ARG(e->word));
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

#endif

/* The tests of one file, each run `rows` times (0: once) with _i counting. */
struct fake_case {
    const TTest *test;
    size_t rows;
};

static WR_UNUSED int run_cases(const char *name, const struct fake_case *cases, size_t n)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    size_t i;
    int failed;

    for (i = 0; i < n; i++)
        tcase_add_loop_test(tc, cases[i].test, 0, cases[i].rows > 0 ? (int)cases[i].rows : 1);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

#define FAKE_MAIN(name, ...)                                            \
    int main(void)                                                      \
    {                                                                   \
        const struct fake_case cases[] = { __VA_ARGS__ };               \
                                                                        \
        return run_cases(name, cases, WR_COUNT(cases));                 \
    }

#endif

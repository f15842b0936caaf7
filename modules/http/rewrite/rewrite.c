/* rewrite: the rewrite program of servers (phase SET) and locations (phase REWRITE): its
 * directives, its hooks and how it runs. A changed uri is only noted here; the engine looks for its
 * location when the program has ended. */
#include "rewrite_impl.h"

struct rewrite_conf {
    struct wr_program *program; /* NULL: none; of a server or location, not inherited */
    bool log, warn;
};

extern struct wr_module wr_module_rewrite;

/* ---- running ---- */

enum wr_rewrite_next wr_rewrite_reject(struct wr_rewrite *rw, unsigned status)
{
    rw->verdict = wr_reject(rw->x, status, NULL);
    return WR_REWRITE_STOP;
}

int wr_rewrite_match(struct wr_rewrite *rw, const struct wr_regex *re, struct wr_str subject)
{
    int found = wr_match(rw->x, re, subject);

    if (found == 0)
        wr_captures_set(rw->x, re, NULL, 0);
    if (found >= 0 && rw->log)
        wr_xlog(rw->x, WR_LOG_NOTICE, 0, "\"" WR_FMT "\" %s \"" WR_FMT "\"",
                WR_ARG(wr_regex_pattern(re)), found > 0 ? "matches" : "does not match",
                WR_ARG(subject));
    return found;
}

static enum wr_rewrite_next run_rows(struct wr_rewrite *rw, const struct wr_program *p)
{
    for (uint32_t i = 0; i < p->rows.n; i++)
        if (p->rows.at[i].run(rw, p->rows.at[i].row) == WR_REWRITE_STOP)
            return WR_REWRITE_STOP;
    return WR_REWRITE_ON;
}

static bool has_program(const void *conf)
{
    return ((const struct rewrite_conf *)conf)->program != NULL;
}

static enum wr_verdict run_program(struct wr_exchange *x)
{
    const struct rewrite_conf *c = wr_conf_of(x, &wr_module_rewrite);
    struct wr_rewrite rw = { .x = x, .log = c->log, .verdict = WR_PASS };

    if (c->program == NULL)
        return WR_PASS;
    (void)run_rows(&rw, c->program);
    return rw.verdict;
}

/* As in nginx, no program runs inside limit_except: its block has none, and that of the location is
 * skipped, so that an `if` there cannot undo what limit_except decided. */
static enum wr_verdict run_location(struct wr_exchange *x)
{
    return x->scope->level == WR_LV_LOCATION ? run_program(x) : WR_PASS;
}

/* ---- the program ---- */

static struct wr_program *program_here(struct wr_cf *cf, struct rewrite_conf *c)
{
    const struct rewrite_conf *outer;
    uint32_t i = 0;

    if ((cf->scope->level & (WR_LV_LOCATION_IF | WR_LV_SERVER_IF)) == 0) {
        if (c->program == NULL)
            c->program = WR_NEW(cf->pool, struct wr_program);
        return c->program;
    }
    outer = wr_scope_conf(cf->scope->parent, &wr_module_rewrite);
    while (outer->program->branches.at[i]->scope != cf->scope) {
        i++;
        WR_ASSERT(i < outer->program->branches.n);
    }
    return &outer->program->branches.at[i]->body;
}

void wr_program_add(struct wr_cf *cf, void *conf, wr_rewrite_run *run_row, const void *row)
{
    struct wr_program *p = program_here(cf, conf);
    struct wr_operation *o = wr_vec_push(cf->pool, &p->rows);

    o->run = run_row;
    o->row = row;
}

static void enter(struct wr_scope *scope, void *conf)
{
    struct rewrite_conf *c = conf;

    (void)scope;
    c->program = NULL;
}

/* ---- set ---- */

static bool get_unset(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct rewrite_conf *c = wr_conf_of(x, &wr_module_rewrite);

    if (c->warn)
        return wr_var_unset(x, v, out);
    *out = WR_STR("");
    return true;
}

static enum wr_rewrite_next run_set(struct wr_rewrite *rw, const void *row)
{
    wr_assignment_run(rw->x, row);
    return WR_REWRITE_ON;
}

static bool set_set(struct wr_cf *cf, void *conf)
{
    struct wr_assignment *a = WR_NEW(cf->pool, struct wr_assignment);

    if (!wr_assignment_conf(cf, a, get_unset))
        return false;
    wr_program_add(cf, conf, run_set, a);
    return true;
}

/* ---- break ---- */

static enum wr_rewrite_next run_break(struct wr_rewrite *rw, const void *row)
{
    struct wr_http *h = wr_http_of(rw->x);

    (void)row;
    if (h->uri_changed) {
        h->uri_changed = false;
        h->uri_set_by_break = true;
    }
    return WR_REWRITE_STOP;
}

static bool set_break(struct wr_cf *cf, void *conf)
{
    wr_program_add(cf, conf, run_break, NULL);
    return true;
}

/* ---- if ---- */

static enum wr_rewrite_next run_if(struct wr_rewrite *rw, const void *row)
{
    const struct wr_branch *b = row;
    int holds = wr_condition_holds(rw, b->condition);

    if (holds < 0)
        return wr_rewrite_reject(rw, 500);
    if (holds == 0)
        return WR_REWRITE_ON;
    if (b->enter)
        wr_exchange_scope(rw->x, b->scope);
    return run_rows(rw, &b->body);
}

static bool set_if(struct wr_cf *cf, void *conf)
{
    struct wr_branch *b = WR_NEW(cf->pool, struct wr_branch);
    struct wr_scope *scope;
    bool ok;

    b->condition = wr_condition_new(cf);
    if (b->condition == NULL)
        return false;
    b->enter = cf->scope->level == WR_LV_LOCATION;
    wr_program_add(cf, conf, run_if, b);
    *wr_vec_push(cf->pool, &program_here(cf, conf)->branches) = b;
    ok = wr_cf_block(cf, 0, b->enter ? WR_LV_LOCATION_IF : WR_LV_SERVER_IF, cf->scope->object,
                     &scope);
    b->scope = scope;
    return ok;
}

/* ---- the module ---- */

#define IN_PROGRAMS \
    (WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_LV_LOCATION_IF | WR_LV_SERVER_IF | WR_MULTI)

static const struct wr_directive directives[] = {
    WR_CUSTOM("set", IN_PROGRAMS, 2, 2, set_set, NULL, "gives a variable a value"),
    WR_CUSTOM("if", WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_MULTI | WR_BLOCK | WR_EARLY, 1,
              WR_ARGS_ANY, set_if, NULL, "directives for requests that meet a condition"),
    WR_CUSTOM("rewrite", IN_PROGRAMS, 2, 3, wr_set_rewrite, NULL,
              "changes the uri, or redirects, if the regex matches"),
    WR_CUSTOM("return", IN_PROGRAMS, 1, 2, wr_set_return, NULL,
              "answers with a status, a text or a redirect"),
    WR_CUSTOM("break", IN_PROGRAMS, 0, 0, set_break, NULL, "ends the rewrite directives"),
    WR_FLAG("rewrite_log", WR_L7 | WR_IN_LOCATION_IFS | WR_LV_SERVER_IF, struct rewrite_conf, log,
            "off", "logs the actions of the rewrite directives at level notice"),
    WR_FLAG("uninitialized_variable_warn", WR_L7 | WR_IN_LOCATION_IFS | WR_LV_SERVER_IF,
            struct rewrite_conf, warn, "on", "warns when a variable is used that was never set"),
    { 0 },
};

struct wr_module wr_module_rewrite = {
    .name = "rewrite",
    .layers = WR_L7,
    .conf_size = sizeof(struct rewrite_conf),
    .directives = directives,
    .enter = enter,
    .has_work = has_program,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_SET, WR_L7, run_program, 0 },
        { WR_PH_REWRITE, WR_L7, run_location, 0 },
        { 0 },
    },
};

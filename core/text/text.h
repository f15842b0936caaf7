/* text: the values of an exchange.
 *
 * Map: variables (the table of each layer, filled while loading), values (and captures, while
 * traffic flows), core_vars ($remote_addr ...), template (text with variables, one pass; amounts;
 * set). */
#ifndef WR_TEXT_H
#define WR_TEXT_H

#include "exchange/exchange.h"

/* ---- variables ---- */
#define WR_NGINX_VERSION "1.31.5" /* whose behaviour and grammar we follow; $nginx_version */
extern struct wr_module wr_module_vars, wr_module_core_vars;
enum wr_var_flags {
    WR_VAR_PREFIX = 1,   /* name ends with _: a family ("proxy_protocol_tlv_") */
    WR_VAR_CACHED = 2,   /* evaluated once an exchange (map, geo, set) */
    WR_VAR_SETTABLE = 4, /* `set` may assign it */
    WR_VAR_USER = 8,     /* defined by the configuration; may be defined again by the same kind */
};
struct wr_var;
/* False: not found (empty in a template, "-" in a log). *out lives as long as the exchange. */
typedef bool wr_var_get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out);
struct wr_variable {        /* a row of a module */
    const char *name;       /* without $ */
    uint32_t layers, flags;
    wr_var_get *get;
    uintptr_t data;         /* for get */
    bool (*set)(struct wr_exchange *x, const struct wr_var *v, struct wr_str value);
};
struct wr_var {             /* one variable of one layer of one configuration */
    struct wr_str name;
    struct wr_str tail;     /* families: what follows the prefix */
    wr_var_get *get;        /* NULL: only mentioned so far; an error after loading */
    bool (*set)(struct wr_exchange *x, const struct wr_var *v, struct wr_str value);
    uintptr_t data;
    void *object;           /* of the definer (the map) */
    uint32_t flags, slot;
    const struct wr_node *node; /* first mention, for the error "unknown variable" */
    uint32_t word;
};
/* Mentions $name at word i of the current directive: found or made, defined or not yet (an
 * undefined one is reported at the end of loading). Layer from cf->scope. NULL: an error was
 * reported (bad name). */
struct wr_var *wr_var_mention(struct wr_cf *cf, struct wr_str name, uint32_t i);
/* Defines $name (word i, with its $): map, geo, set. With WR_VAR_SETTABLE (set) a `get` that
 * another definition gave is kept until something is stored; without it (map, geo) the last one
 * wins. NULL: an error was reported ("the duplicate "x" variable", "invalid variable name"). */
struct wr_var *wr_var_define(struct wr_cf *cf, uint32_t i, wr_var_get *get, uint32_t flags);
bool wr_var_value(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out);
/* Stores into the slot (set, captures). */
void wr_var_store(struct wr_exchange *x, const struct wr_var *v, struct wr_str value);
/* True: the configuration mentions a variable with this getter in the layer. Call it in `check` or
 * later. */
bool wr_var_used(const struct wr_conf *c, uint32_t layer, wr_var_get *get);
/* Regex captures $1..$9 and named groups of the last match (map, geo, rewrite, server_name). */
void wr_captures_set(struct wr_exchange *x, const struct wr_regex *re, const struct wr_str *groups,
                     uint32_t n);
/* $1..$9 of the last match; false: no match yet, or the group was not in it. */
bool wr_capture(const struct wr_exchange *x, uint32_t i, struct wr_str *out);
/* Matches a regex and sets the captures of x (x NULL: does not). Returns 1, 0 for no match, or -1
 * if the regex engine gave up. If it did and x is not NULL, that is logged, and the step runner
 * rejects the exchange with 500 or cuts its reply: a subject that is hard to match must not get
 * past a rule that blocks. */
int wr_match(struct wr_exchange *x, const struct wr_regex *re, struct wr_str subject) WR_CHECKED;
/* Compiles a pattern of the configuration and defines its named groups as variables. NULL: an
 * error was reported at word i. */
struct wr_regex *wr_cf_regex(struct wr_cf *cf, uint32_t i, struct wr_str pattern, bool fold_case);

/* ---- templates: text with variables, one pass ---- */
struct wr_template; /* immutable, in the configuration's pool */
/* Compiles `text` ("$a-${b}", "$1"), which is word i or a part of it. NULL: an error was
 * reported. */
struct wr_template *wr_template_new(struct wr_cf *cf, uint32_t i, struct wr_str text);
bool wr_template_literal(const struct wr_template *t, struct wr_str *out); /* no variable in it */
/* Appends; false when the text overflowed. */
bool wr_template_text(struct wr_exchange *x, const struct wr_template *t, struct wr_text *out);
/* In the exchange's pool (a literal is borrowed); at most 64 KB, p == NULL over it. */
struct wr_str wr_template_str(struct wr_exchange *x, const struct wr_template *t);
/* Like wr_template_text, but calls `capture` to append the texts of $1 to $9. */
bool wr_template_captures(struct wr_exchange *x, const struct wr_template *t, struct wr_text *out,
                          void (*capture)(struct wr_text *out, struct wr_str text));
bool wr_set_template(struct wr_cf *cf, void *conf); /* field: struct wr_template * */
#define WR_TEMPLATE(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_template, type, field, NULL, df, hl)
/* For logs: value -> out with nginx's escape modes. */
enum wr_escape { WR_ESCAPE_DEFAULT, WR_ESCAPE_JSON, WR_ESCAPE_NONE };
bool wr_template_log(struct wr_exchange *x, const struct wr_template *t, enum wr_escape e,
                     struct wr_text *out);
/* "", "0" and not found are false: for if= parameters. True when a regex gave up: a line too many
 * is better than one that a client can avoid. */
bool wr_template_true(struct wr_exchange *x, const struct wr_template *t);

/* A number of bytes, written down or with variables. */
struct wr_amount {
    uint64_t fixed;
    struct wr_template *text; /* NULL: fixed */
};
bool wr_set_amount(struct wr_cf *cf, void *conf); /* field: struct wr_amount; k, m */
uint64_t wr_amount_eval(struct wr_exchange *x, const struct wr_amount *a); /* of its text */
static inline uint64_t wr_amount(struct wr_exchange *x, const struct wr_amount *a)
{
    return a->text == NULL ? a->fixed : wr_amount_eval(x, a); /* 0: the text is not an amount */
}
#define WR_AMOUNT(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_amount, type, field, NULL, df, hl)

/* ---- assign: `set $variable value` of both layers ---- */
struct wr_assignment {
    struct wr_var *var;
    struct wr_template *value;
};
/* Reads the arguments of the current directive. unset: getter of the variable until it is assigned
 * for the first time. */
bool wr_assignment_conf(struct wr_cf *cf, struct wr_assignment *a, wr_var_get *unset);
void wr_assignment_run(struct wr_exchange *x, const struct wr_assignment *a);
wr_var_get wr_var_unset; /* the empty text and a warning */

#endif

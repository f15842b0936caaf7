/* config: from text to module structs.
 *
 * The files of this folder:
 *   lex, tree    nginx's grammar: bytes to words, words to nodes; need no module; fuzzed
 *   source       the files of a configuration, include, -T
 *   braces       which brace of a file is missing or one too many
 *   rows         the index of all directive rows
 *   scope        module structs of a block, copied when a directive writes them
 *   apply        the order in which the directives of a block are applied
 *   conf         a whole configuration, from loading to freeing
 *   setter       functions for setters: errors, paths
 *   types        setters for flags, sizes, times, ...
 *   networks     arguments that are addresses, networks or hosts of clients
 *   table_zone   tables in shared memory that directives name
 *   explain      findings (errors, warnings) and how they are printed
 *   suggest      guesses: a similar name, a missing ";", the right block
 *   help         weir --help
 *   known        names this build lacks; the data is in words (nginx) and elsewhere (others)
 *
 * The order: files are read into a tree. In each block the simple directives are applied first,
 * then the blocks that define something (map, geo, upstream, types), then the nested scopes. Then
 * `finish` runs top-down, once for each distinct module struct. While traffic flows only
 * wr_scope.conf[] is used. */
#ifndef WR_CONFIG_H
#define WR_CONFIG_H

#include "base/base.h"
#include "os/os.h"

/* ---- tree ---- */
struct wr_word {
    struct wr_str text;          /* quotes removed, escapes undone; zero-terminated */
    uint32_t line, column;       /* from 1; columns count bytes */
    char quote;                  /* 0, '"' or '\'' */
};
struct wr_file {
    const char *path;
    struct wr_str text;          /* kept for the lines shown with an error, and for -T */
    bool command_line;           /* the text of -g: it has no path, see explain.c */
    uint32_t number;             /* in the order they were read */
    struct wr_file *next;
};
struct wr_node {                 /* one directive; words[0] is its name */
    struct wr_word *words;
    uint32_t nwords;
    const struct wr_file *file;
    bool block;                  /* ends with { } and not with ; */
    bool faulty;                 /* an error in its words was reported: report no other */
    struct wr_node *children, *next, *parent;
};
struct wr_place {                /* a position in a configuration file */
    const struct wr_file *file;  /* NULL: the finding has no position */
    uint32_t line, column, width;
};
struct wr_diag {                 /* one finding: an error or a warning */
    enum wr_level level;         /* EMERG (an error) or WARN */
    struct wr_place at;          /* its first position in the order of the files */
    WR_VEC(struct wr_place) more; /* other positions with the same text and hint */
    const char *text, *hint;     /* hint may be NULL */
    bool structural;             /* wrong braces, or a directive in a block that cannot hold it */
    uint32_t order;              /* number in the order of finding */
    struct wr_diag *next;
};
struct wr_tree {
    struct wr_pool *pool;
    struct wr_pool *texts;       /* the texts of all files; freed with `pool` */
    struct wr_node *root;        /* children are the top-level directives */
    struct wr_file *files, **last_file; /* in the order they were read */
    uint32_t nfiles;
    struct wr_diag *diags, **last_diag;
    struct wr_dict *seen;        /* struct wr_diag by level, text and hint */
    uint32_t errors;             /* all that were reported, repeated ones included */
    uint32_t kept, warnings_kept; /* length of diags, and how many of them are warnings */
    uint32_t printed;            /* number of findings, from the first on, that were printed */
    bool full;                   /* "too many errors" was reported: stop reading */
    bool broken;                 /* braces do not match: directives may be in the wrong block */
    WR_VEC(const struct wr_node *) refused; /* directives that had no effect */
    const char *prefix;          /* relative include paths begin here: the folder of the main file
                                  * with its slash; "" when its path has none */
};
/* Parses text (borrowed, must outlive the tree) as file `path`. Goes on after an error at the next
 * ; or }. Opens no file: include is an ordinary directive. For tests, the fuzzer and defaults. */
struct wr_tree *wr_tree_parse_only(struct wr_pool *pool, const char *path, struct wr_str text);
/* Reads and parses a file; an unreadable one is a finding. Expands include in every block (globs,
 * sorted; nested at most 16 deep): a path without * ? [ that does not exist is an error, a pattern
 * that matches nothing is not. `globals` ("-g", may be empty) is parsed as a file named "command
 * line"; its directives come first. */
struct wr_tree *wr_tree_load(struct wr_pool *pool, const char *path, struct wr_str globals);
void wr_tree_dump(const struct wr_tree *t, FILE *out); /* -T: "# configuration file PATH:" */
/* Reports a finding at word `word` of n; n NULL: without a position. hint (may be NULL) is copied.
 * The same text and hint again adds a position to the first finding. Once "too many errors" was
 * reported, further errors are only counted. */
void wr_diag_add(struct wr_tree *t, enum wr_level level, const struct wr_node *n, uint32_t word,
                 const char *hint, const char *fmt, ...) WR_PRINTF(6, 7);
void wr_diag_put(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                 const char *fmt, ...) WR_PRINTF(5, 6);
struct wr_place wr_place_of(const struct wr_node *n, uint32_t word); /* n may be NULL */
/* Position of "$name" or "${name}" inside the word; that of the word if it is not found. */
struct wr_place wr_place_variable(const struct wr_node *n, uint32_t word, struct wr_str name);

/* ---- modules ---- */
/* The places where a row is allowed (a layer and levels, or MAIN or EVENTS alone) and its
 * properties. */
enum wr_where {
    WR_L4 = 1 << 0,               /* in stream {} */
    WR_L7 = 1 << 1,               /* in http {} */
    WR_ANY = WR_L4 | WR_L7,
    WR_LV_MAIN = 1 << 4,
    WR_LV_EVENTS = 1 << 5,
    WR_LV_LAYER = 1 << 6,         /* directly in stream {} or http {} */
    WR_LV_SERVER = 1 << 7,
    WR_LV_LOCATION = 1 << 8,
    WR_LV_LOCATION_IF = 1 << 9,   /* in `if` of a location */
    WR_LV_SERVER_IF = 1 << 10,    /* in `if` of a server */
    WR_LV_LIMIT_EXCEPT = 1 << 11,
    WR_LV_UPSTREAM = 1 << 12,
    WR_LV_ALL = 0x1ff << 4,
    WR_IN_SERVERS = WR_LV_LAYER | WR_LV_SERVER, /* a value for all servers, or for one */
    WR_IN_LOCATIONS = WR_IN_SERVERS | WR_LV_LOCATION,
    WR_IN_LOCATION_IFS = WR_IN_LOCATIONS | WR_LV_LOCATION_IF,
    /* properties of the row */
    WR_MULTI = 1 << 16,           /* may be repeated in a block; WR_BLOCK rows have it, too (server,
                                   * but not http). The first one replaces the inherited list:
                                   * see wr_cf.first */
    WR_LOCAL = 1 << 17,           /* not inherited into server and location (proxy_pass, return):
                                   * the module needs `enter` */
    WR_BLOCK = 1 << 18,           /* has { } and opens a scope (server, location, http) */
    WR_DEFINE = 1 << 19,          /* has { } and defines something (map, upstream, types) */
    WR_LATE = 1 << 20,            /* a simple directive, applied after the WR_DEFINE rows */
    WR_EARLY = 1 << 21,           /* with WR_BLOCK (`if`): the setter runs in source order with the
                                   * simple directives, the contents of the block are applied with
                                   * the nested scopes */
};
#define WR_ARGS_ANY 255

struct wr_cf;
struct wr_conf;
struct wr_scope;
struct wr_loop;
struct wr_variable;
struct wr_phase_hook;
struct wr_filter;

struct wr_directive {
    const char *name;
    uint32_t where;
    uint8_t min, max;            /* number of arguments; max WR_ARGS_ANY: no limit */
    /* conf is the module's struct in this scope, already a private copy; NULL where the module
     * has none (conf_size 0, or `stream` at main). False: an error was reported. */
    bool (*set)(struct wr_cf *cf, void *conf);
    size_t offset;               /* of the field in conf, for the setters of types.c */
    const void *data;            /* for the setter: a table of words, bounds */
    const char *def;             /* default as text ("8 4k", "on"), set by the same setter in the
                                  * outermost scope that allows the row; NULL: zero */
    const char *help;            /* one line; never NULL */
    const char *words;           /* the arguments for --help: "NUMBER [timeout=TIME]"; NULL: made
                                  * from set, min and max. Words in lower case can be looked up */
};
/* The last element of a table has name NULL. */

/* Work that is done once and not in each worker: by the keeper, or by the only process. Each call
 * runs in the loop: its time is bounded and it does not wait for a disk. An old keeper goes on for
 * a while after a reload or an upgrade, while the new keeper may own the shared memory already. The
 * functions that write to that memory check the owner themselves and then do nothing; the hooks
 * need not check it. Rules: docs/decisions/keeper.md. */
struct wr_keeper_hooks {
    /* Takes ownership of the shared memory and writes its configured part; called again when
     * another keeper owned it meanwhile. run: number of this process, not 0, never used again.
     * learn: keep the learned part that is there, it is newer than what was found while loading. */
    void (*commit)(struct wr_conf *conf, uint64_t run, bool learn);
    void (*start)(struct wr_conf *conf, struct wr_loop *loop); /* once, after the first commit */
    void (*stop)(void);          /* before the loop is freed; also without `start` */
    /* Takes back everything that dead processes held. Called at the beginning and after a death,
     * for each configuration in use. True: some may die unnoticed, sweep again in a second. */
    bool (*sweep)(struct wr_conf *conf);
    /* True: the counts in shared memory are right again. Called after a sweep every 10 ms, later
     * every second, until all modules return true. */
    bool (*look)(struct wr_conf *conf);
    /* Called every few seconds in the process that is to be the owner. True: somebody else has
     * written over what commit wrote. If the master agrees, commit is called again. */
    bool (*is_damaged)(const struct wr_conf *conf);
    /* Called by the master: how often the work of the keeper is due, in ms; 0: that does not
     * matter. A keeper that is silent three times as long is replaced (core/app/supervise.c). */
    uint64_t (*every)(const struct wr_conf *conf);
};

struct wr_module {
    const char *name;            /* "map"; nginx's module word where there is one */
    const char *words;           /* further words for the "modules:" line of -V, or NULL */
    uint32_t layers;             /* WR_L4 | WR_L7 */
    uint32_t without;            /* layers left out by configure (--without-stream_map_module ...):
                                  * no rows, variables and phase hooks in them */
    /* Size of the module's struct in each scope; 0: none. The first struct (zeroed, then with
     * the defaults) is made at main, if a simple row of the module is allowed there; else in events
     * {}, if one is allowed there; else at main if `layers` is 0, or in each layer of `layers`.
     * Inner scopes share it until a directive in them writes. */
    size_t conf_size;
    size_t ctx_size;             /* size of its state of an exchange, zeroed on first use; or 0 */
    const struct wr_directive *directives;
    const struct wr_variable *variables;       /* the last one has name NULL */
    const struct wr_phase_hook *phases;        /* the last one has run NULL */
    /* False: with this struct the phase hooks and filters would do nothing and are not called.
     * NULL: they are always called. */
    bool (*has_work)(const void *conf);
    const struct wr_filter *filters;           /* http.h; the last one has head NULL */
    const struct wr_http_speaker *speaker;     /* http.h */
    const struct wr_proxy_hook *proxy_hook;    /* http.h; one module at most has one */
    /* Sets the fields of WR_LOCAL rows back to their defaults when a server or location is entered;
     * conf is a private copy. NULL: there is no such row. */
    void (*enter)(struct wr_scope *scope, void *conf);
    /* Computes derived values: top-down, once for each distinct struct, in the scope that owns it.
     * cf->node is the block (NULL at main). Not called after errors. */
    bool (*finish)(struct wr_cf *cf, struct wr_scope *scope, void *conf);
    /* Called once for each configuration, with cf->scope main and cf->node NULL: prepare before the
     * first directive and default, check after all `finish` if there were no errors. */
    bool (*prepare)(struct wr_cf *cf);
    bool (*check)(struct wr_cf *cf);
    /* Reports names that nothing defines. Called before `check`, also after errors. */
    void (*missing)(struct wr_cf *cf);
    /* Called in each worker and in the only process, but not in the keeper. */
    bool (*worker_init)(struct wr_conf *conf, struct wr_loop *loop);
    void (*worker_exit)(struct wr_conf *conf);
    void (*worker_rung)(uint32_t bits); /* the bell of this worker rang: enum wr_bell */
    const struct wr_keeper_hooks *keeper;      /* NULL: none */
    uint32_t index;              /* in wr_modules and in wr_scope.conf; set at start */
};
extern struct wr_module *const wr_modules[]; /* objs/modules.c, ends with NULL */
extern uint32_t wr_modules_count;
void wr_modules_init(void); /* numbers modules and indexes their rows; first of all; idempotent */

/* ---- scopes ---- */
struct wr_scope {
    void **conf;                 /* by module index; shared with the parent until written */
    uint32_t layer, level;       /* one bit each of wr_where; layer 0 for main and events */
    struct wr_scope *parent, *children, *next, *last_child; /* children in source order */
    const struct wr_node *node;  /* the block; NULL for the main scope */
    void *object;                /* what the block makes: struct wr_upstream, wr_virtual, ... */
    uint64_t *owned;             /* set of module indexes: their struct is this scope's own; NULL:
                                  * conf is the parent's array */
    uint64_t *written;           /* set of row indexes used in this block, or NULL */
    uint64_t idle;               /* set of modules without work here: wr_phases_mark */
};
static inline void *wr_scope_conf(const struct wr_scope *s, const struct wr_module *m)
{
    return s->conf[m->index];
}

/* One loaded configuration: immutable once applied, lives as long as its generation. */
struct wr_conf {
    struct wr_pool *pool;
    struct wr_tree *tree;
    struct wr_scope *main;       /* its children: events, stream, http */
    struct wr_shm_set *shm;      /* segments of this configuration */
    struct wr_shm_set *old_shm;  /* while loading: those of the previous one; else NULL */
    const char *prefix;          /* ends with / */
    const char *path;            /* of the main file */
    void **state;                /* by module index: what prepare made (wr_conf_state) */
    /* Prints the findings since the last call; NULL: they are not printed. */
    void (*report)(const struct wr_conf *c);
    uint64_t keep_caps;          /* capabilities workers need (proxy_bind transparent) */
    WR_VEC(const char *) folders; /* for temporary files, made before workers start */
    WR_VEC(struct wr_sink *) logs; /* wr_conf_hold_log */
};
static inline void *wr_conf_state(const struct wr_conf *c, const struct wr_module *m)
{
    return c->state[m->index];
}

/* ---- setters ---- */
struct wr_cf {
    struct wr_conf *conf;
    struct wr_pool *pool;        /* conf->pool */
    struct wr_scope *scope;      /* the block the directive stands in */
    const struct wr_node *node;  /* the directive */
    const struct wr_directive *row;
    struct wr_module *module;    /* owner of the row */
    uint32_t nargs;              /* node->nwords - 1 */
    /* First use of this row in this block. WR_MULTI rows of a module with the same setter and
     * offset count as one row (allow and deny fill one list). */
    bool first;
    bool defaulting;             /* row->def is being set: node does not come from a file */
    struct wr_scope **later;     /* for wr_cf_block: scope of a WR_EARLY block */
};
static inline struct wr_str wr_cf_arg(const struct wr_cf *cf, uint32_t i) /* from 1; 0: the name */
{
    return cf->node->words[i].text;
}
#define WR_FIELD(cf, conf, type) ((type *)(void *)((char *)(conf) + (cf)->row->offset))
/* Reports an error at word i of the directive; always false: return wr_cf_error(...). The reason is
 * in nginx's words, lower case, without full stop and position (which is added). If a ; seems to be
 * missing and the directive has swallowed the next one, a hint is added. */
bool wr_cf_error(struct wr_cf *cf, uint32_t i, const char *fmt, ...) WR_PRINTF(3, 4);
/* With a hint on a line of its own ("did you mean ...", "write ... instead"). */
bool wr_cf_error_hint(struct wr_cf *cf, uint32_t i, const char *hint, const char *fmt, ...)
    WR_PRINTF(4, 5);
void wr_cf_warn(struct wr_cf *cf, uint32_t i, const char *fmt, ...) WR_PRINTF(3, 4);
/* At variable `name` inside word i: see wr_place_variable. */
bool wr_cf_error_variable(struct wr_cf *cf, uint32_t i, struct wr_str name, const char *fmt, ...)
    WR_PRINTF(4, 5);
/* At a node other than the current one (checks across directives). */
bool wr_cf_error_at(struct wr_cf *cf, const struct wr_node *n, uint32_t i, const char *fmt, ...)
    WR_PRINTF(4, 5);
/* Opens a scope of `level` under cf->scope for the block cf->node and applies its directives. layer
 * 0: that of cf->scope. *out (may be NULL) is set before they are applied. False: one of them had
 * an error. In the setter of a WR_EARLY row they are applied later. */
bool wr_cf_block(struct wr_cf *cf, uint32_t layer, uint32_t level, void *object,
                 struct wr_scope **out);
/* Makes a path absolute: relative to the prefix or, with conf, to the folder of the main file. */
const char *wr_cf_path(struct wr_cf *cf, struct wr_str path, bool conf);
/* Warns if others than the owner and his group can read the file with `what` in it. */
void wr_cf_warn_open(struct wr_cf *cf, uint32_t word, const char *path, const char *what);
/* Registers a folder for temporary files, which is created before workers start. path: absolute,
 * lives as long as the configuration. */
void wr_cf_temp_folder(struct wr_cf *cf, const char *path);
/* State of the module in the configuration (wr_conf.state), made by `prepare`. */
#define wr_cf_state(cf, m) ((cf)->conf->state[(m)->index])

/* ---- loading ---- */
/* Loads all of a configuration: tree, scopes, finish, check. Never NULL: see conf->tree->errors;
 * main and events have their defaults even then. path is absolute, or relative to the working
 * folder; prefix is absolute. `old`: the running configuration at a reload, else NULL. */
struct wr_conf *wr_conf_load(const char *path, struct wr_str globals, const char *prefix,
                             const struct wr_conf *old);
/* Loads a configuration from text (the embedded demo). */
struct wr_conf *wr_conf_load_text(const char *name, struct wr_str text, struct wr_str globals,
                                  const char *prefix);
void wr_conf_free(struct wr_conf *c);
/* Takes over this reference to a sink. It is released with the configuration, or by
 * wr_conf_drop_logs in a process that serves another one. */
void wr_conf_hold_log(struct wr_conf *c, struct wr_sink *sink);
void wr_conf_drop_logs(struct wr_conf *c);
/* Calls fn for s and every scope in it, parents first, until fn returns false. */
void wr_scope_each(struct wr_scope *s, bool (*fn)(struct wr_scope *, void *), void *arg);
/* Scope of stream {} (WR_L4) or http {} (WR_L7); NULL: there is none. */
struct wr_scope *wr_conf_layer(const struct wr_conf *c, uint32_t layer);
struct wr_scope *wr_conf_events(const struct wr_conf *c); /* never NULL: it has defaults */

/* ---- explain ---- */
/* Writes all findings since the last call in the order of the files. To out (NULL: not there) as
 *   weir: [emerg] unknown directive "proxy_pas" in /etc/weir.conf:12, 2 more
 *      12 |     proxy_pas http://backend;
 *         |     ^^^^^^^^^
 *         = did you mean "proxy_pass"?
 *         = 2 more: 30, conf.d/a.conf:8
 * and to `log` (NULL: not there) the first line of each without "weir: [emerg] ". */
void wr_diag_print(struct wr_tree *t, FILE *out, const struct wr_log *log);
/* Appends "http, server, location" for a mask of enum wr_where. */
void wr_where_text(uint32_t where, struct wr_text *out);
/* weir --help NAME: of a directive, or of those that have NAME among their words. "all" lists every
 * row, sorted: name TAB contexts TAB default TAB help. False: neither; a similar name is shown. */
bool wr_directive_help(const char *name, FILE *out);

/* ---- known: names of nginx ---- */
struct wr_nginx_word {
    const char *name, *contexts, *module; /* several modules: "a, b"; contexts NULL: a variable */
    bool commercial;                      /* only in nginx's commercial subscription */
};
const struct wr_nginx_word *wr_known_directive(struct wr_str name); /* NULL: nginx has none */
/* name: in lower case. A family ("arg_") is found for all its names. */
const struct wr_nginx_word *wr_known_variable(struct wr_str name);

/* ---- suggest: hints for parameters of a directive ("weight=3", "backup") ---- */
struct wr_param_near {
    struct wr_str word;          /* the unknown one, as written */
    unsigned best;               /* distance of the nearest name so far */
    const char *hint;            /* "did you mean ..." or how to write it; NULL: none is near */
};
struct wr_param_near wr_param_near(struct wr_str word);
/* Compares with a parameter that is allowed here; value: it is written with "=" and a value. */
void wr_param_consider(struct wr_pool *pool, struct wr_param_near *n, const char *name, bool value);

/* ---- types: setters, with the type of their field ---- */
bool wr_set_flag(struct wr_cf *cf, void *conf);     /* bool: on | off */
bool wr_set_str(struct wr_cf *cf, void *conf);      /* struct wr_str */
bool wr_set_path(struct wr_cf *cf, void *conf);     /* struct wr_str, absolute: see wr_cf_path */
bool wr_set_num(struct wr_cf *cf, void *conf);      /* uint32_t; data: struct wr_bounds or NULL */
bool wr_set_size(struct wr_cf *cf, void *conf);     /* size_t; k, m */
bool wr_set_offset(struct wr_cf *cf, void *conf);   /* uint64_t; k, m, g */
bool wr_set_msec(struct wr_cf *cf, void *conf);     /* uint64_t ms; "1h 30m 5s 10ms"; no unit: s */
bool wr_set_sec(struct wr_cf *cf, void *conf);      /* uint64_t s; no ms, but y and M */
bool wr_set_enum(struct wr_cf *cf, void *conf);     /* uint32_t; data: struct wr_enum[] */
bool wr_set_mask(struct wr_cf *cf, void *conf);     /* uint32_t, bits of all arguments; data: struct
                                                     * wr_enum[]; lines of a WR_MULTI row add up */
/* Directives of nginx that weir does not need (hash sizes, tcp_nopush): the value is checked as in
 * nginx and ignored; the row's help says why. */
bool wr_set_ignored_flag(struct wr_cf *cf, void *conf);
bool wr_set_ignored_num(struct wr_cf *cf, void *conf); /* data: struct wr_bounds */
struct wr_bounds {
    uint32_t min, max; /* max UINT32_MAX: no limit */
};
struct wr_enum {
    const char *name; /* NULL: the end of the table */
    uint32_t value;
};
/* The parsers of these setters: pure. Results are at most INT64_MAX. */
bool wr_parse_size(struct wr_str s, uint64_t *out) WR_CHECKED;   /* 10, 10k, 10m, 10g */
bool wr_parse_msec(struct wr_str s, uint64_t *out) WR_CHECKED;   /* w d h m s ms, in this order */
bool wr_parse_sec(struct wr_str s, uint64_t *out) WR_CHECKED;    /* y M w d h m s, in this order */
/* "name=value": true and *value when s starts with name and '='. */
bool wr_param(struct wr_str s, const char *name, struct wr_str *value);

/* Rows of directive tables. df is text as in a file ("on", "16k", "60s") or NULL. */
#define WR_ROW(nm, wh, mn, mx, setter, type, field, dt, df, hl) \
    { .name = nm, .where = (wh), .min = (mn), .max = (mx), .set = (setter), \
      .offset = offsetof(type, field), .data = (dt), .def = (df), .help = (hl) }
#define WR_FLAG(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_flag, type, field, NULL, df, hl)
#define WR_STRING(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_str, type, field, NULL, df, hl)
#define WR_NUM(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_num, type, field, NULL, df, hl)
#define WR_SIZE(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_size, type, field, NULL, df, hl)
#define WR_MSEC(nm, wh, type, field, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_msec, type, field, NULL, df, hl)
#define WR_ENUM(nm, wh, type, field, table, df, hl) \
    WR_ROW(nm, wh, 1, 1, wr_set_enum, type, field, table, df, hl)
#define WR_CUSTOM(nm, wh, mn, mx, setter, df, hl) \
    { .name = nm, .where = (wh), .min = (mn), .max = (mx), .set = (setter), .def = (df), \
      .help = (hl) }
#define WR_WORDS(nm, wh, mn, mx, setter, wd, df, hl) \
    { .name = nm, .where = (wh), .min = (mn), .max = (mx), .set = (setter), .words = (wd), \
      .def = (df), .help = (hl) }

/* Reads argument i as an address, a network or "unix:"; warns about address bits below the mask.
 * False: it is something else; nothing was reported. */
bool wr_cf_network(struct wr_cf *cf, uint32_t i, struct wr_cidr *out) WR_CHECKED;
/* Appends argument i: an address, a network, "unix:", or all addresses of a host name. False: the
 * host was not found, which was reported. */
bool wr_cf_networks(struct wr_cf *cf, uint32_t i, struct wr_networks *out) WR_CHECKED;

/* ---- table_zone: "NAME:SIZE", a table in a segment of its own ---- */
struct wr_table_zone {
    struct wr_str name;
    size_t size;                 /* bytes of the segment */
    const struct wr_node *node;  /* the directive that named it first */
    struct wr_shm *shm;          /* set by wr_table_zones_open, with `table` */
    struct wr_table table;
    struct wr_table_zone *next;
};
/* The zone of that name in the list *all of a module; adds one if there is none. NULL: it has
 * another size, which was reported at word i. */
struct wr_table_zone *wr_table_zone_named(struct wr_cf *cf, uint32_t i, struct wr_table_zone **all,
                                          struct wr_str name, size_t size) WR_CHECKED;
/* For `check`: makes the segments PREFIX/NAME, or goes on with those of the previous configuration.
 * layout: of the values in the tables; raise it when they change. False: reported. */
bool wr_table_zones_open(struct wr_cf *cf, struct wr_table_zone *all, const char *prefix,
                         uint32_t layout) WR_CHECKED;

#endif

/* config: from text to module structs.
 *
 * Map: lex + tree (nginx's grammar to nodes, no module needed; a fuzz target), source (files,
 * include, -T), rows (which row a name means here), scope (module structs, copied when written),
 * apply (the order of application), conf (a whole configuration), setter (what setters call),
 * types (setters for flags, sizes, times, ...), networks (arguments that name clients), braces
 * (which one is missing), explain (errors with place and caret), suggest (what was probably meant),
 * help (--help), known (names of nginx, of other modules, of old versions; the data is in words and
 * elsewhere). The files of this folder share config_impl.h, which nobody else includes.
 *
 * The order: files are read into a tree; for each block first its simple directives, then its
 * definition blocks (map, geo, upstream, types), then its nested scopes; then `finish` runs
 * top-down, once for each distinct module struct. Nothing here is used once traffic flows except
 * wr_scope.conf[]. */
#ifndef WR_CONFIG_H
#define WR_CONFIG_H

#include "base/base.h"
#include "os/os.h"

/* ---- tree ---- */
struct wr_word {
    struct wr_str text;          /* quotes removed, escapes undone; zero behind it */
    uint32_t line, column;       /* 1-based; columns count bytes */
    char quote;                  /* 0, '"' or '\'' */
};
struct wr_file {
    const char *path;
    struct wr_str text;          /* kept for the caret lines and -T */
    bool command_line;           /* -g: no path, errors say "in command line" */
    uint32_t number;             /* in the order they were read */
    struct wr_file *next;
};
struct wr_node {                 /* one directive; words[0] is its name */
    struct wr_word *words;
    uint32_t nwords;
    const struct wr_file *file;
    bool block;                  /* ended by { } rather than ; */
    bool faulty;                 /* its words were reported already: no more is said of it */
    struct wr_node *children, *next, *parent;
    uint32_t end_line;           /* of the closing brace */
};
struct wr_place {
    const struct wr_file *file;  /* NULL: not about a place */
    uint32_t line, column, width;
};
struct wr_diag {                 /* one finding */
    enum wr_level level;         /* EMERG (an error) or WARN */
    struct wr_place at;          /* the first in the order of the files */
    WR_VEC(struct wr_place) more; /* where the same has to be said again */
    const char *text, *hint;     /* hint may be NULL */
    bool structural;             /* of braces, or of what stands where it cannot */
    uint32_t order;              /* in which it was found */
    struct wr_diag *next;
};
struct wr_tree {
    struct wr_pool *pool;
    struct wr_pool *texts;       /* of files, which the tree borrows; freed with the pool */
    struct wr_node *root;        /* children are the top-level directives */
    struct wr_file *files, **last_file; /* in the order they were read */
    uint32_t nfiles;
    struct wr_diag *diags, **last_diag;
    struct wr_dict *seen;        /* the same by text and hint */
    uint32_t errors, warnings;   /* all of them, also what was said before */
    uint32_t kept, warnings_kept, printed; /* findings in diags; the first `printed` were shown */
    bool full;                   /* "too many errors" was said: reading on is of no use */
    bool broken;                 /* braces do not match: blocks may be in the wrong place */
    WR_VEC(const struct wr_node *) refused; /* directives that had no effect */
    const char *prefix;          /* of relative include paths: the folder of the main file, with
                                  * its slash; "" when the path has none */
};
/* Parses text (borrowed, must outlive the tree) as file `path`. Recovers at ; and } and collects
 * several errors. Opens no file: include is left as a directive. For the fuzzer. */
struct wr_tree *wr_tree_parse_only(struct wr_pool *pool, const char *path, struct wr_str text);
/* The same for a file; an unreadable one is a diag. Include directives are expanded in every block
 * (globs, sorted; depth at most 16): a pattern without * ? [ that names no file is an error, one
 * with them is not. `globals` ("-g", may be empty) is parsed as a file named "command line" and its
 * directives come first. */
struct wr_tree *wr_tree_load(struct wr_pool *pool, const char *path, struct wr_str globals);
void wr_tree_dump(const struct wr_tree *t, FILE *out); /* -T: "# configuration file PATH:" */
/* About word `word` of n; n NULL: about no place. hint (may be NULL) is copied. The same text and
 * hint again is another place of the same finding. Nothing is kept beyond "too many errors". */
void wr_diag_add(struct wr_tree *t, enum wr_level level, const struct wr_node *n, uint32_t word,
                 const char *hint, const char *fmt, ...) WR_PRINTF(6, 7);
void wr_diag_put(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                 const char *fmt, ...) WR_PRINTF(5, 6);
struct wr_place wr_place_of(const struct wr_node *n, uint32_t word); /* n may be NULL */
/* "$name" or "${name}" inside the word; the whole word where it is not found. */
struct wr_place wr_place_variable(const struct wr_node *n, uint32_t word, struct wr_str name);

/* ---- modules ---- */
/* Where a row is allowed: layers times levels. MAIN and EVENTS need no layer, all others do. */
enum wr_where {
    WR_L4 = 1 << 0, /* stream {} */
    WR_L7 = 1 << 1, /* http {} */
    WR_ANY = WR_L4 | WR_L7,
    WR_LV_MAIN = 1 << 4,
    WR_LV_EVENTS = 1 << 5,
    WR_LV_LAYER = 1 << 6,    /* directly in stream {} or http {} */
    WR_LV_SERVER = 1 << 7,
    WR_LV_LOCATION = 1 << 8,
    WR_LV_LOCATION_IF = 1 << 9,  /* `if` in a location */
    WR_LV_SERVER_IF = 1 << 10,   /* `if` in a server */
    WR_LV_LIMIT_EXCEPT = 1 << 11,
    WR_LV_UPSTREAM = 1 << 12,
    WR_LV_ALL = 0x1ff << 4,
    WR_IN_SERVERS = WR_LV_LAYER | WR_LV_SERVER,
    WR_IN_LOCATIONS = WR_IN_SERVERS | WR_LV_LOCATION,
    WR_IN_LOCATION_IFS = WR_IN_LOCATIONS | WR_LV_LOCATION_IF,
    /* row properties */
    WR_MULTI = 1 << 16,      /* may repeat in a block, blocks too (server, not http); the first
                              * replaces the inherited list, see wr_cf.first */
    WR_LOCAL = 1 << 17,      /* not inherited into server and location (proxy_pass, return): the
                              * module needs `enter` */
    WR_BLOCK = 1 << 18,      /* has { } and opens scopes (server, location, http) */
    WR_DEFINE = 1 << 19,     /* has { } and defines something (map, upstream, types) */
    WR_LATE = 1 << 20,       /* simple, but applied after the definition blocks */
    WR_EARLY = 1 << 21,      /* with WR_BLOCK (`if`): the setter runs in source order with the
                              * simple rows; what stands in the block is applied with the nested
                              * scopes */
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
    uint8_t min, max;            /* arguments; max WR_ARGS_ANY: no limit */
    /* conf is the module's struct in this scope, already a private copy; NULL where the module
     * has none (conf_size 0, or `stream` at main). False: it called wr_cf_error. */
    bool (*set)(struct wr_cf *cf, void *conf);
    size_t offset;               /* of the field, for the setters of types.c */
    const void *data;            /* for the setter: an enum table, a bound */
    const char *def;             /* default as text ("8 4k", "on"), set through the same setter in
                                  * the outermost scope the row can stand in; NULL: zeroed */
    const char *help;            /* one line; never NULL */
};
/* The last element of a table has name NULL. */

/* Work that is done once, not once for each worker: by the keeper, or by the only process. In its
 * loop: each call has a bound and waits for no disk. What belongs to a place in shared memory that
 * another keeper may own by now (a reload, an upgrade) is refused there, not here: an old keeper
 * lives on for a while. docs/decisions/keeper.md has the rules. */
struct wr_keeper_hooks {
    /* Takes ownership of the shared memory and writes its configured part; again when another
     * keeper owned it meanwhile. run: number of this process, not 0, never used again. learn: the
     * learned part there is newer than the result of the start. */
    void (*commit)(struct wr_conf *conf, uint64_t run, bool learn);
    void (*start)(struct wr_conf *conf, struct wr_loop *loop); /* once, behind the first commit */
    void (*stop)(void);          /* before the loop is freed; also when it never started */
    /* At the beginning, and when a process has died, for each configuration that processes have:
     * takes back what the dead hold. True: others may die unnoticed, sweep again in a second. */
    bool (*sweep)(struct wr_conf *conf);
    /* Behind a sweep, every 10 ms (after a while: every second) until all say true: are the counts
     * right now? */
    bool (*look)(struct wr_conf *conf);
};

struct wr_module {
    const char *name;            /* "map"; nginx's module word where there is one */
    const char *words;           /* extra words for the modules: line of -V, or NULL */
    uint32_t layers;             /* WR_L4 | WR_L7 */
    uint32_t without;            /* those it was built without (--without-stream_map_module ...):
                                  * its rows, variables and phase hooks are not there in them */
    /* Of the struct in each scope; 0: none. The first one is made, zeroed and with defaults, at
     * main when a simple row of the module is allowed there (layers 0: also without one), in
     * events{} when one is allowed only there, else in stream{} and http{} as `layers` says. Inner
     * scopes share it until they write. */
    size_t conf_size;
    size_t ctx_size;             /* of per-exchange state, zeroed on first use; 0: none */
    const struct wr_directive *directives;
    const struct wr_variable *variables;       /* exchange.h; end: name NULL */
    const struct wr_phase_hook *phases;        /* exchange.h; end: run NULL */
    /* Do the phase hooks and the filters have anything to do where this is the struct? If not, they
     * are not called there. NULL: always. */
    bool (*has_work)(const void *conf);
    const struct wr_filter *filters;           /* http.h; end: head NULL */
    const struct wr_http_speaker *speaker;     /* http.h */
    /* Entering a server or location, conf is a private copy: sets the fields of WR_LOCAL rows back
     * to their defaults. Needed when there is such a row, else leave it NULL. */
    void (*enter)(struct wr_scope *scope, void *conf);
    /* Derived values; top-down, once per distinct struct, in the scope that owns it. cf->node is
     * the block (NULL at main). Not called when there were errors. */
    bool (*finish)(struct wr_cf *cf, struct wr_scope *scope, void *conf);
    /* Once per configuration, cf->scope is main, cf->node NULL: before the first directive (and
     * default); after everything is finished without errors. */
    bool (*prepare)(struct wr_cf *cf);
    bool (*check)(struct wr_cf *cf);
    /* Before `check`, and also when there were errors: reports names that directives use and that
     * nothing defines, but for those that a refused directive may have defined. */
    void (*missing)(struct wr_cf *cf);
    bool (*worker_init)(struct wr_conf *conf, struct wr_loop *loop);
    void (*worker_exit)(struct wr_conf *conf);
    const struct wr_keeper_hooks *keeper;      /* NULL: nothing is done once */
    uint32_t index;              /* place in wr_modules and in wr_scope.conf; set at start */
};
extern struct wr_module *const wr_modules[]; /* objs/modules.c, ends with NULL */
extern uint32_t wr_modules_count;
void wr_modules_init(void); /* numbers them, indexes their rows; first of all, again is harmless */

/* ---- scopes ---- */
struct wr_scope {
    void **conf;                 /* by module index; shared with the parent until written */
    uint32_t layer, level;       /* one bit each of wr_where; layer 0 for main and events */
    struct wr_scope *parent, *children, *next, *last_child; /* children in source order */
    const struct wr_node *node;  /* the block; NULL for the main scope */
    void *object;                /* what the block is: struct wr_upstream, wr_server, ... */
    uint64_t *owned;             /* bit set of module indexes whose struct is this scope's own;
                                  * NULL: conf is the parent's array */
    uint64_t *written;           /* bit set of rows already seen in this block, or NULL */
    uint64_t idle;               /* whose hooks and filters have no work here: wr_phases_mark */
};
static inline void *wr_scope_conf(const struct wr_scope *s, const struct wr_module *m)
{
    return s->conf[m->index];
}

/* One loaded configuration; immutable once applied, lives as long as its generation. */
struct wr_conf {
    struct wr_pool *pool;
    struct wr_tree *tree;
    struct wr_scope *main;       /* its children: events, stream, http */
    struct wr_shm_set *shm;      /* segments of this configuration */
    struct wr_shm_set *old_shm;  /* of the one before, during load; else NULL */
    const char *prefix;          /* ends with / */
    const char *path;            /* of the main file */
    void **state;                /* by module index: what prepare made (wr_conf_state) */
    /* Prints what was found since the last time; NULL: nobody reads it. */
    void (*report)(const struct wr_conf *c);
    bool test;                   /* -t: do not keep anything */
    uint64_t keep_caps;          /* capabilities workers need: proxy_bind transparent */
    WR_VEC(const char *) folders; /* of temporary files: made before workers start */
    WR_VEC(struct wr_sink *) logs; /* wr_conf_hold_log */
};
static inline void *wr_conf_state(const struct wr_conf *c, const struct wr_module *m)
{
    return c->state[m->index];
}

/* ---- what a setter sees ---- */
struct wr_cf {
    struct wr_conf *conf;
    struct wr_pool *pool;        /* conf->pool */
    struct wr_scope *scope;      /* the block the directive stands in */
    const struct wr_node *node;
    const struct wr_directive *row;
    struct wr_module *module;    /* owner of the row */
    uint32_t nargs;              /* node->nwords - 1 */
    /* First time this row is used in this block. WR_MULTI rows of a module with the same setter
     * and offset count as one (allow and deny fill one list). */
    bool first;
    bool defaulting;             /* row->def is being set: no node of a file */
    struct wr_scope **later;     /* apply.c's: where an early block waits */
};
static inline struct wr_str wr_cf_arg(const struct wr_cf *cf, uint32_t i) /* 1-based; 0 the name */
{
    return cf->node->words[i].text;
}
#define WR_FIELD(cf, conf, type) ((type *)(void *)((char *)(conf) + (cf)->row->offset))
/* Reports at word i of the directive; always false, so: return wr_cf_error(...). The reason in
 * nginx's words, lower case, no full stop, no place (that is added). When the directive seems to
 * have swallowed the next one, a hint about the missing ; is added. */
bool wr_cf_error(struct wr_cf *cf, uint32_t i, const char *fmt, ...) WR_PRINTF(3, 4);
/* The same with a hint on a line of its own ("did you mean ...", "write ... instead"). */
bool wr_cf_error_hint(struct wr_cf *cf, uint32_t i, const char *hint, const char *fmt, ...)
    WR_PRINTF(4, 5);
void wr_cf_warn(struct wr_cf *cf, uint32_t i, const char *fmt, ...) WR_PRINTF(3, 4);
/* At the variable in word i whose name was just read; see wr_place_variable. */
bool wr_cf_error_variable(struct wr_cf *cf, uint32_t i, struct wr_str name, const char *fmt, ...)
    WR_PRINTF(4, 5);
/* At another node than the current one (cross checks). */
bool wr_cf_error_at(struct wr_cf *cf, const struct wr_node *n, uint32_t i, const char *fmt, ...)
    WR_PRINTF(4, 5);
/* Opens a scope of `level` for the current block node under cf->scope and applies its children.
 * layer 0: that of cf->scope. The scope is returned through *out (may be NULL) before the
 * children are applied, with object set. False when a child had an error. In the setter of a
 * WR_EARLY row the children are applied later. */
bool wr_cf_block(struct wr_cf *cf, uint32_t layer, uint32_t level, void *object,
                 struct wr_scope **out);
/* Path relative to the prefix (or, conf: to the folder of the main file), made absolute. */
const char *wr_cf_path(struct wr_cf *cf, struct wr_str path, bool conf);
/* Something in use will write temporary files into this folder (an absolute path that lives as long
 * as the configuration): it is made before workers start. */
void wr_cf_temp_folder(struct wr_cf *cf, const char *path);
/* Generation-wide state of the module (wr_conf.state), made by `prepare`. */
#define wr_cf_state(cf, m) ((cf)->conf->state[(m)->index])

/* ---- apply ---- */
/* Everything: tree, scopes, finish, check. NULL never: look at conf->tree->errors (main and events
 * with their defaults are there even then). path is absolute, or relative to the working folder;
 * prefix is absolute. `old` is the running configuration at a reload, else NULL. */
struct wr_conf *wr_conf_load(const char *path, struct wr_str globals, const char *prefix,
                             const struct wr_conf *old, bool test);
/* The same from text (the embedded demo configuration). */
struct wr_conf *wr_conf_load_text(const char *name, struct wr_str text, struct wr_str globals,
                                  const char *prefix);
void wr_conf_free(struct wr_conf *c);
/* The configuration takes this reference to a sink; it goes with it, or before: in a process that
 * serves another configuration. */
void wr_conf_hold_log(struct wr_conf *c, struct wr_sink *sink);
void wr_conf_drop_logs(struct wr_conf *c);
/* Calls fn for every scope below (and including) s, parents first, until fn returns false. */
void wr_scope_each(struct wr_scope *s, bool (*fn)(struct wr_scope *, void *), void *arg);
/* stream {} or http {}: layer WR_L4 or WR_L7; NULL when there is none. */
struct wr_scope *wr_conf_layer(const struct wr_conf *c, uint32_t layer);
struct wr_scope *wr_conf_events(const struct wr_conf *c); /* never NULL: defaults when absent */

/* ---- explain ---- */
/* Writes all findings since the last call, in the order of the files: to out as
 *   weir: [emerg] unknown directive "proxy_pas" in /etc/weir.conf:12, 2 more
 *      12 |     proxy_pas http://backend;
 *         |     ^^^^^^^^^
 *         = did you mean "proxy_pass"?
 *         = 2 more: 30, conf.d/a.conf:8
 * and, when `log` is given, the first line of each (without "weir: [emerg] ") also to that log. out
 * may be NULL: nobody looks. */
void wr_diag_print(struct wr_tree *t, FILE *out, const struct wr_log *log);
/* "http, server, location" of a where mask. */
void wr_where_text(uint32_t where, struct wr_text *out);
/* weir --help WORD; "all" lists every row, sorted: name TAB contexts TAB default TAB help. False:
 * unknown, then out says what is similar. */
bool wr_directive_help(const char *name, FILE *out);

/* ---- known: what nginx has ---- */
struct wr_nginx_word {
    const char *name, *contexts, *module; /* several modules: "a, b"; of variables no contexts */
    bool commercial;                      /* in none of them free */
};
const struct wr_nginx_word *wr_known_directive(struct wr_str name); /* NULL: no such directive */
const struct wr_nginx_word *wr_known_variable(struct wr_str name); /* lower case; also families */

/* ---- suggest: parameters of a directive ("weight=3", "backup") ---- */
struct wr_param_near {
    struct wr_str word;          /* as it was written */
    unsigned best;
    const char *hint;            /* "did you mean ...", how it is written; NULL: nothing is near */
};
struct wr_param_near wr_param_near(struct wr_str word);
/* Considers a parameter that is allowed here, with "=" and a value or without. */
void wr_param_consider(struct wr_pool *pool, struct wr_param_near *n, const char *name, bool value);

/* ---- types: setters; the field type stands behind the name ---- */
bool wr_set_flag(struct wr_cf *cf, void *conf);     /* bool: on | off */
bool wr_set_str(struct wr_cf *cf, void *conf);      /* struct wr_str */
bool wr_set_path(struct wr_cf *cf, void *conf);     /* struct wr_str, made absolute to the prefix */
bool wr_set_num(struct wr_cf *cf, void *conf);      /* uint32_t; data: struct wr_bounds or NULL */
bool wr_set_size(struct wr_cf *cf, void *conf);     /* size_t; k, m */
bool wr_set_offset(struct wr_cf *cf, void *conf);   /* uint64_t; k, m, g */
bool wr_set_msec(struct wr_cf *cf, void *conf);     /* uint64_t ms; "1h 30m 5s 10ms", plain = s */
bool wr_set_sec(struct wr_cf *cf, void *conf);      /* uint64_t s; no ms, but y and M */
bool wr_set_enum(struct wr_cf *cf, void *conf);     /* uint32_t; data: struct wr_enum[] */
bool wr_set_mask(struct wr_cf *cf, void *conf);     /* uint32_t bits of all arguments; data: too.
                                                     * In a WR_MULTI row the lines add up */
/* Accepted because nginx has it, and needless here (hash sizes, tcp_nopush): the value is checked
 * as nginx does, and the help text says why it changes nothing. */
bool wr_set_ignored_flag(struct wr_cf *cf, void *conf);
bool wr_set_ignored_num(struct wr_cf *cf, void *conf); /* data: struct wr_bounds */
struct wr_bounds {
    uint32_t min, max; /* max UINT32_MAX: none */
};
struct wr_enum {
    const char *name; /* NULL ends */
    uint32_t value;
};
/* The parsers behind them: pure. Results are at most INT64_MAX. */
bool wr_parse_size(struct wr_str s, uint64_t *out) WR_CHECKED;   /* 10, 10k, 10m, 10g */
bool wr_parse_msec(struct wr_str s, uint64_t *out) WR_CHECKED;   /* w d h m s ms, falling */
bool wr_parse_sec(struct wr_str s, uint64_t *out) WR_CHECKED;    /* y M w d h m s; M is 30 d */
/* "name=value": true and *value when s starts with name and '='. */
bool wr_param(struct wr_str s, const char *name, struct wr_str *value);

/* Row makers. def is text as in a file ("on", "16k", "60s") or NULL. */
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

/* Argument i as an address, a network or "unix:"; warns when its low bits are meaningless. False:
 * it is none (nothing was reported). */
bool wr_cf_network(struct wr_cf *cf, uint32_t i, struct wr_cidr *out) WR_CHECKED;
/* The same, appended; any other word is a host, of which all addresses are. False: it has none,
 * which was reported. */
bool wr_cf_networks(struct wr_cf *cf, uint32_t i, struct wr_networks *out) WR_CHECKED;

#endif

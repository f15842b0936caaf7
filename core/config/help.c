/* help: `weir --help DIRECTIVE`, made from the rows of the modules. Called by app/main. */
#include "config/config_impl.h"

#define CONTEXTS_MAX 256

static const char *argument_of(const struct wr_directive *row)
{
    if (row->set == wr_set_flag || row->set == wr_set_ignored_flag)
        return "on | off";
    if (row->set == wr_set_num || row->set == wr_set_ignored_num)
        return "number";
    if (row->set == wr_set_size || row->set == wr_set_offset)
        return "size";
    if (row->set == wr_set_msec || row->set == wr_set_sec)
        return "time";
    if (row->set == wr_set_path)
        return "path";
    return row->set == wr_set_str ? "string" : NULL;
}

static void print_enum(const struct wr_directive *row, FILE *out)
{
    const struct wr_enum *e;

    for (e = row->data; e->name != NULL; e++)
        fprintf(out, "%s%s", e == row->data ? " " : " | ", e->name);
    if (row->max != 1)
        fputs(" ...", out);
}

#define SYNTAX_COLUMN 14
#define WIDTH_MAX 80

/* Continues a line after `column` bytes, and begins new ones at the column of the syntax. */
static void print_words(struct wr_str words, size_t column, FILE *out)
{
    while (words.n > 0) {
        struct wr_str word = wr_str_cut(&words, ' ');

        if (column + 1 + word.n >= WIDTH_MAX) {
            fprintf(out, "\n%*s", SYNTAX_COLUMN + 3, "");
            column = SYNTAX_COLUMN + 3;
        }
        fprintf(out, " " WR_FMT, WR_ARG(word));
        column += 1 + word.n;
    }
}

static void print_syntax(const struct wr_directive *row, FILE *out)
{
    const char *argument = argument_of(row);
    uint32_t i;

    fprintf(out, "    syntax:   %s", row->name);
    if (row->words != NULL) {
        print_words(wr_str_c(row->words), SYNTAX_COLUMN + strlen(row->name), out);
    } else if (row->set == wr_set_enum || row->set == wr_set_mask) {
        print_enum(row, out);
    } else if (argument != NULL) {
        fprintf(out, " %s", argument);
    } else {
        for (i = 1; i <= row->min; i++)
            fputs(" value", out);
        for (; row->max != WR_ARGS_ANY && i <= row->max; i++)
            fputs(" [value]", out);
        if (row->max == WR_ARGS_ANY)
            fputs(" ...", out);
    }
    if ((row->where & (WR_BLOCK | WR_DEFINE)) == 0)
        fputs(";\n", out);
    else
        fputs(row->words != NULL && strchr(row->words, '{') != NULL ? "\n" : " { ... }\n", out);
}

/* The contexts of a row as text in buf. */
static const char *contexts_of(uint32_t where, char *buf)
{
    struct wr_text t = wr_text_on(buf, CONTEXTS_MAX);
    const char *s;

    wr_where_text(where, &t);
    return wr_text_cstr(&t, &s) ? s : "";
}

/* include is not a row of a module: source.c expands it in every block. This row is for --help. */
#define INCLUDE_WHERE \
    (WR_LV_MAIN | WR_LV_EVENTS | WR_ANY | WR_IN_LOCATIONS | WR_LV_UPSTREAM | WR_MULTI)

static const struct wr_directive include = {
    .name = "include",
    .where = INCLUDE_WHERE,
    .min = 1,
    .max = 1,
    .set = wr_set_path,
    .help = "reads a file, or all that match a pattern, as if their lines stood here",
};
static struct wr_module include_reader = { .name = "conf" };
static const struct wr_row include_row = { .row = &include, .module = &include_reader,
                                           .where = INCLUDE_WHERE };

static int by_name(const void *a, const void *b)
{
    const struct wr_row *const *x = a, *const *y = b;
    int order = strcmp((*x)->row->name, (*y)->row->name);

    return order != 0 ? order : ((*x)->index > (*y)->index) - ((*x)->index < (*y)->index);
}

static void print_all(FILE *out)
{
    uint32_t i, n = wr_rows_count + 1;
    const struct wr_row **sorted = wr_calloc(n, sizeof(*sorted));
    char buf[CONTEXTS_MAX];

    for (i = 0; i < wr_rows_count; i++)
        sorted[i] = &wr_rows[i];
    sorted[i] = &include_row;
    qsort(sorted, n, sizeof(*sorted), by_name);
    for (i = 0; i < n; i++) {
        const struct wr_directive *row = sorted[i]->row;

        fprintf(out, "%s\t%s\t%s\t%s\n", row->name, contexts_of(sorted[i]->where, buf),
                row->def != NULL ? row->def : "-", row->help);
    }
    free(sorted);
}

/* The layer of a row, where its contexts do not tell it. */
static const char *layer_of(uint32_t where)
{
    if ((where & (WR_LV_LAYER | WR_LV_LOCATION | WR_LV_LOCATION_IF)) != 0)
        return "";
    return (where & WR_ANY) == WR_L4 ? " of stream {}" : (where & WR_ANY) == WR_L7 ? " of http {}"
                                                                                   : "";
}

static void print_row(const struct wr_row *r, FILE *out)
{
    char buf[CONTEXTS_MAX];

    fprintf(out, "%s: %s\n", r->row->name, r->row->help);
    print_syntax(r->row, out);
    fprintf(out, "    default:  %s\n    context:  %s%s\n    module:   %s\n",
            r->row->def != NULL ? r->row->def : "-", contexts_of(r->where, buf), layer_of(r->where),
            r->module->name);
}

/* Prints the rows that have the name among their words. False: none has. */
static bool print_parameter(struct wr_str name, FILE *out)
{
    bool any = false;

    for (uint32_t i = 0; i < wr_rows_count; i++) {
        if (!wr_row_has_word(&wr_rows[i], name))
            continue;
        if (!any)
            fprintf(out, "\"" WR_FMT "\" is not a directive; it is a word of\n", WR_ARG(name));
        print_row(&wr_rows[i], out);
        any = true;
    }
    return any;
}

static void print_unknown(struct wr_str name, FILE *out)
{
    const struct wr_removed_word *gone = wr_known_removed(name);
    const struct wr_nginx_word *w = wr_known_directive(name);
    const char *module = wr_known_elsewhere(name.p), *near;

    fprintf(out, "weir: \"" WR_FMT "\" is ", WR_ARG(name));
    if (gone != NULL) {
        fprintf(out, "a directive that nginx %s removed: %s\n", gone->version, gone->instead);
    } else if (w != NULL) {
        fprintf(out, "a directive of nginx%s (%s), not in this build\n",
                w->commercial ? "'s commercial subscription" : "", w->module);
    } else if (module != NULL) {
        fprintf(out, "a directive of the third-party module %s, not in this build\n", module);
    } else {
        fputs("not a directive\n", out);
        near = wr_suggest_name(name, 0, UINT32_MAX);
        if (near != NULL)
            fprintf(out, "      = did you mean \"%s\"?\n", near);
    }
}

bool wr_directive_help(const char *name, FILE *out)
{
    const struct wr_row *r = wr_row_chain(wr_str_c(name));

    if (strcmp(name, "all") == 0) {
        print_all(out);
        return true;
    }
    if (r == NULL && strcmp(name, include.name) == 0)
        r = &include_row;
    if (r == NULL && print_parameter(wr_str_c(name), out))
        return true;
    if (r == NULL) {
        print_unknown(wr_str_c(name), out);
        return false;
    }
    for (; r != NULL; r = r->next)
        print_row(r, out);
    return true;
}

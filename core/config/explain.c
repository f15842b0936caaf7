/* explain: findings about the configuration, kept in the tree as they are found and printed for
 * a person at the end. Called by everything in config and, through wr_cf_error, by every setter.
 *
 * The first line of a finding is nginx's, so that people and scripts recognise it; below it stand
 * the line of the file, a caret and, where we know one, the remedy. */
#include "config/config_impl.h"

#define TEXT_MAX 1024
#define WARNINGS_MAX 50
#define LINE_MAX_SHOWN 100

static void keep(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                 const char *text)
{
    struct wr_diag *d = WR_NEW(t->pool, struct wr_diag);

    d->level = level;
    d->file = at.file;
    d->line = at.line;
    d->column = at.column;
    d->width = at.width;
    d->text = wr_pool_cstr(t->pool, wr_str_c(text));
    d->hint = hint != NULL ? wr_pool_cstr(t->pool, wr_str_c(hint)) : NULL;
    *t->last_diag = d;
    t->last_diag = &d->next;
}

void wr_diag_vput(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                  const char *fmt, va_list ap)
{
    char text[TEXT_MAX];

    if (level > WR_LOG_ERROR) {
        if (t->warnings++ >= WARNINGS_MAX)
            return;
    } else if (t->errors == WR_ERRORS_MAX) {
        t->errors++;
        keep(t, WR_LOG_EMERG, (struct wr_place){ .file = NULL }, NULL, "too many errors");
        return;
    } else if (t->errors > WR_ERRORS_MAX) {
        return;
    } else {
        t->errors++;
    }
    vsnprintf(text, sizeof(text), fmt, ap);
    keep(t, level, at, hint, text);
}

void wr_diag_put(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                 const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wr_diag_vput(t, level, at, hint, fmt, ap);
    va_end(ap);
}

struct wr_place wr_place_of(const struct wr_node *n, uint32_t word)
{
    const struct wr_word *w;

    if (n == NULL || n->nwords == 0)
        return (struct wr_place){ .file = NULL };
    w = &n->words[word < n->nwords ? word : n->nwords - 1];
    return (struct wr_place){ n->file, w->line, w->column,
                              (uint32_t)w->text.n + (w->quote != 0 ? 2 : 0) };
}

void wr_diag_add(struct wr_tree *t, enum wr_level level, const struct wr_node *n, uint32_t word,
                 const char *hint, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wr_diag_vput(t, level, wr_place_of(n, word), hint, fmt, ap);
    va_end(ap);
}

/* ---- printing ---- */

/* Words may hold line breaks and terminal codes; a finding is one line of plain text. */
static void print_plain(struct wr_text *out, const char *s)
{
    for (; *s != '\0'; s++)
        wr_text_char(out, (unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
}

static void print_reason(struct wr_text *out, const struct wr_diag *d)
{
    print_plain(out, d->text);
    if (d->file == NULL)
        return;
    wr_text_c(out, " in ");
    print_plain(out, d->file->path);
    if (!d->file->command_line)
        wr_text_fmt(out, ":%u", d->line);
}

static struct wr_str line_of(const struct wr_file *f, uint32_t line)
{
    struct wr_str rest = f->text, found = wr_str_cut(&rest, '\n');

    while (--line > 0)
        found = wr_str_cut(&rest, '\n');
    if (found.n > 0 && found.p[found.n - 1] == '\r')
        found.n--;
    return found;
}

/* A tab stays a tab above and below, so that the caret stands right whatever a tab is here. */
static void print_text(FILE *out, struct wr_str s)
{
    size_t i;

    for (i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        fputc((c < ' ' && c != '\t') || c == 0x7f ? '?' : c, out);
    }
}

static void print_carets(FILE *out, struct wr_str s, size_t from, size_t to)
{
    size_t i;

    for (i = 0; i < to; i++) {
        unsigned char c = i < s.n ? (unsigned char)s.p[i] : ' ';

        if ((c & 0xc0) == 0x80) /* inside a UTF-8 character: no column of its own */
            continue;
        fputc(i >= from ? '^' : c == '\t' ? '\t' : ' ', out);
    }
    fputc('\n', out);
}

static void print_line(FILE *out, const struct wr_diag *d)
{
    struct wr_str line = line_of(d->file, d->line);
    size_t from = wr_min((size_t)d->column - 1, line.n), to, cut = 0;
    const char *before = "", *behind = "";

    to = wr_min(from + wr_max(d->width, 1u), wr_max(line.n, from + 1));
    if (line.n > LINE_MAX_SHOWN) {
        if (from > LINE_MAX_SHOWN * 2 / 3) {
            cut = wr_min(from - LINE_MAX_SHOWN / 3, line.n - LINE_MAX_SHOWN);
            while (cut < from && (line.p[cut] & 0xc0) == 0x80)
                cut++;
            before = "...";
        }
        line = wr_str_skip(line, cut);
        if (line.n > LINE_MAX_SHOWN) {
            line.n = LINE_MAX_SHOWN;
            behind = "...";
        }
    }
    from -= cut;
    to = wr_max(wr_min(to - cut, line.n), from + 1);
    fprintf(out, "%5u | %s", d->line, before);
    print_text(out, line);
    fprintf(out, "%s\n      | %s", behind, *before != '\0' ? "   " : "");
    print_carets(out, line, from, to);
}

static void print(const struct wr_diag *d, FILE *out, const struct wr_log *log)
{
    char buf[TEXT_MAX + 4096 + 32];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    print_reason(&t, d);
    fprintf(out, "weir: [%s] " WR_FMT "\n", wr_level_name(d->level), WR_ARG(wr_text_view(&t)));
    if (log != NULL)
        wr_log(log, d->level, 0, NULL, WR_FMT, WR_ARG(wr_text_view(&t)));
    if (d->file != NULL && d->line > 0)
        print_line(out, d);
    if (d->hint != NULL) {
        t = wr_text_on(buf, sizeof(buf));
        print_plain(&t, d->hint);
        fprintf(out, "      = " WR_FMT "\n", WR_ARG(wr_text_view(&t)));
    }
}

static uint32_t file_number(const struct wr_tree *t, const struct wr_file *file)
{
    const struct wr_file *f;
    uint32_t n = 0;

    for (f = t->files; f != NULL && f != file; f = f->next)
        n++;
    return n; /* without a file: behind all */
}

static bool is_behind(const struct wr_tree *t, const struct wr_diag *a, const struct wr_diag *b)
{
    uint32_t fa = file_number(t, a->file), fb = file_number(t, b->file);

    if (fa != fb)
        return fa > fb;
    return a->line != b->line ? a->line > b->line : a->column > b->column;
}

/* Directives are applied in another order than they stand in. Few and nearly sorted: insertion,
 * which keeps equal ones as they came. */
static void sort(const struct wr_tree *t, const struct wr_diag **all, uint32_t n)
{
    uint32_t i, j;

    for (i = 1; i < n; i++) {
        const struct wr_diag *d = all[i];

        for (j = i; j > 0 && is_behind(t, all[j - 1], d); j--)
            all[j] = all[j - 1];
        all[j] = d;
    }
}

void wr_diag_print(const struct wr_tree *t, FILE *out, const struct wr_log *log)
{
    const struct wr_diag *all[WR_ERRORS_MAX + 1 + WARNINGS_MAX], *d;
    uint32_t i, n = 0;

    for (d = t->diags; d != NULL && n < WR_COUNT(all); d = d->next)
        all[n++] = d;
    sort(t, all, n);
    for (i = 0; i < n; i++)
        print(all[i], out, log);
}

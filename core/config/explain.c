/* explain: findings about the configuration, kept in the tree as they are found and printed at the
 * end. Called by all files of config and, through wr_cf_error, by every setter.
 *
 * The first line of a finding is nginx's, so that people and scripts recognise it. Below it stand
 * the line of the file, carets and, if known, a hint. */
#include "config/config_impl.h"

#define TEXT_MAX 1024
#define WARNINGS_MAX 500
#define LINE_MAX_SHOWN 100
#define PLACES_SHOWN 40

static bool is_behind(const struct wr_place *a, const struct wr_place *b)
{
    if (a->file != b->file) /* those without a file are last */
        return a->file == NULL || (b->file != NULL && a->file->number > b->file->number);
    return a->line != b->line ? a->line > b->line : a->column > b->column;
}

/* Adds a position to a finding; d->at stays the first one. */
static void add_place(struct wr_tree *t, struct wr_diag *d, struct wr_place at)
{
    struct wr_place later = at;

    if (is_behind(&d->at, &at)) {
        later = d->at;
        d->at = at;
    }
    *wr_vec_push(t->pool, &d->more) = later;
}

static struct wr_str key_of(struct wr_tree *t, enum wr_level level, const char *hint,
                            const char *text)
{
    return wr_pool_fmt(t->pool, "%d\n%s\n%s", (int)level, text, hint != NULL ? hint : "");
}

static struct wr_diag *keep_finding(struct wr_tree *t, enum wr_level level, struct wr_place at,
                                    const char *hint, const char *text)
{
    struct wr_str key = key_of(t, level, hint, text);
    struct wr_diag *d;

    if (t->seen == NULL)
        t->seen = wr_dict_new(t->pool, false);
    d = wr_dict_get(t->seen, key);
    if (d != NULL && at.file != NULL) {
        add_place(t, d, at);
        return d;
    }
    d = WR_NEW(t->pool, struct wr_diag);
    d->level = level;
    d->at = at;
    d->text = wr_pool_cstr(t->pool, wr_str_c(text));
    d->hint = hint != NULL ? wr_pool_cstr(t->pool, wr_str_c(hint)) : NULL;
    d->order = t->kept++;
    *t->last_diag = d;
    t->last_diag = &d->next;
    (void)wr_dict_add(t->seen, key, d);
    return d;
}

/* Counts the finding and keeps it, unless there are too many. NULL: not kept. */
static struct wr_diag *add_finding(struct wr_tree *t, enum wr_level level, struct wr_place at,
                                   const char *hint, const char *text)
{
    uint32_t kept = t->kept;
    struct wr_diag *d;

    if (level > WR_LOG_ERROR) {
        d = t->warnings_kept < WARNINGS_MAX ? keep_finding(t, level, at, hint, text) : NULL;
        t->warnings_kept += t->kept - kept;
        return d;
    }
    t->errors++;
    if (t->full)
        return NULL;
    if (t->kept - t->warnings_kept < WR_ERRORS_MAX)
        return keep_finding(t, level, at, hint, text);
    t->full = true;
    return keep_finding(t, WR_LOG_EMERG, (struct wr_place){ .file = NULL }, NULL,
                        "too many errors");
}

void wr_diag_vput(struct wr_tree *t, enum wr_level level, struct wr_place at, const char *hint,
                  const char *fmt, va_list ap)
{
    char text[TEXT_MAX];

    vsnprintf(text, sizeof(text), fmt, ap);
    (void)add_finding(t, level, at, hint, text);
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

/* The position in the text of its file; NULL: not in a file. */
static const char *source_of(struct wr_place at)
{
    struct wr_str rest = at.file != NULL ? at.file->text : wr_str_of(NULL, 0);

    for (uint32_t line = 1; line < at.line && rest.p != NULL; line++)
        (void)wr_str_cut(&rest, '\n');
    return rest.p != NULL && at.column <= rest.n ? rest.p + at.column - 1 : NULL;
}

/* Length of "$name" or "${name}" at the beginning of s; 0: something else is there. */
static size_t variable_length(struct wr_str s, struct wr_str name)
{
    size_t skip = s.n > 1 && s.p[1] == '{' ? 2 : 1;
    struct wr_str there = wr_str_skip(s, skip);

    if (s.n < skip + name.n || s.p[0] != '$' || !wr_str_ieq(wr_str_of(there.p, name.n), name))
        return 0;
    if (skip == 2)
        return there.n > name.n && there.p[name.n] == '}' ? skip + name.n + 1 : skip + name.n;
    return there.n > name.n && wr_is_word_char(there.p[name.n]) ? 0 : skip + name.n;
}

struct wr_place wr_place_variable(const struct wr_node *n, uint32_t word, struct wr_str name)
{
    struct wr_place whole = wr_place_of(n, word), at = whole;
    const char *p = n != NULL && n->nwords > 0 ? source_of(whole) : NULL;
    /* Escapes make the text in the file at most twice as long as the word. */
    size_t left = p == NULL ? 0
                            : wr_min((size_t)(whole.file->text.p + whole.file->text.n - p),
                                     (size_t)whole.width * 2);

    for (; left > 0; p++, left--) {
        size_t found = variable_length(wr_str_of(p, left), name);

        if (found > 0) {
            at.width = (uint32_t)found;
            return at;
        }
        at.column++;
        if (*p == '\n') {
            at.line++;
            at.column = 1;
        }
    }
    return whole;
}

void wr_diag_add(struct wr_tree *t, enum wr_level level, const struct wr_node *n, uint32_t word,
                 const char *hint, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wr_diag_vput(t, level, wr_place_of(n, word), hint, fmt, ap);
    va_end(ap);
}

void wr_diag_structural(struct wr_tree *t, const struct wr_node *n, const char *hint,
                        const char *fmt, ...)
{
    char text[TEXT_MAX];
    struct wr_diag *d;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    d = add_finding(t, WR_LOG_EMERG, wr_place_of(n, 0), hint, text);
    if (d != NULL)
        d->structural = true;
}

/* Structural errors of other files are dropped, too: those files were included into the wrong
 * block. */
void wr_diag_cut(struct wr_tree *t)
{
    const struct wr_diag *first = NULL;
    struct wr_diag *d, **link = &t->diags;

    for (d = t->diags; d != NULL; d = d->next)
        if (d->structural && (first == NULL || is_behind(&first->at, &d->at)))
            first = d;
    if (first == NULL)
        return;
    while ((d = *link) != NULL) {
        bool same_file = d->at.file == first->at.file;

        if (d != first && (same_file ? is_behind(&d->at, &first->at) : d->structural)) {
            *link = d->next;
            continue;
        }
        link = &d->next;
    }
    t->last_diag = link;
}

/* ---- printing ---- */

/* Replaces line breaks and terminal codes in words: a finding is one line of plain text. */
static void print_plain(struct wr_text *out, const char *s)
{
    for (; *s != '\0'; s++)
        wr_text_char(out, (unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
}

static void print_reason(struct wr_text *out, const struct wr_diag *d)
{
    print_plain(out, d->text);
    if (d->at.file == NULL)
        return;
    wr_text_c(out, " in ");
    print_plain(out, d->at.file->path);
    if (!d->at.file->command_line)
        wr_text_fmt(out, ":%u", d->at.line);
    if (d->more.n > 0)
        wr_text_fmt(out, ", %u more", d->more.n);
}

static int by_place(const void *a, const void *b)
{
    return is_behind(a, b) ? 1 : is_behind(b, a) ? -1 : 0;
}

/* "17 more: 13, 15, conf.d/a.conf:8, ..." */
static void print_more(struct wr_text *out, const struct wr_diag *d)
{
    struct wr_place last = d->at;
    uint32_t shown = 0;

    qsort(d->more.at, d->more.n, sizeof(d->more.at[0]), by_place);
    wr_text_fmt(out, "%u more", d->more.n);
    for (uint32_t i = 0; i < d->more.n && shown <= PLACES_SHOWN; i++) {
        struct wr_place at = d->more.at[i];

        if (at.file == last.file && at.line == last.line)
            continue;
        wr_text_c(out, shown == 0 ? ": " : ", ");
        if (shown++ == PLACES_SHOWN) {
            wr_text_c(out, "...");
        } else {
            if (at.file != last.file) {
                print_plain(out, at.file->path);
                wr_text_char(out, ':');
            }
            wr_text_fmt(out, "%u", at.line);
        }
        last = at;
    }
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

/* Tabs are printed in both lines, so that the carets are right with any width of a tab. */
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

        if ((c & 0xc0) == 0x80) /* the rest of a UTF-8 character has no column */
            continue;
        fputc(i >= from ? '^' : c == '\t' ? '\t' : ' ', out);
    }
    fputc('\n', out);
}

static void print_line(FILE *out, const struct wr_diag *d)
{
    struct wr_str line = line_of(d->at.file, d->at.line);
    size_t from = wr_min((size_t)d->at.column - 1, line.n), to, cut = 0;
    const char *before = "", *behind = "";

    to = wr_min(from + wr_max(d->at.width, 1u), wr_max(line.n, from + 1));
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
            while (line.n > 0 && (line.p[line.n] & 0xc0) == 0x80) /* not a part of a character */
                line.n--;
            behind = "...";
        }
    }
    from -= cut;
    to = wr_max(wr_min(to - cut, line.n), from + 1);
    fprintf(out, "%5u | %s", d->at.line, before);
    print_text(out, line);
    fprintf(out, "%s\n      | %s", behind, *before != '\0' ? "   " : "");
    print_carets(out, line, from, to);
}

static void print_finding(const struct wr_diag *d, FILE *out, const struct wr_log *log)
{
    char buf[TEXT_MAX + 4096 + 32];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    print_reason(&t, d);
    if (log != NULL)
        wr_log(log, d->level, 0, NULL, WR_FMT, WR_ARG(wr_text_view(&t)));
    if (out == NULL)
        return;
    fprintf(out, "weir: [%s] " WR_FMT "\n", wr_level_name(d->level), WR_ARG(wr_text_view(&t)));
    if (d->at.file != NULL && d->at.line > 0)
        print_line(out, d);
    if (d->hint != NULL) {
        t = wr_text_on(buf, sizeof(buf));
        print_plain(&t, d->hint);
        fprintf(out, "      = " WR_FMT "\n", WR_ARG(wr_text_view(&t)));
    }
    if (d->more.n > 0) {
        t = wr_text_on(buf, sizeof(buf));
        print_more(&t, d);
        fprintf(out, "      = " WR_FMT "\n", WR_ARG(wr_text_view(&t)));
    }
}

/* By position: directives are applied in another order. */
static int in_order(const void *a, const void *b)
{
    const struct wr_diag *const *x = a, *const *y = b;
    int order = by_place(&(*x)->at, &(*y)->at);

    return order != 0 ? order : (*x)->order < (*y)->order ? -1 : 1;
}

void wr_diag_print(struct wr_tree *t, FILE *out, const struct wr_log *log)
{
    const struct wr_diag *all[WR_ERRORS_MAX + WARNINGS_MAX + 1], *d;
    uint32_t i, n = 0;

    for (d = t->diags; d != NULL && n < WR_COUNT(all); d = d->next)
        if (d->order >= t->printed)
            all[n++] = d;
    t->printed = t->kept;
    qsort(all, n, sizeof(all[0]), in_order);
    for (i = 0; i < n; i++)
        print_finding(all[i], out, log);
}

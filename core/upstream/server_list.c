/* server_list: the text of a file of servers to a list: one server a line, as in servers_file, or
 * `server` directives, as in a state file. Pure but for the memory of the list, which is no pool's,
 * as threads read such files. */
#include "upstream/upstream_impl.h"

#define WORDS_MAX 32

struct line {
    struct wr_str word[WORDS_MAX];
    uint32_t n;
    const char *begin;
};

/* ---- faults ---- */

static bool fault_at(struct wr_server_list *l, const struct line *line, struct wr_str word,
                     const char *fmt, ...) WR_PRINTF(4, 5);
static bool fault_at(struct wr_server_list *l, const struct line *line, struct wr_str word,
                     const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(l->fault.why, sizeof(l->fault.why), fmt, args);
    va_end(args);
    l->fault.column = (uint32_t)(word.p - line->begin) + 1;
    l->fault.width = (uint32_t)wr_max(word.n, (size_t)1);
    return false;
}

static int shown_part(struct wr_str s) /* for "%.*s" */
{
    return (int)wr_min(s.n, (size_t)80);
}

/* ---- a line ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_plain(struct wr_str word)
{
    for (size_t i = 0; i < word.n; i++)
        if ((unsigned char)word.p[i] < ' ' || word.p[i] == 0x7f)
            return false;
    return true;
}

/* Divides at blanks; # at the beginning of a word begins a comment. */
static bool split_line(struct wr_server_list *l, struct wr_str text, struct line *line)
{
    line->begin = text.p;
    line->n = 0;
    while (text.n > 0) {
        size_t n = 0;

        if (is_blank(text.p[0])) {
            text = wr_str_skip(text, 1);
            continue;
        }
        if (text.p[0] == '#')
            return true;
        while (n < text.n && !is_blank(text.p[n]))
            n++;
        if (line->n == WORDS_MAX)
            return fault_at(l, line, wr_str_of(text.p, n), "too many parameters");
        line->word[line->n] = wr_str_of(text.p, n);
        if (!is_plain(line->word[line->n++]))
            return fault_at(l, line, wr_str_of(text.p, n), "a control character");
        text = wr_str_skip(text, n);
    }
    return true;
}

/* `server ADDRESS ...;` becomes `ADDRESS ...`. */
static bool unwrap_directive(struct wr_server_list *l, struct line *line)
{
    struct wr_str *last = &line->word[line->n - 1], name = line->word[0];

    if (!wr_str_is(wr_str_cut(&name, ';'), "server"))
        return fault_at(l, line, line->word[0], "unknown directive \"%.*s\"",
                        shown_part(line->word[0]), line->word[0].p);
    if (last->p[last->n - 1] != ';')
        return fault_at(l, line, *last, "unexpected end of line, expecting \";\"");
    last->n--;
    line->n -= last->n == 0;
    if (line->n < 2)
        return fault_at(l, line, line->word[0],
                        "invalid number of arguments in \"server\" directive");
    memmove(&line->word[0], &line->word[1], --line->n * sizeof(line->word[0]));
    return true;
}

static bool set_param(struct wr_server_list *l, const struct wr_list_rules *r,
                      const struct line *line, struct wr_str arg, struct wr_server *s)
{
    const char *why;

    switch (wr_server_param(s, arg, r->refused, &why)) {
    case WR_PARAM_SET:
        return true;
    case WR_PARAM_REFUSED:
        return fault_at(l, line, arg, "%s", why);
    case WR_PARAM_WRONG:
        if (why != NULL)
            return fault_at(l, line, arg, "invalid parameter \"%.*s\": it takes %s",
                            shown_part(arg), arg.p, why);
        break;
    case WR_PARAM_UNKNOWN:
        break;
    }
    return fault_at(l, line, arg, "invalid parameter \"%.*s\"", shown_part(arg), arg.p);
}

static bool take_server(struct wr_server_list *l, const struct wr_list_rules *r,
                        const struct line *line, struct wr_server *s)
{
    struct wr_str address = line->word[0], last = line->word[line->n - 1];
    const char *why;

    *s = wr_server_new();
    if (!r->directives && wr_str_is(address, "server"))
        return fault_at(l, line, address, "unexpected \"server\": a line begins with an address");
    if (!r->directives && last.p[last.n - 1] == ';')
        return fault_at(l, line, last, "unexpected \";\": a server ends with its line");
    for (uint32_t i = 1; i < line->n; i++)
        if (!set_param(l, r, line, line->word[i], s))
            return false;
    why = wr_server_address(s, address, r->default_port);
    if (why != NULL)
        return fault_at(l, line, address, "%s in upstream \"%.*s\"", why, shown_part(address),
                        address.p);
    if (s->named && (r->refused & WR_PARAMS_OF_NAMES) != 0)
        return fault_at(l, line, address, "\"%.*s\" is not an address: names are not resolved "
                        "here, write them in upstream {}", shown_part(address), address.p);
    return true;
}

/* ---- the whole ---- */

static struct wr_server *push_server(struct wr_server_list *l)
{
    if (l->n == l->cap) {
        l->cap = wr_max(2 * l->cap, 64u);
        l->at = wr_realloc(l->at, l->cap * sizeof(*l->at));
    }
    return &l->at[l->n++];
}

static bool take_line(struct wr_server_list *l, const struct wr_list_rules *r, struct wr_str text)
{
    struct wr_server s;
    struct line line;

    if (!split_line(l, text, &line))
        return false;
    if (line.n == 0)
        return true;
    if (r->directives && !unwrap_directive(l, &line))
        return false;
    if (!take_server(l, r, &line, &s))
        return false;
    *push_server(l) = s;
    return true;
}

bool wr_server_list_parse(struct wr_str text, const struct wr_list_rules *r,
                          struct wr_server_list *out)
{
    uint32_t number = 0;

    *out = (struct wr_server_list){ .n = 0 };
    if (wr_str_starts(text, WR_STR("\xef\xbb\xbf"))) /* the mark of some editors */
        text = wr_str_skip(text, 3);
    while (text.n > 0) {
        struct wr_str line = wr_str_cut(&text, '\n');

        out->fault.line = ++number;
        if (number > WR_LIST_LINES_MAX) {
            (void)snprintf(out->fault.why, sizeof(out->fault.why), "more than %u lines",
                           WR_LIST_LINES_MAX);
            out->fault.column = out->fault.width = 1;
            return false;
        }
        if (!take_line(out, r, line))
            return false;
    }
    out->fault.line = 0;
    return true;
}

void wr_server_list_free(struct wr_server_list *l)
{
    if (l == NULL)
        return;
    free(l->at);
    free(l->text);
    *l = (struct wr_server_list){ .n = 0 };
}

/* ---- keys ---- */

struct text_count {              /* how often a text was seen; text n 0: free */
    struct wr_str text;
    uint64_t seen;
};

static uint64_t count_text(struct text_count *table, uint32_t mask, struct wr_str text)
{
    uint32_t at = (uint32_t)wr_hash(text) & mask; /* seeded: a file may have any texts */

    while (table[at].text.n > 0 && !wr_str_eq(table[at].text, text))
        at = (at + 1) & mask;
    table[at].text = text;
    return table[at].seen++;
}

uint64_t wr_server_key(struct wr_str group, struct wr_str text, uint64_t seen)
{
    return wr_hash_stable(text, wr_hash_stable(group, seen));
}

void wr_server_list_keys(struct wr_server_list *l, struct wr_str group,
                         const struct wr_server *before, uint32_t nbefore)
{
    uint32_t size = 16;
    struct text_count *table;

    while (size < 2 * (l->n + nbefore))
        size *= 2;
    table = wr_calloc(size, sizeof(*table));
    for (uint32_t i = 0; i < nbefore; i++)
        (void)count_text(table, size - 1, before[i].text);
    for (uint32_t i = 0; i < l->n; i++)
        l->at[i].key = wr_server_key(group, l->at[i].text,
                                     count_text(table, size - 1, l->at[i].text));
    free(table);
}

/* ---- sets of servers ---- */

static int compare_ids(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

uint64_t wr_server_key_of(const struct wr_server *s)
{
    return s->key;
}

uint64_t *wr_server_ids(const struct wr_server *at, uint32_t n, wr_server_id *id)
{
    uint64_t *ids = wr_calloc((size_t)n + 1, sizeof(*ids));

    for (uint32_t i = 0; i < n; i++)
        ids[i] = id(&at[i]);
    qsort(ids, n, sizeof(*ids), compare_ids);
    return ids;
}

bool wr_server_ids_have(const uint64_t *ids, uint32_t n, uint64_t id)
{
    return bsearch(&id, ids, n, sizeof(*ids), compare_ids) != NULL;
}

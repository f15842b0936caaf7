/* rows: the index of the directive rows of all modules, by name, layer and level. Filled once by
 * wr_modules_init before the first configuration; lives as long as the process. */
#include "config/config_impl.h"

#include <ctype.h>

uint32_t wr_modules_count;
struct wr_row *wr_rows;
uint32_t wr_rows_count;
static struct wr_row **chains; /* the first row of each name, sorted */
static uint32_t chains_count;

static uint32_t find_shared_index(const struct wr_row *r)
{
    const struct wr_row *other;

    if ((r->row->where & WR_MULTI) == 0 || (r->row->where & (WR_BLOCK | WR_DEFINE)) != 0)
        return r->index;
    for (other = wr_rows; other < r; other++)
        if (other->module == r->module && other->row->set == r->row->set &&
            other->row->offset == r->row->offset && (other->row->where & WR_MULTI) != 0)
            return other->index;
    return r->index;
}

static void add_row(struct wr_module *m, const struct wr_directive *row)
{
    struct wr_row *r = &wr_rows[wr_rows_count];

    WR_ASSERT(row->set != NULL && row->help != NULL && (row->where & WR_LV_ALL) != 0);
    WR_ASSERT((row->where & WR_LOCAL) == 0 || m->enter != NULL || m->conf_size == 0);
    WR_ASSERT((row->where & WR_LV_ALL & ~(uint32_t)(WR_LV_MAIN | WR_LV_EVENTS)) == 0 ||
              (row->where & WR_ANY) != 0);
    r->row = row;
    r->module = m;
    r->where = row->where & ~m->without;
    r->index = wr_rows_count++;
    r->shared_index = find_shared_index(r);
}

static int by_name(const void *a, const void *b)
{
    const struct wr_row *const *x = a, *const *y = b;
    int order = strcmp((*x)->row->name, (*y)->row->name);

    return order != 0 ? order : *x < *y ? -1 : 1;
}

static void link_chains(void)
{
    uint32_t i, last = 0;

    chains = wr_calloc(wr_rows_count + 1, sizeof(*chains));
    for (i = 0; i < wr_rows_count; i++)
        chains[i] = &wr_rows[i];
    qsort(chains, wr_rows_count, sizeof(*chains), by_name);
    for (i = 0; i < wr_rows_count; i++) {
        if (i > 0 && strcmp(chains[i]->row->name, wr_rows[last].row->name) == 0)
            wr_rows[last].next = chains[i];
        else
            chains[chains_count++] = chains[i];
        last = chains[i]->index;
    }
}

void wr_modules_init(void)
{
    const struct wr_directive *row;
    uint32_t i, rows = 0;

    if (wr_rows != NULL)
        return;
    for (i = 0; wr_modules[i] != NULL; i++) {
        wr_modules[i]->index = i;
        for (row = wr_modules[i]->directives; row != NULL && row->name != NULL; row++)
            rows++;
    }
    wr_modules_count = i;
    wr_rows = wr_calloc(rows + 1, sizeof(*wr_rows));
    for (i = 0; i < wr_modules_count; i++)
        for (row = wr_modules[i]->directives; row != NULL && row->name != NULL; row++)
            add_row(wr_modules[i], row);
    link_chains();
}

static int compare_name(const void *key, const void *element)
{
    const struct wr_str *name = key;
    struct wr_row *const *r = element;

    return wr_str_cmp(*name, wr_str_c((*r)->row->name));
}

const struct wr_row *wr_row_chain(struct wr_str name)
{
    struct wr_row **found = NULL;

    if (chains_count > 0)
        found = bsearch(&name, chains, chains_count, sizeof(*chains), compare_name);
    return found != NULL ? *found : NULL;
}

static bool is_allowed(const struct wr_row *r, uint32_t layer, uint32_t level)
{
    return (r->where & level) != 0 && (layer == 0 || (r->where & layer) != 0);
}

const struct wr_row *wr_row_find(struct wr_str name, uint32_t layer, uint32_t level)
{
    const struct wr_row *r;

    for (r = wr_row_chain(name); r != NULL; r = r->next)
        if (is_allowed(r, layer, level))
            return r;
    return NULL;
}

uint32_t wr_row_where(const struct wr_row *chain, uint32_t layer)
{
    const struct wr_row *r;
    uint32_t here = 0, all = 0;

    for (r = chain; r != NULL; r = r->next) {
        all |= r->where;
        if ((r->where & layer) != 0)
            here |= r->where;
    }
    return here != 0 ? (here & ~(WR_ANY & ~layer)) : all;
}

static void add_context(struct wr_text *out, size_t start, const char *name)
{
    if (out->n > start)
        wr_text_c(out, ", ");
    wr_text_c(out, name);
}

void wr_where_text(uint32_t where, struct wr_text *out)
{
    static const struct wr_enum inner[] = {
        { "server", WR_LV_SERVER }, { "location", WR_LV_LOCATION }, { "if", WR_LV_SERVER_IF },
        { "if in location", WR_LV_LOCATION_IF }, { "limit_except", WR_LV_LIMIT_EXCEPT },
        { "upstream", WR_LV_UPSTREAM }, { NULL, 0 },
    };
    const struct wr_enum *e;
    size_t start = out->n;

    if ((where & WR_LV_MAIN) != 0)
        add_context(out, start, "main");
    if ((where & WR_LV_EVENTS) != 0)
        add_context(out, start, "events");
    if ((where & WR_LV_LAYER) != 0 && (where & WR_L4) != 0)
        add_context(out, start, "stream");
    if ((where & WR_LV_LAYER) != 0 && (where & WR_L7) != 0)
        add_context(out, start, "http");
    for (e = inner; e->name != NULL; e++)
        if ((where & e->value) != 0
            && !(e->value == WR_LV_LOCATION_IF && (where & WR_LV_SERVER_IF) != 0))
            add_context(out, start, e->name);
}

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

bool wr_row_has_word(const struct wr_row *r, struct wr_str word)
{
    const char *p = r->row->words;

    if (word.n == 0 || isdigit((unsigned char)word.p[0]))
        return false;
    while (p != NULL && *p != '\0') {
        size_t n = 0;

        while (is_word_byte(p[n]))
            n++;
        if (n > 0 && wr_str_eq(wr_str_of(p, n), word))
            return true;
        p += n > 0 ? n : 1;
    }
    return false;
}

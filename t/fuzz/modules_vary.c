/* Any lines as the Vary fields of a reply; behind an empty line the fields of a request, behind the
 * next those of another. The names are in order and written so that they come out the same again;
 * the values lie in their buffer; what is equal has one number. */
#include "../../modules/http/cache/vary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VALUES 2000

static struct wr_fields fields_of(struct wr_pool *pool, struct wr_str *lines, bool names)
{
    struct wr_fields f = { 0 };

    while (lines->n > 0) {
        struct wr_str value = wr_str_cut(lines, '\n'), name = WR_STR("Vary");

        if (value.n == 0)
            break;
        if (names)
            name = wr_str_cut(&value, ':');
        (void)wr_fields_add(pool, &f, name, value.p == NULL ? WR_STR("") : value);
    }
    return f;
}

static void check_names(struct wr_pool *pool, struct wr_str names)
{
    char buffer[WR_VARY_NAMES_MAX];
    struct wr_text again = wr_text_on(buffer, sizeof(buffer));
    struct wr_fields f = { 0 };
    struct wr_str rest = names, last = { NULL, 0 };
    uint32_t n = 0;

    (void)wr_fields_add(pool, &f, WR_STR("vary"), names);
    WR_ASSERT(wr_vary_names(&f, &again) == WR_VARY_BY);
    WR_ASSERT(wr_str_eq(wr_text_view(&again), names));
    while (rest.n > 0) {
        struct wr_str name = wr_str_cut(&rest, ',');

        WR_ASSERT(name.n > 0 && (last.n == 0 || wr_str_cmp(last, name) < 0));
        last = name;
        n++;
    }
    WR_ASSERT(n <= WR_CACHE_VARY_MAX);
}

static bool is_same(const struct wr_variant *a, const struct wr_variant *b)
{
    WR_ASSERT(a->n == b->n);
    for (uint32_t i = 0; i < a->n; i++)
        if (!wr_vary_equal(&a->at[i], &b->at[i]))
            return false;
    return true;
}

static bool read_variant(struct wr_str names, const struct wr_fields *f, char *buffer,
                         struct wr_variant *v)
{
    struct wr_text t = wr_text_on(buffer, VALUES);

    if (!wr_vary_variant(names, f, &t, v))
        return false;
    WR_ASSERT(v->number != 0 && v->n <= WR_CACHE_VARY_MAX);
    for (uint32_t i = 0; i < v->n; i++) {
        const struct wr_cache_vary *one = &v->at[i];

        WR_ASSERT((one->value.p == NULL) == (wr_fields_find(f, one->name, NULL) == NULL));
        WR_ASSERT(one->value.p == NULL
                  || (one->value.p >= buffer && one->value.p + one->value.n <= buffer + t.n));
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str rest = wr_str_of((const char *)data, size), names;
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_fields reply = fields_of(pool, &rest, false);
    struct wr_fields one = fields_of(pool, &rest, true), other = fields_of(pool, &rest, true);
    char buffer[WR_VARY_NAMES_MAX], values[2][VALUES];
    struct wr_text t = wr_text_on(buffer, sizeof(buffer));
    enum wr_vary how = wr_vary_names(&reply, &t);
    struct wr_variant a, b;

    if (wr_fields_has_token(&reply, WR_F_VARY, WR_STR("*")))
        WR_ASSERT(how == WR_VARY_NEVER);
    names = wr_text_view(&t);
    if (how == WR_VARY_BY)
        check_names(pool, names);
    if (how != WR_VARY_BY) /* of a broken index */
        names = wr_fields_value(&reply, WR_F_VARY);
    if (read_variant(names, &one, values[0], &a) && read_variant(names, &other, values[1], &b))
        WR_ASSERT(is_same(&a, &b) == (a.number == b.number));
    wr_pool_free(pool);
    return 0;
}

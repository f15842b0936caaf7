/* stored_fields: see stored_fields.h. */
#include "stored_fields.h"

/* 3.1, beside those of the connection */
static bool is_proxys(struct wr_str name)
{
    return wr_str_ieq(name, WR_STR("Proxy-Authenticate"))
        || wr_str_ieq(name, WR_STR("Proxy-Authentication-Info"))
        || wr_str_ieq(name, WR_STR("Proxy-Authorization"));
}

static bool is_never_stored(const struct wr_fields *f, const struct wr_field *field)
{
    return wr_field_is_hop(field->id) || is_proxys(field->name)
        || wr_fields_has_token(f, WR_F_CONNECTION, field->name);
}

void wr_stored_trim(struct wr_fields *f, const struct wr_cache_control *c)
{
    for (uint32_t i = 0; i < f->n; i++) {
        struct wr_field *field = &f->at[i];

        if (field->gone || field->id == WR_F_CONNECTION)
            continue;
        if (is_never_stored(f, field) || wr_cache_control_lists(c->no_cache_fields, field->name)
            || wr_cache_control_lists(c->private_fields, field->name))
            wr_fields_drop(f, field);
    }
    wr_fields_remove(f, WR_F_CONNECTION);
}

/* ---- a 304 ---- */

static struct wr_str opaque_tag(const struct wr_fields *f)
{
    struct wr_str tag = wr_fields_value(f, WR_F_ETAG);

    return wr_str_starts(tag, WR_STR("W/")) ? wr_str_skip(tag, 2) : tag;
}

/* The validator of the 304 must be that of the stored reply (4.3.4). A strong one of the 304 is the
 * same as a stored weak one: servers that compress make it weak with the body only. */
static bool is_other_etag(const struct wr_fields *stored, const struct wr_fields *fresh)
{
    return wr_fields_first(fresh, WR_F_ETAG) != NULL
        && !wr_str_eq(opaque_tag(stored), opaque_tag(fresh));
}

/* True: each member of the Vary fields of a is one of those of b. */
static bool has_members(const struct wr_fields *a, const struct wr_fields *b)
{
    const struct wr_field *f = NULL;

    while ((f = wr_fields_find(a, WR_STR("Vary"), f)) != NULL) {
        struct wr_str list = f->value;

        while (list.n > 0) {
            struct wr_str name = wr_str_trim(wr_str_cut(&list, ','));

            if (name.n > 0 && !wr_fields_has_token(b, WR_F_VARY, name))
                return false;
        }
    }
    return true;
}

static bool is_other_vary(const struct wr_fields *stored, const struct wr_fields *fresh)
{
    return wr_fields_first(fresh, WR_F_VARY) != NULL
        && !(has_members(stored, fresh) && has_members(fresh, stored));
}

/* 3.2: what of a 304 replaces what is stored. */
static bool may_replace(const struct wr_fields *fresh, const struct wr_field *f)
{
    return f->id != WR_F_CONTENT_LENGTH && f->id != WR_F_CONTENT_ENCODING
        && f->id != WR_F_CONTENT_RANGE && f->id != WR_F_ETAG && f->id != WR_F_VARY
        && f->id != WR_F_SET_COOKIE
        && !is_never_stored(fresh, f);
}

static struct wr_field *find_after(const struct wr_fields *f, struct wr_str name,
                                   const struct wr_field *after)
{
    return wr_fields_find(f, name, after);
}

/* True: both have the fields of that name with the same values in the same order. */
static bool has_same(const struct wr_fields *a, const struct wr_fields *b, struct wr_str name)
{
    const struct wr_field *x = find_after(a, name, NULL), *y = find_after(b, name, NULL);

    while (x != NULL && y != NULL && wr_str_eq(x->value, y->value)) {
        x = find_after(a, name, x);
        y = find_after(b, name, y);
    }
    return x == NULL && y == NULL;
}

/* Replaces all stored fields of that name by those of the 304. */
static void replace_fields(struct wr_pool *pool, struct wr_fields *stored,
                           const struct wr_fields *fresh, const struct wr_field *f)
{
    const struct wr_str name = f->name;
    struct wr_field *old;

    while ((old = find_after(stored, name, NULL)) != NULL)
        wr_fields_drop(stored, old);
    for (; f != NULL; f = find_after(fresh, name, f))
        (void)wr_fields_put(pool, stored, f->id, f->name, f->value);
}

enum wr_merge wr_stored_merge(struct wr_pool *pool, struct wr_fields *stored,
                              const struct wr_fields *fresh)
{
    enum wr_merge result = WR_MERGE_SAME;

    if (is_other_etag(stored, fresh) || is_other_vary(stored, fresh))
        return WR_MERGE_OTHER;
    wr_fields_remove(stored, WR_F_AGE);
    for (uint32_t i = 0; i < fresh->n; i++) {
        const struct wr_field *f = &fresh->at[i];

        if (f->gone || find_after(fresh, f->name, NULL) != f || !may_replace(fresh, f)
            || has_same(stored, fresh, f->name))
            continue;
        if (f->id != WR_F_DATE && f->id != WR_F_AGE)
            result = WR_MERGE_CHANGED;
        replace_fields(pool, stored, fresh, f);
    }
    return result;
}

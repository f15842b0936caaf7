/* fields: lists of fields in the order they came, with an index of the known names. Parsers, head
 * filters, variables and the proxy call it. The array is in the pool; names and values are
 * borrowed. A removed field stays in the array, marked as gone, so that indexes and pointers stay
 * valid. */
#include "message/message.h"

#define FIRST_CAP 16

static const struct wr_str names[WR_F_COUNT] = {
#define X(id, text) [WR_F_##id] = WR_STR_INIT(text),
    WR_FIELD_LIST(X)
#undef X
};

#define NAME_MAX_LENGTH 19

/* Length, first and last letter distinguish all known names; a unit test checks each of them. */
#define KEY(n, first, last) ((unsigned)(n) << 10 | ((first) & 31U) << 5 | ((last) & 31U))

static enum wr_field_id guess_id(unsigned key)
{
    switch (key) {
    case KEY(2, 't', 'e'): return WR_F_TE;
    case KEY(3, 'a', 'e'): return WR_F_AGE;
    case KEY(3, 'v', 'a'): return WR_F_VIA;
    case KEY(4, 'd', 'e'): return WR_F_DATE;
    case KEY(4, 'e', 'g'): return WR_F_ETAG;
    case KEY(4, 'h', 't'): return WR_F_HOST;
    case KEY(4, 'l', 'k'): return WR_F_LINK;
    case KEY(4, 'v', 'y'): return WR_F_VARY;
    case KEY(5, 'a', 'w'): return WR_F_ALLOW;
    case KEY(5, 'd', 'h'): return WR_F_DEPTH;
    case KEY(5, 'r', 'e'): return WR_F_RANGE;
    case KEY(6, 'a', 't'): return WR_F_ACCEPT;
    case KEY(6, 'c', 'e'): return WR_F_COOKIE;
    case KEY(6, 'e', 't'): return WR_F_EXPECT;
    case KEY(6, 'p', 'a'): return WR_F_PRAGMA;
    case KEY(6, 's', 'r'): return WR_F_SERVER;
    case KEY(6, 's', 's'): return WR_F_STATUS;
    case KEY(7, 'e', 's'): return WR_F_EXPIRES;
    case KEY(7, 'r', 'h'): return WR_F_REFRESH;
    case KEY(7, 'r', 'r'): return WR_F_REFERER;
    case KEY(7, 't', 'r'): return WR_F_TRAILER;
    case KEY(7, 'u', 'e'): return WR_F_UPGRADE;
    case KEY(8, 'i', 'e'): return WR_F_IF_RANGE;
    case KEY(8, 'i', 'h'): return WR_F_IF_MATCH;
    case KEY(8, 'l', 'n'): return WR_F_LOCATION;
    case KEY(9, 'o', 'e'): return WR_F_OVERWRITE;
    case KEY(10, 'c', 'n'): return WR_F_CONNECTION;
    case KEY(10, 'k', 'e'): return WR_F_KEEP_ALIVE;
    case KEY(10, 's', 'e'): return WR_F_SET_COOKIE;
    case KEY(10, 'u', 't'): return WR_F_USER_AGENT;
    case KEY(11, 'd', 'n'): return WR_F_DESTINATION;
    case KEY(11, 'r', 'r'): return WR_F_RETRY_AFTER;
    case KEY(12, 'c', 'e'): return WR_F_CONTENT_TYPE;
    case KEY(13, 'a', 'n'): return WR_F_AUTHORIZATION;
    case KEY(13, 'a', 's'): return WR_F_ACCEPT_RANGES;
    case KEY(13, 'c', 'e'): return WR_F_CONTENT_RANGE;
    case KEY(13, 'c', 'l'): return WR_F_CACHE_CONTROL;
    case KEY(13, 'i', 'h'): return WR_F_IF_NONE_MATCH;
    case KEY(13, 'l', 'd'): return WR_F_LAST_MODIFIED;
    case KEY(14, 'c', 'h'): return WR_F_CONTENT_LENGTH;
    case KEY(15, 'a', 'e'): return WR_F_ACCEPT_LANGUAGE;
    case KEY(15, 'a', 'g'): return WR_F_ACCEPT_ENCODING;
    case KEY(15, 'x', 'r'): return WR_F_X_FORWARDED_FOR;
    case KEY(15, 'x', 's'): return WR_F_X_ACCEL_EXPIRES;
    case KEY(15, 'x', 't'): return WR_F_X_ACCEL_CHARSET;
    case KEY(16, 'c', 'g'): return WR_F_CONTENT_ENCODING;
    case KEY(16, 'c', 'n'): return WR_F_CONTENT_LOCATION;
    case KEY(16, 'p', 'n'): return WR_F_PROXY_CONNECTION;
    case KEY(16, 'w', 'e'): return WR_F_WWW_AUTHENTICATE;
    case KEY(16, 'x', 't'): return WR_F_X_ACCEL_REDIRECT;
    case KEY(17, 'i', 'e'): return WR_F_IF_MODIFIED_SINCE;
    case KEY(17, 't', 'g'): return WR_F_TRANSFER_ENCODING;
    case KEY(17, 'x', 'g'): return WR_F_X_ACCEL_BUFFERING;
    case KEY(18, 'p', 'e'): return WR_F_PROXY_AUTHENTICATE;
    case KEY(18, 'x', 'e'): return WR_F_X_ACCEL_LIMIT_RATE;
    case KEY(19, 'c', 'n'): return WR_F_CONTENT_DISPOSITION;
    case KEY(19, 'i', 'e'): return WR_F_IF_UNMODIFIED_SINCE;
    default: return WR_F_OTHER;
    }
}

enum wr_field_id wr_field_id(struct wr_str name)
{
    enum wr_field_id id;

    if (name.n < 2 || name.n > NAME_MAX_LENGTH)
        return WR_F_OTHER;
    id = guess_id(KEY(name.n, (unsigned char)name.p[0], (unsigned char)name.p[name.n - 1]));
    /* Most senders use the usual case, and comparing bytes is cheaper than folding them. */
    if (id != WR_F_OTHER && (wr_str_eq(name, names[id]) || wr_str_ieq(name, names[id])))
        return id;
    return WR_F_OTHER;
}

struct wr_str wr_field_name(enum wr_field_id id)
{
    return names[id];
}

static void grow_array(struct wr_pool *p, struct wr_fields *f)
{
    uint32_t cap = f->cap == 0 ? FIRST_CAP : f->cap * 2;
    struct wr_field *at;

    WR_ASSERT(cap > f->cap);
    at = wr_pool_alloc(p, cap * sizeof(*at));
    if (f->n > 0)
        memcpy(at, f->at, f->n * sizeof(*at));
    f->at = at;
    f->cap = cap;
}

struct wr_field *wr_fields_put(struct wr_pool *p, struct wr_fields *f, enum wr_field_id id,
                               struct wr_str name, struct wr_str value)
{
    struct wr_field *field;

    if (f->n == f->cap)
        grow_array(p, f);
    field = &f->at[f->n++];
    *field = (struct wr_field){ .name = name, .value = value, .id = (uint16_t)id };
    if (f->first[id] == 0)
        f->first[id] = f->n;
    return field;
}

struct wr_field *wr_fields_add(struct wr_pool *p, struct wr_fields *f, struct wr_str name,
                               struct wr_str value)
{
    return wr_fields_put(p, f, wr_field_id(name), name, value);
}

struct wr_field *wr_fields_add_id(struct wr_pool *p, struct wr_fields *f, enum wr_field_id id,
                                  struct wr_str value)
{
    WR_ASSERT(id != WR_F_OTHER);
    return wr_fields_put(p, f, id, names[id], value);
}

/* Index of the next field of this id that is not removed, from i on; f->n if there is none. */
static uint32_t seek_id(const struct wr_fields *f, enum wr_field_id id, uint32_t i)
{
    while (i < f->n && (f->at[i].id != id || f->at[i].gone))
        i++;
    return i;
}

struct wr_field *wr_fields_find(const struct wr_fields *f, struct wr_str name,
                                const struct wr_field *after)
{
    enum wr_field_id id = wr_field_id(name);
    uint32_t i = 0;

    if (f->first[id] == 0)
        return NULL;
    if (after != NULL)
        i = (uint32_t)(after - f->at) + 1;
    i = wr_max(i, f->first[id] - 1);
    for (i = seek_id(f, id, i); i < f->n; i = seek_id(f, id, i + 1)) {
        if (id != WR_F_OTHER || wr_str_ieq(f->at[i].name, name))
            return &f->at[i];
    }
    return NULL;
}

void wr_fields_drop(struct wr_fields *f, struct wr_field *field)
{
    uint32_t at = (uint32_t)(field - f->at) + 1, next;

    WR_ASSERT(at <= f->n);
    field->gone = true;
    if (f->first[field->id] != at)
        return;
    next = seek_id(f, field->id, at);
    f->first[field->id] = next == f->n ? 0 : next + 1;
}

void wr_fields_remove(struct wr_fields *f, enum wr_field_id id)
{
    WR_ASSERT(id != WR_F_OTHER);
    if (f->first[id] == 0)
        return;
    for (uint32_t i = f->first[id] - 1; i < f->n; i = seek_id(f, id, i + 1))
        f->at[i].gone = true;
    f->first[id] = 0;
}

void wr_fields_set(struct wr_pool *p, struct wr_fields *f, enum wr_field_id id, struct wr_str v)
{
    wr_fields_remove(f, id);
    wr_fields_add_id(p, f, id, v);
}

static bool list_has(struct wr_str list, struct wr_str token)
{
    while (list.n > 0) {
        if (wr_str_ieq(wr_str_trim(wr_str_cut(&list, ',')), token))
            return true;
    }
    return false;
}

bool wr_fields_has_token(const struct wr_fields *f, enum wr_field_id id, struct wr_str token)
{
    if (f->first[id] == 0)
        return false;
    for (uint32_t i = f->first[id] - 1; i < f->n; i = seek_id(f, id, i + 1)) {
        if (list_has(f->at[i].value, token))
            return true;
    }
    return false;
}

static bool is_clean(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 0x7f)
            return false;
    return true;
}

void wr_fields_lay(struct wr_pool *p, struct wr_field *const *at, uint32_t n)
{
    struct wr_text t = wr_text_grow(p, 256, SIZE_MAX / 2);
    struct wr_str laid;

    for (uint32_t i = 0; i < n; i++) {
        at[i]->parsed = is_clean(at[i]->value);
        if (at[i]->parsed)
            wr_text_fmt(&t, WR_FMT ": " WR_FMT "\r\n", WR_ARG(at[i]->name), WR_ARG(at[i]->value));
    }
    laid = wr_text_view(&t);
    for (uint32_t i = 0; i < n; i++) { /* the text does not move any more */
        if (!at[i]->parsed)
            continue;
        at[i]->name.p = laid.p;
        at[i]->value.p = laid.p + at[i]->name.n + 2;
        laid = wr_str_skip(laid, at[i]->name.n + at[i]->value.n + 4);
    }
}

/* cache_object: see cache_object.h. Pure. */
#include "cache_object.h"

#include "http1/http1.h"

static const char magic[8] = { 'w', 'e', 'i', 'r', 'o', 'b', 'j', '1' };

struct fixed {                 /* as in the bytes; no gaps */
    char magic[8];
    uint32_t format, fixed_n;
    uint32_t tags_n, key_n, vary_n, head_n; /* bytes */
    uint32_t trailers_n, status;
    uint64_t body_n;           /* UINT64_MAX: not sealed */
    struct wr_cache_facts facts;
    uint32_t etag_at, etag_n;  /* in the head; 0, 0: none */
    char unused[64];           /* zero */
    uint64_t checksum;         /* of what is before it, and between it and the body */
};
_Static_assert(sizeof(struct wr_cache_facts) == 64, "it is part of the format");
_Static_assert(sizeof(struct fixed) == WR_CACHE_FIXED, "it is the format");

static uint64_t checksum_of(const char *bytes, size_t n)
{
    uint64_t first = wr_hash_stable(wr_str_of(bytes, offsetof(struct fixed, checksum)), n);

    return wr_hash_stable(wr_str_of(bytes + WR_CACHE_FIXED, n - WR_CACHE_FIXED), first);
}

/* ---- encode ---- */

static void put_u32(struct wr_text *out, uint32_t v)
{
    wr_text_str(out, wr_str_of((const char *)&v, sizeof(v)));
}

static void put_vary(struct wr_text *out, const struct wr_cache_vary *v)
{
    put_u32(out, (uint32_t)v->name.n);
    put_u32(out, v->value.p == NULL ? UINT32_MAX : (uint32_t)v->value.n);
    wr_text_str(out, v->name);
    wr_text_str(out, v->value);
}

static void put_field(struct wr_text *out, enum wr_field_id id, struct wr_str value)
{
    struct wr_field field = { .name = wr_field_name(id), .value = value, .id = (uint16_t)id };
    struct wr_fields one = { .at = &field, .n = 1, .cap = 1 };

    wr_h1_write_fields(out, &one);
}

/* Only a reply made here can have control characters in its reason. */
static void put_reason(struct wr_text *out, struct wr_str reason)
{
    for (size_t i = 0; i < reason.n; i++)
        wr_text_char(out, (unsigned char)reason.p[i] < ' ' ? ' ' : reason.p[i]);
}

static void put_head(struct wr_text *out, const struct wr_response *res)
{
    wr_text_c(out, res->version == 10 ? "HTTP/1.0 " : "HTTP/1.1 ");
    wr_text_pad(out, res->status, 3);
    wr_text_char(out, ' ');
    put_reason(out, res->reason);
    wr_text_c(out, "\r\n");
    if (res->type.p != NULL)
        put_field(out, WR_F_CONTENT_TYPE, res->type);
    wr_h1_write_fields(out, &res->fields);
    wr_text_c(out, "\r\n");
}

/* The value of the first field ETag in a head, and where it is. */
static void find_etag(struct wr_str head, struct fixed *f)
{
    struct wr_str rest = head, line = wr_str_cut(&rest, '\n');
    const struct wr_str name = WR_STR("etag:");

    while (rest.n > 0) {
        line = wr_str_cut(&rest, '\n');
        if (line.n > name.n && wr_str_ieq(wr_str_of(line.p, name.n), name)) {
            line = wr_str_skip(line, name.n);
            line = wr_str_trim(wr_str_of(line.p, line.n - (line.p[line.n - 1] == '\r')));
            f->etag_at = (uint32_t)(line.p - head.p);
            f->etag_n = (uint32_t)line.n;
            return;
        }
    }
}

static bool is_storable(const struct wr_cache_parts *p)
{
    size_t n = WR_CACHE_FIXED + p->key.n;

    if (p->key.n > WR_CACHE_KEY_MAX || p->nvary > WR_CACHE_VARY_MAX
        || p->ntags > WR_CACHE_TAGS_MAX || p->res->status < 100 || p->res->status > 999)
        return false;
    for (uint32_t i = 0; i < p->nvary && n <= WR_CACHE_BEFORE_BODY_MAX; i++)
        n += wr_min(p->vary[i].name.n, (size_t)WR_CACHE_BEFORE_BODY_MAX + 1)
           + wr_min(p->vary[i].value.n, (size_t)WR_CACHE_BEFORE_BODY_MAX + 1);
    return n <= WR_CACHE_BEFORE_BODY_MAX;
}

bool wr_cache_encode(struct wr_text *out, const struct wr_cache_parts *p)
{
    const size_t start = out->n;
    size_t at;
    struct fixed f = {
        .format = WR_CACHE_FORMAT, .fixed_n = WR_CACHE_FIXED, .key_n = (uint32_t)p->key.n,
        .tags_n = p->ntags * (uint32_t)sizeof(*p->tags), .status = p->res->status,
        .body_n = UINT64_MAX, .facts = *p->facts,
    };

    if (!is_storable(p))
        return false;
    memcpy(f.magic, magic, sizeof(magic));
    f.facts.flags &= ~(uint32_t)WR_CACHE_VARIES;
    f.facts.flags |= p->nvary > 0 ? WR_CACHE_VARIES : 0;
    wr_text_str(out, wr_str_of((const char *)&f, sizeof(f)));
    wr_text_str(out, wr_str_of((const char *)p->tags, f.tags_n));
    wr_text_str(out, p->key);
    at = out->n;
    for (uint32_t i = 0; i < p->nvary; i++)
        put_vary(out, &p->vary[i]);
    f.vary_n = (uint32_t)(out->n - at);
    at = out->n;
    put_head(out, p->res);
    if (out->overflow || out->n - start > WR_CACHE_BEFORE_BODY_MAX)
        return false;
    f.head_n = (uint32_t)(out->n - at);
    find_etag(wr_str_of(out->p + at, f.head_n), &f);
    memcpy(out->p + start, &f, sizeof(f));
    return true;
}

static void put_checksum(char *bytes, size_t n, struct fixed *f)
{
    memcpy(bytes, f, sizeof(*f));
    f->checksum = checksum_of(bytes, n);
    memcpy(bytes, f, sizeof(*f));
}

void wr_cache_seal(char *bytes, size_t n, uint64_t body_n, uint32_t trailers_n)
{
    struct fixed f;

    memcpy(&f, bytes, sizeof(f));
    f.body_n = body_n;
    f.trailers_n = trailers_n;
    put_checksum(bytes, n, &f);
}

/* ---- decode ---- */

bool wr_cache_vary_next(struct wr_str *rest, struct wr_cache_vary *out)
{
    uint32_t n[2];
    bool none;

    if (rest->n < sizeof(n))
        return false;
    memcpy(n, rest->p, sizeof(n));
    none = n[1] == UINT32_MAX;
    n[1] = none ? 0 : n[1];
    *rest = wr_str_skip(*rest, sizeof(n));
    if (n[0] > rest->n || n[1] > rest->n - n[0]) {
        *rest = wr_str_of(NULL, 0);
        return false;
    }
    out->name = wr_str_of(rest->p, n[0]);
    out->value = none ? wr_str_of(NULL, 0) : wr_str_of(rest->p + n[0], n[1]);
    *rest = wr_str_skip(*rest, (size_t)n[0] + n[1]);
    return true;
}

/* True: the fields end where the part ends, and there are not too many. */
static bool is_vary_whole(struct wr_str vary)
{
    struct wr_cache_vary one;
    uint32_t n = 0;

    while (n <= WR_CACHE_VARY_MAX && vary.n > 0) {
        if (!wr_cache_vary_next(&vary, &one))
            return false;
        n++;
    }
    return n <= WR_CACHE_VARY_MAX;
}

/* The beginning of a file that lost its bytes in a crash of the system. */
static bool is_zero(struct wr_str bytes)
{
    static const char zero[sizeof(magic)];

    return bytes.n >= sizeof(magic) && memcmp(bytes.p, zero, sizeof(magic)) == 0;
}

static enum wr_cache_decoded judge_start(struct wr_str bytes, struct fixed *f)
{
    if (is_zero(bytes))
        return WR_CACHE_BROKEN;
    if (memcmp(bytes.p, magic, wr_min(bytes.n, sizeof(magic))) != 0)
        return WR_CACHE_FOREIGN;
    if (bytes.n < sizeof(*f))
        return WR_CACHE_MORE;
    memcpy(f, bytes.p, sizeof(*f));
    if (f->format != WR_CACHE_FORMAT)
        return WR_CACHE_OTHER_FORMAT;
    return WR_CACHE_WHOLE;
}

static bool are_lengths_right(const struct fixed *f)
{
    const uint64_t before = (uint64_t)sizeof(*f) + f->tags_n + f->key_n + f->vary_n + f->head_n;

    return f->fixed_n == sizeof(*f) && before <= WR_CACHE_BEFORE_BODY_MAX
        && f->key_n <= WR_CACHE_KEY_MAX && f->tags_n <= WR_CACHE_TAGS_MAX * sizeof(uint64_t)
        && f->tags_n % sizeof(uint64_t) == 0 && f->trailers_n <= WR_CACHE_TRAILERS_MAX
        && (f->body_n <= INT64_MAX / 2 || f->body_n == UINT64_MAX)
        && f->status >= 100 && f->status <= 999
        && f->etag_at <= f->head_n && f->etag_n <= f->head_n - f->etag_at;
}

static void place_parts(const struct fixed *f, const char *p, struct wr_cache_object *o)
{
    p += sizeof(*f);
    o->tags = wr_str_of(p, f->tags_n);
    p += f->tags_n;
    o->key = wr_str_of(p, f->key_n);
    p += f->key_n;
    o->vary = wr_str_of(p, f->vary_n);
    p += f->vary_n;
    o->head = wr_str_of(p, f->head_n);
    o->etag = f->etag_n > 0 ? wr_str_of(p + f->etag_at, f->etag_n) : wr_str_of(NULL, 0);
}

enum wr_cache_decoded wr_cache_decode(struct wr_str bytes, bool check, struct wr_cache_object *o)
{
    struct fixed f;
    enum wr_cache_decoded d;

    *o = (struct wr_cache_object){ .body_at = sizeof(f) };
    d = judge_start(bytes, &f);
    if (d != WR_CACHE_WHOLE)
        return d;
    if (!are_lengths_right(&f))
        return WR_CACHE_BROKEN;
    o->facts = f.facts;
    o->status = f.status;
    o->body_at = sizeof(f) + f.tags_n + f.key_n + f.vary_n + f.head_n;
    o->body_n = f.body_n;
    o->trailers_n = f.trailers_n;
    if (bytes.n < o->body_at)
        return WR_CACHE_MORE;
    if (check && (f.body_n == UINT64_MAX || f.checksum != checksum_of(bytes.p, o->body_at)))
        return WR_CACHE_BROKEN;
    place_parts(&f, bytes.p, o);
    return is_vary_whole(o->vary) ? WR_CACHE_WHOLE : WR_CACHE_BROKEN;
}

static void set_framing(const struct wr_cache_object *o, struct wr_response *out)
{
    out->length = o->body_n == UINT64_MAX ? 0 : o->body_n;
    out->has_length = o->body_n != UINT64_MAX;
    if (out->status < 200 || out->status == 204 || out->status == 304)
        out->framing = WR_BODY_NONE;
    else
        out->framing = out->has_length ? WR_BODY_LENGTH : WR_BODY_CHUNKED;
    out->keepalive = true;
}

/* Cuts a line off *rest, without its end. */
static bool cut_line(struct wr_str *rest, struct wr_str *line)
{
    const char *end = memchr(rest->p, '\n', rest->n);

    if (end == NULL || end == rest->p || end[-1] != '\r')
        return false;
    *line = wr_str_of(rest->p, (size_t)(end - rest->p) - 1);
    *rest = wr_str_of(end + 1, rest->n - line->n - 2);
    return memchr(line->p, '\r', line->n) == NULL;
}

/* A field about the connection or the framing was not stored, so it is not read. */
static bool take_field(struct wr_str line, struct wr_pool *pool, struct wr_response *out)
{
    const size_t n = wr_str_find(line, ':');
    struct wr_str name = wr_str_of(line.p, n), value = wr_str_skip(line, n + 2);
    enum wr_field_id id = wr_field_id(name);

    if (n == 0 || n + 2 > line.n || line.p[n + 1] != ' ' || wr_field_is_hop(id)
        || id == WR_F_CONTENT_LENGTH)
        return false;
    if (id == WR_F_CONTENT_TYPE && out->type.p == NULL) {
        out->type = value;
        return true;
    }
    if (id == WR_F_LAST_MODIFIED)
        out->last_modified = WR_MODIFIED_UNREAD;
    wr_fields_put(pool, &out->fields, id, name, value)->parsed = true;
    return true;
}

/* Not by the parser of replies: encode has written these lines, and the checksum is theirs. */
bool wr_cache_reply(const struct wr_cache_object *o, struct wr_pool *pool, struct wr_response *out)
{
    struct wr_str rest = o->head, line;

    wr_response_init(out);
    if (!cut_line(&rest, &line) || line.n < 13 || memcmp(line.p, "HTTP/1.", 7) != 0)
        return false;
    out->version = line.p[7] == '0' ? 10 : 11;
    out->status = o->status;
    out->reason = wr_str_skip(line, 13);
    out->head_size = o->head.n;
    while (cut_line(&rest, &line) && line.n > 0)
        if (!take_field(line, pool, out))
            return false;
    if (line.n > 0 || rest.n > 0)
        return false;
    set_framing(o, out);
    return true;
}

bool wr_cache_trailers(struct wr_str bytes, struct wr_pool *pool, struct wr_fields *out)
{
    return wr_h1_trailers(bytes, pool, out);
}

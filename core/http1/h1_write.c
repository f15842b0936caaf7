/* h1_write: writes decided heads as HTTP/1 text. Both endpoints call it. Pure. */
#include "http1/http1_impl.h"

/* ---- field lines ---- */

static bool is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static inline bool is_clean(struct wr_str s)
{
    size_t i = 0;

    while (i += wr_h1_span(s.p + i, s.n - i, ' '), i < s.n && s.p[i] == '\t')
        i++;
    return i == s.n;
}

/* Writes control characters as %XX, beginning at the end of the text, where the room is. */
static void escape_tail(struct wr_text *out, size_t from)
{
    size_t n = out->n, to;

    for (size_t i = from; i < n; i++)
        if (is_control(out->p[i]))
            wr_text_c(out, "  ");
    if (out->overflow)
        return;
    for (to = out->n; n > from; n--) {
        unsigned char c = (unsigned char)out->p[n - 1];

        if (!is_control((char)c)) {
            out->p[--to] = (char)c;
            continue;
        }
        to -= 3;
        memcpy(out->p + to, (char[]){ '%', wr_hex_upper[c >> 4], wr_hex_upper[c & 15] }, 3);
    }
}

static void make_clean(struct wr_text *out, size_t from, enum wr_field_id id)
{
    if (id == WR_F_LOCATION || id == WR_F_REFRESH)
        escape_tail(out, from);
    for (size_t i = from; i < out->n; i++)
        if (is_control(out->p[i]))
            out->p[i] = ' ';
}

/* Makes the value at the end of out (from `from` on) safe in a field of that id. */
static inline void guard_value(struct wr_text *out, size_t from, enum wr_field_id id)
{
    if (wr_unlikely(!is_clean(wr_str_of(out->p + from, out->n - from))))
        make_clean(out, from, id);
}

/* before: "Name: ". Inline, so that copying it needs no call. */
static inline void put_guarded(struct wr_text *out, struct wr_str before, struct wr_str value,
                               enum wr_field_id as)
{
    size_t from;

    wr_text_str(out, before);
    from = out->n;
    wr_text_str(out, value);
    guard_value(out, from, as);
    wr_text_str(out, WR_STR("\r\n"));
}

static void put_single(struct wr_text *out, const struct wr_field *f, enum wr_field_id as)
{
    wr_text_str(out, f->name);
    put_guarded(out, WR_STR(": "), f->value, as);
}

static inline bool is_adjacent(struct wr_str a, struct wr_str b, const char *between)
{
    return (uintptr_t)b.p - (uintptr_t)a.p == a.n + 2 && memcmp(a.p + a.n, between, 2) == 0;
}

static inline void end_run(struct wr_str *run, struct wr_text *out)
{
    if (run->n > 0) {
        wr_text_str(out, *run);
        wr_text_str(out, WR_STR("\r\n"));
    }
    run->n = 0;
}

/* *run: neighbouring lines not written yet, empty at first. as: the field whose rules guard the
 * value. */
static inline void put_field(struct wr_str *run, const struct wr_field *f, enum wr_field_id as,
                             struct wr_text *out)
{
    struct wr_str whole = wr_str_of(f->name.p, f->name.n + 2 + f->value.n);

    if (f->parsed && is_adjacent(f->name, f->value, ": ")) {
        if (run->n > 0 && is_adjacent(*run, whole, "\r\n")) {
            run->n += 2 + whole.n;
            return;
        }
        end_run(run, out);
        *run = whole;
    } else { /* a replaced value does not follow its name in memory */
        end_run(run, out);
        put_single(out, f, as);
    }
}

static inline void put_all(struct wr_text *out, const struct wr_fields *f)
{
    struct wr_str run = { NULL, 0 };

    for (uint32_t i = 0; i < f->n; i++)
        if (!f->at[i].gone)
            put_field(&run, &f->at[i], f->at[i].id, out);
    end_run(&run, out);
}

void wr_h1_write_fields(struct wr_text *out, const struct wr_fields *f)
{
    put_all(out, f);
}

static void put_length(struct wr_text *out, uint64_t length)
{
    wr_text_str(out, WR_STR("Content-Length: "));
    wr_text_u64(out, length);
    wr_text_str(out, WR_STR("\r\n"));
}

/* ---- requests ---- */

/* Requests have no links to follow: Location is guarded like any other field. */
static inline void put_fields(struct wr_text *out, const struct wr_field *const *fields, uint32_t n)
{
    struct wr_str run = { NULL, 0 };

    for (uint32_t i = 0; i < n; i++)
        put_field(&run, fields[i], WR_F_OTHER, out);
    end_run(&run, out);
}

void wr_h1_write_request(struct wr_text *out, const struct wr_request_out *r)
{
    wr_text_str(out, r->method_text);
    wr_text_char(out, ' ');
    wr_text_str(out, r->target);
    wr_text_str(out, wr_str_of(r->version == 10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n", 11));
    if (r->authority.n > 0) /* first (RFC 9112 3.2) */
        put_guarded(out, WR_STR("Host: "), r->authority, WR_F_HOST);
    put_fields(out, r->fields, r->own);
    if (r->close)
        wr_text_str(out, WR_STR("Connection: close\r\n"));
    if (r->framing == WR_BODY_CHUNKED)
        wr_text_str(out, WR_STR("Transfer-Encoding: chunked\r\n"));
    else if (r->framing == WR_BODY_LENGTH)
        put_length(out, r->length);
    put_fields(out, r->fields + r->own, r->n - r->own);
    wr_text_str(out, WR_STR("\r\n"));
}

/* ---- replies ---- */

static void put_status(struct wr_text *out, const struct wr_reply_out *r)
{
    const char *reason = r->reason.n > 0 ? NULL : wr_status_reason(r->status);
    char digits[4] = { (char)('0' + r->status / 100 % 10), (char)('0' + r->status / 10 % 10),
                       (char)('0' + r->status % 10), ' ' };

    wr_text_str(out, WR_STR("HTTP/1.1 "));
    wr_text_str(out, wr_str_of(digits, sizeof(digits)));
    if (r->reason.n > 0)
        wr_text_str(out, r->reason);
    else
        wr_text_c(out, reason != NULL ? reason : "");
    wr_text_str(out, WR_STR("\r\n"));
}

/* Writes Server and Date: their values are weir's own, no guard is needed. */
static inline void put_unguarded(struct wr_text *out, struct wr_str before, struct wr_str value)
{
    if (value.n == 0)
        return;
    wr_text_str(out, before);
    wr_text_str(out, value);
    wr_text_str(out, WR_STR("\r\n"));
}

static void put_connection(struct wr_text *out, const struct wr_h1_hop *hop)
{
    if (hop->connection == WR_H1_UPGRADE)
        wr_text_str(out, WR_STR("Connection: upgrade\r\n"));
    else if (hop->connection == WR_H1_CLOSE)
        wr_text_str(out, WR_STR("Connection: close\r\n"));
    else
        wr_text_str(out, WR_STR("Connection: keep-alive\r\n"));
    if (hop->connection == WR_H1_KEEP && hop->keep_s > 0)
        wr_text_fmt(out, "Keep-Alive: timeout=%llu\r\n", (unsigned long long)hop->keep_s);
}

/* weir's own fields are in nginx's order. */
void wr_h1_write_reply(struct wr_text *out, const struct wr_reply_out *r,
                       const struct wr_h1_hop *hop)
{
    put_status(out, r);
    put_unguarded(out, WR_STR("Server: "), r->server);
    put_unguarded(out, WR_STR("Date: "), r->date);
    if (r->type.n > 0)
        put_guarded(out, WR_STR("Content-Type: "), r->type, WR_F_CONTENT_TYPE);
    if (r->says_length)
        put_length(out, r->length);
    else if (hop->chunked)
        wr_text_str(out, WR_STR("Transfer-Encoding: chunked\r\n"));
    if (r->last_modified >= 0) {
        wr_text_str(out, WR_STR("Last-Modified: "));
        wr_clock_http(r->last_modified, out);
        wr_text_str(out, WR_STR("\r\n"));
    }
    put_connection(out, hop);
    put_all(out, r->fields);
    wr_text_str(out, WR_STR("\r\n"));
}

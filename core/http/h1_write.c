/* h1_write: what HTTP/1 sends of a head that is decided, as text. Both endpoints call it. Pure. */
#include "http/h1_impl.h"

/* ---- field lines ---- */

static bool is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool is_clean(struct wr_str s)
{
    size_t i = 0;

    while (i += wr_h1_span(s.p + i, s.n - i, ' '), i < s.n && s.p[i] == '\t')
        i++;
    return i == s.n;
}

/* From the back, where there is room. */
static void escape_tail(struct wr_text *out, size_t from)
{
    static const char digits[16] = "0123456789ABCDEF";
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
        memcpy(out->p + to, (char[]){ '%', digits[c >> 4], digits[c & 15] }, 3);
    }
}

void wr_field_guard(struct wr_text *out, size_t from, enum wr_field_id id)
{
    if (wr_likely(is_clean(wr_str_of(out->p + from, out->n - from))))
        return;
    if (id == WR_F_LOCATION || id == WR_F_REFRESH)
        escape_tail(out, from);
    for (size_t i = from; i < out->n; i++)
        if (is_control(out->p[i]))
            out->p[i] = ' ';
}

static inline bool touches(struct wr_str a, struct wr_str b, const char *between)
{
    return (uintptr_t)b.p - (uintptr_t)a.p == a.n + 2 && memcmp(a.p + a.n, between, 2) == 0;
}

/* as: of which field the value is guarded. */
static inline void put_field(struct wr_str *run, const struct wr_field *f, enum wr_field_id as,
                             struct wr_text *out)
{
    struct wr_str whole = wr_str_of(f->name.p, f->name.n + 2 + f->value.n);
    size_t from;

    /* A value that was replaced does not lie behind its name any more. */
    if (!f->parsed || !touches(f->name, f->value, ": ")) {
        wr_field_lines_end(run, out);
        wr_text_str(out, f->name);
        wr_text_str(out, WR_STR(": "));
        from = out->n;
        wr_text_str(out, f->value);
        wr_field_guard(out, from, as);
        wr_text_str(out, WR_STR("\r\n"));
    } else if (run->n > 0 && touches(*run, whole, "\r\n")) {
        run->n += 2 + whole.n;
    } else {
        wr_field_lines_end(run, out);
        *run = whole;
    }
}

void wr_field_line(struct wr_str *run, const struct wr_field *f, struct wr_text *out)
{
    put_field(run, f, f->id, out);
}

/* ---- heads ---- */

/* In a request no field is a link that somebody follows: Location is guarded as any other. */
static void put_fields(struct wr_text *out, const struct wr_field *const *fields, uint32_t n)
{
    struct wr_str run = { NULL, 0 };

    for (uint32_t i = 0; i < n; i++)
        put_field(&run, fields[i], WR_F_OTHER, out);
    wr_field_lines_end(&run, out);
}

static void put_length(struct wr_text *out, uint64_t length)
{
    wr_text_str(out, WR_STR("Content-Length: "));
    wr_text_u64(out, length);
    wr_text_str(out, WR_STR("\r\n"));
}

/* Host stands first (RFC 9112 3.2). */
static void put_host(struct wr_text *out, struct wr_str authority)
{
    size_t from;

    if (authority.n == 0)
        return;
    wr_text_str(out, WR_STR("Host: "));
    from = out->n;
    wr_text_str(out, authority);
    wr_field_guard(out, from, WR_F_HOST);
    wr_text_str(out, WR_STR("\r\n"));
}

void wr_h1_write_request(struct wr_text *out, const struct wr_request_out *r)
{
    wr_text_str(out, r->method_text);
    wr_text_char(out, ' ');
    wr_text_str(out, r->target);
    wr_text_str(out, wr_str_of(r->version == 10 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n", 11));
    put_host(out, r->authority);
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

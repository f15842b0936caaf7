/* h1_response: parses the head of a peer's reply, strictly by RFC 9112. The client endpoint calls
 * it with bytes off the wire; no I/O. The result has views into the text; the array of fields and
 * the texts of errors are in the pool. Fields about the connection, not the message, are left
 * out. */
#include "http1/http1_impl.h"

struct reader {
    struct wr_pool *pool;
    struct wr_h1_progress *p;
    struct wr_response *out;
    struct wr_str length, coding; /* of Content-Length and Transfer-Encoding; p NULL: none */
};

static bool head_error(struct reader *r, const char *why)
{
    (void)wr_h1_bad(r->p, 502, why);
    return false;
}

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* "HTTP/1.1 200 OK"; the reason may be missing, and the space before it. */
static bool parse_status_line(struct wr_str line, struct wr_response *out)
{
    const char *c = line.p;

    if (line.n < 12 || memcmp(c, "HTTP/1.", 7) != 0 || !is_digit(c[7]) || c[8] != ' ' ||
        !is_digit(c[9]) || !is_digit(c[10]) || !is_digit(c[11]) || c[9] == '0')
        return false;
    if (line.n > 12 && c[12] != ' ')
        return false;
    out->version = c[7] == '0' ? 10 : 11;
    out->status = (unsigned)((c[9] - '0') * 100 + (c[10] - '0') * 10 + (c[11] - '0'));
    out->reason = wr_str_skip(line, 13);
    for (size_t i = 0; i < out->reason.n; i++) {
        i += wr_h1_span(out->reason.p + i, out->reason.n - i, ' ');
        if (i < out->reason.n && out->reason.p[i] != '\t')
            return false;
    }
    return true;
}

static bool take_once(struct reader *r, struct wr_str *kept, const struct wr_h1_field *f)
{
    if (kept->p != NULL)
        return head_error(r, wr_pool_fmt(r->pool, "upstream sent duplicate header line: \"" WR_FMT
                                         "\", previous value: \"" WR_FMT ": " WR_FMT "\"",
                                         WR_H1_LOGGED(f->line), WR_ARG(f->name),
                                         WR_H1_LOGGED(*kept)).p);
    *kept = f->value;
    return true;
}

static bool take_field(struct reader *r, const struct wr_h1_field *f)
{
    enum wr_field_id id = wr_field_id(f->name);
    struct wr_response *out = r->out;

    switch (id) {
    case WR_F_CONTENT_LENGTH:
        return take_once(r, &r->length, f);
    case WR_F_TRANSFER_ENCODING:
        return take_once(r, &r->coding, f);
    case WR_F_KEEP_ALIVE:
    case WR_F_PROXY_CONNECTION:
    case WR_F_TE:
    case WR_F_TRAILER:
        return true;
    case WR_F_UPGRADE:
        if (out->status != 101)
            return true;
        break;
    case WR_F_CONTENT_TYPE:
        if (out->type.p == NULL)
            out->type = f->value;
        return true;
    case WR_F_DATE:
    case WR_F_EXPIRES: /* the first one counts, as in nginx */
        if (out->fields.first[id] != 0)
            return true;
        break;
    case WR_F_LAST_MODIFIED:
        if (out->last_modified == -1)
            out->last_modified = WR_MODIFIED_UNREAD;
        break;
    default:
        break;
    }
    wr_fields_put(r->pool, &out->fields, id, f->name, f->value)->parsed = true;
    return true;
}

static bool read_fields(struct reader *r, struct wr_str rest)
{
    struct wr_h1_field f;
    unsigned n = 0;

    while (rest.n > 0 && wr_h1_blank(rest) == 0) {
        if (!wr_h1_field(&rest, &f) || f.seen & WR_H1_FOREIGN)
            return head_error(r, wr_pool_fmt(r->pool, "upstream sent invalid header: \"" WR_FMT
                                             "\"", WR_H1_LOGGED(f.line)).p);
        if (n++ == WR_H1_FIELDS_MAX)
            return head_error(r, "upstream sent too many header lines");
        if (!take_field(r, &f))
            return false;
    }
    return true;
}

static void remove_named(struct wr_fields *fields, struct wr_str name)
{
    for (struct wr_field *f = wr_fields_find(fields, name, NULL); f != NULL;
         f = wr_fields_find(fields, name, f))
        wr_fields_drop(fields, f);
}

struct options { bool close, keep; };

/* Takes one word of Connection: an option of this connection, or the name of a hop-by-hop field. */
static void take_option(struct wr_fields *fields, struct wr_str token, struct options *o)
{
    if (wr_str_ieq(token, WR_STR("keep-alive")))
        o->keep = true;
    else if (wr_str_ieq(token, WR_STR("close")))
        o->close = true;
    else if (!wr_str_ieq(token, WR_STR("upgrade")) && !wr_str_ieq(token, WR_STR("connection")))
        remove_named(fields, token);
}

static bool read_connection(struct reader *r)
{
    struct wr_response *out = r->out;
    struct wr_fields *fields = &out->fields;
    struct options o = { 0 };
    struct wr_str list;

    if (fields->first[WR_F_CONNECTION] != 0) {
        if (!wr_h1_options_fit(fields))
            return head_error(r, "upstream sent too many names in \"Connection\" header");
        for (uint32_t i = fields->first[WR_F_CONNECTION] - 1; i < fields->n; i++) {
            list = fields->at[i].id == WR_F_CONNECTION ? fields->at[i].value : wr_str_of(NULL, 0);
            while (list.n > 0)
                take_option(fields, wr_str_trim(wr_str_cut(&list, ',')), &o);
        }
        wr_fields_remove(fields, WR_F_CONNECTION);
    }
    out->keepalive = !o.close && (out->version == 11 || o.keep);
    return true;
}

static bool is_bodyless(unsigned status, enum wr_method method)
{
    return status < 200 || status == 204 || status == 304 || method == WR_M_HEAD ||
           (method == WR_M_CONNECT && status < 300);
}

static bool read_length(struct reader *r)
{
    struct wr_response *out = r->out;

    if (r->length.p == NULL)
        return true;
    if (!wr_str_u64(r->length, &out->length) || out->length > INT64_MAX)
        return head_error(r, wr_pool_fmt(r->pool, "upstream sent invalid \"Content-Length\" "
                                         "header: \"" WR_FMT "\"", WR_H1_LOGGED(r->length)).p);
    if (r->coding.p != NULL)
        return head_error(r, "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers "
                             "at the same time");
    out->has_length = true;
    return true;
}

static bool read_framing(struct reader *r, enum wr_method method)
{
    struct wr_response *out = r->out;
    bool empty = out->status < 200 || out->status == 204;

    if (!read_length(r))
        return false;
    if (r->coding.p != NULL && !wr_str_ieq(r->coding, WR_STR("chunked")))
        return head_error(r, wr_pool_fmt(r->pool, "upstream sent unknown \"Transfer-Encoding\": \""
                                         WR_FMT "\"", WR_H1_LOGGED(r->coding)).p);
    /* The server frames a body where none is allowed, or in a way its version does not have. It may
     * really send one: do not reuse the connection. */
    if (r->coding.p != NULL && (empty || out->version == 10))
        out->keepalive = false;
    if (empty && out->length > 0)
        out->keepalive = false;
    if (is_bodyless(out->status, method)) {
        out->framing = WR_BODY_NONE;
        out->has_length = out->has_length && !empty;
        return true;
    }
    out->framing = r->coding.p != NULL ? WR_BODY_CHUNKED
                   : out->has_length   ? WR_BODY_LENGTH
                                       : WR_BODY_CLOSE;
    if (out->framing == WR_BODY_CLOSE)
        out->keepalive = false;
    return true;
}

enum wr_parse wr_h1_response(struct wr_str text, size_t limit, enum wr_method method,
                             struct wr_pool *pool, struct wr_h1_progress *p,
                             struct wr_response *out)
{
    struct wr_head_limits limits = { .line = limit, .total = limit };
    struct reader r = { .pool = pool, .p = p, .out = out };
    enum wr_parse found = p->size > 0 ? WR_PARSE_OK : wr_h1_head_end(text, &limits, false, p);
    struct wr_str rest;

    if (found != WR_PARSE_OK)
        return found;
    WR_ASSERT(p->size <= text.n);
    wr_response_init(out);
    out->head_size = p->size;
    rest = wr_str_of(text.p, p->size);
    if (!parse_status_line(wr_h1_cut_line(&rest), out)) {
        p->first_line_done = false;
        return wr_h1_bad(p, 502, "upstream sent no valid HTTP/1.0 header");
    }
    return read_fields(&r, rest) && read_connection(&r) && read_framing(&r, method) ? WR_PARSE_OK
                                                                          : WR_PARSE_BAD;
}

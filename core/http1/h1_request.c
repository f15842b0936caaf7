/* h1_request: parses the head of an HTTP/1 request, strictly by RFC 9112. The session calls it with
 * bytes off the wire; no I/O. The result has views into the text; the array of fields and the texts
 * of errors are in the pool. */
#include "http1/http1_impl.h"

static bool line_error(struct wr_h1_line *l, uint16_t status, const char *why)
{
    l->status = status;
    l->why = why;
    return false;
}

static bool invalid_request(struct wr_h1_line *l)
{
    return line_error(l, 400, "client sent invalid request");
}

static size_t method_span(struct wr_str s)
{
    size_t i = 0;

    while (i < s.n && ((s.p[i] >= 'A' && s.p[i] <= 'Z') || s.p[i] == '_' || s.p[i] == '-'))
        i++;
    return i;
}

static bool is_alpha(char c)
{
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* Bytes of "scheme://"; 0 if s does not begin so. */
static size_t scheme_span(struct wr_str s)
{
    size_t i = 1;

    if (s.n == 0 || !is_alpha(s.p[0]))
        return 0;
    while (i < s.n && (is_alpha(s.p[i]) || is_digit(s.p[i]) || s.p[i] == '+' || s.p[i] == '-' ||
                       s.p[i] == '.'))
        i++;
    return s.n - i >= 3 && memcmp(s.p + i, "://", 3) == 0 ? i + 3 : 0;
}

/* Checks the four forms of RFC 9112 3.2. The target of absolute-form becomes the part after the
 * authority. */
static bool target_form(struct wr_h1_line *l)
{
    size_t n, end = 0;

    if (l->id == WR_M_CONNECT) {
        l->authority = l->target;
        return true;
    }
    if (l->target.p[0] == '/')
        return true;
    if (l->target.n == 1 && l->target.p[0] == '*')
        return l->id == WR_M_OPTIONS;
    n = scheme_span(l->target);
    if (n == 0)
        return false;
    l->target = wr_str_skip(l->target, n);
    while (end < l->target.n && l->target.p[end] != '/' && l->target.p[end] != '?' &&
           l->target.p[end] != '#')
        end++;
    l->authority = wr_str_of(l->target.p, end);
    l->target = wr_str_skip(l->target, end);
    return end > 0;
}

/* text: what follows the target, " HTTP/1.1". */
static bool parse_version(struct wr_str text, struct wr_h1_line *l)
{
    const char *v = text.p + 6;

    if (text.n != 9 || memcmp(text.p, " HTTP/", 6) != 0 || !is_digit(v[0]) || v[1] != '.' ||
        !is_digit(v[2]) || v[0] == '0')
        return invalid_request(l);
    if (v[0] != '1')
        return line_error(l, 505, "client sent invalid version");
    l->version = v[2] == '0' ? 10 : 11;
    return true;
}

bool wr_h1_request_line(struct wr_str line, struct wr_h1_line *l)
{
    struct wr_str rest;
    size_t n = method_span(line);

    *l = (struct wr_h1_line){ .method = wr_str_of(line.p, n) };
    if (n == 0 || n == line.n || line.p[n] != ' ')
        return line_error(l, 400, "client sent invalid method");
    l->id = wr_method_of(l->method);
    rest = wr_str_skip(line, n + 1);
    n = wr_h1_span(rest.p, rest.n, '!');
    l->target = wr_str_of(rest.p, n);
    if (n == 0)
        return invalid_request(l);
    if (n == rest.n) {
        if (l->target.p[0] != '/') /* "GET HTTP/1.1" is not an HTTP/0.9 request */
            return invalid_request(l);
        l->version = 9;
        return l->id == WR_M_GET
            || line_error(l, 400, "client sent invalid method in HTTP/0.9 request");
    }
    if (!parse_version(wr_str_skip(rest, n), l))
        return false;
    return target_form(l) || invalid_request(l);
}

struct reader {
    const struct wr_head_rules *rules;
    const struct wr_head_limits *limits;
    struct wr_pool *pool;
    struct wr_h1_progress *p;
    struct wr_request *out;
    bool asked;               /* rules->of_host was called */
};

static bool head_error(struct reader *r, uint16_t status, const char *why)
{
    (void)wr_h1_bad(r->p, status, why);
    return false;
}

static bool invalid_line(struct reader *r, const struct wr_h1_field *f)
{
    return head_error(r, 400, wr_pool_fmt(r->pool, "client sent invalid header line: \"" WR_FMT
                                          "\"", WR_H1_LOGGED(f->line)).p);
}

/* True: two fields of this name are ambiguous and refused; the same names as in nginx. */
static bool is_single(enum wr_field_id id)
{
    switch (id) {
    case WR_F_HOST:
    case WR_F_CONTENT_LENGTH:
    case WR_F_TRANSFER_ENCODING:
    case WR_F_EXPECT:
    case WR_F_IF_RANGE:
    case WR_F_CONTENT_RANGE:
    case WR_F_IF_MODIFIED_SINCE:
    case WR_F_IF_UNMODIFIED_SINCE:
    case WR_F_IF_MATCH:
    case WR_F_IF_NONE_MATCH:
    case WR_F_AUTHORIZATION:
        return true;
    default:
        return false;
    }
}

static bool duplicate_error(struct reader *r, enum wr_field_id id, const struct wr_h1_field *f)
{
    const struct wr_field *old = wr_fields_first(&r->out->fields, id);

    return head_error(r, 400, wr_pool_fmt(r->pool, "client sent duplicate header line: \"" WR_FMT
                                          "\", previous value: \"" WR_FMT ": " WR_FMT "\"",
                                          WR_H1_LOGGED(f->line), WR_ARG(old->name),
                                          WR_H1_LOGGED(old->value)).p);
}

/* The name is invalid, or nginx does not accept it: drop the line, or refuse the head (false). */
static bool check_name(struct reader *r, const struct wr_h1_field *f, bool *drop)
{
    unsigned odd = f->seen & (r->limits->underscores ? ~(unsigned)WR_H1_UNDERSCORE : ~0U);

    *drop = odd != 0 && r->limits->ignore_invalid;
    if (*drop && r->out->ignored.p == NULL)
        r->out->ignored = f->line;
    return *drop || !(odd & WR_H1_FOREIGN) || invalid_line(r, f);
}

static void ask_limits(struct reader *r)
{
    if (!r->asked && r->rules->of_host != NULL)
        r->limits = r->rules->of_host(r->rules->arg, r->out);
    r->asked = true;
}

/* RFC 9112 3.2.2: an authority in the request line overrides Host, whose value must be valid
 * nevertheless. */
static bool read_host(struct reader *r, struct wr_str value)
{
    struct wr_request *out = r->out;
    struct wr_str name;
    uint16_t port;

    if (!wr_host_parse(r->pool, value, &name, &port))
        return head_error(r, 400, "client sent invalid host header");
    if (out->scheme_host.p != NULL)
        return true;
    out->host = name;
    out->host_port = port;
    ask_limits(r);
    return true;
}

/* Checks limits while reading: they differ between servers, and may have changed with Host. */
static bool is_over_limits(struct reader *r, size_t line, uint32_t n)
{
    uint32_t max = r->limits->fields > 0 ? r->limits->fields : WR_H1_FIELDS_MAX;

    if (line > r->limits->line)
        return !head_error(r, 431, "client sent too long header line");
    return n > max && !head_error(r, 400, "client sent too many header lines");
}

static bool read_fields(struct reader *r, struct wr_str rest)
{
    struct wr_fields *fields = &r->out->fields;
    enum wr_field_id id;
    struct wr_h1_field f;
    uint32_t n = 0;
    bool drop;

    while (rest.n > 0 && wr_h1_blank(rest) == 0) {
        size_t left = rest.n;

        if (!wr_h1_field(&rest, &f))
            return invalid_line(r, &f);
        if (is_over_limits(r, left - rest.n, ++n))
            return false;
        if (f.seen != 0) {
            if (!check_name(r, &f, &drop))
                return false;
            if (drop)
                continue;
        }
        id = wr_field_id(f.name);
        if (fields->first[id] != 0 && is_single(id))
            return duplicate_error(r, id, &f);
        wr_fields_put(r->pool, fields, id, f.name, f.value)->parsed = true;
        if (id == WR_F_HOST && !read_host(r, f.value))
            return false;
    }
    return true;
}

/* "chunked, chunked" and "chunked, gzip" leave the end of the message open: 400. Other codings are
 * just unknown: 501. */
static bool read_coding(struct reader *r, struct wr_str value)
{
    struct wr_str list = value;

    if (r->out->version < 11)
        return head_error(r, 400, "client sent HTTP/1.0 request with \"Transfer-Encoding\" header");
    if (r->out->fields.first[WR_F_CONTENT_LENGTH] != 0)
        return head_error(r, 400, "client sent \"Content-Length\" and \"Transfer-Encoding\" "
                                  "headers at the same time");
    r->out->framing = WR_BODY_CHUNKED;
    if (wr_str_ieq(value, WR_STR("chunked")))
        return true;
    return head_error(r, wr_str_ieq(wr_str_trim(wr_str_cut(&list, ',')), WR_STR("chunked")) ? 400
                                                                                            : 501,
                      wr_pool_fmt(r->pool, "client sent unknown \"Transfer-Encoding\": \"" WR_FMT
                                  "\"", WR_H1_LOGGED(value)).p);
}

static bool read_framing(struct reader *r)
{
    const struct wr_fields *fields = &r->out->fields;

    if (fields->first[WR_F_TRANSFER_ENCODING] != 0)
        return read_coding(r, wr_fields_value(fields, WR_F_TRANSFER_ENCODING));
    if (fields->first[WR_F_CONTENT_LENGTH] == 0)
        return true;
    r->out->framing = WR_BODY_LENGTH;
    if (!wr_str_u64(wr_fields_value(fields, WR_F_CONTENT_LENGTH), &r->out->length) ||
        r->out->length > INT64_MAX)
        return head_error(r, 400, "client sent invalid \"Content-Length\" header");
    return true;
}

/* Called after the fields. An authority in the request line replaces the value of Host. */
static bool check_host(struct reader *r)
{
    struct wr_request *out = r->out;
    struct wr_field *field = wr_fields_first(&out->fields, WR_F_HOST);

    if (field == NULL && out->version == 11)
        return head_error(r, 400, "client sent HTTP/1.1 request without \"Host\" header");
    if (field != NULL && out->scheme_host.p != NULL)
        field->value = out->scheme_host;
    ask_limits(r); /* in case there was no Host */
    return true;
}

static bool read_authority(struct reader *r)
{
    struct wr_request *out = r->out;

    if (out->scheme_host.p == NULL)
        return true;
    if (!wr_host_parse(r->pool, out->scheme_host, &out->host, &out->host_port) ||
        wr_str_find(out->scheme_host, '*') < out->scheme_host.n ||
        (out->method == WR_M_CONNECT && out->host_port == 0))
        return head_error(r, 400, "client sent invalid host in request line");
    ask_limits(r);
    return true;
}

static bool read_options(struct reader *r)
{
    struct wr_request *out = r->out;
    const struct wr_fields *f = &out->fields;

    out->keepalive = out->version == 11;
    if (f->first[WR_F_CONNECTION] != 0) {
        if (!wr_h1_options_fit(f))
            return head_error(r, 400, "client sent too many names in \"Connection\" header");
        if (out->version == 10)
            out->keepalive = wr_fields_has_token(f, WR_F_CONNECTION, WR_STR("keep-alive"));
        if (wr_fields_has_token(f, WR_F_CONNECTION, WR_STR("close")))
            out->keepalive = false;
    }
    if (f->first[WR_F_EXPECT] != 0 && out->version == 11)
        out->expect = wr_str_ieq(wr_fields_value(f, WR_F_EXPECT), WR_STR("100-continue"));
    return true;
}

/* The path of "http://host" is "/". A fragment does not belong to a target (RFC 9112 3.2) and is
 * cut off: weir routes by the part before the '#' and checks only that, so a server must not get
 * more. */
static struct wr_str path_of(struct wr_pool *pool, struct wr_str target)
{
    target.n = wr_str_find(target, '#');
    if (target.n == 0)
        return WR_STR("/");
    if (target.p[0] == '?')
        return wr_pool_fmt(pool, "/" WR_FMT, WR_ARG(target));
    return target;
}

static bool read_line(struct reader *r, struct wr_str line)
{
    struct wr_request *out = r->out;
    struct wr_h1_line l;
    bool ok = wr_h1_request_line(line, &l);

    out->method = l.id;
    out->method_text = l.method;
    if (l.version != 0)
        out->version = l.version;
    if (!ok) {
        r->p->first_line_done = false;
        return head_error(r, l.status, l.why);
    }
    out->target = path_of(r->pool, l.target);
    out->scheme_host = l.authority;
    return read_authority(r);
}

/* The head is bad or will not be complete. Reads its complete lines, to find the server and for the
 * log; errors in them are ignored. */
static void read_part(struct reader *r, struct wr_str text, struct wr_str rest)
{
    const struct wr_h1_progress before = *r->p;
    struct wr_str whole = wr_str_of(text.p, before.line);

    if (rest.p != NULL && read_line(r, r->out->line) && r->out->version > 9)
        (void)!read_fields(r, wr_str_skip(whole, (size_t)(rest.p - text.p)));
    *r->p = before;
}

enum wr_parse wr_h1_request(struct wr_str text, const struct wr_head_rules *rules,
                            struct wr_h1_progress *p, struct wr_request *out)
{
    struct reader r = { .rules = rules, .limits = rules->limits, .pool = rules->pool, .p = p,
                        .out = out };
    enum wr_parse found = p->size > 0 ? WR_PARSE_OK
                                      : wr_h1_head_end(text, rules->limits, true, p);
    struct wr_str rest;
    size_t n;

    if (found == WR_PARSE_MORE)
        return found;
    WR_ASSERT(p->size <= text.n);
    memset(out, 0, sizeof(*out));
    out->version = 11;
    out->head_size = p->size;
    rest = found == WR_PARSE_OK ? wr_str_of(text.p, p->size) : text;
    while ((n = wr_h1_blank(rest)) > 0)
        rest = wr_str_skip(rest, n);
    out->line = wr_h1_cut_line(&rest);
    if (found == WR_PARSE_BAD) {
        read_part(&r, text, rest);
        return WR_PARSE_BAD;
    }
    if (!read_line(&r, out->line))
        return WR_PARSE_BAD;
    if (out->version == 9)
        ask_limits(&r);
    else if (!read_fields(&r, rest) || !check_host(&r) || !read_framing(&r))
        return WR_PARSE_BAD;
    if (p->size > r.limits->total)
        return wr_h1_bad(p, 431, "client sent too large request");
    return read_options(&r) ? WR_PARSE_OK : WR_PARSE_BAD;
}

/* h1_head: finds the end of an HTTP/1 head, parses field lines and trailers. The endpoints call
 * wr_h1_head_end as bytes come, the two parsers of heads call wr_h1_field. Pure. */
#include "http1/http1_impl.h"

#define BLANK_MAX 8           /* most bytes of empty lines before a request line */

static const char invalid[] = "client sent invalid request";
static const char not_http[] = "upstream sent no valid HTTP/1.0 header";

static bool is_method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

/* Returns why the bytes so far cannot begin a request line, or NULL. Looks at each byte once and
 * does not wait for a line end: a TLS handshake has none. */
static const char *request_line_error(struct wr_str text, struct wr_h1_progress *p)
{
    size_t i = wr_max(p->scanned, p->line);

    if (!p->method_done) {
        while (i < text.n && is_method_char(text.p[i]))
            i++;
        if (i == text.n || (i == p->line && text.p[i] == '\r' && i + 1 == text.n))
            return NULL;
        if (i == p->line || text.p[i] != ' ')
            return "client sent invalid method";
        p->method_done = true;
    }
    i += wr_h1_span(text.p + i, text.n - i, ' ');
    if (i == text.n || (text.p[i] == '\r' && i + 1 == text.n))
        return NULL;
    return invalid;
}

static bool is_not_response(struct wr_str text)
{
    return memcmp(text.p, "HTTP/", wr_min(text.n, 5U)) != 0;
}

static enum wr_parse head_too_long(struct wr_h1_progress *p, bool request, bool line)
{
    if (!request)
        return wr_h1_bad(p, 502, "upstream sent too big header");
    if (!p->first_line_done)
        return wr_h1_bad(p, 414, "client sent too long URI");
    return wr_h1_bad(p, 431, line ? "client sent too long header line"
                                  : "client sent too large request");
}

static size_t line_max(const struct wr_head_limits *limits, const struct wr_h1_progress *p)
{
    return p->first_line_done || limits->first == 0 ? limits->line : limits->first;
}

/* There is no line end after p->line: at least one more byte is needed. */
static enum wr_parse incomplete_head(struct wr_str text, const struct wr_head_limits *limits,
                                     bool request, struct wr_h1_progress *p)
{
    bool line = text.n - p->line >= line_max(limits, p);
    const char *doubt;

    if (line || text.n >= limits->total)
        return head_too_long(p, request, line);
    if (!p->first_line_done && text.n > p->line) {
        doubt = request ? request_line_error(text, p) : NULL;
        if (doubt != NULL)
            return wr_h1_bad(p, 400, doubt);
        if (!request && is_not_response(text))
            return wr_h1_bad(p, 502, not_http);
    }
    /* A CR at the end must be looked at again, with the next byte. */
    p->scanned = text.n - (text.n > p->line && text.p[text.n - 1] == '\r');
    return WR_PARSE_MORE;
}

/* True: the line ends in " HTTP/x.y". A request line without it is HTTP/0.9 or invalid. */
static bool has_version(struct wr_str line)
{
    return line.n > 9 && memcmp(line.p + line.n - 9, " HTTP/", 6) == 0;
}

static struct wr_str line_at(struct wr_str text, size_t from, size_t end)
{
    struct wr_str line = wr_str_of(text.p + from, end - from);

    return wr_h1_cut_line(&line);
}

/* The head is incomplete or too long, and the result would be r. If the request line is complete
 * and wrong, report that instead. */
static enum wr_parse prefer_line_error(struct wr_str line, enum wr_parse r,
                                       struct wr_h1_progress *p)
{
    struct wr_h1_line l;

    if (line.n == 0 || wr_h1_request_line(line, &l))
        return r;
    p->first_line_done = false;
    return wr_h1_bad(p, l.status, l.why);
}

enum wr_parse wr_h1_head_end(struct wr_str text, const struct wr_head_limits *limits, bool request,
                             struct wr_h1_progress *p)
{
    struct wr_str first = { NULL, 0 }; /* the request line, if this call completed it */

    if (p->status != 0)
        return WR_PARSE_BAD;
    while (p->scanned < text.n) {
        const char *lf = memchr(text.p + p->scanned, '\n', text.n - p->scanned);
        size_t end, n;
        bool blank, long_line;

        if (lf == NULL)
            break;
        end = (size_t)(lf - text.p) + 1;
        n = end - p->line;
        long_line = n > line_max(limits, p);
        if (long_line || end > limits->total)
            return prefer_line_error(first, head_too_long(p, request, long_line), p);
        blank = n == 1 || (n == 2 && lf[-1] == '\r');
        if (blank && p->first_line_done) {
            p->size = end;
            return WR_PARSE_OK;
        }
        if (blank && (!request || end > BLANK_MAX))
            return wr_h1_bad(p, request ? 400 : 502, request ? invalid : not_http);
        if (!blank && !p->first_line_done) {
            if (!request && is_not_response(text))
                return wr_h1_bad(p, 502, not_http);
            p->first_line_done = true;
            if (request)
                first = line_at(text, p->line, end);
            if (request && !has_version(first)) {
                p->size = end;
                return WR_PARSE_OK;
            }
        }
        p->line = p->scanned = end;
    }
    return prefer_line_error(first, incomplete_head(text, limits, request, p), p);
}

#define STOP 8
#define T WR_H1_TOKEN
#define U WR_H1_UNDERSCORE
#define F WR_H1_FOREIGN
#define S STOP
/* Classes of bytes in a field name: 0 for letters, digits and '-'; STOP ends the name: a colon, or
 * an error. */
static const unsigned char classes[256] = {
    S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S, S,
    /* space ! " # $ % & ' ( ) * + , - . / 0 to 9 : ; < = > ? */
    S, T, F, T, T, T, T, T, F, F, T, T, F, 0, T, F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, S, F, F, F, F, F,
    /* @ A to Z [ \ ] ^ _ */
    F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, F, F, F, T, U,
    /* ` a to z { | } ~ DEL */
    T, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, F, T, F, T, S,
    F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F,
    F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F,
    F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F,
    F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F, F,
};
#undef T
#undef U
#undef F
#undef S

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Sets f->line as it came, for the log. */
static bool note_bad_line(const struct wr_str *rest, struct wr_h1_field *f)
{
    struct wr_str left = *rest;

    f->line = wr_h1_cut_line(&left);
    return false;
}

bool wr_h1_field(struct wr_str *rest, struct wr_h1_field *f)
{
    const char *start = rest->p, *end = start + rest->n, *p = start, *value;
    unsigned char class;

    /* The LF at the end stops both loops. */
    WR_ASSERT(rest->n > 0 && end[-1] == '\n');
    f->seen = 0;
    while ((class = classes[(unsigned char)*p]) != STOP) {
        f->seen |= class;
        p++;
    }
    if (p == start || *p != ':')
        return note_bad_line(rest, f);
    f->name = wr_str_of(start, (size_t)(p - start));
    do
        p++;
    while (is_blank(*p));
    value = p;
    while (p += wr_h1_span(p, (size_t)(end - p), ' '), *p == '\t')
        p++;
    f->line = wr_str_of(start, (size_t)(p - start));
    f->value = wr_str_of(value, (size_t)(p - value));
    while (f->value.n > 0 && is_blank(f->value.p[f->value.n - 1]))
        f->value.n--;
    p += *p == '\r';
    if (*p != '\n')
        return note_bad_line(rest, f);
    *rest = wr_str_of(p + 1, (size_t)(end - p) - 1);
    return true;
}

bool wr_h1_options_fit(const struct wr_fields *f)
{
    unsigned n = 0;

    for (uint32_t i = f->first[WR_F_CONNECTION]; i > 0 && i <= f->n; i++) {
        struct wr_str list = f->at[i - 1].value;

        if (f->at[i - 1].id != WR_F_CONNECTION)
            continue;
        for (; n <= WR_H1_OPTIONS_MAX && list.n > 0; n++)
            (void)wr_str_cut(&list, ',');
    }
    return n <= WR_H1_OPTIONS_MAX;
}

/* Fields that frame or route a message, or tell how to process it, must not follow its body (RFC
 * 9110 6.5.1). */
static bool is_forbidden_trailer(enum wr_field_id id)
{
    switch (id) {
    case WR_F_HOST:
    case WR_F_CONNECTION:
    case WR_F_CONTENT_LENGTH:
    case WR_F_TRANSFER_ENCODING:
    case WR_F_CONTENT_TYPE:
    case WR_F_CONTENT_ENCODING:
    case WR_F_CONTENT_RANGE:
    case WR_F_EXPECT:
    case WR_F_UPGRADE:
    case WR_F_KEEP_ALIVE:
    case WR_F_PROXY_CONNECTION:
    case WR_F_TE:
    case WR_F_TRAILER:
    case WR_F_CACHE_CONTROL:
    case WR_F_AUTHORIZATION:
    case WR_F_WWW_AUTHENTICATE:
    case WR_F_PROXY_AUTHENTICATE:
    case WR_F_SET_COOKIE:
    case WR_F_COOKIE:
    case WR_F_LOCATION:
    case WR_F_RANGE:
    case WR_F_X_ACCEL_REDIRECT:
        return true;
    default:
        return false;
    }
}

bool wr_h1_trailers(struct wr_str lines, struct wr_pool *pool, struct wr_fields *out)
{
    struct wr_h1_field f;
    enum wr_field_id id;

    if (lines.n > 0 && lines.p[lines.n - 1] != '\n')
        return false;
    while (lines.n > 0) {
        if (!wr_h1_field(&lines, &f) || f.seen & WR_H1_FOREIGN || out->n >= WR_H1_FIELDS_MAX)
            return false;
        id = wr_field_id(f.name);
        if (!is_forbidden_trailer(id))
            wr_fields_put(pool, out, id, f.name, f.value)->parsed = true;
    }
    return true;
}

/* What the parsers of HTTP/1 heads share among themselves: looking at many bytes at once, and one
 * field line. Only h1_*.c include it. */
#ifndef WR_H1_IMPL_H
#define WR_H1_IMPL_H

#include "http/http.h"

#include <endian.h>

/* How many bytes from p on are at least `low` and not DEL. Eight at once: of the bytes a
 * subtraction marks, the lowest is always right, and only that one is used. */
static inline size_t wr_h1_span(const char *p, size_t n, unsigned char low)
{
    const uint64_t ones = 0x0101010101010101U;
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t v, del, hit;

        memcpy(&v, p + i, sizeof(v));
        v = le64toh(v);
        del = v ^ 0x7f * ones;
        hit = (((v - low * ones) & ~v) | ((del - ones) & ~del)) & 0x80 * ones;
        if (hit != 0)
            return i + (size_t)__builtin_ctzll(hit) / 8;
    }
    while (i < n && (unsigned char)p[i] >= low && p[i] != 0x7f)
        i++;
    return i;
}

/* Index of the first LF from i on, or s.n. Lines are short and hold no other control characters:
 * cheaper than a call for each of them. */
static inline size_t wr_h1_line_feed(struct wr_str s, size_t i)
{
    while (i += wr_h1_span(s.p + i, s.n - i, ' '), i < s.n && s.p[i] != '\n')
        i++;
    return i;
}

/* What a name was made of besides letters, digits and '-'. */
#define WR_H1_UNDERSCORE 1
#define WR_H1_TOKEN 2         /* token characters of RFC 9110 that nginx does not take */
#define WR_H1_FOREIGN 4       /* no token character */

struct wr_h1_field {
    struct wr_str line;       /* without its end, for the log */
    struct wr_str name, value;
    unsigned seen;
};

/* Takes one field line off *rest, which is not empty and ends in LF. False: it has no colon, space
 * before it, a control character or a bare CR; line is set all the same. */
bool wr_h1_field(struct wr_str *rest, struct wr_h1_field *f) WR_CHECKED;

/* Connection names few fields: each of them is looked for among all that came. */
#define WR_H1_OPTIONS_MAX 64
bool wr_h1_options_fit(const struct wr_fields *f) WR_CHECKED;

/* Length of the empty line s begins with: it ends a head, or stands before one. 0: none. */
static inline size_t wr_h1_blank(struct wr_str s)
{
    if (s.n >= 1 && s.p[0] == '\n')
        return 1;
    return s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

/* Cuts the first line off *rest, without its line end. Without a LF all of it is the line, and the
 * rest is NULL. */
static inline struct wr_str wr_h1_cut_line(struct wr_str *rest)
{
    size_t n = wr_h1_line_feed(*rest, 0);
    struct wr_str line = wr_str_of(rest->p, n);

    *rest = n < rest->n ? wr_str_of(rest->p + n + 1, rest->n - n - 1) : wr_str_of(NULL, 0);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

struct wr_h1_line {           /* a request line */
    struct wr_str method, target;
    struct wr_str authority;  /* of absolute-form and authority-form; p NULL: none */
    enum wr_method id;
    uint8_t version;
    uint16_t status;          /* when it is none */
    const char *why;
};
bool wr_h1_request_line(struct wr_str line, struct wr_h1_line *out) WR_CHECKED;

static inline enum wr_parse wr_h1_bad(struct wr_h1_progress *p, uint16_t status, const char *why)
{
    p->size = 0;
    p->status = status;
    p->why = why;
    return WR_PARSE_BAD;
}

#define WR_H1_FIELDS_MAX 1000 /* when nothing else is configured */

/* The text of a line for the log; what is too long for it is cut. */
#define WR_H1_LOGGED(s) (int)wr_min((s).n, 512U), (s).p

#endif

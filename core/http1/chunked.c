/* chunked: removes the framing of a chunked body, RFC 9112 7.1. Both endpoints call it with bytes
 * off the wire; it finds views of data in them and copies only trailers. Strict: a line ends in
 * CRLF and nothing else, as parsers on both sides of weir may disagree about other ends. */
#include "http1/http1.h"

#define DIGITS_MAX 16
#define EXT_MAX 4096
#define TRAILERS_MAX 8192

enum state {
    SIZE, SPACE, EXT, SIZE_LF, DATA, DATA_CR, DATA_LF,
    LINE, NAME, VALUE, LINE_LF, END_LF /* of trailers */
};

/* True: allowed in extensions and trailer values: TAB, and all but control characters. */
static bool is_visible(char c)
{
    return (unsigned char)c >= ' ' ? c != 0x7f : c == '\t';
}

static bool is_token_char(char c)
{
    return wr_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool set_error(struct wr_chunked *c, const char *why)
{
    c->why = why;
    return false;
}

static bool take_size(struct wr_chunked *c, char ch)
{
    int v = wr_hex_digit(ch);

    if (v >= 0) {
        if (c->digits == DIGITS_MAX || c->left > INT64_MAX >> 4)
            return set_error(c, "chunk size is too large");
        c->digits++;
        c->left = c->left << 4 | (unsigned)v;
        return true;
    }
    if (c->digits == 0)
        return set_error(c, "chunk without a size");
    c->ext = 0;
    c->state = ch == '\r' ? SIZE_LF : ch == ';' ? EXT : SPACE;
    return ch == '\r' || ch == ';' || ch == ' ' || ch == '\t' || set_error(c, "invalid chunk size");
}

/* Skips extensions: none is known. State SPACE: before the first ';'. */
static bool take_extension(struct wr_chunked *c, char ch)
{
    if (++c->ext > EXT_MAX)
        return set_error(c, "chunk extensions are too long");
    if (c->state == SPACE) {
        if (ch == ';')
            c->state = EXT;
        return ch == ';' || ch == ' ' || ch == '\t' || set_error(c, "invalid chunk size");
    }
    if (ch == '\r') {
        c->state = SIZE_LF;
        return true;
    }
    return is_visible(ch) || set_error(c, "invalid chunk extension");
}

/* The line with the size is complete. */
static void chunk_begins(struct wr_chunked *c)
{
    c->ext = 0;
    c->state = c->left > 0 ? DATA : LINE;
    c->digits = 0;
}

static bool take_trailer(struct wr_chunked *c, char ch)
{
    if (++c->ext > TRAILERS_MAX)
        return set_error(c, "trailers are too long");
    switch (c->state) {
    case LINE:
        c->state = ch == '\r' ? END_LF : NAME;
        if (ch == '\r')
            return true;
        break;
    case NAME:
        if (ch == ':') {
            c->state = VALUE;
            ch = 'x'; /* the colon itself is not part of the name */
        }
        break;
    case VALUE:
        if (ch == '\r')
            c->state = LINE_LF;
        return ch == '\r' || is_visible(ch) || set_error(c, "invalid trailer");
    default: /* LINE_LF */
        c->state = LINE;
        return ch == '\n' || set_error(c, "invalid trailer");
    }
    return is_token_char(ch) || set_error(c, "invalid trailer");
}

static void keep_trailer(struct wr_chunked *c, struct wr_str s)
{
    if (c->trailers.p != NULL)
        wr_text_str(&c->trailers, s);
}

static bool take_line_end(struct wr_chunked *c, char ch, char want, uint8_t next)
{
    c->state = next;
    return ch == want || set_error(c, "chunk without its line end");
}

/* Takes one byte of framing. */
static bool take_byte(struct wr_chunked *c, const char *p)
{
    switch (c->state) {
    case SIZE:
        return take_size(c, *p);
    case SPACE:
    case EXT:
        return take_extension(c, *p);
    case SIZE_LF:
        chunk_begins(c);
        return *p == '\n' || set_error(c, "chunk without its line end");
    case DATA_CR:
        return take_line_end(c, *p, '\r', DATA_LF);
    case DATA_LF:
        return take_line_end(c, *p, '\n', SIZE);
    case END_LF:
        c->done = *p == '\n';
        return c->done || set_error(c, "trailers without their line end");
    default: /* the states of a trailer */
        if (!take_trailer(c, *p))
            return false;
        if (c->state != END_LF)
            keep_trailer(c, wr_str_of(p, 1));
        return true;
    }
}

enum wr_parse wr_chunked_step(struct wr_chunked *c, struct wr_str in, size_t *used,
                              struct wr_str *data)
{
    size_t i = 0, n;

    *data = wr_str_of(in.p, 0);
    for (; i < in.n && !c->done; i += n) {
        n = 1;
        if (c->state == DATA) {
            if (data->n > 0)
                break;
            n = c->left < in.n - i ? (size_t)c->left : in.n - i;
            *data = wr_str_of(in.p + i, n);
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
        } else if (!take_byte(c, in.p + i)) {
            *data = wr_str_of(in.p, 0);
            *used = i;
            return WR_PARSE_BAD;
        }
    }
    *used = i;
    return c->done || i < in.n ? WR_PARSE_OK : WR_PARSE_MORE;
}

bool wr_chunked_in_place(struct wr_chunked *c, char *p, size_t n, size_t *got, size_t *used)
{
    *got = *used = 0;
    while (*used < n && !c->done) {
        struct wr_str data;
        size_t step;

        if (wr_chunked_step(c, wr_str_of(p + *used, n - *used), &step, &data) == WR_PARSE_BAD)
            return false;
        if (data.n > 0)
            memmove(p + *got, data.p, data.n);
        *got += data.n;
        *used += step;
    }
    return true;
}

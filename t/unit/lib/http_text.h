/* http_text: parsed heads as one line of text, so that tests of the parsers are tables: what comes
 * in, what comes out. An input lies in memory of its exact size, and is also fed byte by byte. */
#ifndef HTTP_TEXT_H
#define HTTP_TEXT_H

#include "http1/http1.h"
#include "unit.h"

struct head_row {
    const char *in;
    size_t n;                  /* 0: up to the zero */
    const char *out;
};

static inline struct wr_str row_text(const char *in, size_t n)
{
    return wr_str_of(in, n > 0 ? n : strlen(in));
}

static inline char *exact_copy(struct wr_str s)
{
    char *p = malloc(s.n > 0 ? s.n : 1);

    ck_assert_ptr_nonnull(p);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

static inline void put_fields(struct wr_text *t, const struct wr_fields *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (!f->at[i].gone)
            wr_text_fmt(t, " " WR_FMT "=<" WR_FMT ">", WR_ARG(f->at[i].name),
                        WR_ARG(f->at[i].value));
    }
}

static inline void put_framing(struct wr_text *t, enum wr_framing framing, uint64_t length)
{
    if (framing == WR_BODY_LENGTH)
        wr_text_fmt(t, " length %llu", (unsigned long long)length);
    else if (framing != WR_BODY_NONE)
        wr_text_c(t, framing == WR_BODY_CHUNKED ? " chunked" : " until close");
}

static inline void put_bad(struct wr_text *t, const struct wr_h1_progress *p)
{
    ck_assert_ptr_nonnull(p->why);
    wr_text_fmt(t, "%u %s%s", p->status, p->first_line_done ? "" : "line: ", p->why);
}

/* The result of one kind of parser for `text`, as a line; the progress is kept between calls. */
typedef enum wr_parse (*parse_fn)(struct wr_pool *pool, struct wr_str text,
                                  struct wr_h1_progress *p, struct wr_text *out);

/* The same end has to be found when the bytes come one by one; an error may show earlier. */
static inline void check_by_bytes(parse_fn parse, struct wr_str text, enum wr_parse want,
                                  const struct wr_h1_progress *whole)
{
    struct wr_h1_progress p = { 0 };
    enum wr_parse got = WR_PARSE_MORE;

    for (size_t n = 0; n <= text.n && got == WR_PARSE_MORE; n++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_text t = wr_text_grow(pool, 256, 1 << 20);
        char *copy = exact_copy(wr_str_of(text.p, n));

        got = parse(pool, wr_str_of(copy, n), &p, &t);
        free(copy);
        wr_pool_free(pool);
    }
    ck_assert_msg(got == want, WR_FMT ": by bytes %d, not %d", WR_ARG(text), got, want);
    ck_assert_msg(p.status == whole->status && (got != WR_PARSE_OK || p.size == whole->size),
                  WR_FMT ": by bytes %u, not %u", WR_ARG(text), p.status, whole->status);
}

static inline void check_row(parse_fn parse, struct wr_str text, const char *want)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_text t = wr_text_grow(pool, 256, 1 << 20);
    struct wr_h1_progress p = { 0 };
    char *copy = exact_copy(text);
    enum wr_parse r = parse(pool, wr_str_of(copy, text.n), &p, &t);
    struct wr_str got = r == WR_PARSE_MORE ? WR_STR("more") : wr_text_view(&t);

    if (r != WR_PARSE_BAD && r != WR_PARSE_MORE && p.size < text.n)
        wr_text_fmt(&t, " +%zu", text.n - p.size);
    got = r == WR_PARSE_MORE ? got : wr_text_view(&t);
    ck_assert_msg(wr_str_eq(got, wr_str_c(want)), "\"" WR_FMT "\"\nis   " WR_FMT "\nnot  %s",
                  WR_ARG(text), WR_ARG(got), want);
    check_by_bytes(parse, text, r, &p);
    free(copy);
    wr_pool_free(pool);
}

static inline void check_rows(parse_fn parse, const struct head_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_row(parse, row_text(rows[i].in, rows[i].n), rows[i].out);
}

#endif

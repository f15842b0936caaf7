/* text: the one bounded builder. All code that concatenates calls it. A text owns nothing: its
 * bytes are the caller's buffer or, growing, the pool's. The part that fits is kept, then overflow
 * latches and later appends do nothing, so that a cut text never has a hole. */
#include "base/base.h"

const char wr_hex_upper[16] = "0123456789ABCDEF";

/* A growing text has one byte more than cap: the zero of wr_text_cstr and of vsnprintf. */
static bool grow_text(struct wr_text *t, size_t more)
{
    size_t need, cap;
    char *p;

    if (t->pool == NULL || !wr_add(t->n, more, &need) || need > t->limit)
        return false;
    cap = t->cap > t->limit / 2 ? t->limit : t->cap * 2;
    cap = wr_max(cap, need);
    p = cap == SIZE_MAX ? NULL : wr_pool_try(t->pool, cap + 1);
    if (p == NULL)
        return false;
    if (t->n > 0)
        memcpy(p, t->p, t->n);
    t->p = p;
    t->cap = cap;
    return true;
}

struct wr_text wr_text_grow(struct wr_pool *pool, size_t first, size_t limit)
{
    struct wr_text t = { .pool = pool, .limit = limit };

    WR_ASSERT(limit > 0);
    t.cap = wr_min(first, limit);
    t.p = wr_pool_alloc(pool, t.cap + 1);
    return t;
}

void wr_text_more(struct wr_text *t, struct wr_str s)
{
    size_t n = s.n;

    if (t->overflow)
        return;
    if (n > t->cap - t->n && !grow_text(t, n)) {
        t->overflow = true;
        n = t->cap - t->n;
    }
    if (n > 0) {
        memcpy(t->p + t->n, s.p, n);
        t->n += n;
    }
}

/* A 64-bit number has at most twenty digits. */
static struct wr_str digits_of(uint64_t v, char buf[static 20])
{
    char *end = buf + 20, *p = end;

    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return wr_str_of(p, (size_t)(end - p));
}

void wr_text_u64(struct wr_text *t, uint64_t v)
{
    char buf[20];
    struct wr_str s = digits_of(v, buf);

    if (s.n > t->cap - t->n || t->overflow) {
        wr_text_more(t, s);
        return;
    }
    for (size_t i = 0; i < s.n; i++) /* a few bytes: cheaper than a call of memcpy */
        t->p[t->n++] = s.p[i];
}

void wr_text_pad(struct wr_text *t, uint64_t v, unsigned width)
{
    char buf[20];
    struct wr_str s = digits_of(v, buf);

    for (size_t i = s.n; i < width; i++)
        wr_text_char(t, '0');
    wr_text_str(t, s);
}

void wr_text_hex(struct wr_text *t, const void *p, size_t n)
{
    static const char hex[16] = "0123456789abcdef";
    const unsigned char *at = p;

    for (size_t i = 0; i < n; i++) {
        wr_text_char(t, hex[at[i] >> 4]);
        wr_text_char(t, hex[at[i] & 15]);
    }
}

void wr_text_fmt(struct wr_text *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wr_text_vfmt(t, fmt, ap);
    va_end(ap);
}

/* False: it did not fit; *need is the length of the whole text. */
static bool try_print(struct wr_text *t, const char *fmt, va_list ap, size_t *need)
{
    size_t left = t->p == NULL ? 0 : t->cap - t->n + (t->pool != NULL);
    int n = vsnprintf(left > 0 ? t->p + t->n : NULL, left, fmt, ap);

    *need = n < 0 ? SIZE_MAX : (size_t)n;
    if (*need < left) {
        t->n += *need;
        return true;
    }
    return false;
}

void wr_text_vfmt(struct wr_text *t, const char *fmt, va_list ap)
{
    va_list again;
    size_t need;
    bool done;

    /* Print in place; only a text that did not fit is printed a second time. */
    if (t->overflow)
        return;
    va_copy(again, ap);
    done = try_print(t, fmt, again, &need);
    va_end(again);
    if (!done && need != SIZE_MAX && grow_text(t, need)) {
        va_copy(again, ap);
        done = try_print(t, fmt, again, &need);
        va_end(again);
    }
    if (done)
        return;
    t->overflow = true;
    /* vsnprintf has filled the buffer except for its last byte, which is the zero. */
    if (need != SIZE_MAX && t->pool == NULL && t->cap > t->n)
        t->n = t->cap - 1;
    else if (need != SIZE_MAX && t->pool != NULL)
        t->n = t->cap;
}

bool wr_text_cstr(struct wr_text *t, const char **out)
{
    if (t->overflow || t->p == NULL || (t->pool == NULL && t->n == t->cap))
        return false;
    t->p[t->n] = '\0';
    *out = t->p;
    return true;
}

/* str: reading borrowed views: comparing, cutting, searching, numbers. All code calls it; it owns
 * nothing and allocates nothing. */
#include "base/base_impl.h"

/* Every field name of every request is compared here, hence eight bytes at once. */
bool wr_str_ieq(struct wr_str a, struct wr_str b)
{
    size_t i = 0;

    if (a.n != b.n)
        return false;
    for (; a.n - i >= 8; i += 8) {
        if (wr_word_lower(wr_word_load(a.p + i)) != wr_word_lower(wr_word_load(b.p + i)))
            return false;
    }
    return i == a.n || wr_word_lower(wr_word_tail(a.p + i, a.n - i)) ==
                           wr_word_lower(wr_word_tail(b.p + i, b.n - i));
}

int wr_str_cmp(struct wr_str a, struct wr_str b)
{
    size_t n = wr_min(a.n, b.n);
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (order != 0)
        return order;
    return (a.n > b.n) - (a.n < b.n);
}

bool wr_str_ends(struct wr_str s, struct wr_str suffix)
{
    return s.n >= suffix.n && wr_str_eq(wr_str_skip(s, s.n - suffix.n), suffix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct wr_str wr_str_trim(struct wr_str s)
{
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    while (s.n > 0 && is_blank(*s.p))
        s = wr_str_skip(s, 1);
    return s;
}

size_t wr_str_find(struct wr_str s, char c)
{
    const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

    return at == NULL ? s.n : (size_t)(at - s.p);
}

size_t wr_str_rfind(struct wr_str s, char c)
{
    const char *at = s.n == 0 ? NULL : memrchr(s.p, c, s.n);

    return at == NULL ? s.n : (size_t)(at - s.p);
}

size_t wr_str_search(struct wr_str s, struct wr_str needle)
{
    const char *at;

    if (needle.n == 0)
        return 0;
    at = s.n < needle.n ? NULL : memmem(s.p, s.n, needle.p, needle.n);
    return at == NULL ? s.n : (size_t)(at - s.p);
}

struct wr_str wr_str_cut(struct wr_str *s, char sep)
{
    size_t at = wr_str_find(*s, sep);
    struct wr_str before = wr_str_of(s->p, at);

    if (at == s->n)
        *s = wr_str_of(NULL, 0);
    else
        *s = wr_str_skip(*s, at + 1);
    return before;
}

bool wr_str_u64(struct wr_str s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

        if (digit > 9 || __builtin_mul_overflow(v, 10U, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}

/* RFC 3629 4: the first byte gives the length. The first two bytes together show whether the
 * character is overlong, a surrogate or past U+10FFFF. */
size_t wr_utf8_char(struct wr_str s)
{
    static const struct {
        unsigned char first, last, from, to; /* first byte, range of the second */
        size_t n;
    } forms[] = {
        { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    const unsigned char *p = (const unsigned char *)s.p;

    if (s.n == 0 || p[0] < 0x80)
        return s.n > 0;
    for (unsigned i = 0; i < WR_COUNT(forms); i++) {
        if (p[0] < forms[i].first || p[0] > forms[i].last)
            continue;
        if (s.n < forms[i].n || p[1] < forms[i].from || p[1] > forms[i].to)
            return 0;
        for (size_t j = 2; j < forms[i].n; j++)
            if ((p[j] & 0xc0) != 0x80)
                return 0;
        return forms[i].n;
    }
    return 0;
}

/* Longer names are not typing mistakes of a name that weir has. */
#define DISTANCE_MAX 64

/* One row of the table of edits: after i rounds row[j] is the distance from the first i bytes of a
 * to the first j of b. */
unsigned wr_str_distance(struct wr_str a, struct wr_str b, unsigned max)
{
    unsigned row[DISTANCE_MAX + 1];

    if (a.n > DISTANCE_MAX || b.n > DISTANCE_MAX)
        return max + 1;
    for (unsigned j = 0; j <= b.n; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned change = diagonal + (a.p[i - 1] != b.p[j - 1]);
            unsigned shift = wr_min(row[j], row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = wr_min(change, shift);
        }
    }
    return wr_min(row[b.n], max + 1);
}

/* dictionary: see dictionary.h. */
#include "dictionary.h"

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_among(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* The longest piece of *s made of these characters, cut off. */
static struct wr_str take_set(struct wr_str *s, const char *set)
{
    size_t n = 0;
    struct wr_str got;

    while (n < s->n && is_among(s->p[n], set))
        n++;
    got = wr_str_of(s->p, n);
    *s = wr_str_skip(*s, n);
    return got;
}

static bool take_char(struct wr_str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = wr_str_skip(*s, 1);
    return true;
}

static bool take_key(struct wr_str *s, struct wr_str *key)
{
    const struct wr_str all = *s;

    if (s->n == 0 || !is_among(s->p[0], LOWER "*"))
        return false;
    (void)take_set(s, LOWER DIGITS "_-.*");
    *key = wr_str_of(all.p, all.n - s->n);
    return true;
}

/* 3.3.1, 3.3.2: at most 15 digits, or 12 and 3 behind a point. *whole: an integer that is not
 * negative. */
static bool take_number(struct wr_str *s, struct wr_str *digits, bool *whole)
{
    bool minus = take_char(s, '-');
    struct wr_str rest;

    *digits = take_set(s, DIGITS);
    *whole = !minus;
    if (digits->n == 0 || digits->n > 15)
        return false;
    if (!take_char(s, '.'))
        return true;
    *whole = false;
    rest = take_set(s, DIGITS);
    return digits->n <= 12 && rest.n >= 1 && rest.n <= 3;
}

/* 3.3.3; *text is what is inside. */
static bool take_string(struct wr_str *s, struct wr_str *text)
{
    const char *from = s->p + 1;

    *s = wr_str_skip(*s, 1);
    while (s->n > 0) {
        char c = s->p[0];

        *s = wr_str_skip(*s, 1);
        if (c == '"') {
            *text = wr_str_of(from, (size_t)(s->p - from) - 1);
            return true;
        }
        if ((unsigned char)c < 0x20 || (unsigned char)c > 0x7e)
            return false;
        if (c == '\\' && !take_char(s, '"') && !take_char(s, '\\'))
            return false;
    }
    return false;
}

static bool take_item(struct wr_str *s, struct wr_dictionary_item *it)
{
    static const char token[] = LOWER UPPER DIGITS "!#$%&'*+-.^_`|~:/";
    char c = s->n > 0 ? s->p[0] : '\0';
    struct wr_str digits;
    bool whole;

    *it = (struct wr_dictionary_item){ .yes = false };
    if (c == '-' || is_among(c, DIGITS)) {
        if (!take_number(s, &digits, &whole))
            return false;
        it->digits = whole ? digits : it->digits;
        return true;
    }
    if (c == '"')
        return take_string(s, &it->text);
    if (c == '?') {
        *s = wr_str_skip(*s, 1);
        it->yes = take_char(s, '1');
        it->no = !it->yes && take_char(s, '0');
        return it->yes || it->no;
    }
    if (c == ':') { /* bytes */
        *s = wr_str_skip(*s, 1);
        (void)take_set(s, LOWER UPPER DIGITS "+/=");
        return take_char(s, ':');
    }
    if (!is_among(c, LOWER UPPER "*"))
        return false;
    it->text = take_set(s, token);
    return true;
}

/* 3.1.2; parameters of directives are ignored (RFC 9213 2.1). */
static bool skip_parameters(struct wr_str *s)
{
    struct wr_str key;
    struct wr_dictionary_item it;

    while (take_char(s, ';')) {
        (void)take_set(s, " ");
        if (!take_key(s, &key) || (take_char(s, '=') && !take_item(s, &it)))
            return false;
    }
    return true;
}

/* 3.1.1; *s begins behind the parenthesis. */
static bool skip_inner_list(struct wr_str *s)
{
    struct wr_dictionary_item it;

    for (;;) {
        (void)take_set(s, " ");
        if (take_char(s, ')'))
            return true;
        if (!take_item(s, &it) || !skip_parameters(s)
            || (s->n > 0 && s->p[0] != ' ' && s->p[0] != ')'))
            return false;
    }
}

/* "key", "key=value" or "key=(values)", with parameters. */
static bool take_member(struct wr_str *s, struct wr_str *key, struct wr_dictionary_item *it)
{
    *it = (struct wr_dictionary_item){ .yes = true };
    if (!take_key(s, key))
        return false;
    if (take_char(s, '=')) {
        it->yes = false;
        if (take_char(s, '(') ? !skip_inner_list(s) : !take_item(s, it))
            return false;
    }
    return skip_parameters(s);
}

enum wr_dictionary wr_dictionary_next(struct wr_str *s, struct wr_str *key,
                                      struct wr_dictionary_item *it)
{
    *s = wr_str_trim(*s);
    if (s->n == 0)
        return WR_DICTIONARY_END;
    if (!take_member(s, key, it))
        return WR_DICTIONARY_BAD;
    *s = wr_str_trim(*s);
    if (s->n == 0)
        return WR_DICTIONARY_MEMBER;
    if (!take_char(s, ','))
        return WR_DICTIONARY_BAD;
    *s = wr_str_trim(*s);
    return s->n > 0 ? WR_DICTIONARY_MEMBER : WR_DICTIONARY_BAD; /* nothing behind the comma */
}

/* regex_prefix: reads from a pattern the text that every match has to begin with. The router sorts
 * regexes by it, so a wrong answer would lose a match: whatever is not surely understood gives "".
 * Pure; no PCRE2 here. */
#include "base/base.h"

/* Flags of "(?flags)" and "(?flags:" with x: white space and # change their meaning behind them. */
static bool sets_extended(struct wr_str flags)
{
    for (size_t i = 0; i < flags.n && strchr("):<>'=!|", flags.p[i]) == NULL; i++) {
        if (flags.p[i] == 'x')
            return true;
    }
    return false;
}

/* Verbs, comments, callouts: their text is not pattern, and may hold brackets. */
static bool strange_group(struct wr_str rest)
{
    if (rest.n == 0)
        return false;
    if (*rest.p == '*')
        return true;
    if (rest.n < 2 || *rest.p != '?')
        return false;
    rest = wr_str_skip(rest, 1);
    return *rest.p == '#' || *rest.p == 'C' || sets_extended(rest);
}

/* \Q and \E quote what is between them (and \E alone is nothing: "a\E?" has a quantified a); \c
 * takes any next byte. */
static bool strange_escape(struct wr_str s)
{
    return s.n >= 2 && s.p[0] == '\\' && (s.p[1] == 'Q' || s.p[1] == 'E' || s.p[1] == 'c');
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bytes of "[:name:]" at the beginning of s, 0 when it is none. */
static size_t posix_name(struct wr_str s)
{
    size_t i = 2;

    if (!wr_str_starts(s, WR_STR("[:")))
        return 0;
    while (i < s.n && (s.p[i] == '^' || letter(s.p[i])))
        i++;
    return wr_str_starts(wr_str_skip(s, i), WR_STR(":]")) ? i + 2 : 0;
}

/* Bytes of a class, from behind its '[' to behind its ']'; 0 when they are not understood. */
static size_t class_length(struct wr_str s)
{
    size_t i = s.n > 0 && *s.p == '^';

    if (i < s.n && s.p[i] == ']')
        i++;
    while (i < s.n && s.p[i] != ']') {
        struct wr_str rest = wr_str_skip(s, i);

        if (strange_escape(rest))
            return 0;
        i += wr_max(posix_name(rest), *rest.p == '\\' ? 2U : 1U);
    }
    return i < s.n ? i + 1 : 0;
}

/* Has the pattern only one alternative, so that its beginning is the beginning of every match? */
static bool single(struct wr_str s)
{
    size_t depth = 0, length;

    for (; s.n > 0; s = wr_str_skip(s, length)) {
        length = 1;
        switch (*s.p) {
        case '\\':
            if (strange_escape(s))
                return false;
            length = 2;
            break;
        case '[':
            length = class_length(wr_str_skip(s, 1)) + 1;
            if (length == 1)
                return false;
            break;
        case '(':
            if (strange_group(wr_str_skip(s, 1)))
                return false;
            depth++;
            break;
        case ')':
            depth -= depth > 0;
            break;
        case '|':
            if (depth == 0)
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}

static bool literal(char c)
{
    /* A byte above 0x7f may be a part of a character, which a quantifier takes as a whole. */
    return (unsigned char)c < 0x80 && c != '\0' && strchr("\\^$.[|()?*+{", c) == NULL;
}

struct wr_str wr_regex_literal_prefix(struct wr_str pattern)
{
    struct wr_str s = wr_str_skip(pattern, 1);
    size_t n = 0;

    if (pattern.n == 0 || *pattern.p != '^' || !single(s))
        return wr_str_of(pattern.p, 0);
    while (n < s.n && literal(s.p[n]))
        n++;
    /* These say how often the last literal comes, and that may be never. */
    if (n > 0 && n < s.n && strchr("?*{", s.p[n]) != NULL && s.p[n] != '\0')
        n--;
    return wr_str_of(s.p, n);
}

/* regex_prefix: reads from a pattern the text that every match has to begin with. The router sorts
 * regexes by it, and a wrong answer would lose a match: a pattern that is not fully understood
 * gives "". Pure; PCRE2 is not used here. */
#include "base/base.h"

/* True if the flags of "(?flags)" or "(?flags:" contain x: from there on white space and # are not
 * literal. */
static bool sets_extended(struct wr_str flags)
{
    for (size_t i = 0; i < flags.n && strchr("):<>'=!|", flags.p[i]) == NULL; i++) {
        if (flags.p[i] == 'x')
            return true;
    }
    return false;
}

/* True for verbs, comments and callouts: their text is not part of the pattern and may contain
 * brackets. */
static bool is_strange_group(struct wr_str rest)
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

/* \Q and \E quote the text between them; a single \E is ignored, so that in "a\E?" the ? belongs to
 * a. \c takes the next byte, whatever it is. */
static bool is_strange_escape(struct wr_str s)
{
    return s.n >= 2 && s.p[0] == '\\' && (s.p[1] == 'Q' || s.p[1] == 'E' || s.p[1] == 'c');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of a "[:name:]" at the beginning of s; 0: there is none. */
static size_t posix_name_length(struct wr_str s)
{
    size_t i = 2;

    if (!wr_str_starts(s, WR_STR("[:")))
        return 0;
    while (i < s.n && (s.p[i] == '^' || is_letter(s.p[i])))
        i++;
    return wr_str_starts(wr_str_skip(s, i), WR_STR(":]")) ? i + 2 : 0;
}

/* Length of a class, from behind its '[' to behind its ']'; 0: not understood. */
static size_t class_length(struct wr_str s)
{
    size_t i = s.n > 0 && *s.p == '^';

    if (i < s.n && s.p[i] == ']')
        i++;
    while (i < s.n && s.p[i] != ']') {
        struct wr_str rest = wr_str_skip(s, i);

        if (is_strange_escape(rest))
            return 0;
        i += wr_max(posix_name_length(rest), *rest.p == '\\' ? 2U : 1U);
    }
    return i < s.n ? i + 1 : 0;
}

/* True if the pattern has one alternative only: then its beginning is the beginning of every
 * match. */
static bool has_one_alternative(struct wr_str s)
{
    size_t depth = 0, length;

    for (; s.n > 0; s = wr_str_skip(s, length)) {
        length = 1;
        switch (*s.p) {
        case '\\':
            if (is_strange_escape(s))
                return false;
            length = 2;
            break;
        case '[':
            length = class_length(wr_str_skip(s, 1)) + 1;
            if (length == 1)
                return false;
            break;
        case '(':
            if (is_strange_group(wr_str_skip(s, 1)))
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

static bool is_literal(char c)
{
    /* A byte above 0x7f may belong to a character that a quantifier applies to as a whole. */
    return (unsigned char)c < 0x80 && c != '\0' && strchr("\\^$.[|()?*+{", c) == NULL;
}

struct wr_str wr_regex_literal_prefix(struct wr_str pattern)
{
    struct wr_str s = wr_str_skip(pattern, 1);
    size_t n = 0;

    if (pattern.n == 0 || *pattern.p != '^' || !has_one_alternative(s))
        return wr_str_of(pattern.p, 0);
    while (n < s.n && is_literal(s.p[n]))
        n++;
    /* These quantifiers allow zero occurrences of the last literal. */
    if (n > 0 && n < s.n && strchr("?*{", s.p[n]) != NULL && s.p[n] != '\0')
        n--;
    return wr_str_of(s.p, n);
}

/* lex: the bytes of one file to words, ; { } and the end. Called by tree.c; owns nothing: words
 * are copied into the tree's pool. Pure except for the findings it adds; a fuzz target.
 *
 * The grammar is nginx's. Quotes and # have a meaning only at the start of a word. A backslash
 * escapes the next byte; only \" \' \\ \t \r \n are replaced, every other pair is kept. "${" does
 * not open a block. */
#include "config/config_impl.h"

#include <ctype.h>

struct wr_lex wr_lex_on(struct wr_tree *t, const struct wr_file *f)
{
    const char *p = f->text.p != NULL ? f->text.p : "";

    return (struct wr_lex){ .tree = t, .file = f, .p = p, .end = p + f->text.n, .line_start = p,
                            .line = 1 };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void next_byte(struct wr_lex *l)
{
    if (*l->p++ == '\n') {
        l->line++;
        l->line_start = l->p;
    }
}

static uint32_t column_now(const struct wr_lex *l)
{
    return (uint32_t)(l->p - l->line_start) + 1;
}

static struct wr_place place_of(const struct wr_lex *l, const struct wr_word *w, uint32_t width)
{
    return (struct wr_place){ l->file, w->line, w->column, width };
}

static void skip_space(struct wr_lex *l)
{
    while (l->p < l->end) {
        if (is_space(*l->p)) {
            next_byte(l);
        } else if (*l->p == '#') {
            while (l->p < l->end && *l->p != '\n')
                l->p++;
        } else {
            return;
        }
        l->after_quote = false;
    }
}

/* Undoes the escapes of raw, the text of a word between its quotes. */
static struct wr_str unescape_word(struct wr_pool *pool, struct wr_str raw)
{
    static const char from[] = "\"'\\trn", to[] = "\"'\\\t\r\n";
    struct wr_text out = wr_text_on(wr_pool_alloc(pool, raw.n + 1), raw.n + 1);
    size_t i;

    for (i = 0; i < raw.n; i++) {
        const char *known;

        if (raw.p[i] != '\\' || i + 1 == raw.n) {
            wr_text_char(&out, raw.p[i]);
            continue;
        }
        i++;
        known = memchr(from, raw.p[i], sizeof(from) - 1);
        if (known != NULL) {
            wr_text_char(&out, to[known - from]);
        } else {
            wr_text_char(&out, '\\');
            wr_text_char(&out, raw.p[i]);
        }
    }
    wr_text_char(&out, '\0');
    WR_ASSERT(!out.overflow);
    return wr_str_of(out.p, out.n - 1);
}

static bool is_word_end(char c, bool after_dollar)
{
    return is_space(c) || c == ';' || (c == '{' && !after_dollar);
}

/* Moves to the end of the word's text. False: the file ends inside quotes. A word without quotes
 * may end with the file; tree.c reports the missing ";". */
static bool scan_word(struct wr_lex *l, char quote)
{
    bool after_dollar = false;

    while (l->p < l->end) {
        char c = *l->p;

        if (c == '\\' && l->p + 1 < l->end) {
            next_byte(l);
            after_dollar = false;
        } else if (quote != 0 ? c == quote : is_word_end(c, after_dollar)) {
            return true;
        } else {
            after_dollar = c == '$' || (c == '{' && after_dollar);
        }
        next_byte(l);
    }
    return quote == 0;
}

static void report_too_long(struct wr_lex *l, const struct wr_word *w, struct wr_str raw)
{
    if (w->quote != 0)
        wr_diag_put(l->tree, WR_LOG_EMERG, place_of(l, w, 1), NULL,
                    "too long parameter, probably missing terminating \"%c\" character", w->quote);
    else
        wr_diag_put(l->tree, WR_LOG_EMERG, place_of(l, w, 10), NULL,
                    "too long parameter \"%.10s...\" started", raw.p);
}

static void report_open_quote(struct wr_lex *l, const struct wr_word *w)
{
    char hint[80];

    snprintf(hint, sizeof(hint), "the quote %c opened on line %u is not closed", w->quote,
             w->line);
    if (l->file->command_line)
        wr_diag_put(l->tree, WR_LOG_EMERG, place_of(l, w, 1), hint,
                    "unexpected end of parameter, expecting \";\"");
    else
        wr_diag_put(l->tree, WR_LOG_EMERG,
                    (struct wr_place){ l->file, l->line, column_now(l), 1 }, hint,
                    "unexpected end of file, expecting \";\" or \"}\"");
    l->reported = true;
    l->tree->broken = true;
}

static struct wr_token read_word(struct wr_lex *l, struct wr_token token)
{
    struct wr_word *w = &token.word;
    const char *start;
    struct wr_str raw;

    if (*l->p == '"' || *l->p == '\'')
        w->quote = *l->p++;
    start = l->p;
    if (!scan_word(l, w->quote)) {
        report_open_quote(l, w);
        token.kind = WR_TOKEN_END;
        return token;
    }
    raw = wr_str_of(start, (size_t)(l->p - start));
    if (w->quote != 0)
        l->p++;
    l->after_quote = w->quote != 0;
    if (raw.n >= WR_WORD_MAX) {
        report_too_long(l, w, raw);
        raw.n = 10;
    }
    w->text = unescape_word(l->tree->pool, raw);
    token.kind = WR_TOKEN_WORD;
    return token;
}

/* After a closing quote nginx allows white space, ; { and ). tree.c reports a }. */
static void check_after_quote(struct wr_lex *l, const struct wr_word *w)
{
    if (l->after_quote && l->p < l->end && memchr(";{})", *l->p, 4) == NULL)
        wr_diag_put(l->tree, WR_LOG_EMERG, place_of(l, w, 1),
                    "a closing quote ends the word: white space, \";\" or \"{\" has to follow",
                    "unexpected \"%c\"", *l->p);
    l->after_quote = false;
}

/* Length of "{NAME}" at this "{"; 0: it opens a block. */
static size_t placeholder_length(const struct wr_lex *l)
{
    const char *p = l->p + 1;

    while (p < l->end && (isalnum((unsigned char)*p) || memchr("_.-", *p, 3) != NULL))
        p++;
    return p > l->p + 1 && p < l->end && *p == '}' ? (size_t)(p + 1 - l->p) : 0;
}

static struct wr_token read_placeholder(struct wr_lex *l, struct wr_token token, size_t n)
{
    token.kind = WR_TOKEN_PLACEHOLDER;
    token.word.text = wr_pool_str(l->tree->pool, wr_str_of(l->p, n));
    l->p += n;
    return token;
}

struct wr_token wr_lex_next(struct wr_lex *l)
{
    struct wr_token token = { .kind = WR_TOKEN_END };
    size_t n;

    if (l->after_quote && l->p < l->end && *l->p == '#') {
        token.word.line = l->line;
        token.word.column = column_now(l);
        check_after_quote(l, &token.word);
    }
    skip_space(l);
    token.word.line = l->line;
    token.word.column = column_now(l);
    token.line = l->line_start;
    if (l->p == l->end)
        return token;
    check_after_quote(l, &token.word);
    switch (*l->p) {
    case ';':
        token.kind = WR_TOKEN_SEMI;
        break;
    case '{':
        n = placeholder_length(l);
        if (n > 0)
            return read_placeholder(l, token, n);
        token.kind = WR_TOKEN_OPEN;
        break;
    case '}':
        token.kind = WR_TOKEN_CLOSE;
        break;
    default:
        return read_word(l, token);
    }
    l->p++;
    return token;
}

/* ---- Lua: strings and comments, to find the closing brace ---- */

bool wr_is_lua_block(struct wr_str name)
{
    return wr_str_ends(name, WR_STR("_by_lua_block"));
}

static bool is_next(const struct wr_lex *l, const char *text)
{
    size_t n = strlen(text);

    return (size_t)(l->end - l->p) >= n && memcmp(l->p, text, n) == 0;
}

/* At "[[" or "[==[": moves past the closing bracket. False: it is another "[", nothing is
 * skipped. */
static bool skip_long_bracket(struct wr_lex *l)
{
    char close[64] = "]";
    size_t n = 1;

    while (l->p + n < l->end && l->p[n] == '=' && n < sizeof(close) - 2)
        close[n++] = '=';
    if (l->p + n >= l->end || l->p[n] != '[')
        return false;
    close[n++] = ']';
    close[n] = '\0';
    while (l->p < l->end && !is_next(l, close))
        next_byte(l);
    for (; n > 0 && l->p < l->end; n--)
        next_byte(l);
    return true;
}

static void skip_lua_quoted(struct wr_lex *l)
{
    char quote = *l->p;

    next_byte(l);
    while (l->p < l->end && *l->p != quote && *l->p != '\n') {
        if (*l->p == '\\' && l->p + 1 < l->end)
            next_byte(l);
        next_byte(l);
    }
    if (l->p < l->end)
        next_byte(l);
}

static void skip_lua_comment(struct wr_lex *l)
{
    l->p += 2;
    if (l->p < l->end && *l->p == '[' && skip_long_bracket(l))
        return;
    while (l->p < l->end && *l->p != '\n')
        l->p++;
}

bool wr_lex_skip_lua(struct wr_lex *l)
{
    uint32_t depth = 1;

    while (l->p < l->end) {
        if (is_next(l, "--")) {
            skip_lua_comment(l);
        } else if (*l->p == '"' || *l->p == '\'') {
            skip_lua_quoted(l);
        } else if (*l->p != '[' || !skip_long_bracket(l)) {
            char c = *l->p;

            next_byte(l);
            depth += c == '{' ? 1 : 0;
            if (c == '}' && --depth == 0)
                return true;
        }
    }
    return false;
}

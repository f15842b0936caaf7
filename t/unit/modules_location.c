/* The location of a uri: nginx's rules by table, then random levels compared with a search that
 * tries every location. Levels are written as words: "=/a /b/ ^~/c ~x ~*y", "!" after a name for
 * auto_redirect, "{ ... }" for locations inside the one before. */
#include "lib/unit.h"

#include "../../modules/http/location/location_impl.h"

#define MAX 64

struct item {
    struct wr_location loc;
    struct level *inner;
};
struct level {
    struct wr_locations *built;
    struct item *item[MAX];
    uint32_t n;
};
static struct wr_pool *pool;
static uint32_t order;

static struct item *item_of(struct wr_str word)
{
    static const struct {
        const char *text;
        enum wr_location_kind kind;
    } modifiers[] = {
        { "=", WR_LOC_EXACT }, { "^~", WR_LOC_PREFIX_FINAL }, { "~*", WR_LOC_REGEX },
        { "~", WR_LOC_REGEX }, { "@", WR_LOC_NAMED }, { "", WR_LOC_PREFIX },
    };
    struct item *it = WR_NEW(pool, struct item);
    struct wr_regex_error err;
    size_t i = 0;

    while (!wr_str_starts(word, wr_str_c(modifiers[i].text)))
        i++;
    it->loc.kind = modifiers[i].kind;
    it->loc.order = order++;
    it->loc.fold_case = strcmp(modifiers[i].text, "~*") == 0;
    if (it->loc.kind != WR_LOC_NAMED)
        word = wr_str_skip(word, strlen(modifiers[i].text));
    it->loc.auto_redirect = wr_str_ends(word, WR_STR("!"));
    word.n -= it->loc.auto_redirect;
    it->loc.name = word;
    if (it->loc.kind == WR_LOC_REGEX) {
        it->loc.regex = wr_regex_compile(pool, word, it->loc.fold_case, &err);
        ck_assert_msg(it->loc.regex != NULL, WR_FMT ": %s", WR_ARG(word), err.text);
    }
    return it;
}

/* Duplicates are left out of both. */
static struct level *level_of(struct wr_str *words)
{
    struct level *l = WR_NEW(pool, struct level);

    l->built = wr_locations_new(pool);
    while (words->n > 0) {
        struct wr_str word = wr_str_cut(words, ' ');

        if (wr_str_is(word, "}"))
            break;
        if (wr_str_is(word, "{")) {
            struct item *outer = l->item[l->n - 1];

            outer->inner = level_of(words);
            outer->loc.inner = outer->inner->built;
        } else if (word.n > 0) {
            struct item *it = item_of(word);

            ck_assert_uint_lt(l->n, MAX);
            if (wr_locations_add(l->built, &it->loc))
                l->item[l->n++] = it;
        }
    }
    wr_locations_build(l->built);
    return l;
}

static struct level *level(const char *words)
{
    struct wr_str w = wr_pool_str(pool, wr_str_c(words));

    order = 0;
    return level_of(&w);
}

/* "=/a", "-> /a/" for a redirect, "" for none. */
static const char *show(const struct wr_location *loc, bool redirect)
{
    static const char *const kinds[] = { "=", "", "^~", "~", "" };

    if (loc == NULL)
        return "";
    return wr_pool_fmt(pool, "%s%s%s" WR_FMT, redirect ? "-> " : "", kinds[loc->kind],
                       loc->fold_case ? "*" : "", WR_ARG(loc->name)).p;
}

static const char *found(const struct level *l, const char *uri)
{
    size_t used = wr_pool_used(pool);
    bool redirect = false;
    const struct wr_location *loc = wr_location_find(l->built, NULL, wr_str_c(uri), &redirect);

    ck_assert_uint_eq(wr_pool_used(pool), used);
    return show(loc, redirect);
}

static void begin(void)
{
    pool = wr_pool_new(0);
}

static void end(void)
{
    wr_pool_free(pool);
}

static const struct row {
    const char *level, *uri, *want;
} rows[] = {
    /* the example of nginx's documentation */
    { "=/ / /documents/ ^~/images/ ~*\\.(gif|jpg)$", "/", "=/" },
    { "=/ / /documents/ ^~/images/ ~*\\.(gif|jpg)$", "/index.html", "/" },
    { "=/ / /documents/ ^~/images/ ~*\\.(gif|jpg)$", "/documents/d.html", "/documents/" },
    { "=/ / /documents/ ^~/images/ ~*\\.(gif|jpg)$", "/images/1.gif", "^~/images/" },
    { "=/ / /documents/ ^~/images/ ~*\\.(gif|jpg)$", "/documents/1.JPG", "~*\\.(gif|jpg)$" },
    { "", "/", "" },
    { "/a", "/", "" },
    { "/a", "/b", "" },
    { "/a", "/ab", "/a" },
    { "/a =/a", "/a", "=/a" },
    { "=/a /a", "/ab", "/a" },
    { "=/a", "/ab", "" },
    { "=/ab /a", "/abc", "/a" },
    { "/a /abc /ab", "/abd", "/ab" },
    { "/a /abc /ab", "/abcd", "/abc" },
    { "/ /A", "/a", "/" },
    { "~a ~b", "/ba", "~a" },
    { "~b ~a", "/ba", "~b" },
    { "~^/a ~*^/A", "/A", "~*^/A" },
    { "~*^/IMG/ ~^/img/", "/img/x", "~*^/IMG/" },
    { "~^/a/b ~^/a ~*^/a/b ~.", "/a/bc", "~^/a/b" },
    { "~. ~^/a/b", "/a/bc", "~." },
    { "=/a ~a", "/a", "=/a" },
    { "^~/a /a/b ~c", "/a/b/c", "~c" },
    { "/a ^~/a/b ~c", "/a/b/c", "^~/a/b" },
    /* nested */
    { "/a { /a/b /a/c } ~b", "/a/c", "/a/c" },
    { "/a { /a/b /a/c } ~b", "/a/b", "~b" },
    { "/a { ~x } ~.", "/a/x", "~x" },
    { "/a { ~x } ~.", "/a/y", "~." },
    { "/a { ^~/a/b } ~.", "/a/b", "~." },
    { "^~/a { /a/b } ~.", "/a/b", "/a/b" },
    { "/a { =/a/b } ~.", "/a/b", "=/a/b" },
    { "/a { =/a } ~.", "/a", "=/a" },
    { "/ { /a { /a/b { /a/b/c } } }", "/a/b/c/d", "/a/b/c" },
    { "~a { ~b ~c } ~c", "/ca", "~c" },
    { "~a { ~b } ~c", "/ca", "~a" },
    { "~/a { /a/b ~x }", "/a/b", "~/a" },
    /* a missing slash */
    { "/a/! /", "/a", "-> /a/" },
    { "/a/! /", "/a/", "/a/" },
    { "/a/! /", "/ab", "/" },
    { "/a/! /a", "/a", "/a" },
    { "/a/! =/a", "/a", "=/a" },
    { "/a/! ~.", "/a", "-> /a/" },
    { "=/a/!", "/a", "-> =/a/" },
    { "=/a/! /a/", "/a", "-> =/a/" },
    { "=/a/ /a/!", "/a", "-> /a/" },
    { "/a/ /", "/a", "/" },
    { "/a/! /a/b /a/c", "/a", "-> /a/" },
    { "/a/!", "", "" },
    { "/!", "", "-> /" },
    { "/ { /a/! }", "/a", "-> /a/" },
    { "^~/ { /a/! } ~.", "/a", "-> /a/" },
    { "/x/y/! /x/z", "/x", "" },
};

START_TEST(precedence)
{
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        const char *got;

        begin();
        got = found(level(rows[i].level), rows[i].uri);
        ck_assert_msg(strcmp(got, rows[i].want) == 0, "%s in \"%s\": \"%s\", not \"%s\"",
                      rows[i].uri, rows[i].level, got, rows[i].want);
        end();
    }
}
END_TEST

START_TEST(named)
{
    struct level *l;

    begin();
    l = level("@a / @b @a");
    ck_assert_ptr_eq(wr_location_named(l->built, WR_STR("@a")), &l->item[0]->loc);
    ck_assert_ptr_eq(wr_location_named(l->built, WR_STR("@b")), &l->item[2]->loc);
    ck_assert_ptr_null(wr_location_named(l->built, WR_STR("@c")));
    ck_assert_ptr_null(wr_location_named(level("/")->built, WR_STR("@a")));
    ck_assert_str_eq(found(l, "@a"), "");
    end();
}
END_TEST

START_TEST(duplicates)
{
    struct level *l;

    begin();
    l = level("/a =/a ^~/a =/a ~a ~a /a/");
    ck_assert_uint_eq(l->n, 5);
    ck_assert_ptr_eq(wr_location_find(l->built, NULL, WR_STR("/ax"), &(bool){ false }),
                     &l->item[2]->loc);
    end();
}
END_TEST

/* Nested literal prefixes of regexes, more than a cursor has lists for. */
START_TEST(deep_prefixes)
{
    static const char as[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct wr_text words;
    const char *spec, *got;

    for (unsigned forth = 0; forth < 2; forth++) {
        begin();
        words = wr_text_grow(pool, 64, 65536);
        for (int i = 1; i <= 30; i++)
            wr_text_fmt(&words, "~^/%.*s ~*^/%.*sB ", forth ? i : 31 - i, as, i, as);
        ck_assert(wr_text_cstr(&words, &spec));
        struct level *l = level(spec);

        got = found(l, as);
        ck_assert_str_eq(got, "");
        got = found(l, "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        ck_assert_str_eq(got, forth ? "~^/a" : "~^/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        got = found(l, "/AAAAAAAAAAb");
        ck_assert_str_eq(got, "~*^/aaaaaaaaaaB");
        end();
    }
}
END_TEST

/* ---- compared with a search that tries every location ---- */

static enum { NONE, OPEN, SETTLED, REDIRECTED } naive(const struct level *l, struct wr_str uri,
                                                      bool texts, const struct wr_location **out)
{
    const struct item *best = NULL;
    const struct wr_location *slash = NULL;
    int inner;

    for (uint32_t i = 0; texts && i < l->n; i++) {
        const struct wr_location *loc = &l->item[i]->loc;
        bool prefix = loc->kind == WR_LOC_PREFIX || loc->kind == WR_LOC_PREFIX_FINAL;

        if (loc->kind == WR_LOC_EXACT && wr_str_eq(loc->name, uri)) {
            *out = loc;
            return SETTLED;
        }
        if (prefix && wr_str_starts(uri, loc->name)
            && (best == NULL || loc->name.n > best->loc.name.n))
            best = l->item[i];
        if ((prefix || loc->kind == WR_LOC_EXACT) && loc->auto_redirect
            && loc->name.n == uri.n + 1 && loc->name.p[uri.n] == '/'
            && wr_str_starts(loc->name, uri) && (slash == NULL || loc->kind == WR_LOC_EXACT))
            slash = loc;
    }
    if (slash != NULL && (best == NULL || best->loc.name.n < uri.n)) {
        *out = slash;
        return REDIRECTED;
    }
    if (best != NULL) {
        *out = &best->loc;
        inner = best->inner != NULL ? (int)naive(best->inner, uri, true, out) : NONE;
        if (inner == SETTLED || inner == REDIRECTED)
            return inner == SETTLED ? SETTLED : REDIRECTED;
    }
    for (uint32_t i = 0; i < l->n && (best == NULL || best->loc.kind != WR_LOC_PREFIX_FINAL); i++) {
        const struct wr_location *loc = &l->item[i]->loc;

        if (loc->kind == WR_LOC_REGEX && wr_regex_match(loc->regex, uri, NULL, 0) > 0) {
            *out = loc;
            if (l->item[i]->inner != NULL)
                (void)naive(l->item[i]->inner, uri, false, out);
            return SETTLED;
        }
    }
    return best != NULL ? OPEN : NONE;
}

static uint32_t state;

static uint32_t dice(uint32_t sides)
{
    state = state * 1664525 + 1013904223;
    return (state >> 16) % sides;
}

static void letters(struct wr_text *t, uint32_t most)
{
    for (uint32_t n = dice(most + 1); n > 0; n--)
        wr_text_char(t, "aaAb/"[dice(5)]);
}

static void random_level(struct wr_text *t, struct wr_str outer, unsigned depth)
{
    static const char *const texts[] = { "", "", "=", "^~" };
    static const char *const regexes[] = { "~", "~*" };
    static const char *const tails[] = { "", "", "b$", "[ab]/", "a?", "(x|b)", "A" };

    for (uint32_t n = dice(depth == 0 ? 14 : 4); n > 0; n--) {
        size_t start;
        bool regex = dice(3) == 0;

        wr_text_c(t, regex ? regexes[dice(2)] : texts[dice(4)]);
        start = t->n;
        wr_text_c(t, regex && dice(4) > 0 ? "^" : "");
        wr_text_str(t, depth == 0 || dice(8) == 0 ? WR_STR("/") : outer);
        letters(t, 4);
        if (regex)
            wr_text_c(t, tails[dice(7)]);
        else if (dice(3) == 0)
            wr_text_char(t, '/');
        if (depth < 3 && !regex && dice(3) == 0) {
            struct wr_str name = wr_pool_str(pool, wr_str_skip(wr_text_view(t), start));

            wr_text_c(t, dice(2) == 0 ? "! { " : " { ");
            random_level(t, name, depth + 1);
            wr_text_c(t, " }");
        } else if (!regex && dice(3) == 0) {
            wr_text_char(t, '!');
        } else if (regex && depth < 3 && dice(4) == 0) {
            wr_text_c(t, " { ");
            random_level(t, WR_STR("/a"), depth + 1);
            wr_text_c(t, " }");
        }
        wr_text_char(t, ' ');
    }
}

START_TEST(as_a_full_search)
{
    for (state = 1; state < 400000000; state += 1000003) {
        uint32_t seed = state;
        struct wr_text words, uri;
        struct level *l;
        const char *spec;

        begin();
        words = wr_text_grow(pool, 256, 1 << 20);
        random_level(&words, WR_STR("/"), 0);
        ck_assert(wr_text_cstr(&words, &spec));
        l = level(spec);
        for (unsigned i = 0; i < 60; i++) {
            const struct wr_location *want = NULL;
            const char *got, *u;
            bool redirect;

            uri = wr_text_grow(pool, 16, 64);
            wr_text_char(&uri, '/');
            letters(&uri, 9);
            ck_assert(wr_text_cstr(&uri, &u));
            redirect = naive(l, wr_str_c(u), true, &want) == REDIRECTED;
            got = found(l, u);
            ck_assert_msg(strcmp(got, show(want, redirect)) == 0,
                          "%s in \"%s\": \"%s\", not \"%s\"", u, spec, got,
                          show(want, redirect));
        }
        end();
        state = seed;
    }
}
END_TEST

/* Matching it costs more than the limits allow. */
START_TEST(failing_regex)
{
    char uri[4096];
    bool redirect;

    memset(uri, 'a', sizeof(uri));
    uri[0] = '/';
    begin();
    struct level *l = level("/ ~(a+)+(a+)+(a+)+[bc]$ ~.");

    ck_assert_ptr_eq(wr_location_find(l->built, NULL, wr_str_of(uri, sizeof(uri)), &redirect),
                     &wr_location_failed);
    end();
}
END_TEST

UNIT_MAIN("http_location", precedence, named, duplicates, deep_prefixes, as_a_full_search,
          failing_regex)

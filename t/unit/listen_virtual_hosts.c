/* The server of a host name: by table, and random names compared with a search of all names. */
#include "lib/unit.h"

#include "listen/listen.h"

static struct wr_pool *pool;
static struct wr_virtual servers[40]; /* the first is the default */
static uint32_t n_servers;

static struct wr_str take_name(struct wr_str word, struct wr_server_name *out)
{
    struct wr_regex_error err;

    out->text = wr_str_is(word, "-") ? WR_STR("") : word;
    if (wr_str_starts(word, WR_STR("~"))) {
        out->regex = wr_regex_compile(pool, wr_str_skip(word, 1), false, &err);
        ck_assert_ptr_nonnull(out->regex);
    }
    return word;
}

/* A map with a server for each name ("-": the empty one). taken gets a letter for each: . added,
 * ! conflict, x invalid. */
static struct wr_hosts_map *map_of(const char *names, struct wr_text *taken)
{
    struct wr_hosts_map *m = wr_hosts_new(pool, &servers[0]);
    struct wr_str rest = wr_pool_str(pool, wr_str_c(names));

    servers[0].name = WR_STR("default");
    for (n_servers = 1; rest.n > 0; n_servers++) {
        struct wr_server_name name = { .word = 1 };
        struct wr_virtual *sv = &servers[n_servers];

        ck_assert_uint_lt(n_servers, WR_COUNT(servers));
        sv->name = take_name(wr_str_cut(&rest, ' '), &name);
        switch (wr_hosts_add(m, &name, sv)) {
        case WR_HOST_ADDED:
            wr_text_char(taken, '.');
            break;
        case WR_HOST_CONFLICT:
            wr_text_char(taken, '!');
            break;
        case WR_HOST_INVALID:
            wr_text_char(taken, 'x');
            break;
        }
    }
    return m;
}

static const struct row {
    const char *names, *taken, *host, *want;
} rows[] = {
    { "", "", "a", "default" },
    { "a b.c", "..", "a", "a" },
    { "a b.c", "..", "b.c", "b.c" },
    { "a b.c", "..", "c", "default" },
    { "a b.c", "..", "", "default" },
    { "a -", "..", "", "-" },
    { "_", ".", "_", "_" },
    { "*.a", ".", "a", "default" },
    { "*.a", ".", "b.a", "*.a" },
    { "*.a", ".", "c.b.a", "*.a" },
    { "*.a", ".", "ba", "default" },
    { ".a", ".", "a", ".a" },
    { ".a", ".", "b.a", ".a" },
    { "a.*", ".", "a", "default" },
    { "a.*", ".", "a.b", "a.*" },
    { "a.*", ".", "a.b.c", "a.*" },
    { "a.*", ".", "ab.c", "default" },
    { "*.c *.b.c", "..", "a.b.c", "*.b.c" },
    { "a.* a.b.*", "..", "a.b.c", "a.b.*" },
    { "a.* *.c", "..", "a.b.c", "*.c" },
    { "a.* *.c a.b.c", "...", "a.b.c", "a.b.c" },
    { "~^a ~b *.c", "...", "a.c", "*.c" },
    { "~^a ~b *.c", "...", "ab", "~^a" },
    { "~b ~^a *.c", "...", "ab", "~b" },
    { "~^$", ".", "", "default" },
    /* invalid, conflicts */
    { "a..b a* *.a* *.a.* a.*.b ..a *..a a..*", "xxxxxxxx", "a", "default" },
    { "a a", ".!", "a", "a" },
    { "*.a .a", ".!", "b.a", "*.a" },
    { "a .a", ".!", "b.a", "default" },
    { ".a a *.a", ".!!", "a", ".a" },
    { "a.* a.*", ".!", "a.b", "a.*" },
    { "~a ~a", "..", "a", "~a" },
};

START_TEST(precedence)
{
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        char buf[64];
        struct wr_text taken = wr_text_on(buf, sizeof(buf));
        const struct wr_hosts_map *m;

        pool = wr_pool_new(0);
        m = map_of(rows[i].names, &taken);
        ck_view(wr_text_view(&taken), rows[i].taken);
        ck_assert_msg(wr_str_is(wr_host_find(m, NULL, wr_str_c(rows[i].host))->name, rows[i].want),
                      "%s among \"%s\"", rows[i].host, rows[i].names);
        wr_pool_free(pool);
    }
}
END_TEST

/* ---- compared with a search of all names ---- */

static uint32_t state;

static uint32_t dice(uint32_t sides)
{
    state = state * 1664525 + 1013904223;
    return (state >> 16) % sides;
}

static void labels(struct wr_text *t, uint32_t most)
{
    static const char *const label[] = { "a", "b", "ab", "c" };

    for (uint32_t n = dice(most) + 1; n > 0; n--) {
        wr_text_c(t, label[dice(4)]);
        if (n > 1)
            wr_text_char(t, '.');
    }
}

static struct wr_str random_name(void)
{
    uint32_t kind = dice(5);
    struct wr_text t = wr_text_grow(pool, 16, 256);

    wr_text_c(&t, kind == 1 ? "*." : kind == 2 ? "." : "");
    labels(&t, 3);
    wr_text_c(&t, kind == 3 ? ".*" : "");
    return wr_text_view(&t);
}

/* The rank of a match; 0: none. Exact names before "*.a" before "a.*", longer ones first. */
static size_t fit(struct wr_str name, struct wr_str host)
{
    struct wr_str part = wr_str_skip(name, 1);

    if (wr_str_eq(name, host) || (name.p[0] == '.' && wr_str_eq(part, host)))
        return 2000;
    if (name.p[0] == '*')
        return wr_str_ends(host, part) && host.n > part.n ? 1000 + part.n : 0;
    if (name.p[0] == '.')
        return wr_str_ends(host, name) && host.n > name.n ? 1000 + name.n : 0;
    if (!wr_str_ends(name, WR_STR(".*")))
        return 0;
    part = wr_str_of(name.p, name.n - 1);
    return wr_str_starts(host, part) ? part.n : 0;
}

static const struct wr_virtual *naive(const char *taken, struct wr_str host)
{
    const struct wr_virtual *best = &servers[0];
    size_t most = 0;

    for (uint32_t i = 1; i < n_servers; i++) {
        size_t f = taken[i - 1] == '.' ? fit(servers[i].name, host) : 0;

        if (f > most) {
            most = f;
            best = &servers[i];
        }
    }
    return best;
}

START_TEST(as_a_full_search)
{
    for (uint32_t round = 0; round < 300; round++) {
        char buf[64];
        struct wr_text taken = wr_text_on(buf, sizeof(buf)), names;
        const struct wr_hosts_map *m;
        const char *text;

        state = round * 7919;
        pool = wr_pool_new(0);
        names = wr_text_grow(pool, 256, 65536);
        for (uint32_t n = dice(30); n > 0; n--)
            wr_text_fmt(&names, WR_FMT " ", WR_ARG(random_name()));
        ck_assert(wr_text_cstr(&names, &text));
        m = map_of(text, &taken);
        for (unsigned i = 0; i < 100; i++) {
            struct wr_text host = wr_text_grow(pool, 16, 256);
            const struct wr_virtual *got, *want;

            labels(&host, 5);
            got = wr_host_find(m, NULL, wr_text_view(&host));
            want = naive(buf, wr_text_view(&host));
            ck_assert_msg(got == want, WR_FMT " among \"%s\": " WR_FMT ", not " WR_FMT,
                          WR_ARG(wr_text_view(&host)), text, WR_ARG(got->name),
                          WR_ARG(want->name));
        }
        wr_pool_free(pool);
    }
}
END_TEST

/* Must not look up every label: no wildcard is so long. */
START_TEST(a_host_of_dots)
{
    static char host[32000];
    char buf[64];
    struct wr_text taken = wr_text_on(buf, sizeof(buf));
    const struct wr_hosts_map *m;

    memset(host, '.', sizeof(host));
    pool = wr_pool_new(0);
    m = map_of("*.a.b a.b.*", &taken);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_ptr_eq(wr_host_find(m, NULL, wr_str_of(host, sizeof(host))), &servers[0]);
    wr_pool_free(pool);
}
END_TEST

UNIT_MAIN("listen/virtual_hosts", precedence, as_a_full_search, a_host_of_dots)

/* Stored objects as bytes: what goes in comes out, and nothing else is believed. */
#include "lib/unit.h"

#include "../../modules/http/cache/cache_object.h"

static struct wr_pool *pool;

static const struct wr_cache_facts facts = {
    .created_us = 1764480000123456U, .variant = 77, .last_modified_s = 1700000000,
    .fresh = { .received = 5, .fresh_until = 6, .age = 7, .while_revalidate = 8, .if_error = 9,
               .flags = 3 },
    .flags = WR_CACHE_OF_HEAD,
};

static struct wr_response make_reply(void)
{
    struct wr_response r;

    wr_response_init(&r);
    r.status = 404;
    r.version = 11;
    r.reason = WR_STR("Not Here");
    r.type = WR_STR("text/html; charset=utf-8");
    (void)wr_fields_add_id(pool, &r.fields, WR_F_ETAG, WR_STR("W/\"1\""));
    (void)wr_fields_add(pool, &r.fields, WR_STR("X-One"), WR_STR("a\r\nb"));
    (void)wr_fields_add_id(pool, &r.fields, WR_F_VARY, WR_STR("Accept"));
    (void)wr_fields_add_id(pool, &r.fields, WR_F_LAST_MODIFIED,
                           WR_STR("Tue, 14 Nov 2023 22:13:20 GMT"));
    wr_fields_add(pool, &r.fields, WR_STR("Gone"), WR_STR("x"))->gone = true;
    return r;
}

static struct wr_text encode_all(void)
{
    static const uint64_t tags[] = { 1, UINT64_MAX };
    const struct wr_cache_vary vary[] = {
        { WR_STR("Accept"), WR_STR("text/html") }, { WR_STR("Accept-Language"), { NULL, 0 } },
        { WR_STR("Empty"), WR_STR("") },
    };
    struct wr_text t = wr_text_grow(pool, 16, 1 << 20);
    struct wr_response r = make_reply();
    const struct wr_cache_parts parts = {
        .facts = &facts, .key = WR_STR("http://a/b?c"), .vary = vary, .nvary = 3,
        .tags = tags, .ntags = 2, .res = &r,
    };

    ck_assert(wr_cache_encode(&t, &parts));
    return t;
}

static void begin(void)
{
    pool = wr_pool_new(0);
}

static void end(void)
{
    wr_pool_free(pool);
}

START_TEST(what_goes_in_comes_out)
{
    struct wr_text t;
    struct wr_cache_object o;
    struct wr_cache_vary v;
    struct wr_response r;
    struct wr_str rest;

    begin();
    t = encode_all();
    wr_cache_seal(t.p, t.n, 1000, 20);
    ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), true, &o), WR_CACHE_WHOLE);
    ck_view(o.key, "http://a/b?c");
    ck_view(o.etag, "W/\"1\"");
    ck_assert_uint_eq(o.status, 404);
    ck_assert_uint_eq(o.body_at, t.n);
    ck_assert_uint_eq(wr_cache_object_size(&o), t.n + 1020);
    ck_assert_uint_eq(o.facts.created_us, facts.created_us);
    ck_assert_uint_eq(o.facts.variant, 77);
    ck_assert_int_eq(memcmp(&o.facts.fresh, &facts.fresh, sizeof(facts.fresh)), 0);
    ck_assert_uint_eq(o.facts.flags, WR_CACHE_OF_HEAD | WR_CACHE_VARIES);
    ck_assert_uint_eq(wr_cache_ntags(&o), 2);
    ck_assert_uint_eq(wr_cache_tag(&o, 0), 1);
    ck_assert_uint_eq(wr_cache_tag(&o, 1), UINT64_MAX);
    rest = o.vary;
    ck_assert(wr_cache_vary_next(&rest, &v));
    ck_view(v.name, "Accept");
    ck_view(v.value, "text/html");
    ck_assert(wr_cache_vary_next(&rest, &v));
    ck_view(v.name, "Accept-Language");
    ck_assert_ptr_null(v.value.p);
    ck_assert(wr_cache_vary_next(&rest, &v));
    ck_view(v.value, "");
    ck_assert_ptr_nonnull(v.value.p);
    ck_assert(!wr_cache_vary_next(&rest, &v));

    ck_assert(wr_cache_reply(&o, pool, &r));
    ck_assert_uint_eq(r.status, 404);
    ck_view(r.reason, "Not Here");
    ck_view(r.type, "text/html; charset=utf-8");
    ck_assert_uint_eq(r.version, 11);
    ck_assert_int_eq(r.framing, WR_BODY_LENGTH);
    ck_assert_uint_eq(r.length, 1000);
    ck_assert_uint_eq(r.fields.n, 4);
    ck_view(r.fields.at[0].value, "W/\"1\"");
    ck_view(r.fields.at[1].name, "X-One");
    ck_view(r.fields.at[1].value, "a  b");
    ck_view(r.fields.at[2].value, "Accept");
    ck_assert_int_eq(wr_response_modified(&r), 1700000000);
    end();
}
END_TEST

START_TEST(a_small_reply)
{
    struct wr_text t;
    struct wr_cache_object o;
    struct wr_response r;
    const struct wr_cache_parts parts = { .facts = &facts, .key = WR_STR(""), .res = &r };

    begin();
    t = wr_text_grow(pool, 16, 1 << 20);
    wr_response_init(&r);
    r.status = 204;
    r.version = 10;
    ck_assert(wr_cache_encode(&t, &parts));
    wr_cache_seal(t.p, t.n, 0, 0);
    ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), true, &o), WR_CACHE_WHOLE);
    ck_assert_ptr_null(o.etag.p);
    ck_view(o.head, "HTTP/1.0 204 \r\n\r\n");
    ck_assert(wr_cache_reply(&o, pool, &r));
    ck_assert_uint_eq(r.version, 10);
    ck_assert_int_eq(r.framing, WR_BODY_NONE);
    end();
}
END_TEST

/* An object that is being filled has no length yet: memory shows it, a file never does. */
START_TEST(not_sealed)
{
    struct wr_text t;
    struct wr_cache_object o;
    struct wr_response r;

    begin();
    t = encode_all();
    ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), true, &o), WR_CACHE_BROKEN);
    ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), false, &o), WR_CACHE_WHOLE);
    ck_assert_uint_eq(o.body_n, UINT64_MAX);
    ck_assert_uint_eq(wr_cache_object_size(&o), UINT64_MAX);
    ck_assert(wr_cache_reply(&o, pool, &r));
    ck_assert_int_eq(r.framing, WR_BODY_CHUNKED);
    wr_cache_seal(t.p, t.n, UINT64_MAX, 0);
    ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), true, &o), WR_CACHE_BROKEN);
    end();
}
END_TEST

/* Each byte before the body counts. */
START_TEST(any_flipped_bit_is_seen)
{
    struct wr_text t;
    struct wr_cache_object o;

    begin();
    t = encode_all();
    wr_cache_seal(t.p, t.n, 5, 0);
    for (size_t i = 0; i < t.n * 8; i++) {
        t.p[i / 8] = (char)(t.p[i / 8] ^ (1 << i % 8));
        ck_assert_msg(wr_cache_decode(wr_text_view(&t), true, &o) != WR_CACHE_WHOLE, "%zu", i);
        t.p[i / 8] = (char)(t.p[i / 8] ^ (1 << i % 8));
    }
    ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), true, &o), WR_CACHE_WHOLE);
    end();
}
END_TEST

START_TEST(any_cut_is_seen)
{
    struct wr_text t;
    struct wr_cache_object o;

    begin();
    t = encode_all();
    wr_cache_seal(t.p, t.n, 5, 0);
    for (size_t n = 0; n < t.n; n++) {
        ck_assert_int_eq(wr_cache_decode(wr_str_of(t.p, n), true, &o), WR_CACHE_MORE);
        ck_assert_uint_eq(o.body_at, n < WR_CACHE_FIXED ? WR_CACHE_FIXED : t.n);
    }
    end();
}
END_TEST

static void check_start(const char *bytes, size_t n, enum wr_cache_decoded want)
{
    struct wr_cache_object o;
    char all[300] = { 0 };

    memcpy(all, bytes, n);
    ck_assert_int_eq(wr_cache_decode(wr_str_of(all, sizeof(all)), true, &o), want);
}

START_TEST(other_files)
{
    static const uint32_t next = WR_CACHE_FORMAT + 1;
    char of_next[12] = "weirobj1";

    memcpy(of_next + 8, &next, sizeof(next));
    check_start("", 0, WR_CACHE_BROKEN); /* zeros */
    check_start("KEY: ", 5, WR_CACHE_FOREIGN);
    check_start("\5\0\0\0\0\0\0\0\1", 9, WR_CACHE_FOREIGN);
    check_start("<!doctype html>", 15, WR_CACHE_FOREIGN);
    check_start("weirobj", 7, WR_CACHE_FOREIGN);
    check_start(of_next, sizeof(of_next), WR_CACHE_OTHER_FORMAT);
    check_start("weirobj1\1\0\0\0", 12, WR_CACHE_BROKEN);
}
END_TEST

/* Offsets of numbers in the fixed part, and values that no encoder writes; the checksum is
 * right. */
START_TEST(impossible_lengths)
{
    static const struct { size_t at, size; uint64_t value; } rows[] = {
        { 12, 4, 191 }, { 12, 4, 0 },               /* size of the fixed part */
        { 16, 4, 8 * 65 }, { 16, 4, 7 }, { 16, 4, UINT32_MAX }, /* tags */
        { 20, 4, WR_CACHE_KEY_MAX + 1 }, { 20, 4, UINT32_MAX },
        { 24, 4, 1 << 20 }, { 24, 4, UINT32_MAX }, { 24, 4, 3 }, /* vary */
        { 28, 4, 1 << 20 }, { 28, 4, UINT32_MAX },  /* head */
        { 32, 4, WR_CACHE_TRAILERS_MAX + 1 },
        { 36, 4, 99 }, { 36, 4, 1000 },             /* status */
        { 40, 8, UINT64_MAX - 1 }, { 40, 8, (uint64_t)1 << 63 },
        { 112, 4, 4096 }, { 116, 4, 4096 }, { 116, 4, UINT32_MAX }, /* the entity tag */
    };
    struct wr_cache_object o;

    begin();
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_text t = encode_all();

        wr_cache_seal(t.p, t.n, 5, 0);
        ck_assert_int_eq(wr_cache_decode(wr_text_view(&t), true, &o), WR_CACHE_WHOLE);
        memcpy(t.p + rows[i].at, &rows[i].value, rows[i].size);
        ck_assert_msg(wr_cache_decode(wr_text_view(&t), false, &o) == WR_CACHE_BROKEN, "%zu", i);
    }
    end();
}
END_TEST

START_TEST(too_much)
{
    static char long_text[WR_CACHE_BEFORE_BODY_MAX];
    struct wr_cache_vary vary[WR_CACHE_VARY_MAX + 1] = { { { NULL, 0 }, { NULL, 0 } } };
    uint64_t tags[WR_CACHE_TAGS_MAX + 1] = { 0 };
    struct wr_response r, huge;
    struct wr_cache_parts p = { .facts = &facts, .key = WR_STR("k"), .res = &r };
    struct wr_text t;

    begin();
    memset(long_text, 'a', sizeof(long_text));
    r = make_reply();
    t = wr_text_grow(pool, 16, 8 << 20);
    p.key = wr_str_of(long_text, WR_CACHE_KEY_MAX + 1);
    ck_assert(!wr_cache_encode(&t, &p));
    p.key.n--;
    ck_assert(wr_cache_encode(&t, &p));
    p.vary = vary;
    p.nvary = WR_CACHE_VARY_MAX + 1;
    ck_assert(!wr_cache_encode(&t, &p));
    p.nvary--;
    ck_assert(wr_cache_encode(&t, &p));
    vary[0].value = wr_str_of(long_text, sizeof(long_text));
    ck_assert(!wr_cache_encode(&t, &p));
    p.nvary = 0;
    p.tags = tags;
    p.ntags = WR_CACHE_TAGS_MAX + 1;
    ck_assert(!wr_cache_encode(&t, &p));
    p.ntags--;
    ck_assert(wr_cache_encode(&t, &p));
    huge = make_reply();
    (void)wr_fields_add(pool, &huge.fields, WR_STR("a"), wr_str_of(long_text, sizeof(long_text)));
    p.res = &huge;
    ck_assert(!wr_cache_encode(&t, &p));
    p.res = &r;
    t = wr_text_on(long_text, 300);
    p.key = WR_STR("k");
    p.ntags = 0;
    ck_assert(!wr_cache_encode(&t, &p));
    end();
}
END_TEST

START_TEST(trailers)
{
    struct wr_fields f = { 0 };

    begin();
    ck_assert(wr_cache_trailers(WR_STR("A: b\r\nC: d\r\n"), pool, &f));
    ck_assert_uint_eq(f.n, 2);
    ck_assert(!wr_cache_trailers(WR_STR("A: b"), pool, &f));
    ck_assert(!wr_cache_trailers(WR_STR("\0\n"), pool, &f));
    end();
}
END_TEST

/* ---- names ---- */

static void check_name(const char *key, const char *want)
{
    struct wr_cache_name name = wr_cache_name_of(wr_str_c(key), 0);
    static const uint8_t none[3];
    char path[WR_CACHE_PATH_MAX];

    wr_cache_path(&name, none, path);
    ck_assert_str_eq(path, want);
}

START_TEST(digests)
{
    char key[200];

    /* RFC 1321, A.5 */
    check_name("", "d41d8cd98f00b204e9800998ecf8427e");
    check_name("a", "0cc175b9c0f1b6a831c399e269772661");
    check_name("abc", "900150983cd24fb0d6963f7d28e17f72");
    check_name("message digest", "f96b697d7cb7938d525a2f31aaf161d0");
    check_name("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b");
    check_name("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
               "d174ab98d277d9f5a5611c2c9f419d9f");
    check_name("1234567890123456789012345678901234567890"
               "1234567890123456789012345678901234567890", "57edf4a22be3c955ac49da2e2107b67a");
    /* every place of the end within a block; the last one as md5sum has it */
    for (size_t n = 0; n < sizeof(key); n++) {
        struct wr_cache_name a, b;

        memset(key, 'x', sizeof(key));
        a = wr_cache_name_of(wr_str_of(key, n), 0);
        b = wr_cache_name_of(wr_str_of(key, n), 1);
        ck_assert_int_ne(memcmp(&a, &b, sizeof(a)), 0);
    }
    key[119] = '\0';
    check_name(key, "ab347a5f68c8a443cfcddc633f12c24f");
}
END_TEST

START_TEST(paths)
{
    static const struct { uint8_t levels[3]; const char *path; } rows[] = {
        { { 1, 2, 0 }, "c/29/b7f54b2df7773722d382f4809d65029c" },
        { { 0, 0, 0 }, "b7f54b2df7773722d382f4809d65029c" },
        { { 2, 2, 2 }, "9c/02/65/b7f54b2df7773722d382f4809d65029c" },
        { { 1, 0, 0 }, "c/b7f54b2df7773722d382f4809d65029c" },
    };
    struct wr_cache_name name;
    char path[WR_CACHE_PATH_MAX];

    ck_assert(wr_cache_name_parse(WR_STR("b7f54b2df7773722d382f4809d65029c"), &name));
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        wr_cache_path(&name, rows[i].levels, path);
        ck_assert_str_eq(path, rows[i].path);
    }
    ck_assert(!wr_cache_name_parse(WR_STR("B7F54B2DF7773722D382F4809D65029C"), &name));
    ck_assert(!wr_cache_name_parse(WR_STR("b7f54b2df7773722d382f4809d65029"), &name));
    ck_assert(!wr_cache_name_parse(WR_STR("b7f54b2df7773722d382f4809d65029c0"), &name));
    ck_assert(!wr_cache_name_parse(WR_STR("b7f54b2df7773722d382f4809d65029g"), &name));
}
END_TEST

UNIT_MAIN("cache object", what_goes_in_comes_out, a_small_reply, not_sealed,
          any_flipped_bit_is_seen, any_cut_is_seen, other_files, impossible_lengths, too_much,
          trailers, digests, paths)

/* The speaker of a client connection: by the handshake's ALPN, by the first bytes, by the words of
 * `listen`. */
#include "http/http.h"
#include "lib/unit.h"

static enum wr_claim claims(struct wr_str first, const char *preface)
{
    size_t n = wr_min(first.n, strlen(preface));

    if (memcmp(first.p, preface, n) != 0)
        return WR_CLAIM_NO;
    return n == strlen(preface) ? WR_CLAIM_YES : WR_CLAIM_MORE;
}

static enum wr_claim claims_mux(struct wr_str first)
{
    return claims(first, "MUX/1\n");
}

static enum wr_claim claims_mute(struct wr_str first)
{
    return claims(first, "MU/");
}

static const struct wr_http_speaker mux = {
    .name = "mux", .word = "mux", .alpn = WR_STR_INIT("\3mux\4mux2"), .claims = claims_mux,
};
static const struct wr_http_speaker text = {
    .name = "text", .alpn = WR_STR_INIT("\x08http/1.1"),
};
static const struct wr_http_speaker mute = {
    .name = "mute", .word = "mute", .alpn = WR_STR_INIT("\4mute"), .claims = claims_mute,
};
static const struct wr_http_speaker *const all[] = { &mux, &text, &mute, NULL };

#define MUX 1
#define MUTE 4

static const struct {
    uint32_t words;
    const char *alpn, *first, *name;
} rows[] = {
    /* Without a word in `listen` the bytes do not matter. */
    { 0, "", "", "text" }, { 0, "", "MUX/1\n", "text" }, { 0, "mux", "", "text" },
    /* By the first bytes, as far as they have come. */
    { MUX, "", "", NULL }, { MUX, "", "M", NULL }, { MUX, "", "MUX/1", NULL },
    { MUX, "", "MUX/1\n", "mux" }, { MUX, "", "MUX/1\n\1\2", "mux" },
    { MUX, "", "G", "text" }, { MUX, "", "MUX/2\n", "text" }, { MUX, "", "MU/", "text" },
    /* Two that begin alike. */
    { MUX | MUTE, "", "MU", NULL }, { MUX | MUTE, "", "MUX", NULL },
    { MUX | MUTE, "", "MU/", "mute" }, { MUX | MUTE, "", "MUX/1\n", "mux" },
    { MUX | MUTE, "", "MV", "text" }, { MUTE, "", "MUX/1\n", "text" },
    /* ALPN decides, whatever the bytes are. */
    { MUX, "mux", "", "mux" }, { MUX, "mux2", "GET /", "mux" }, { MUX, "http/1.1", "", "text" },
    { MUX, "http/1.1", "MUX/1\n", "text" }, { MUX, "mu", "M", "text" }, { MUTE, "mux", "", "text" },
    { MUX | MUTE, "mute", "MUX/1\n", "mute" },
};

START_TEST(by_table)
{
    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        const struct wr_http_speaker *s = wr_speaker_choose(all, rows[i].words,
                                                            wr_str_c(rows[i].alpn),
                                                            wr_str_c(rows[i].first));
        const char *name = s == NULL ? "more" : s->name;

        ck_assert_msg(strcmp(name, rows[i].name == NULL ? "more" : rows[i].name) == 0,
                      "row %zu: %s", i, name);
    }
}
END_TEST

/* A list of names that ends too early is not read beyond its end. */
START_TEST(cut_names)
{
    static const struct wr_http_speaker cut = {
        .name = "cut", .word = "cut", .alpn = { "\5cu", 3 }, .claims = claims_mux,
    };
    static const struct wr_http_speaker *const two[] = { &cut, &text, NULL };

    ck_assert_ptr_eq(wr_speaker_choose(two, 1, WR_STR("cu"), WR_STR("")), &cut);
    ck_assert_ptr_eq(wr_speaker_choose(two, 1, WR_STR("cut"), WR_STR("")), &text);
}
END_TEST

UNIT_MAIN("http/speakers", by_table, cut_names)

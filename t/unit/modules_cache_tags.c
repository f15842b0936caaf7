/* Tags of replies and of PURGE. */
#include "lib/unit.h"

#include "../../modules/http/cache/cache_tags.h"

static struct wr_cache_tags tags_of(const char *list)
{
    struct wr_cache_tags t = { .n = 0 };

    ck_assert_ptr_null(wr_cache_tags_add(&t, wr_str_c(list)));
    return t;
}

START_TEST(lists)
{
    static const struct {
        const char *in;
        uint32_t n;
    } rows[] = {
        { "", 0 }, { " ,, \t", 0 }, { "a", 1 }, { "a,b", 2 }, { "a b\tc", 3 }, { " a , b ", 2 },
        { "a,,b", 2 }, { "a a,a", 1 }, { "a A", 2 }, { "product-17,shop", 2 }, { "\"a,b\"", 2 },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++)
        ck_assert_msg(tags_of(rows[i].in).n == rows[i].n, "%s: %u", rows[i].in,
                      tags_of(rows[i].in).n);
    ck_assert_uint_eq(tags_of("a, b").at[1], tags_of("b").at[0]);
    ck_assert_uint_ne(tags_of("a").at[0], tags_of("b").at[0]);
    /* it stands in files: it must never change */
    ck_assert_msg(tags_of("product-17").at[0] == 0x575e85df312583c4, "0x%llx",
                  (unsigned long long)tags_of("product-17").at[0]);
}
END_TEST

START_TEST(bounds)
{
    char tag[WR_CACHE_TAG_MAX + 2];
    struct wr_cache_tags t = { .n = 0 };

    memset(tag, 'x', sizeof(tag));
    tag[WR_CACHE_TAG_MAX + 1] = '\0';
    ck_assert_str_eq(wr_cache_tags_add(&t, wr_str_c(tag)), "a tag of more than 128 bytes");
    tag[WR_CACHE_TAG_MAX] = '\0';
    ck_assert_ptr_null(wr_cache_tags_add(&t, wr_str_c(tag)));
    for (unsigned i = 1; i < WR_CACHE_TAGS_MAX; i++) {
        struct wr_text text = wr_text_on(tag, sizeof(tag));

        wr_text_fmt(&text, "tag%u", i);
        ck_assert_ptr_null(wr_cache_tags_add(&t, wr_text_view(&text)));
    }
    ck_assert_uint_eq(t.n, WR_CACHE_TAGS_MAX);
    ck_assert_ptr_null(wr_cache_tags_add(&t, WR_STR("tag1 tag2")));
    ck_assert_str_eq(wr_cache_tags_add(&t, WR_STR("tag1 other")), "more than 64 tags");
    ck_assert_uint_eq(t.n, WR_CACHE_TAGS_MAX);
}
END_TEST

UNIT_MAIN("cache_tags", lists, bounds)

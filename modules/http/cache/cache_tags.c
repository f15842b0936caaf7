/* cache_tags: see cache_tags.h. */
#include "cache_tags.h"

#include "tag_table.h"

static bool is_separator(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

static bool cut_tag(struct wr_str *list, struct wr_str *tag)
{
    size_t n = 0;

    while (list->n > 0 && is_separator(list->p[0]))
        *list = wr_str_skip(*list, 1);
    while (n < list->n && !is_separator(list->p[n]))
        n++;
    *tag = wr_str_of(list->p, n);
    *list = wr_str_skip(*list, n);
    return n > 0;
}

static bool has_number(const struct wr_cache_tags *t, uint64_t number)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->at[i] == number)
            return true;
    return false;
}

const char *wr_cache_tags_add(struct wr_cache_tags *t, struct wr_str list)
{
    struct wr_str tag;

    while (cut_tag(&list, &tag)) {
        uint64_t number = wr_purge_tag_of(tag);

        if (tag.n > WR_CACHE_TAG_MAX)
            return "a tag of more than 128 bytes";
        if (has_number(t, number))
            continue;
        if (t->n == WR_CACHE_TAGS_MAX)
            return "more than 64 tags";
        t->at[t->n++] = number;
    }
    return NULL;
}

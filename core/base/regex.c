/* regex: PCRE2 patterns, compiled and matched. Locations, maps and rewrites call it. It owns one
 * match block, one JIT stack and one set of limits for the process: a hostile subject may cost
 * milliseconds, not minutes. */
#include "base/base.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MATCH_LIMIT 1000000
#define HEAP_LIMIT (16 * 1024)       /* KiB */
#define JIT_STACK_MAX (512 * 1024)

bool wr_regex_jit = true;

struct wr_regex {
    pcre2_code *code;
    struct wr_str pattern;
    uint32_t captures;
    uint32_t names, name_size;
    PCRE2_SPTR name_table;           /* rows: two bytes of group number, the name, a zero */
};

static pcre2_match_data *match_data;
static uint32_t match_room;
static pcre2_match_context *limits;

static void init_limits(void)
{
    pcre2_jit_stack *stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, NULL);

    limits = pcre2_match_context_create(NULL);
    if (limits == NULL)
        wr_out_of_memory(0);
    (void)pcre2_set_match_limit(limits, MATCH_LIMIT);
    (void)pcre2_set_heap_limit(limits, HEAP_LIMIT);
    if (stack != NULL)
        pcre2_jit_stack_assign(limits, NULL, stack);
}

/* One block for all patterns, as wide as the widest: no match begins inside another. */
static void make_match_room(uint32_t groups)
{
    if (limits == NULL)
        init_limits();
    if (groups <= match_room)
        return;
    if (match_data != NULL)
        pcre2_match_data_free(match_data);
    match_room = wr_max(groups, 16U);
    match_data = pcre2_match_data_create(match_room, NULL);
    if (match_data == NULL)
        wr_out_of_memory(0);
}

static void code_free(void *arg)
{
    pcre2_code_free(arg);
}

/* PCRE2 takes (*UTF); PCRE took (*UTF8), and configurations of nginx still contain that. */
static struct wr_str skip_utf_word(struct wr_str pattern, uint32_t *options)
{
    struct wr_str words[] = { WR_STR_INIT("(*UTF8)"), WR_STR_INIT("(*UTF)") };

    for (unsigned i = 0; i < WR_COUNT(words); i++) {
        if (wr_str_starts(pattern, words[i])) {
            *options |= PCRE2_UTF;
#ifdef PCRE2_MATCH_INVALID_UTF
            /* Subjects come off the wire: invalid UTF-8 matches nothing. */
            *options |= PCRE2_MATCH_INVALID_UTF;
#endif
            return wr_str_skip(pattern, words[i].n);
        }
    }
    return pattern;
}

static void read_captures(struct wr_regex *re)
{
    (void)pcre2_pattern_info(re->code, PCRE2_INFO_CAPTURECOUNT, &re->captures);
    (void)pcre2_pattern_info(re->code, PCRE2_INFO_NAMECOUNT, &re->names);
    if (re->names > 0) {
        (void)pcre2_pattern_info(re->code, PCRE2_INFO_NAMEENTRYSIZE, &re->name_size);
        (void)pcre2_pattern_info(re->code, PCRE2_INFO_NAMETABLE, &re->name_table);
    }
}

struct wr_regex *wr_regex_compile(struct wr_pool *pool, struct wr_str pattern, bool fold_case,
                                  struct wr_regex_error *err)
{
    uint32_t options = fold_case ? PCRE2_CASELESS : 0;
    struct wr_str body = skip_utf_word(pattern, &options);
    struct wr_regex *re;
    pcre2_code *code;
    PCRE2_SIZE offset;
    int number;

    code = pcre2_compile((PCRE2_SPTR)(body.n > 0 ? body.p : ""), body.n, options, &number, &offset,
                         NULL);
    if (code == NULL) {
        if (pcre2_get_error_message(number, (PCRE2_UCHAR *)err->text, sizeof(err->text)) < 0)
            err->text[0] = '\0';
        err->offset = offset + (pattern.n - body.n);
        return NULL;
    }
    /* Without JIT the interpreter matches the same. */
    if (wr_regex_jit)
        (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    re = WR_NEW(pool, struct wr_regex);
    re->code = code;
    re->pattern = wr_pool_str(pool, pattern);
    read_captures(re);
    make_match_room(re->captures + 1);
    wr_pool_cleanup(pool, code_free, code);
    return re;
}

uint32_t wr_regex_captures(const struct wr_regex *re)
{
    return re->captures;
}

struct wr_str wr_regex_name(const struct wr_regex *re, uint32_t group)
{
    for (uint32_t i = 0; i < re->names; i++) {
        PCRE2_SPTR row = re->name_table + (size_t)i * re->name_size;

        if ((uint32_t)(row[0] << 8 | row[1]) == group)
            return wr_str_c((const char *)row + 2);
    }
    return wr_str_of(NULL, 0);
}

struct wr_str wr_regex_pattern(const struct wr_regex *re)
{
    return re->pattern;
}

/* pcre2_match returns the number of the last group that took part, plus 1; groups behind it have no
 * entry in the vector. */
static void fill_groups(struct wr_str subject, int found, struct wr_str *groups, uint32_t n)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(match_data);

    for (uint32_t i = 0; i < n; i++) {
        PCRE2_SIZE from, to;

        groups[i] = wr_str_of(NULL, 0);
        if (i >= (uint32_t)found || at[2 * i] == PCRE2_UNSET)
            continue;
        /* \K in a lookahead can put the start behind the end. */
        from = wr_min(at[2 * i], at[2 * i + 1]);
        to = at[2 * i + 1];
        groups[i] = wr_str_of(subject.p + from, to - from);
    }
}

int wr_regex_match(const struct wr_regex *re, struct wr_str subject, struct wr_str *groups,
                   uint32_t n)
{
    int found;

    /* Older engines do not take NULL for the empty text. */
    if (subject.p == NULL)
        subject = WR_STR("");
    found = pcre2_match(re->code, (PCRE2_SPTR)subject.p, subject.n, 0, 0, match_data, limits);
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    if (found < 0)
        return -1;
    fill_groups(subject, found, groups, n);
    return 1;
}

/* Fuzz driver: compiles any text as a template and evaluates it in every way. The results must
 * agree, and no byte may be written outside of a small buffer. */
#include "../unit/lib/exchange_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "stream { calc $mine \"<$name>\"; calc $loop \"$loop$1\"; match (.)(?<b>.); }";

static struct wr_str logged(struct fake *f, enum wr_escape e)
{
    struct wr_text out = wr_text_grow(f->x.pool, 16, 1 << 24);

    WR_ASSERT(wr_template_log(&f->x, f->t, e, &out));
    return wr_text_view(&out);
}

/* A smaller buffer gets the first bytes of the whole. */
static void check_bounds(struct fake *f, struct wr_str whole)
{
    char buf[16];

    for (size_t cap = 0; cap <= sizeof(buf); cap += 5) {
        struct wr_text out = wr_text_on(buf, cap);
        bool fits = wr_template_text(&f->x, f->t, &out);

        WR_ASSERT(fits == (whole.n <= cap) && out.n == wr_min(whole.n, cap));
        WR_ASSERT(memcmp(buf, whole.p, out.n) == 0);
    }
}

static bool has_control(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 32)
            return true;
    return false;
}

static void execute(struct fake *f, struct wr_str source)
{
    struct wr_str whole = logged(f, WR_ESCAPE_NONE), text = wr_template_str(&f->x, f->t), v;

    WR_ASSERT((text.p == NULL) == (whole.n > 65536));
    WR_ASSERT(text.p == NULL || wr_str_eq(text, whole));
    if (wr_template_literal(f->t, &v))
        WR_ASSERT(wr_str_eq(v, whole));
    check_bounds(f, whole);
    (void)wr_template_true(&f->x, f->t);
    /* Values are escaped, literals are not. */
    if (!has_control(source))
        WR_ASSERT(!has_control(logged(f, WR_ESCAPE_JSON))
                  && !has_control(logged(f, WR_ESCAPE_DEFAULT)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_word word = { .text = { (const char *)data, size }, .line = 1, .column = 1 };
    struct wr_node node = { .words = &word, .nwords = 1 };
    struct wr_str groups[3];
    struct fake f;
    struct wr_cf cf;

    if (size > 4096)
        return 0;
    fake_still = true;
    WR_ASSERT(fake_begin(&f, config, WR_L4));
    f.x.log = &(const struct wr_log){ .max = WR_LOG_EMERG };
    cf = (struct wr_cf){ .conf = f.conf, .pool = f.conf->pool, .node = &node,
                         .scope = (struct wr_scope *)(uintptr_t)f.x.scope };
    f.t = wr_template_new(&cf, 0, word.text);
    WR_ASSERT((f.t == NULL) == (f.conf->tree->errors > 0));
    if (f.t != NULL)
        wr_module_vars.missing(&cf);
    if (f.t != NULL && f.conf->tree->errors == 0) {
        WR_ASSERT(wr_regex_match(f.c->match, WR_STR("ab"), groups, 3) == 1);
        wr_captures_set(&f.x, f.c->match, groups, 3);
        execute(&f, word.text);
    }
    fake_end(&f);
    return 0;
}

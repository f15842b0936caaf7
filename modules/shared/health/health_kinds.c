/* health_kinds: the kinds of checks of this folder, and what kinds share: failing with a reason,
 * quoting what a server has sent, texts with bytes in hex. Pure. */
#include "health_impl.h"

const struct wr_check_kind *const wr_check_kinds[] = {
    &wr_check_tcp, /* the default of layer 4 */
    &wr_check_pgsql,
    &wr_check_redis,
    &wr_check_mysql,
    &wr_check_smtp,
    &wr_check_ldap,
    NULL,
};

enum wr_check_next wr_check_fail(struct wr_check_talk *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    wr_text_vfmt(&t->why, fmt, ap);
    va_end(ap);
    return WR_CHECK_FAIL;
}

static bool is_plain(char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

void wr_check_quote(struct wr_text *why, struct wr_str s)
{
    struct wr_str shown = wr_str_of(s.p, wr_min(s.n, 64U));

    wr_text_char(why, '"');
    for (size_t i = 0; i < shown.n; i++) {
        if (is_plain(shown.p[i])) {
            wr_text_char(why, shown.p[i]);
        } else {
            wr_text_c(why, "\\x");
            wr_text_hex(why, &shown.p[i], 1);
        }
    }
    wr_text_c(why, shown.n < s.n ? "...\"" : "\"");
}

struct wr_str wr_check_unescape(struct wr_pool *pool, struct wr_str s)
{
    struct wr_text t = wr_text_grow(pool, s.n + 1, s.n + 1);

    for (size_t i = 0; i < s.n; i++) {
        int high = -1, low = -1;

        if (s.n - i >= 4 && s.p[i] == '\\' && s.p[i + 1] == 'x') {
            high = wr_hex_digit(s.p[i + 2]);
            low = wr_hex_digit(s.p[i + 3]);
        }
        if (high >= 0 && low >= 0) {
            wr_text_char(&t, (char)(high << 4 | low));
            i += 3;
        } else {
            wr_text_char(&t, s.p[i]);
        }
    }
    return wr_text_view(&t);
}

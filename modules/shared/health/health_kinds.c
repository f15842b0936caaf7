/* health_kinds: the list of kinds of checks, and what they share: failing with a reason, quoting
 * what a server has sent. Pure. */
#include "health_impl.h"

const struct wr_check_kind *const wr_check_kinds[] = {
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

void wr_check_quote(struct wr_text *why, struct wr_str s)
{
    struct wr_str shown = wr_str_of(s.p, wr_min(s.n, 64U));

    wr_text_char(why, '"');
    for (size_t i = 0; i < shown.n; i++) {
        if ((unsigned char)shown.p[i] - ' ' < 0x5f && shown.p[i] != '"' && shown.p[i] != '\\') {
            wr_text_char(why, shown.p[i]);
        } else {
            wr_text_c(why, "\\x");
            wr_text_hex(why, &shown.p[i], 1);
        }
    }
    wr_text_c(why, shown.n < s.n ? "...\"" : "\"");
}

/* rewrite_unescape: decodes needless escapes in the target of a redirect. */
#include "rewrite_impl.h"

/* The character of the %XX that s begins with, or -1. */
static int escape_at(struct wr_str s)
{
    if (s.n < 3 || s.p[0] != '%' || wr_hex_digit(s.p[1]) < 0 || wr_hex_digit(s.p[2]) < 0)
        return -1;
    return wr_hex_digit(s.p[1]) << 4 | wr_hex_digit(s.p[2]);
}

/* True: the character needs no escape. Not space, control characters, '"', '#' and '%'. */
static bool is_plain(int c)
{
    return c > '%' && c < 0x7f;
}

void wr_rewrite_unescape(struct wr_text *out, struct wr_str text)
{
    while (text.n > 0) {
        int c = escape_at(text);

        if (is_plain(c)) {
            wr_text_char(out, (char)c);
            text = wr_str_skip(text, 3);
        } else {
            c = text.p[0];
            wr_text_char(out, text.p[0]);
            text = wr_str_skip(text, 1);
        }
        if (c == '?')
            break;
    }
    wr_text_str(out, text);
}

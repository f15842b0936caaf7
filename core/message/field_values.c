/* field_values: extracts single values from a head: fields by a variable's name, cookies,
 * arguments, Basic credentials. Pure, except that it allocates in the pool. Variables call it,
 * and http_session for `field` of its layer. */
#include "message/message.h"

/* True: the variable's name "x_forwarded_for" means the field "X-Forwarded-For". */
static bool is_named(struct wr_str field, struct wr_str name)
{
    if (field.n != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = wr_lower((unsigned char)field.p[i]);

        if ((c == '-' ? '_' : c) != wr_lower((unsigned char)name.p[i]))
            return false;
    }
    return true;
}

typedef bool match_name(struct wr_str field, struct wr_str name);

static bool join_fields(struct wr_pool *p, const struct wr_fields *f, struct wr_str name,
                        match_name *match, const char *separator, struct wr_str *out)
{
    struct wr_text t = { 0 };
    uint32_t found = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        if (f->at[i].gone || !match(f->at[i].name, name))
            continue;
        if (found++ == 0) {
            *out = f->at[i].value;
            continue;
        }
        if (found == 2) {
            t = wr_text_grow(p, 256, 1 << 20);
            wr_text_str(&t, *out);
        }
        wr_text_c(&t, separator);
        wr_text_str(&t, f->at[i].value);
    }
    if (found > 1)
        *out = wr_text_view(&t);
    return found > 0;
}

bool wr_fields_joined(struct wr_pool *p, const struct wr_fields *f, struct wr_str name,
                      const char *separator, struct wr_str *out)
{
    return join_fields(p, f, name, is_named, separator, out);
}

/* "X_Real_IP" is not "X-Real-IP": a client may send the one where only the other is trusted. */
bool wr_fields_values(struct wr_pool *p, const struct wr_fields *f, struct wr_str name,
                      struct wr_str *out)
{
    return join_fields(p, f, name, wr_str_ieq, ", ", out);
}

static struct wr_str skip_spaces(struct wr_str s)
{
    while (s.n > 0 && s.p[0] == ' ')
        s = wr_str_skip(s, 1);
    return s;
}

static bool starts_with_name(struct wr_str s, struct wr_str name)
{
    return s.n >= name.n && wr_str_ieq(wr_str_of(s.p, name.n), name);
}

/* Matches "name = value; ..." at the beginning of s. */
static bool cookie_here(struct wr_str s, struct wr_str name, struct wr_str *out)
{
    if (!starts_with_name(s, name))
        return false;
    s = skip_spaces(wr_str_skip(s, name.n));
    if (s.n == 0 || s.p[0] != '=')
        return false;
    s = skip_spaces(wr_str_skip(s, 1));
    *out = wr_str_cut(&s, ';');
    return true;
}

bool wr_cookie_find(struct wr_str text, struct wr_str name, struct wr_str *out)
{
    while (text.n > 0) {
        text = skip_spaces(text);
        if (cookie_here(text, name, out))
            return true;
        (void)wr_str_cut(&text, ';');
    }
    return false;
}

bool wr_arg_find(struct wr_str args, struct wr_str name, struct wr_str *out)
{
    while (args.n > 0) {
        struct wr_str one = wr_str_cut(&args, '&');

        if (one.n > name.n && one.p[name.n] == '=' && starts_with_name(one, name)) {
            *out = wr_str_skip(one, name.n + 1);
            return true;
        }
    }
    return false;
}

/* Value of a base64 digit; 64: not a digit. */
static unsigned base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (unsigned)(c - 'a') + 26;
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0') + 52;
    return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool wr_base64_decode(struct wr_str in, struct wr_text *out)
{
    uint32_t bits = 0;
    unsigned count = 0;

    for (unsigned i = 0; i < 2 && in.n > 0 && in.p[in.n - 1] == '='; i++)
        in.n--;
    if (in.n % 4 == 1)
        return false;
    for (size_t i = 0; i < in.n; i++) {
        unsigned d = base64_digit(in.p[i]);

        if (d == 64)
            return false;
        bits = bits << 6 | d;
        count += 6;
        if (count >= 8) {
            count -= 8;
            wr_text_char(out, (char)(bits >> count & 0xff));
        }
    }
    return !out->overflow;
}

bool wr_basic_credentials(struct wr_pool *p, struct wr_str v, struct wr_str *user,
                          struct wr_str *password)
{
    struct wr_text t;

    if (!starts_with_name(v, WR_STR("Basic ")))
        return false;
    v = skip_spaces(wr_str_skip(v, 6));
    t = wr_text_grow(p, v.n + 1, v.n + 1);
    if (v.n == 0 || !wr_base64_decode(v, &t))
        return false;
    *password = wr_text_view(&t);
    if (wr_str_find(*password, ':') == password->n)
        return false;
    *user = wr_str_cut(password, ':');
    return true;
}

/* sticky_value: the text by which a cookie, or a part of a request, names a server, its signature,
 * and the cookie around it. Pure. */
#include "sticky_impl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SIGNATURE 16 /* bytes of the HMAC that are used: half of SHA-256 */

static const EVP_MD *find_md5(void)
{
    static EVP_MD *md;

    if (md == NULL) /* a build of OpenSSL for FIPS has none */
        md = EVP_MD_fetch(NULL, "MD5", NULL);
    return md;
}

bool wr_sticky_can_name(void)
{
    return find_md5() != NULL;
}

static struct wr_sticky_value in_digits(const unsigned char *p, size_t n)
{
    struct wr_sticky_value v = { .n = 0 };
    struct wr_text t = wr_text_on(v.p, sizeof(v.p));

    wr_text_hex(&t, p, n);
    v.n = t.n;
    return v;
}

struct wr_sticky_value wr_sticky_name(struct wr_str route, const struct wr_addr *addr)
{
    struct wr_sticky_value v = { .n = route.n };
    char buf[WR_ADDR_TEXT_MAX];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (route.n > 0 && route.n <= sizeof(v.p)) {
        memcpy(v.p, route.p, route.n);
        return v;
    }
    wr_addr_text(addr, &t);
    if (find_md5() == NULL || EVP_Digest(buf, t.n, digest, &n, find_md5(), NULL) != 1)
        n = 0;
    return in_digits(digest, n);
}

struct wr_sticky_value wr_sticky_sign(struct wr_str key, struct wr_str route,
                                      const struct wr_addr *addr)
{
    char buf[WR_ADDR_TEXT_MAX + 16];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    /* The first word keeps a route apart from an address that is written like it. */
    wr_text_c(&t, route.n > 0 ? "route " : "server ");
    if (route.n > 0)
        wr_text_str(&t, route);
    else
        wr_addr_text(addr, &t);
    if (t.overflow || HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)buf, t.n, mac,
                           &n) == NULL)
        n = 0;
    return in_digits(mac, wr_min(n, (unsigned)SIGNATURE));
}

/* ---- the cookie that came ---- */

bool wr_sticky_cookie(struct wr_str *rest, struct wr_str name, struct wr_str *value)
{
    struct wr_str found;

    if (!wr_cookie_find(*rest, name, &found)) {
        *rest = wr_str_of(NULL, 0);
        return false;
    }
    *rest = wr_str_of(found.p + found.n, (size_t)(rest->p + rest->n - (found.p + found.n)));
    *value = wr_str_trim(found);
    return true;
}

/* ---- the cookie that is sent ---- */

bool wr_sticky_is_value(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == ';')
            return false;
    return true;
}

static const struct wr_enum same_sites[] = {
    { "strict", WR_SAME_SITE_STRICT }, { "lax", WR_SAME_SITE_LAX }, { "none", WR_SAME_SITE_NONE },
    { NULL, WR_SAME_SITE_NO },
};

enum wr_same_site wr_same_site_of(struct wr_str word)
{
    const struct wr_enum *e = same_sites;

    while (e->name != NULL && !wr_str_ieq(word, wr_str_c(e->name)))
        e++;
    return (enum wr_same_site)e->value;
}

/* "Thu, 31-Dec-37 23:55:55 GMT", as other cookies of nginx have it; from 2038 on the year has four
 * digits. */
static void append_time(struct wr_text *t, time_t at)
{
    char buf[64];
    struct wr_text date = wr_text_on(buf, sizeof(buf));
    struct wr_str day, month, year, rest;

    wr_clock_http(at, &date); /* "Thu, 31 Dec 2037 23:55:55 GMT" */
    rest = wr_str_skip(wr_text_view(&date), 5);
    day = wr_str_cut(&rest, ' ');
    month = wr_str_cut(&rest, ' ');
    year = wr_str_cut(&rest, ' ');
    wr_text_str(t, wr_str_of(buf, 5));
    wr_text_fmt(t, WR_FMT "-" WR_FMT "-" WR_FMT " " WR_FMT, WR_ARG(day), WR_ARG(month),
                WR_ARG(at > WR_STICKY_MAX_TIME ? year : wr_str_skip(year, 2)), WR_ARG(rest));
}

void wr_sticky_attributes(struct wr_text *t, const struct wr_sticky_cookie *c, time_t now,
                          struct wr_str domain, enum wr_same_site same_site)
{
    if (c->expires_max || c->expires_s > 0) {
        wr_text_c(t, "; expires=");
        append_time(t, c->expires_max ? WR_STICKY_MAX_TIME : now + (time_t)c->expires_s);
    }
    if (domain.n > 0) {
        wr_text_c(t, "; domain=");
        wr_text_str(t, domain);
    }
    if (c->path.n > 0) {
        wr_text_c(t, "; path=");
        wr_text_str(t, c->path);
    }
    if (c->secure)
        wr_text_c(t, "; secure");
    if (c->httponly)
        wr_text_c(t, "; httponly");
    if (same_site != WR_SAME_SITE_NO) {
        wr_text_c(t, "; samesite=");
        wr_text_c(t, same_sites[same_site - 1].name);
    }
}

/* ---- the file of secrets ---- */

const char *wr_sticky_secrets(struct wr_str text, struct wr_str *out, uint32_t *n)
{
    *n = 0;
    while (text.n > 0) {
        struct wr_str line = wr_str_cut(&text, '\n');

        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n == 0)
            continue;
        if (line.n < WR_STICKY_SECRET_MIN)
            return "has a secret of less than 16 bytes";
        if (*n == WR_STICKY_SECRETS)
            return "has more than 8 secrets";
        out[(*n)++] = line;
    }
    return *n > 0 ? NULL : "has no secret";
}

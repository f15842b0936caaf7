/* cache_status: see cache_status.h. */
#include "cache_status.h"

static bool is_token(struct wr_str s) /* RFC 8941 3.3.4 */
{
    if (s.n == 0 || !wr_is_alnum(s.p[0]) || (s.p[0] >= '0' && s.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!wr_is_alnum(s.p[i])
            && (s.p[i] == '\0' || strchr("!#$%&'*+-.^_`|~:/", s.p[i]) == NULL))
            return false;
    return true;
}

static bool is_string(struct wr_str s) /* RFC 8941 3.3.3 */
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e)
            return false;
    return true;
}

static void write_string(struct wr_text *out, struct wr_str s)
{
    wr_text_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            wr_text_char(out, '\\');
        wr_text_char(out, s.p[i]);
    }
    wr_text_char(out, '"');
}

static void write_name(struct wr_text *out, struct wr_str name)
{
    if (is_token(name))
        wr_text_str(out, name);
    else if (name.n > 0 && is_string(name))
        write_string(out, name);
    else
        wr_text_c(out, "weir");
}

bool wr_cache_status_write(struct wr_text *out, const struct wr_cache_status *s)
{
    static const char *const reasons[] = {
        [WR_FWD_NONE] = "; hit",
        [WR_FWD_BYPASS] = "; fwd=bypass",
        [WR_FWD_METHOD] = "; fwd=method",
        [WR_FWD_URI_MISS] = "; fwd=uri-miss",
        [WR_FWD_VARY_MISS] = "; fwd=vary-miss",
        [WR_FWD_MISS] = "; fwd=miss",
        [WR_FWD_REQUEST] = "; fwd=request",
        [WR_FWD_STALE] = "; fwd=stale",
        [WR_FWD_NOWHERE] = "; detail=only-if-cached",
    };

    write_name(out, s->cache);
    wr_text_c(out, reasons[s->fwd]);
    if (s->fwd != WR_FWD_NONE) { /* 2.3 to 2.6 have no meaning for a hit */
        if (s->fwd_status > 0)
            wr_text_fmt(out, "; fwd-status=%u", s->fwd_status);
        wr_text_c(out, s->stored ? "; stored" : "");
        wr_text_c(out, s->collapsed ? "; collapsed" : "");
        if (s->detail != NULL && !s->stored) { /* 2.9 */
            wr_text_c(out, "; detail=");
            write_string(out, wr_str_c(s->detail));
        }
    }
    if (s->has_ttl)
        wr_text_fmt(out, "; ttl=%lld", (long long)s->ttl);
    if (s->key.p != NULL && is_string(s->key)) {
        wr_text_c(out, "; key=");
        write_string(out, s->key);
    }
    return !out->overflow;
}

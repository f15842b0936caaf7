/* invalidation: see invalidation.h. */
#include "invalidation.h"

bool wr_invalidates(struct wr_str method, unsigned status)
{
    static const struct wr_str safe[] = { /* of the registry of RFC 9110 16.1 */
        WR_STR_INIT("GET"), WR_STR_INIT("HEAD"), WR_STR_INIT("OPTIONS"), WR_STR_INIT("TRACE"),
        WR_STR_INIT("PROPFIND"), WR_STR_INIT("REPORT"), WR_STR_INIT("SEARCH"),
        WR_STR_INIT("QUERY"), WR_STR_INIT("PRI"),
    };

    if (status < 200 || status > 399)
        return false;
    for (size_t i = 0; i < WR_COUNT(safe); i++)
        if (wr_str_eq(safe[i], method)) /* case-sensitive: RFC 9110 9.1 */
            return false;
    return true;
}

/* ---- references (RFC 3986 5) ---- */

static size_t find_any(struct wr_str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\0' && strchr(set, s.p[i]) != NULL)
            return i;
    return s.n;
}

static bool has_prefix(struct wr_str s, struct wr_str prefix) /* in any case */
{
    return s.n >= prefix.n && wr_str_ieq(wr_str_of(s.p, prefix.n), prefix);
}

static bool parse_port(struct wr_str s, uint16_t none, uint16_t *out)
{
    uint64_t v = none;

    if (s.n > 0 && (!wr_str_u64(s, &v) || v == 0 || v > UINT16_MAX))
        return false;
    *out = (uint16_t)v;
    return true;
}

/* "host", "host:port", "[::1]:port" */
static bool is_own_authority(const struct wr_origin *o, struct wr_str a)
{
    size_t colon = wr_str_rfind(a, ':'), bracket = wr_str_rfind(a, ']');
    struct wr_str host = a, port = { NULL, 0 };
    uint16_t number;

    if (colon < a.n && (bracket == a.n || bracket < colon)) {
        host.n = colon;
        port = wr_str_skip(a, colon + 1);
    }
    if (host.n > 0 && host.p[host.n - 1] == '.')
        host.n--;
    return parse_port(port, wr_str_is(o->scheme, "https") ? 443 : 80, &number)
        && number == o->port && wr_str_ieq(host, o->host);
}

/* Cuts scheme and authority off; *has_origin: there were any. False: those of another origin. */
static bool cut_origin(const struct wr_origin *o, struct wr_str *ref, bool *has_origin)
{
    size_t end = find_any(*ref, ":/?#");

    if (end < ref->n && ref->p[end] == ':') {
        if (end != o->scheme.n || !has_prefix(*ref, o->scheme))
            return false;
        *ref = wr_str_skip(*ref, end + 1);
        if (!wr_str_starts(*ref, WR_STR("//")))
            return false;
    }
    *has_origin = wr_str_starts(*ref, WR_STR("//"));
    if (!*has_origin)
        return true;
    *ref = wr_str_skip(*ref, 2);
    end = find_any(*ref, "/?#");
    if (!is_own_authority(o, wr_str_of(ref->p, end)))
        return false;
    *ref = wr_str_skip(*ref, end);
    return true;
}

/* 5.2.4: writes the path without its "." and ".." segments. `from`: where it began in out. */
static void write_path(struct wr_text *out, struct wr_str path)
{
    const size_t from = out->n;

    while (path.n > 0) {
        size_t n;
        struct wr_str part;

        path = wr_str_skip(path, 1); /* the "/" */
        n = wr_str_find(path, '/');
        part = wr_str_of(path.p, n);
        path = wr_str_skip(path, n);
        if (wr_str_is(part, "..")) {
            while (out->n > from && out->p[--out->n] != '/')
                continue;
        }
        if (!wr_str_is(part, "..") && !wr_str_is(part, ".")) {
            wr_text_char(out, '/');
            wr_text_str(out, part);
        } else if (path.n == 0) {
            wr_text_char(out, '/');
        }
    }
}

/* The path of the reference, merged with that of the request (5.2.3), into `merged`. */
static void merge_path(struct wr_str own, struct wr_str path, struct wr_text *merged)
{
    struct wr_str base = wr_str_of(own.p, wr_str_find(own, '?'));

    if (path.n > 0 && path.p[0] == '/') {
        wr_text_str(merged, path);
        return;
    }
    if (path.n > 0) /* all up to the last "/" */
        base.n = wr_min(wr_str_rfind(base, '/') + 1, base.n);
    wr_text_str(merged, base);
    wr_text_str(merged, path);
}

bool wr_invalidation_target(const struct wr_origin *o, struct wr_str location, struct wr_text *out)
{
    char buffer[4096];
    struct wr_text merged = wr_text_on(buffer, sizeof(buffer));
    struct wr_str own = wr_str_of(o->target.p, wr_str_find(o->target, '#'));
    struct wr_str ref = wr_str_trim(location), path, query;
    bool has_origin;

    if (ref.n == 0 || own.n == 0 || own.p[0] != '/' || !cut_origin(o, &ref, &has_origin))
        return false;
    ref.n = wr_str_find(ref, '#');
    path = wr_str_of(ref.p, wr_str_find(ref, '?'));
    query = wr_str_skip(ref, path.n);
    if (has_origin && path.n == 0)
        path = WR_STR("/");
    merge_path(own, path, &merged);
    if (path.n == 0 && query.n == 0) /* "#a": the request's own */
        query = wr_str_skip(own, wr_str_find(own, '?'));
    write_path(out, wr_text_view(&merged));
    wr_text_str(out, query);
    return !merged.overflow && !out->overflow;
}

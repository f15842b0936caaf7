/* Any bytes as a URI, a host and a date. A path that was normalized and escaped has to normalize to
 * itself; what is escaped has to unescape to what it was. */
#include "message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct wr_str uri, bool merged)
{
    struct wr_str rest = wr_str_skip(uri, 1), segment;

    WR_ASSERT(uri.n > 0 && uri.p[0] == '/');
    while (rest.p != NULL && rest.n > 0) {
        segment = wr_str_cut(&rest, '/');
        WR_ASSERT(!wr_str_is(segment, ".") && !wr_str_is(segment, ".."));
        WR_ASSERT(!merged || segment.n > 0);
    }
    WR_ASSERT(wr_str_find(uri, '\0') == uri.n);
}

static void check_normal(struct wr_pool *pool, struct wr_str in, bool merge)
{
    struct wr_text t = wr_text_grow(pool, 64, 3 * in.n + 1);
    struct wr_request r = { 0 }, again = { 0 };

    if (!wr_uri_normalize(pool, in, merge, &r) || wr_str_is(in, "*"))
        return;
    WR_ASSERT(r.uri.n <= in.n && r.args.n < in.n);
    check_path(r.uri, merge);
    wr_uri_escape(&t, r.uri, WR_ESC_URI);
    WR_ASSERT(wr_uri_normalize(pool, wr_text_view(&t), merge, &again));
    WR_ASSERT(wr_str_eq(again.uri, r.uri) && again.args.p == NULL && !again.complex);
    WR_ASSERT(r.quoted || r.complex || wr_str_starts(in, r.uri));
}

static void check_escapes(struct wr_pool *pool, struct wr_str in)
{
    static const enum wr_escape_kind kinds[] = { WR_ESC_URI, WR_ESC_ARGS, WR_ESC_COMPONENT,
                                                 WR_ESC_REFRESH, WR_ESC_MEMCACHED };

    for (size_t i = 0; i < WR_COUNT(kinds); i++) {
        struct wr_text t = wr_text_grow(pool, 64, 3 * in.n + 1);

        wr_uri_escape(&t, in, kinds[i]);
        WR_ASSERT(!t.overflow && wr_str_eq(wr_uri_unescape(pool, wr_text_view(&t)), in));
    }
    WR_ASSERT(wr_uri_unescape(pool, in).n <= in.n);
}

static void check_host(struct wr_pool *pool, struct wr_str in)
{
    struct wr_str name, again;
    uint16_t port;

    if (!wr_host_parse(pool, in, &name, &port))
        return;
    WR_ASSERT(name.n > 0 && name.n <= in.n && name.p[name.n - 1] != '.');
    for (size_t i = 0; i < name.n; i++)
        WR_ASSERT((unsigned char)name.p[i] == wr_lower((unsigned char)name.p[i])
                  && (unsigned char)name.p[i] > ' ' && name.p[i] != '/' && name.p[i] != '@');
    WR_ASSERT(wr_host_parse(pool, name, &again, &port) && wr_str_eq(name, again) && port == 0);
}

static void check_time(struct wr_str in)
{
    char buf[64];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    time_t at, again;

    if (!wr_http_time(in, &at))
        return;
    wr_clock_http(at, &t);
    WR_ASSERT(wr_http_time(wr_text_view(&t), &again) && again == at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str in = wr_str_of((const char *)data, size);

    check_normal(pool, in, true);
    check_normal(pool, in, false);
    check_escapes(pool, in);
    check_host(pool, in);
    check_time(in);
    wr_pool_free(pool);
    return 0;
}

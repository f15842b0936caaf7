/* http_check: the kind of health check of a location: GET, and a look at the reply. Heads and
 * bodies are written and parsed as those of requests are (core/http1). Pure. */
#include "http_check.h"

struct check_http {              /* state of a conversation */
    uint32_t magic;
    struct wr_h1_progress progress;
    struct wr_response res;
    struct wr_chunked chunked;
    struct wr_text body;
    uint64_t left;               /* LENGTH: bytes of the body that have not come */
    bool head;                   /* the head was read */
};

static void *raw_state(const struct wr_check_talk *t)
{
    return t->state;
}

static struct check_http *state_of(const struct wr_check_talk *t)
{
    return WR_CHECK(t->state, CHECK_HTTP);
}

static enum wr_check_next http_begin(struct wr_check_talk *t)
{
    static const struct wr_field agent = {
        .name = WR_STR_INIT("User-Agent"), .value = WR_STR_INIT("weir health check"),
        .id = WR_F_USER_AGENT,
    };
    static const struct wr_field any = {
        .name = WR_STR_INIT("Accept"), .value = WR_STR_INIT("*/*"), .id = WR_F_ACCEPT,
    };
    const struct wr_field *fields[] = { &agent, &any };
    struct wr_request_out r = {
        .method = WR_M_GET,
        .method_text = WR_STR("GET"),
        .target = t->conf->uri,
        .authority = t->conf->host,
        .version = 11,
        .close = !t->conf->keep,
        .framing = WR_BODY_NONE,
        .fields = fields,
        .n = WR_COUNT(fields),
    };
    struct check_http *s = raw_state(t);

    WR_TYPED(s, CHECK_HTTP);
    wr_h1_write_request(&t->out, &r);
    return WR_CHECK_MORE;
}

/* The lines behind the status line, without the empty one. */
static struct wr_str field_lines(struct wr_str head)
{
    struct wr_str lines = wr_str_skip(head, wr_str_find(head, '\n') + 1);

    if (lines.n > 0)
        lines.n--;
    if (lines.n > 0 && lines.p[lines.n - 1] == '\r')
        lines.n--;
    return lines;
}

static enum wr_check_next bad_head(struct wr_check_talk *t, const char *why)
{
    (void)wr_check_fail(t, "invalid reply: ");
    wr_text_c(&t->why, why != NULL ? why : "no HTTP");
    return WR_CHECK_FAIL;
}

/* A head is complete. Its verdict, or MORE if the body matters. */
static enum wr_check_next judge_head(struct wr_check_talk *t, struct wr_str head)
{
    struct check_http *s = state_of(t);
    struct wr_http_head h = { .status = s->res.status, .lines = field_lines(head) };

    if (!wr_http_match_head(t->conf->match, &h, &t->why))
        return WR_CHECK_FAIL;
    s->head = true;
    s->left = s->res.framing == WR_BODY_LENGTH ? s->res.length : 0;
    s->body = wr_text_grow(t->pool, 1024, WR_CHECK_READ_MAX);
    return WR_CHECK_MORE;
}

/* Fields cost much more memory than their bytes: a head, of which there may be thousands (1xx), has
 * a pool of its own for as long as it is looked at. */
static enum wr_check_next parse_head(struct wr_check_talk *t, struct wr_str bytes)
{
    struct check_http *s = state_of(t);
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str head = wr_pool_str(pool, bytes);
    enum wr_check_next next;

    if (wr_h1_response(head, WR_CHECK_READ_MAX, WR_M_GET, pool, &s->progress, &s->res)
        != WR_PARSE_OK)
        next = bad_head(t, s->progress.why);
    else if (s->res.status < 200 && s->res.status != 101)
        next = WR_CHECK_MORE;
    else
        next = judge_head(t, head);
    s->res = (struct wr_response){ .status = s->res.status, .framing = s->res.framing,
                                   .keepalive = s->res.keepalive };
    s->progress = (struct wr_h1_progress){ 0 };
    wr_pool_free(pool);
    return next;
}

/* MORE with *used > 0: a head was read. */
static enum wr_check_next read_head(struct wr_check_talk *t, struct wr_str in, size_t *used)
{
    static const struct wr_head_limits limits = { .line = WR_CHECK_READ_MAX,
                                                  .total = WR_CHECK_READ_MAX };
    struct check_http *s = state_of(t);

    switch (wr_h1_head_end(in, &limits, false, &s->progress)) {
    case WR_PARSE_MORE:
        return WR_CHECK_MORE;
    case WR_PARSE_BAD:
        return bad_head(t, s->progress.why);
    case WR_PARSE_OK:
        break;
    }
    *used = s->progress.size;
    return parse_head(t, wr_str_of(in.p, s->progress.size));
}

/* Takes bytes of a body. False: they are not valid. *done: it is complete. */
static bool read_body(struct check_http *s, struct wr_str in, size_t *used, bool *done)
{
    struct wr_str data;
    size_t n;

    switch (s->res.framing) {
    case WR_BODY_LENGTH:
        n = (size_t)wr_min(s->left, (uint64_t)in.n);
        wr_text_str(&s->body, wr_str_of(in.p, n));
        s->left -= n;
        *used = n;
        *done = s->left == 0;
        return true;
    case WR_BODY_CHUNKED:
        while (*used < in.n && !s->chunked.done) {
            if (wr_chunked_step(&s->chunked, wr_str_skip(in, *used), &n, &data) == WR_PARSE_BAD)
                return false;
            wr_text_str(&s->body, data);
            *used += n;
        }
        *done = s->chunked.done;
        return true;
    case WR_BODY_CLOSE:
        wr_text_str(&s->body, in);
        *used = in.n;
        return true;
    case WR_BODY_NONE:
        *done = true;
    }
    return true;
}

static enum wr_check_next pass_reply(struct wr_check_talk *t, bool whole)
{
    const struct check_http *s = state_of(t);

    t->keep = whole && s->res.keepalive && s->res.status != 101;
    wr_text_fmt(&t->why, "HTTP %u", s->res.status);
    return WR_CHECK_PASS;
}

/* The head matches. The body is read if it matters, or if the connection is kept. */
static enum wr_check_next judge_body(struct wr_check_talk *t, struct wr_str in,
                                     enum wr_check_end end, size_t *used)
{
    struct check_http *s = state_of(t);
    bool wanted = wr_http_match_wants_body(t->conf->match), done = false;

    if (!wanted && (!t->conf->keep || !s->res.keepalive))
        return pass_reply(t, false);
    if (!read_body(s, in, used, &done))
        return wr_check_fail(t, "invalid reply: %s", s->chunked.why);
    if (!done && end == WR_CHECK_OPEN)
        return WR_CHECK_MORE;
    if (!done && end == WR_CHECK_CLOSED && s->res.framing != WR_BODY_CLOSE)
        return wr_check_fail(t, "the server closed the connection within the body");
    if (wanted && !wr_http_match_body(t->conf->match, wr_text_view(&s->body), &t->why))
        return WR_CHECK_FAIL;
    return pass_reply(t, done);
}

static enum wr_check_next no_head(struct wr_check_talk *t, struct wr_str in,
                                  enum wr_check_end end)
{
    if (end == WR_CHECK_FULL)
        return wr_check_fail(t, "the head is longer than 64 KB");
    return wr_check_fail(t, "the server closed the connection %s",
                         in.n == 0 ? "without a reply" : "within the head");
}

static enum wr_check_next http_input(struct wr_check_talk *t, struct wr_str in,
                                     enum wr_check_end end, size_t *used)
{
    struct check_http *s = state_of(t);

    enum wr_check_next next;
    size_t n;

    while (!s->head) { /* interim heads may come first */
        n = 0;
        next = read_head(t, wr_str_skip(in, *used), &n);
        *used += n;
        if (next != WR_CHECK_MORE)
            return next;
        if (n == 0)
            return end == WR_CHECK_OPEN ? WR_CHECK_MORE : no_head(t, in, end);
    }
    n = 0;
    next = judge_body(t, wr_str_skip(in, *used), end, &n);
    *used += n;
    return next;
}

static const struct wr_check_kind http_kind = {
    .name = "http",
    .layers = WR_L7,
    .params = WR_CHECK_URI | WR_CHECK_MATCH | WR_CHECK_KEEPALIVE,
    .state_size = sizeof(struct check_http),
    .begin = http_begin,
    .input = http_input,
    .match_new = wr_http_match_new,
    .match_line = wr_http_match_line,
};

static bool prepare(struct wr_cf *cf)
{
    wr_check_kind_add(cf, &http_kind);
    return true;
}

extern struct wr_module wr_module_http_check;

struct wr_module wr_module_http_check = {
    .name = "http_check",
    .layers = WR_L7,
    .prepare = prepare,
};

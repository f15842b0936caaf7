/* Any bytes as values of a request to a server and of a reply to a client, as variables may put
 * them there: the heads that HTTP/1 writes have one line for each field, each line ends where it
 * should, and the reply is parsed as it was decided. The first byte chooses the framing of the
 * body, the second the size of a text that is too small. Then come pieces that end in \xff: the
 * first is the host and the type; the first byte of each other one chooses the field's name, and
 * whether the field looks parsed. */
#include "http1/http1_impl.h"

#define PIECES 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wr_str names[] = {
    WR_STR_INIT("X-A"), WR_STR_INIT("Location"), WR_STR_INIT("Refresh"), WR_STR_INIT("Set-Cookie"),
    WR_STR_INIT("a"), WR_STR_INIT("Cookie"), WR_STR_INIT("Link"),
};

struct head {
    struct wr_str first;       /* piece */
    struct wr_fields f;
    uint8_t how;
};

static void take_pieces(struct wr_pool *pool, struct wr_str in, struct head *h)
{
    struct wr_field *laid[PIECES];
    bool lay[PIECES] = { false };
    uint32_t n = 0;

    h->first = wr_str_cut(&in, '\xff');
    while (in.n > 0 && h->f.n < PIECES) {
        struct wr_str piece = wr_str_cut(&in, '\xff');
        unsigned char which = piece.n > 0 ? (unsigned char)piece.p[0] : 0;

        lay[h->f.n] = (which & 0x40) != 0;
        (void)wr_fields_add(pool, &h->f, names[which % WR_COUNT(names)],
                            wr_str_skip(piece, wr_min(piece.n, 1U)));
    }
    for (uint32_t i = 0; i < h->f.n; i++) /* the array does not move any more */
        if (lay[i])
            laid[n++] = &h->f.at[i];
    wr_fields_lay(pool, laid, n);
}

/* Every line ends in CRLF, the last is empty, and there is no other control character but TAB. */
static uint32_t count_lines(struct wr_str head)
{
    uint32_t lines = 0;

    WR_ASSERT(wr_str_ends(head, WR_STR("\r\n\r\n")));
    for (struct wr_str rest = head, line; rest.n > 0; lines++) {
        line = wr_str_cut(&rest, '\n');
        WR_ASSERT(line.n > 0 && line.p[line.n - 1] == '\r' && (line.n > 1 || rest.n == 0));
        for (size_t i = 0; i + 1 < line.n; i++)
            WR_ASSERT(((unsigned char)line.p[i] >= ' ' || line.p[i] == '\t') && line.p[i] != 0x7f);
    }
    return lines;
}

/* A text that is too small has the bytes that fit. */
static void check_small(struct wr_str whole, const struct wr_text *small)
{
    WR_ASSERT(small->overflow == (small->cap < whole.n) && small->n <= small->cap);
    WR_ASSERT(small->overflow || wr_str_eq(whole, wr_text_view(small)));
}

static void check_request(struct wr_pool *pool, const struct head *h, size_t cap)
{
    const struct wr_field *fields[PIECES];
    struct wr_request_out out = {
        .method_text = WR_STR("GET"), .target = WR_STR("/"), .version = 11, .fields = fields,
        .authority = h->first, .n = h->f.n, .own = h->f.n / 2, .close = (h->how & 8) != 0,
        .framing = h->how % 3, .length = h->how,
    };
    struct wr_text t = wr_text_grow(pool, 16, 1 << 20), small = wr_text_grow(pool, cap, cap);
    uint32_t lines = 2 + out.n + (out.authority.n > 0) + out.close + (out.framing != WR_BODY_NONE);

    for (uint32_t i = 0; i < h->f.n; i++)
        fields[i] = &h->f.at[i];
    wr_h1_write_request(&t, &out);
    WR_ASSERT(!t.overflow && count_lines(wr_text_view(&t)) == lines);
    wr_h1_write_request(&small, &out);
    check_small(wr_text_view(&t), &small);
}

static void check_reply(struct wr_pool *pool, const struct head *h, size_t cap)
{
    struct wr_reply_out out = {
        .status = 200, .type = h->first, .fields = &h->f, .last_modified = h->how - 100,
        .says_length = (h->how & 1) != 0, .length = h->how, .date = WR_STR("d"),
    };
    struct wr_h1_hop hop = { .chunked = (h->how & 1) == 0,
                             .connection = (h->how & 2) != 0 ? WR_H1_KEEP : WR_H1_CLOSE };
    struct wr_text t = wr_text_grow(pool, 16, 1 << 20), small = wr_text_grow(pool, cap, cap);
    uint32_t lines = 5 + h->f.n + (out.type.n > 0) + (out.last_modified >= 0);
    struct wr_h1_progress p = { 0 };
    struct wr_response r;

    wr_h1_write_reply(&t, &out, &hop);
    WR_ASSERT(!t.overflow && count_lines(wr_text_view(&t)) == lines);
    WR_ASSERT(wr_h1_response(wr_text_view(&t), SIZE_MAX / 2, WR_M_GET, pool, &p, &r)
              == WR_PARSE_OK);
    WR_ASSERT(p.size == t.n && r.keepalive == (hop.connection == WR_H1_KEEP));
    WR_ASSERT(r.framing == (out.says_length ? WR_BODY_LENGTH : WR_BODY_CHUNKED));
    /* Date, and Connection, which is marked as gone. */
    WR_ASSERT(r.fields.n == h->f.n + 2 + (out.last_modified >= 0));
    wr_h1_write_reply(&small, &out, &hop);
    check_small(wr_text_view(&t), &small);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_pool *pool = wr_pool_new(0);
    struct head h = { .how = size > 0 ? data[0] : 0 };
    size_t cap = size > 1 ? data[1] + 1U : 1;

    take_pieces(pool, wr_str_of((const char *)data + wr_min(size, 2U), size - wr_min(size, 2U)),
                &h);
    check_request(pool, &h, cap);
    check_reply(pool, &h, cap);
    wr_pool_free(pool);
    return 0;
}

/* Private to HTTP/1's files: looking at many bytes at once, one field line, the state of a client
 * connection, the two endpoints. */
#ifndef WR_HTTP1_IMPL_H
#define WR_HTTP1_IMPL_H

#include "http1/http1.h"

#include <endian.h>

/* How many bytes from p on are at least `low` and not DEL. Eight at once: of the bytes a
 * subtraction marks, the lowest is always right, and only that one is used. */
static inline size_t wr_h1_span(const char *p, size_t n, unsigned char low)
{
    const uint64_t ones = 0x0101010101010101U;
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t v, del, hit;

        memcpy(&v, p + i, sizeof(v));
        v = le64toh(v);
        del = v ^ 0x7f * ones;
        hit = (((v - low * ones) & ~v) | ((del - ones) & ~del)) & 0x80 * ones;
        if (hit != 0)
            return i + (size_t)__builtin_ctzll(hit) / 8;
    }
    while (i < n && (unsigned char)p[i] >= low && p[i] != 0x7f)
        i++;
    return i;
}

/* Index of the first LF from i on, or s.n. Lines are short and hold no other control characters:
 * cheaper than a call for each of them. */
static inline size_t wr_h1_line_feed(struct wr_str s, size_t i)
{
    while (i += wr_h1_span(s.p + i, s.n - i, ' '), i < s.n && s.p[i] != '\n')
        i++;
    return i;
}

/* Characters found in a name besides letters, digits and '-'. */
#define WR_H1_UNDERSCORE 1
#define WR_H1_TOKEN 2         /* token characters of RFC 9110 that nginx does not take */
#define WR_H1_FOREIGN 4       /* no token character */

struct wr_h1_field {
    struct wr_str line;       /* without its end, for the log */
    struct wr_str name, value;
    unsigned seen;
};

/* Takes one field line off *rest, which is not empty and ends in LF. False: it has no colon, space
 * before it, a control character or a bare CR; line is set all the same. */
bool wr_h1_field(struct wr_str *rest, struct wr_h1_field *f) WR_CHECKED;

/* Connection names few fields: each of them is looked for among all that came. */
#define WR_H1_OPTIONS_MAX 64
bool wr_h1_options_fit(const struct wr_fields *f) WR_CHECKED;

/* Length of the empty line s begins with: it ends a head, or stands before one. 0: none. */
static inline size_t wr_h1_blank(struct wr_str s)
{
    if (s.n >= 1 && s.p[0] == '\n')
        return 1;
    return s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

/* Cuts the first line off *rest, without its line end. Without a LF all of it is the line, and the
 * rest is NULL. */
static inline struct wr_str wr_h1_cut_line(struct wr_str *rest)
{
    size_t n = wr_h1_line_feed(*rest, 0);
    struct wr_str line = wr_str_of(rest->p, n);

    *rest = n < rest->n ? wr_str_of(rest->p + n + 1, rest->n - n - 1) : wr_str_of(NULL, 0);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

struct wr_h1_line {           /* a request line */
    struct wr_str method, target;
    struct wr_str authority;  /* of absolute-form and authority-form; p NULL: none */
    enum wr_method id;
    uint8_t version;
    uint16_t status;          /* when it is none */
    const char *why;
};
bool wr_h1_request_line(struct wr_str line, struct wr_h1_line *out) WR_CHECKED;

static inline enum wr_parse wr_h1_bad(struct wr_h1_progress *p, uint16_t status, const char *why)
{
    p->size = 0;
    p->status = status;
    p->why = why;
    return WR_PARSE_BAD;
}

#define WR_H1_FIELDS_MAX 1000 /* when nothing else is configured */

/* The text of a line for the log; what is too long for it is cut. */
#define WR_H1_LOGGED(s) (int)wr_min((s).n, 512U), (s).p

/* ---- a message body that is read ---- */
struct wr_h1_in {
    enum wr_framing framing;
    uint64_t left;             /* LENGTH */
    struct wr_chunked chunked;
    bool done;
};

/* Nothing of it was read: in is zeroed, or was that of an interim head. */
static inline void wr_h1_in_begin(struct wr_h1_in *in, enum wr_framing framing, uint64_t length)
{
    in->framing = framing;
    in->left = framing == WR_BODY_LENGTH ? length : 0;
    in->done = framing == WR_BODY_NONE || (framing == WR_BODY_LENGTH && length == 0);
}

/* ---- a client connection (h1_session) ---- */
struct wr_h1_drop {            /* reads and drops unwanted input behind a reply (lingering) */
    struct wr_h1_in in;        /* the rest of the body */
    uint64_t until, each;      /* monotonic ms; longest pause meanwhile, ms */
    bool closing;              /* anything at all, until the client closes; no next request */
};
/* State of a wr_http_session. Bytes read and not yet used wait in buf. */
struct wr_h1_session {
    char *buf;                 /* malloc'ed while it is needed, else NULL */
    size_t at, n, cap;         /* buf[at..n) is unread */
    struct wr_h1_progress progress;
    struct wr_h1_drop *drop;   /* malloc'ed while it drops, else NULL */
    uint64_t head_ms;          /* monotonic: when the head that is read now began; 0: it did not */
    uint64_t received_before;  /* of the connection when the request began */
    uint64_t keep_ms;          /* how long the next request may take to come */
    bool pipelined;            /* the request was here before the reply to the last one was out */
};
_Static_assert(sizeof(struct wr_h1_session) <= WR_HTTP_STATE, "the state is for every client");
static inline struct wr_h1_session *wr_h1_session_of(const struct wr_session *s)
{
    return (void *)wr_http_session_of(s)->state;
}
/* Decoded bytes of a client's body; EOF when it is complete. p must hold n bytes; used as scratch
 * too. */
enum wr_io wr_h1_read_in(struct wr_session *s, struct wr_h1_in *in, void *p, size_t n, size_t *got);
void wr_h1_session_wake(struct wr_session *s);
void wr_h1_session_drain(struct wr_session *s);
void wr_h1_session_ended(struct wr_session *s);

/* ---- h1_keepalive ---- */
/* Does the connection go on behind this reply, and for how long? The answer is h->keepalive. Tells
 * a client that waits for it to send its body all the same. */
void wr_h1_decide_keepalive(struct wr_h1_server *sv, struct wr_http *h);

/* ---- h1_server ---- */
struct wr_h1_server {          /* client.state of an exchange */
    uint32_t magic;
    struct wr_exchange *x;
    struct wr_h1_in in;        /* the request's body */
    struct wr_text out;        /* control bytes (head, chunk sizes) not yet sent from out_at on */
    size_t out_at;
    enum wr_framing framing;   /* of the reply */
    uint64_t left;             /* LENGTH: of the body; CHUNKED: of the open chunk */
    bool last;                 /* the last chunk was put */
    uint64_t body_sent;
};
struct wr_h1_server *wr_h1_server_open(struct wr_exchange *x);
/* Entries of the table wr_http1. */
void wr_h1_server_interim(struct wr_exchange *x, unsigned status);
bool wr_h1_server_reply(struct wr_exchange *x, const struct wr_reply_out *out) WR_CHECKED;
void wr_h1_server_abort(struct wr_exchange *x, enum wr_abort how);
extern const struct wr_str wr_h1_continue; /* "HTTP/1.1 100 Continue" */

/* ---- h1_client ---- */
struct wr_h1_client {          /* peer.state */
    uint32_t magic;
    struct wr_exchange *x;
    struct wr_text out;        /* request head */
    size_t out_at;
    bool out_chunked, out_last;
    uint64_t out_left;
    char *buf;                 /* read and not yet used: buf[at..n) */
    size_t at, n, cap;
    char *room;                /* of the pool, for heads that come in parts */
    size_t heads;              /* bytes of all heads so far */
    bool loan;                 /* buf is the worker's scratch: used up or kept before a wait */
    struct wr_h1_progress progress;
    struct wr_h1_in in;
    const char *why;           /* of an ERROR that is no errno */
};
/* Entries of the table wr_http1. */
bool wr_h1_client_request(struct wr_exchange *x, const struct wr_request_out *out) WR_CHECKED;
enum wr_io wr_h1_client_head(struct wr_exchange *x) WR_CHECKED;
void wr_h1_client_cancel(struct wr_exchange *x, enum wr_failure why);
struct wr_try_verdict wr_h1_client_verdict(const struct wr_exchange *x, enum wr_failure why);
extern const struct wr_link_speaker wr_h1_link;

/* ---- h1_write: the only way a field of a reply, of a request to a server or of trailers gets to
 * the wire ----
 * Variables can put any byte into a value; what came off the wire was checked by the parser. A
 * control character other than TAB (RFC 9110 5.5) is written as a space, in Location and Refresh as
 * %XX: it begins no other field or message, and as the field stays, nobody can take one away
 * (Content-Security-Policy, say) by asking for /%0A. Names are checked while loading.
 * Lines that came one behind the other, and stay so, are copied in one piece. */
/* Appends the head of a request, up to the empty line. */
void wr_h1_write_request(struct wr_text *out, const struct wr_request_out *r);
struct wr_h1_hop {             /* what HTTP/1 has to say of the connection and the framing */
    bool chunked;
    enum { WR_H1_CLOSE, WR_H1_KEEP, WR_H1_UPGRADE } connection;
    uint64_t keep_s;           /* of KEEP, for Keep-Alive; 0: not said */
};
void wr_h1_write_reply(struct wr_text *out, const struct wr_reply_out *r,
                       const struct wr_h1_hop *hop);
void wr_h1_write_fields(struct wr_text *out, const struct wr_fields *f);

/* ---- h1_out ---- */
/* Appends "1f\r\n"; n 0: the last chunk, trailers (NULL: none) and all. */
void wr_chunk_open(struct wr_text *out, uint64_t n, const struct wr_fields *trailers);
/* Sends out[*at..] and then as much of the chain as `left` allows; *put counts chain bytes. chunk:
 * CRLF follows when the last of `left` is out. */
enum wr_io wr_h1_send(struct wr_conn *c, struct wr_text *out, size_t *at,
                      const struct wr_slice *chain, uint64_t left, bool chunk, size_t *put);

#endif

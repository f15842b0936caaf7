/* Private to HTTP/1's files: scanning many bytes at once, parsing one line, the state of a client
 * connection, the two endpoints, writing heads. */
#ifndef WR_HTTP1_IMPL_H
#define WR_HTTP1_IMPL_H

#include "http1/http1.h"

#include <endian.h>

/* Returns how many bytes from p on are at least `low` and not DEL. Compares eight at once: the
 * subtraction may mark bytes wrongly, but never the lowest marked one, and only that is used. */
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

/* Index of the first LF from i on, or s.n. Inline: lines are short and rarely have other control
 * characters, so that a call of memchr for each would cost more. */
static inline size_t wr_h1_line_feed(struct wr_str s, size_t i)
{
    while (i += wr_h1_span(s.p + i, s.n - i, ' '), i < s.n && s.p[i] != '\n')
        i++;
    return i;
}

/* Kinds of characters found in a name besides letters, digits and '-': bits of wr_h1_field.seen. */
#define WR_H1_UNDERSCORE 1
#define WR_H1_TOKEN 2         /* token characters of RFC 9110 that nginx does not accept */
#define WR_H1_FOREIGN 4       /* not a token character */

struct wr_h1_field {
    struct wr_str line;       /* without its end, for the log */
    struct wr_str name, value;
    unsigned seen;
};

/* Takes one field line off *rest, which is not empty and ends in LF. False: the line has no colon,
 * a space before the colon, a control character or a bare CR; f->line is set nevertheless. */
bool wr_h1_field(struct wr_str *rest, struct wr_h1_field *f) WR_CHECKED;

/* Most names in Connection: each is searched among all fields. */
#define WR_H1_OPTIONS_MAX 64
bool wr_h1_options_fit(const struct wr_fields *f) WR_CHECKED;

/* Length of the empty line at the start of s, which ends a head or precedes one. 0: none. */
static inline size_t wr_h1_blank(struct wr_str s)
{
    if (s.n >= 1 && s.p[0] == '\n')
        return 1;
    return s.n >= 2 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

/* Cuts the first line off *rest and returns it without its line end. If there is no LF, all of it
 * is the line, and rest->p becomes NULL. */
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
    uint16_t status;          /* the error's, if the line is invalid; why: the reason */
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

#define WR_H1_FIELDS_MAX 1000 /* unless max_headers is configured */

/* A line as arguments of "%.*s" for the log, cut to 512 bytes. */
#define WR_H1_LOGGED(s) (int)wr_min((s).n, 512U), (s).p

/* ---- a message body that is read ---- */
struct wr_h1_in {
    enum wr_framing framing;
    uint64_t left;             /* LENGTH */
    struct wr_chunked chunked;
    bool done;
};

/* Begins a body of which nothing was read. in: zeroed, or used for an interim head. */
static inline void wr_h1_in_begin(struct wr_h1_in *in, enum wr_framing framing, uint64_t length)
{
    in->framing = framing;
    in->left = framing == WR_BODY_LENGTH ? length : 0;
    in->done = framing == WR_BODY_NONE || (framing == WR_BODY_LENGTH && length == 0);
}

/* ---- a client connection (h1_session) ---- */
struct wr_h1_drop {            /* lingering: reads and drops input after a reply */
    struct wr_h1_in in;        /* the rest of the body */
    uint64_t until, each;      /* deadline, monotonic ms; longest pause between reads, ms */
    bool closing;              /* drop everything until the client closes; no next request */
};
/* State of a wr_http_session. Bytes read and not yet used wait in buf. */
struct wr_h1_session {
    char *buf;                 /* malloc'ed while it is needed, else NULL */
    size_t at, n, cap;         /* buf[at..n) is unread */
    struct wr_h1_progress progress;
    struct wr_h1_drop *drop;   /* malloc'ed while it drops, else NULL */
    uint64_t head_ms;          /* monotonic: when the current head began; 0: not yet */
    uint64_t received_before;  /* bytes the connection had received when the request began */
    uint64_t keep_ms;          /* longest wait for the next request */
    bool pipelined;            /* the request came before the last reply was sent */
};
_Static_assert(sizeof(struct wr_h1_session) <= WR_HTTP_STATE, "the state must fit the session");
static inline struct wr_h1_session *wr_h1_session_of(const struct wr_session *s)
{
    return (void *)wr_http_session_of(s)->state;
}
/* Reads decoded bytes of a client's body; EOF when it is complete. p has room for n bytes, all of
 * which may be overwritten. */
enum wr_io wr_h1_read_in(struct wr_session *s, struct wr_h1_in *in, void *p, size_t n, size_t *got);
void wr_h1_session_wake(struct wr_session *s);
void wr_h1_session_drain(struct wr_session *s);
void wr_h1_session_ended(struct wr_session *s);

/* ---- h1_keepalive ---- */
/* Decides whether the connection stays open after this reply (h->keepalive) and for how long
 * (keep_ms). If so, a client that waits for 100 Continue gets it. */
void wr_h1_decide_keepalive(struct wr_h1_server *sv, struct wr_http *h);

/* ---- h1_server ---- */
struct wr_h1_server {          /* client.state of an exchange */
    uint32_t magic;
    struct wr_exchange *x;
    struct wr_h1_in in;        /* the request's body */
    struct wr_text out;        /* control bytes (head, chunk sizes) */
    size_t out_at;             /* so many of them were sent */
    enum wr_framing framing;   /* of the reply */
    uint64_t left;             /* bytes left to send; LENGTH: of the body; CHUNKED: of the chunk */
    bool last;                 /* the last chunk is in `out`, or was sent */
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
    struct wr_text out;        /* control bytes (head, chunk sizes) */
    size_t out_at;             /* so many of them were sent */
    bool out_chunked, out_last; /* body in chunks; the last chunk is in `out`, or was sent */
    uint64_t out_left;         /* bytes left to send of the chunk */
    char *buf;                 /* read and not yet used: buf[at..n) */
    size_t at, n, cap;
    char *room;                /* memory of the pool for a head that comes in parts */
    size_t heads;              /* bytes of all heads so far */
    bool loan;                 /* buf is the worker's scratch: use it up or copy it before a wait */
    struct wr_h1_progress progress;
    struct wr_h1_in in;        /* the reply's body */
    const char *why;           /* reason of an ERROR without errno */
};
/* Entries of the table wr_http1. */
bool wr_h1_client_request(struct wr_exchange *x, const struct wr_request_out *out) WR_CHECKED;
enum wr_io wr_h1_client_head(struct wr_exchange *x) WR_CHECKED;
extern const struct wr_link_speaker wr_h1_link;

/* ---- h1_out ---- */
/* Appends the line of a chunk of n bytes ("1f\r\n"); n 0: the last chunk with its trailers (NULL:
 * none). */
void wr_h1_chunk_open(struct wr_text *out, uint64_t n, const struct wr_fields *trailers);
/* Sends out[*at..], then at most `left` bytes of the chain; *put counts bytes of the chain. chunk:
 * sends CRLF after the last of `left`. */
enum wr_io wr_h1_send(struct wr_conn *c, struct wr_text *out, size_t *at,
                      const struct wr_slice *chain, uint64_t left, bool chunk, size_t *put);

#endif

/* http1: HTTP/1 as one of the ways to speak HTTP; http does not know it.
 *
 * Map: h1_head, h1_request and h1_response (heads: pure), chunked (chunk framing: pure), h1_write
 * (heads as text: pure), h1_session (a client connection: heads, pipelining, lingering),
 * h1_keepalive (does it go on behind a reply), h1_server and h1_client (the two endpoints), h1_out
 * (how both send), http1 (their table). */
#ifndef WR_HTTP1_H
#define WR_HTTP1_H

#include "http/http.h"

/* ---- h1_head, h1_request, h1_response: pure; view in, struct out ---- */
enum wr_parse { WR_PARSE_MORE, WR_PARSE_OK, WR_PARSE_BAD };
struct wr_h1_progress {        /* zeroed at the start; remembers how far it looked */
    size_t scanned;            /* up to here no end of the head was found */
    size_t line;               /* begin of the line being scanned */
    bool method_done;          /* of an unfinished request line */
    bool first_line_done;      /* of BAD, false: "while reading client request line" */
    uint16_t status;           /* of WR_PARSE_BAD: 400, 414, 431 (nginx: 494), 501, 505 */
    const char *why;           /* for the log, in nginx's words where it has them, without its
                                * "while ..."; static or in the pool */
    size_t size;               /* of WR_PARSE_OK: bytes of the head, leading empty lines too */
};
struct wr_head_rules {         /* by which a request's head is read */
    const struct wr_head_limits *limits;
    struct wr_pool *pool;
    /* Called once, as soon as r->host is known (or that there is none): whose limits hold for what
     * follows. NULL: the same all the way. */
    const struct wr_head_limits *(*of_host)(void *arg, const struct wr_request *r);
    void *arg;
};
/* text is all that came so far. OK: *out is filled with views into text (so text must be where it
 * will stay: copy the head into the pool first and parse there when views are kept). Strict by RFC
 * 9112; LF alone may end a line; everything two parsers could read differently is BAD.
 * A progress wr_h1_head_end said OK with may be handed on: the end is not sought again.
 * uri, args, quoted and complex are left to wr_uri_normalize, which the caller calls with the
 * server's merge_slashes. An authority in the request line replaces the value of Host in fields.
 * BAD: out->line is what came of it, version how to answer; the rest is set as far as it was read.
 * Errors stay: a progress wr_h1_head_end said BAD with, or whose status the caller has set because
 * the rest will not come, gives BAD, and the lines that are whole, here too. */
enum wr_parse wr_h1_request(struct wr_str text, const struct wr_head_rules *rules,
                            struct wr_h1_progress *p, struct wr_request *out);
/* Finds the end only (cheap): OK with p->size, MORE, or BAD when a limit is passed or what came so
 * far begins no head. A request line without a version ends the head: HTTP/0.9, or BAD later. */
enum wr_parse wr_h1_head_end(struct wr_str text, const struct wr_head_limits *limits, bool request,
                             struct wr_h1_progress *p);
/* method: of the request (HEAD and CONNECT change the framing). 1xx heads are returned as such.
 * Fields without Content-Length, Content-Type and the hop-by-hop ones (Connection and what it
 * names, Keep-Alive, Proxy-Connection, TE, Trailer, Transfer-Encoding, Upgrade but for 101). */
enum wr_parse wr_h1_response(struct wr_str text, size_t limit, enum wr_method method,
                             struct wr_pool *pool, struct wr_h1_progress *p,
                             struct wr_response *out);
/* Raw trailer lines, each with its line end, to fields; those RFC 9110 6.5.1 forbids are left out.
 * False: not well-formed. */
bool wr_h1_trailers(struct wr_str lines, struct wr_pool *pool, struct wr_fields *out) WR_CHECKED;

/* ---- chunked: pure ---- */
struct wr_chunked {            /* zeroed at the start */
    uint8_t state;
    uint8_t digits;            /* of the size so far */
    uint64_t left;             /* of the current chunk */
    uint32_t ext;              /* bytes of this chunk's extensions, or of the trailers */
    bool done;                 /* last chunk and trailers were read */
    const char *why;           /* when BAD */
    struct wr_text trailers;   /* raw trailer lines; needs a buffer set by the caller, or dropped */
};
/* Consumes from `in`: *used bytes of it; data found is the view *data (maybe empty) inside those.
 * OK: done, or call again with the rest; MORE: all consumed, *data may still hold some; BAD: no
 * data. Behind the data of one chunk the framing is consumed too, up to the next data. */
enum wr_parse wr_chunked_step(struct wr_chunked *c, struct wr_str in, size_t *used,
                              struct wr_str *data);

/* Decodes all of p[0..n) where it lies, for both endpoints: data moves to the front, *got bytes of
 * it; *used is below n only behind the last chunk. False: BAD. */
bool wr_chunked_in_place(struct wr_chunked *c, char *p, size_t n, size_t *got,
                         size_t *used) WR_CHECKED;

extern const struct wr_http_speaker wr_http1;

#endif

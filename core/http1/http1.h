/* http1: HTTP/1, one of the protocols ("speakers") that carry HTTP. http reaches it only through
 * the table wr_http1.
 *
 * Map: h1_head, h1_request and h1_response (parse heads: pure), chunked (chunk framing: pure),
 * h1_write (heads as text: pure), h1_session (a client connection: heads, pipelining, lingering),
 * h1_keepalive (whether it stays open after a reply), h1_server and h1_client (the two endpoints),
 * h1_out (how both send), http1 (the table). */
#ifndef WR_HTTP1_H
#define WR_HTTP1_H

#include "http/http.h"

/* ---- h1_head, h1_request, h1_response: pure; view in, struct out ---- */
enum wr_parse { WR_PARSE_MORE, WR_PARSE_OK, WR_PARSE_BAD };
struct wr_h1_progress {        /* how far a head was parsed; zeroed at the start */
    size_t scanned;            /* bytes in which the head does not end */
    size_t line;               /* begin of the line being scanned */
    bool method_done;          /* the method of an incomplete request line was checked */
    bool first_line_done;      /* if still false with BAD: "while reading client request line" */
    uint16_t status;           /* with BAD: 400, 414, 431 (nginx: 494), 501, 505 */
    const char *why;           /* with BAD: for the log, in nginx's words where it has them, without
                                * its "while ..."; static or in the pool */
    size_t size;               /* with OK: bytes of the head, leading empty lines included */
};
struct wr_head_rules {         /* how a request's head is to be read */
    const struct wr_head_limits *limits;
    struct wr_pool *pool;
    /* Called once, as soon as r->host is known or known to be missing. Returns the limits of that
     * server, which apply to the rest of the head. NULL: the limits stay the same. */
    const struct wr_head_limits *(*of_host)(void *arg, const struct wr_request *r);
    void *arg;
};
/* Parses a request's head. text: all bytes so far. OK: *out is filled with views into text (which
 * must not move while they are used: copy the head into the pool and parse it there). Strict by RFC
 * 9112; LF alone may end a line; anything two parsers could read differently is BAD.
 * A progress with which wr_h1_head_end has returned OK or BAD may be passed on: the end is not
 * searched again, and BAD stays BAD. A caller that will get no more bytes sets p->status itself,
 * which makes the result BAD.
 * uri, args, quoted and complex are left to wr_uri_normalize, which the caller calls with the
 * server's merge_slashes. An authority in the request line replaces the value of Host in fields.
 * BAD: out->line is the request line as far as it came, out->version the one to reply with; the
 * other members are set as far as the complete lines could be read. */
enum wr_parse wr_h1_request(struct wr_str text, const struct wr_head_rules *rules,
                            struct wr_h1_progress *p, struct wr_request *out);
/* Finds only the end of a head (cheap): OK with p->size, MORE, or BAD when a limit is exceeded or
 * the bytes cannot begin a head. A request line without a version ends the head: it is HTTP/0.9, or
 * wr_h1_request finds it BAD. */
enum wr_parse wr_h1_head_end(struct wr_str text, const struct wr_head_limits *limits, bool request,
                             struct wr_h1_progress *p);
/* Parses a reply's head. method: of the request (HEAD and CONNECT change the framing). 1xx heads
 * are returned like others. out->fields has neither Content-Length and Content-Type nor the
 * hop-by-hop fields (Connection and those it names, Keep-Alive, Proxy-Connection, TE, Trailer,
 * Transfer-Encoding; Upgrade only with 101). */
enum wr_parse wr_h1_response(struct wr_str text, size_t limit, enum wr_method method,
                             struct wr_pool *pool, struct wr_h1_progress *p,
                             struct wr_response *out);
/* Parses raw trailer lines, each with its line end, into fields; leaves out those forbidden by RFC
 * 9110 6.5.1. False: not well-formed. */
bool wr_h1_trailers(struct wr_str lines, struct wr_pool *pool, struct wr_fields *out) WR_CHECKED;

/* ---- h1_write: the fields of replies, of requests to servers, and of trailers ---- */
/* Every field that is sent is written here. Variables can put any byte into a value; fields that
 * were received were checked by the parser. A control character other than TAB (RFC 9110 5.5) is
 * written as a space, in Location and Refresh as %XX. So it cannot begin another field or message;
 * and as the field is still sent, no client can remove one (Content-Security-Policy, say) by asking
 * for /%0A. Names are checked while loading. Neighbouring lines of a parsed head that stay
 * neighbours are copied in one piece. */
/* Appends the head of a request, up to the empty line. */
void wr_h1_write_request(struct wr_text *out, const struct wr_request_out *r);
struct wr_h1_hop {             /* for the hop-by-hop fields of a reply */
    bool chunked;
    enum { WR_H1_CLOSE, WR_H1_KEEP, WR_H1_UPGRADE } connection;
    uint64_t keep_s;           /* with KEEP: seconds in Keep-Alive; 0: no such field */
};
void wr_h1_write_reply(struct wr_text *out, const struct wr_reply_out *r,
                       const struct wr_h1_hop *hop);
void wr_h1_write_fields(struct wr_text *out, const struct wr_fields *f);

/* ---- chunked: pure ---- */
struct wr_chunked {            /* zeroed at the start */
    uint8_t state;
    uint8_t digits;            /* digits of the size so far */
    uint64_t left;             /* bytes left of the current chunk */
    uint32_t ext;              /* bytes of this chunk's extensions, or of the trailers */
    bool done;                 /* last chunk and trailers were read */
    const char *why;           /* with BAD: the reason */
    struct wr_text trailers;   /* raw trailer lines; dropped unless the caller sets a buffer */
};
/* Consumes *used bytes of `in`; *data is a view of the body bytes among them, maybe empty. OK: c is
 * done, or call again with the rest; MORE: all is consumed, *data may have bytes; BAD: no data.
 * After the data of one chunk it consumes the framing, too, up to the next data. */
enum wr_parse wr_chunked_step(struct wr_chunked *c, struct wr_str in, size_t *used,
                              struct wr_str *data);

/* Decodes p[0..n) in place, for both endpoints: moves the data to the front, *got bytes; *used is
 * less than n only if bytes follow the last chunk. False: BAD. */
bool wr_chunked_in_place(struct wr_chunked *c, char *p, size_t n, size_t *got,
                         size_t *used) WR_CHECKED;

extern const struct wr_http_speaker wr_http1;

#endif

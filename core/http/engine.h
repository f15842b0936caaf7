/* engine: what the files that carry a request share and nobody else sees: the state of a client
 * connection, the two HTTP/1 endpoints, the steps. */
#ifndef WR_HTTP_ENGINE_H
#define WR_HTTP_ENGINE_H

#include "http/http.h"

/* What a client sent of a message body, and how much of it was read. */
struct wr_h1_in {
    enum wr_framing framing;
    uint64_t left;             /* LENGTH */
    struct wr_chunked chunked;
    bool done;
};
/* s->of_layer: one client connection. Bytes read and not yet used wait in buf. */
struct wr_http_session {
    char *buf;                 /* malloc'ed while it is needed, else NULL */
    size_t at, n, cap;         /* buf[at..n) is unread */
    struct wr_h1_progress progress;
    struct wr_h1_in in;        /* body of the running request, or what is left to drop of it */
    uint32_t requests;
    uint64_t head_ms;          /* monotonic: when the head that is read now began; 0: it did not */
    uint64_t linger_until;     /* while dropping: monotonic ms */
    uint64_t linger_each;      /* longest pause meanwhile, ms */
    uint64_t received_before;  /* of the connection when the request began */
    uint64_t keep_ms;          /* how long the next request may take to come */
    bool pipelined;            /* the request was here before the reply to the last one was out */
    bool secured;              /* shook hands, or came in plain to where TLS is spoken */
    bool closing;              /* after the reply: drop and close, no next request */
};
static inline struct wr_http_session *wr_http_session_of(const struct wr_session *s)
{
    return s->of_layer;
}
/* Up to n bytes of the client: what waits in buf first. */
enum wr_io wr_http_take(struct wr_session *s, void *p, size_t n, size_t *got);
void wr_http_untake(struct wr_session *s, const void *p, size_t n); /* gives back, in front */
/* Decoded body bytes; EOF when the body is complete. p must hold n bytes; used as scratch too. */
enum wr_io wr_http_read_in(struct wr_session *s, void *p, size_t n, size_t *got);
/* True: heads may be read, after a handshake or as the client speaks plain HTTP (it is told so, in
 * plain). False: not yet, or the session has ended. */
bool wr_http_secured(struct wr_session *s);
const struct wr_scope *wr_http_by_name(const struct wr_session *s, struct wr_str name);
void wr_http_next(struct wr_session *s, bool keep); /* the exchange is over */
uint64_t wr_http_keepalive_ms(const struct wr_exchange *x); /* 0: not kept */

/* ---- h1_server ---- */
struct wr_h1_server {          /* client.state of an exchange */
    struct wr_exchange *x;
    struct wr_text out;        /* control bytes (head, chunk sizes) not yet sent from out_at on */
    size_t out_at;
    enum wr_framing framing;   /* of the reply */
    uint64_t left;             /* LENGTH: of the body; CHUNKED: of the open chunk */
    bool last;                 /* the last chunk was put */
    uint64_t body_sent;
};
void wr_h1_server_open(struct wr_exchange *x);
bool wr_h1_server_reply(struct wr_exchange *x) WR_CHECKED; /* of wr_http1 */
/* Sends what waits in out (100 Continue). */
enum wr_io wr_h1_server_flush(struct wr_endpoint *e);

/* ---- h1_client ---- */
struct wr_h1_client {          /* peer.state */
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
bool wr_h1_client_request(struct wr_exchange *x, uint64_t length) WR_CHECKED; /* of wr_http1 */
enum wr_io wr_h1_client_head(struct wr_exchange *x) WR_CHECKED;

/* ---- body ---- */
enum wr_verdict wr_http_preread_body(struct wr_exchange *x) WR_CHECKED; /* PASS, REJECTED */

/* ---- steps ---- */
extern const struct wr_step wr_step_route, wr_step_bad_line, wr_step_body, wr_step_head,
    wr_step_respond, wr_step_http_relay;
enum wr_go wr_http_left(struct wr_exchange *x); /* x->left of a request */
void wr_http_reply_head(struct wr_exchange *x, struct wr_text *out);
extern const struct wr_str wr_http_continue; /* "HTTP/1.1 100 Continue" */
bool wr_http_streams_too_much(const struct wr_exchange *x); /* a request against its limit */
/* Appends "1f\r\n"; n 0: the last chunk, trailers and all. */
void wr_chunk_open(struct wr_text *out, uint64_t n, struct wr_str trailers);
/* Sends out[*at..] and then as much of the chain as `left` allows; *put counts chain bytes. chunk:
 * CRLF follows when the last of `left` is out. */
enum wr_io wr_h1_send(struct wr_conn *c, struct wr_text *out, size_t *at,
                      const struct wr_slice *chain, uint64_t left, bool chunk, size_t *put);

#endif

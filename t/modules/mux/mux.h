/* mux: a toy protocol that carries many HTTP exchanges over one connection, to prove that the core
 * knows no HTTP version: a speaker from outside, both sides. Not for use.
 *
 *     listen ... mux;      clients may speak it: a connection begins with "MUX1\n" (or by ALPN)
 *     mux_pass SERVER;     servers are spoken to in it: a group, an address, a name
 *
 * A frame is a type, a stream (4 bytes) and a length (4), then its payload:
 *     h  head; H: and nothing follows it      d  a part of the body
 *     e  end of the body, with trailers       w  so many more bytes (4) of it may come
 *     r  reset; "n": nothing was done for it  g  streams above this one (4) are not looked at
 * Heads and trailers are pairs of a name and a value, each with its length (2); what
 * HTTP/1 has in its first line is named :method, :target, :authority, :status. */
#ifndef MUX_H
#define MUX_H

#include "http/http.h"

#define MUX_PREFACE "MUX1\n"
enum { MUX_HEADER = 9, MUX_WINDOW = 65536, MUX_PIECE = 16384, MUX_STREAMS = 100 };

struct mux;
struct mux_stream;
struct mux_side {
    /* The head of a stream: NULL: a new one's. False: it breaks the protocol. */
    bool (*head)(struct mux *m, struct mux_stream *s, uint32_t id, struct wr_str p, bool last);
    void (*lost)(struct mux *m);    /* the connection has ended, or breaks the protocol */
    void (*drained)(struct mux *m); /* all that was to be said is written */
};
struct mux {                   /* a connection, seen from either side */
    uint32_t magic;
    const struct mux_side *side;
    struct wr_conn *conn;
    void *owner;               /* session, link */
    struct wr_link streams;
    uint32_t n, last;          /* how many there are; the number of the newest */
    uint32_t goaway;           /* newest that the other side looks at */
    const char *preface;       /* what of it is still to come */
    struct wr_bufq out;        /* frames; copied, as they outlive their exchanges */
    struct wr_flush flush;
    char *in;                  /* of frames that are not complete */
    size_t in_n;
    bool full, leaving;        /* much is in out; no stream will follow those there are */
};
struct mux_stream {            /* state of an endpoint, in the exchange's pool */
    uint32_t magic, id;
    struct mux *m;             /* NULL: it has left, or the connection is gone */
    struct wr_link link;
    struct wr_exchange *x;
    struct wr_lease *lease;    /* NULL: a client's */
    struct wr_bufq in;         /* came and was not read */
    uint32_t may_send, may_come, was_read; /* bytes; was_read: and not told yet */
    bool in_end, out_end, reset, refused;
    WR_VEC(struct wr_str) heads; /* that came and were not looked at */
    struct wr_fields trailers;
    const char *why;
};
#define WR_TYPE_MUX ((enum wr_type)(WR_TYPE_NONE + 0x10001)) /* beside the list of base.h */
#define WR_TYPE_MUX_STREAM ((enum wr_type)(WR_TYPE_NONE + 0x10002))
typedef struct mux wr_type_MUX;
typedef struct mux_stream wr_type_MUX_STREAM;

extern struct wr_module wr_module_mux;

struct mux *mux_new(const struct mux_side *side, struct wr_conn *conn, void *owner);
void mux_free(struct mux *m);
void mux_run(struct mux *m);      /* something happened on the connection; may end it */
void mux_write(struct mux *m);
void mux_frame(struct mux *m, char type, uint32_t id, struct wr_str payload);
void mux_number(struct mux *m, char type, uint32_t id, uint32_t number);
struct mux_stream *mux_stream_new(struct mux *m, struct wr_exchange *x, uint32_t id);
void mux_stream_leave(struct mux_stream *s, struct wr_str why); /* idempotent; resets what runs */
void mux_put(struct wr_text *t, struct wr_str name, struct wr_str value);
bool mux_get(struct wr_str *p, struct wr_str *name, struct wr_str *value) WR_CHECKED;
bool mux_fields(struct wr_pool *pool, struct wr_str p, struct wr_fields *out) WR_CHECKED;
extern const struct wr_endpoint_ops mux_endpoint;

#endif

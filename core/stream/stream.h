/* stream: layer 4; http is a sibling it never includes.
 *
 * Map: stream_conf (stream {}, server {}, listen), stream_session (the steps of a TCP session:
 * phases, then relay), preread (looking at the first bytes). */
#ifndef WR_STREAM_H
#define WR_STREAM_H

#include "upstream/upstream.h"

struct wr_stream_conf {           /* of wr_module_stream, by server */
    bool tcp_nodelay;
    size_t preread_size;
    uint64_t preread_timeout_ms, proxy_protocol_timeout_ms;
};
struct wr_stream_server {
    struct wr_virtual v;           /* first */
    uint32_t magic;
    const struct wr_node *content; /* proxy_pass, return: who answers */
};
extern struct wr_module wr_module_stream;
extern const struct wr_layer wr_layer_stream;
/* How a proxied session behaves once both sides are there (stream_proxy, return, pass). */
struct wr_stream_relay {
    uint32_t magic;
    uint64_t timeout_ms;
    size_t buffer_size;
    struct wr_amount upload_rate, download_rate; /* bytes a second; 0: no limit */
    bool half_close;
};
/* Content hooks: relays from x->peer (already set) to the client and returns WR_TAKEN. */
enum wr_verdict wr_stream_serve(struct wr_exchange *x, const struct wr_stream_relay *how);
/* Remembers how to relay once the upstream has connected. */
void wr_stream_relay_as(struct wr_exchange *x, const struct wr_stream_relay *how);
struct wr_stream_ctx {            /* of an exchange */
    char *preread;
    size_t n;
};
/* PREREAD hooks: reads more of the client. *seen is what the hook has looked at before, empty at
 * first. PASS: it has grown, look at it; HOLD: wait, call again; REJECTED: too much or too late,
 * or the client has ended. All but the first are what the hook returns. */
enum wr_verdict wr_stream_preread(struct wr_exchange *x, struct wr_str *seen) WR_CHECKED;
enum wr_verdict wr_stream_preread_over(struct wr_exchange *x); /* hook behind that phase */
/* Setters of content directives call it first; false: the server has one already (reported). */
bool wr_stream_content(struct wr_cf *cf);

#endif

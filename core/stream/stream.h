/* stream: layer 4; http is a sibling it never includes.
 *
 * Map: stream_conf (stream {}, server {}, listen), stream_session (the layer, and the steps of a
 * TCP session: phases, then relay), stream_datagrams (relay of a UDP session), preread (looking at
 * the first bytes). */
#ifndef WR_STREAM_H
#define WR_STREAM_H

#include "datagram/datagram.h"
#include "upstream/upstream.h"

struct wr_stream_conf {           /* of wr_module_stream, one for each server */
    bool tcp_nodelay;
    size_t preread_size;
    uint64_t preread_timeout_ms, proxy_protocol_timeout_ms;
};
struct wr_stream_server {
    struct wr_virtual v;           /* first */
    uint32_t magic;
    const struct wr_node *content; /* the content directive (proxy_pass, return); NULL: none */
    const struct wr_node *datagrams; /* its first `listen ... udp`; NULL: none */
};
extern struct wr_module wr_module_stream;
extern const struct wr_layer wr_layer_stream;
/* Rules of relaying bytes once both sides are connected (stream_proxy, return). */
struct wr_stream_relay {
    uint32_t magic;
    uint64_t timeout_ms;
    size_t buffer_size;
    struct wr_amount upload_rate, download_rate; /* bytes a second; 0: no limit */
    bool half_close;
    uint32_t requests;             /* datagrams: of the client in one session; 0: any number */
    uint32_t responses;            /* datagrams: 1 + how many answer each of them; 0: any number */
};
/* For content hooks: relay from x->peer (already set) to the client. Returns WR_TAKEN. *how must
 * outlive the exchange. */
enum wr_verdict wr_stream_serve(struct wr_exchange *x, const struct wr_stream_relay *how);
/* For content hooks that connect to a peer: how to relay once it is connected. */
void wr_stream_relay_as(struct wr_exchange *x, const struct wr_stream_relay *how);
struct wr_stream_ctx {            /* of an exchange */
    char *preread;
    size_t n;
    struct wr_stream_flow *flow;   /* of a UDP session that has a peer; NULL: none */
};
/* For PREREAD hooks: read more bytes of the client. *seen: the bytes the hook has seen so far,
 * empty at first. PASS: *seen has grown; HOLD: wait and call again; REJECTED: too many bytes, too
 * late, or the client has closed; SKIP: no more will come, as the first datagram is all there is.
 * The hook returns HOLD, REJECTED and SKIP as they are. */
enum wr_verdict wr_stream_preread(struct wr_exchange *x, struct wr_str *seen) WR_CHECKED;
enum wr_verdict wr_stream_preread_over(struct wr_exchange *x); /* hook after that phase */
/* Setters of content directives call this first. False: the server has one already (reported). */
bool wr_stream_content(struct wr_cf *cf);

#endif

/* Private to the files of stream. */
#ifndef WR_STREAM_IMPL_H
#define WR_STREAM_IMPL_H

#include "stream/stream.h"

/* ---- stream_session ---- */
/* Sets up x->up and x->down, with their rates, and the timer of a session without traffic. */
void wr_stream_relay_prepare(struct wr_exchange *x, bool up);
/* A byte has come from the peer: notes when the first one did. */
void wr_stream_note_first_byte(struct wr_exchange *x);
/* Appends the bytes of both sides, for the log. */
void wr_stream_add_bytes(struct wr_text *t, const struct wr_exchange *x);

/* ---- stream_datagrams ---- */
/* The peer of a UDP session is known: sets the step. */
enum wr_go wr_stream_flow_connected(struct wr_exchange *x);

/* Pure: are all datagrams exchanged that the session may have? */
struct wr_flow_facts {
    bool all_forwarded;        /* of the client, as many as proxy_requests says */
    uint64_t requests, responses;
    uint32_t each;             /* wr_stream_relay.responses */
};
bool wr_flow_is_over(const struct wr_flow_facts *f);

#endif

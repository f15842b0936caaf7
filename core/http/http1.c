/* http1: HTTP/1 as one of the ways to speak HTTP: the table of its functions, which the engine is
 * handed. */
#include "http/h1_impl.h"

const struct wr_http_speaker wr_http1 = {
    .name = "HTTP/1",
    .server = {
        .wake = wr_h1_session_wake,
        .interim = wr_h1_server_interim,
        .reply = wr_h1_server_reply,
        .abort = wr_h1_server_abort,
        .drain = wr_h1_session_drain,
        .ended = wr_h1_session_ended,
    },
    .peer = {
        .request = wr_h1_client_request,
        .head = wr_h1_client_head,
    },
};

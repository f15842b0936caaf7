/* http1: HTTP/1 as one of the ways to speak HTTP: the table of its functions, which the engine is
 * handed. */
#include "http/engine.h"

const struct wr_http_speaker wr_http1 = {
    .name = "HTTP/1",
    .server = {
        .reply = wr_h1_server_reply,
    },
    .peer = {
        .request = wr_h1_client_request,
        .head = wr_h1_client_head,
    },
};

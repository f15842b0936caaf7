/* http1: the module: makes HTTP/1 one of the speakers of HTTP by a table of its functions. */
#include "http1/http1_impl.h"

const struct wr_http_speaker wr_http1 = {
    .name = "HTTP/1",
    .alpn = WR_STR_INIT("\x08http/1.1\x08http/1.0\x08http/0.9"),
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
        .link = &wr_h1_link,
    },
};

struct wr_module wr_module_http1 = {
    .name = "http1",
    .layers = WR_L7,
    .speaker = &wr_http1,
};

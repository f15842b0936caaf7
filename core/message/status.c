/* status: names of methods, reasons of statuses. Pure. Where nginx has a reason of its own, it is
 * nginx's, as scripts may search for it. */
#include "message/message.h"

static const struct wr_str methods[WR_M_COUNT] = {
#define X(id) [WR_M_##id] = WR_STR_INIT(#id),
    WR_METHOD_LIST(X)
#undef X
};

enum wr_method wr_method_of(struct wr_str text)
{
    /* The list begins with the most frequent methods. */
    for (unsigned m = WR_M_OTHER + 1; m < WR_M_COUNT; m++) {
        if (text.n == methods[m].n && memcmp(text.p, methods[m].p, text.n) == 0)
            return (enum wr_method)m;
    }
    return WR_M_OTHER;
}

bool wr_method_idempotent(enum wr_method m)
{
    return m != WR_M_POST && m != WR_M_LOCK && m != WR_M_PATCH;
}

#define REASONS(X) \
    X(100, "Continue") X(101, "Switching Protocols") X(102, "Processing") X(103, "Early Hints") \
    X(200, "OK") X(201, "Created") X(202, "Accepted") \
    X(203, "Non-Authoritative Information") X(204, "No Content") X(205, "Reset Content") \
    X(206, "Partial Content") X(207, "Multi-Status") X(208, "Already Reported") \
    X(226, "IM Used") \
    X(300, "Multiple Choices") X(301, "Moved Permanently") X(302, "Moved Temporarily") \
    X(303, "See Other") X(304, "Not Modified") X(305, "Use Proxy") \
    X(307, "Temporary Redirect") X(308, "Permanent Redirect") \
    X(400, "Bad Request") X(401, "Unauthorized") X(402, "Payment Required") \
    X(403, "Forbidden") X(404, "Not Found") X(405, "Not Allowed") X(406, "Not Acceptable") \
    X(407, "Proxy Authentication Required") X(408, "Request Time-out") X(409, "Conflict") \
    X(410, "Gone") X(411, "Length Required") X(412, "Precondition Failed") \
    X(413, "Request Entity Too Large") X(414, "Request-URI Too Large") \
    X(415, "Unsupported Media Type") X(416, "Requested Range Not Satisfiable") \
    X(417, "Expectation Failed") X(421, "Misdirected Request") \
    X(422, "Unprocessable Content") X(423, "Locked") X(424, "Failed Dependency") \
    X(425, "Too Early") X(426, "Upgrade Required") X(428, "Precondition Required") \
    X(429, "Too Many Requests") X(431, "Request Header Fields Too Large") \
    X(451, "Unavailable For Legal Reasons") \
    X(500, "Internal Server Error") X(501, "Not Implemented") X(502, "Bad Gateway") \
    X(503, "Service Temporarily Unavailable") X(504, "Gateway Time-out") \
    X(505, "HTTP Version Not Supported") X(506, "Variant Also Negotiates") \
    X(507, "Insufficient Storage") X(508, "Loop Detected") \
    X(511, "Network Authentication Required")

const char *wr_status_reason(unsigned status)
{
    switch (status) {
#define X(number, text) case number: return text;
        REASONS(X)
#undef X
    default:
        return NULL;
    }
}

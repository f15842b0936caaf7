/* message: HTTP as data (RFC 9110), pure: heads, fields and the values in them.
 *
 * Map: fields (header fields with known names), field_values (values out of fields, cookies,
 * arguments), uri (decoding, normalizing, escaping), http_time (dates), status (reasons and
 * methods). */
#ifndef WR_MESSAGE_H
#define WR_MESSAGE_H

#include "base/base.h"

/* ---- fields ---- */
/* Names weir knows, as they are usually written; they are compared without regard to case. Add a
 * new one to the switch in fields.c, too. */
#define WR_FIELD_LIST(X) \
    X(HOST, "Host") X(CONNECTION, "Connection") X(CONTENT_LENGTH, "Content-Length") \
    X(TRANSFER_ENCODING, "Transfer-Encoding") X(CONTENT_TYPE, "Content-Type") \
    X(EXPECT, "Expect") X(UPGRADE, "Upgrade") X(KEEP_ALIVE, "Keep-Alive") X(TE, "TE") \
    X(TRAILER, "Trailer") X(PROXY_CONNECTION, "Proxy-Connection") X(DATE, "Date") \
    X(SERVER, "Server") X(LOCATION, "Location") X(REFRESH, "Refresh") X(ETAG, "ETag") \
    X(LAST_MODIFIED, "Last-Modified") X(EXPIRES, "Expires") X(CACHE_CONTROL, "Cache-Control") \
    X(PRAGMA, "Pragma") X(VARY, "Vary") X(AGE, "Age") X(RANGE, "Range") X(IF_RANGE, "If-Range") \
    X(CONTENT_RANGE, "Content-Range") X(ACCEPT_RANGES, "Accept-Ranges") \
    X(IF_MODIFIED_SINCE, "If-Modified-Since") X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since") \
    X(IF_MATCH, "If-Match") X(IF_NONE_MATCH, "If-None-Match") X(USER_AGENT, "User-Agent") \
    X(REFERER, "Referer") X(COOKIE, "Cookie") X(SET_COOKIE, "Set-Cookie") \
    X(AUTHORIZATION, "Authorization") X(WWW_AUTHENTICATE, "WWW-Authenticate") \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate") \
    X(ACCEPT_ENCODING, "Accept-Encoding") X(CONTENT_ENCODING, "Content-Encoding") \
    X(X_FORWARDED_FOR, "X-Forwarded-For") X(VIA, "Via") X(RETRY_AFTER, "Retry-After") \
    X(LINK, "Link") X(ALLOW, "Allow") X(ACCEPT, "Accept") X(ACCEPT_LANGUAGE, "Accept-Language") \
    X(DEPTH, "Depth") X(DESTINATION, "Destination") X(OVERWRITE, "Overwrite") \
    X(X_ACCEL_REDIRECT, "X-Accel-Redirect") X(X_ACCEL_EXPIRES, "X-Accel-Expires") \
    X(X_ACCEL_BUFFERING, "X-Accel-Buffering") X(X_ACCEL_CHARSET, "X-Accel-Charset") \
    X(X_ACCEL_LIMIT_RATE, "X-Accel-Limit-Rate") X(CONTENT_DISPOSITION, "Content-Disposition") \
    X(CONTENT_LOCATION, "Content-Location") X(STATUS, "Status")
enum wr_field_id {
    WR_F_OTHER,
#define X(id, text) WR_F_##id,
    WR_FIELD_LIST(X)
#undef X
    WR_F_COUNT
};
struct wr_field {
    struct wr_str name, value; /* borrowed from the exchange's pool */
    uint16_t id;
    bool gone;                 /* removed: to be skipped */
    bool parsed;               /* a parser or wr_fields_lay made it: no control character but TAB,
                                * and "name: value" is one piece of memory until a value is
                                * replaced */
};
struct wr_fields {
    struct wr_field *at;
    uint32_t n, cap;
    uint32_t first[WR_F_COUNT]; /* by id: index + 1 of the first field not removed; 0: none */
};
enum wr_field_id wr_field_id(struct wr_str name); /* case-insensitive; O(length) */
struct wr_str wr_field_name(enum wr_field_id id); /* as it is usually written: "Content-Type" */
struct wr_field *wr_fields_add(struct wr_pool *p, struct wr_fields *f, struct wr_str name,
                               struct wr_str value); /* views are not copied */
struct wr_field *wr_fields_add_id(struct wr_pool *p, struct wr_fields *f, enum wr_field_id id,
                                  struct wr_str value);
/* Like wr_fields_add, for callers that have wr_field_id(name) already. */
struct wr_field *wr_fields_put(struct wr_pool *p, struct wr_fields *f, enum wr_field_id id,
                               struct wr_str name, struct wr_str value);
static inline struct wr_field *wr_fields_first(const struct wr_fields *f,
                                               enum wr_field_id id) /* NULL: none */
{
    return f->first[id] == 0 ? NULL : &f->at[f->first[id] - 1];
}
/* Finds a field of any name, the first one after `after` (NULL: from the start). */
struct wr_field *wr_fields_find(const struct wr_fields *f, struct wr_str name,
                                const struct wr_field *after);
static inline struct wr_str wr_fields_value(const struct wr_fields *f,
                                            enum wr_field_id id) /* p NULL: none */
{
    return f->first[id] == 0 ? wr_str_of(NULL, 0) : f->at[f->first[id] - 1].value;
}
void wr_fields_remove(struct wr_fields *f, enum wr_field_id id); /* all of them */
void wr_fields_drop(struct wr_fields *f, struct wr_field *field);
/* Replaces all fields of that id by one. */
void wr_fields_set(struct wr_pool *p, struct wr_fields *f, enum wr_field_id id, struct wr_str v);
/* True: the field is about the connection, not the message (RFC 9110 7.6.1). It is not passed on,
 * and only HTTP/1 sends it. */
static inline bool wr_field_is_hop(enum wr_field_id id)
{
    return id == WR_F_CONNECTION || id == WR_F_KEEP_ALIVE || id == WR_F_PROXY_CONNECTION
        || id == WR_F_TE || id == WR_F_TRAILER || id == WR_F_TRANSFER_ENCODING
        || id == WR_F_UPGRADE;
}
/* Copies fields that will be sent many times into one text, as on the wire, one line after the
 * other, so that a speaker can copy neighbours in one piece (wr_field.parsed). A field whose value
 * has control characters stays where it is. */
void wr_fields_lay(struct wr_pool *p, struct wr_field *const *at, uint32_t n);
/* True: the token is in the comma-separated lists of the fields of that id (case-insensitive). */
bool wr_fields_has_token(const struct wr_fields *f, enum wr_field_id id, struct wr_str token);

/* ---- heads: what the parsers give ---- */
#define WR_METHOD_LIST(X) \
    X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(OPTIONS) X(CONNECT) X(TRACE) X(PATCH) X(MKCOL) \
    X(COPY) X(MOVE) X(PROPFIND) X(PROPPATCH) X(LOCK) X(UNLOCK)
enum wr_method {
    WR_M_OTHER,
#define X(id) WR_M_##id,
    WR_METHOD_LIST(X)
#undef X
    WR_M_COUNT
};
bool wr_method_idempotent(enum wr_method m); /* for next_upstream: not POST, LOCK, PATCH */
enum wr_method wr_method_of(struct wr_str text); /* case-sensitive: RFC 9110 9.1 */

enum wr_framing { WR_BODY_NONE, WR_BODY_LENGTH, WR_BODY_CHUNKED, WR_BODY_CLOSE };

struct wr_head_limits {
    size_t line;               /* each field line, with its line end */
    size_t first;              /* the request line; 0: as the others */
    size_t total;              /* of the whole head */
    uint32_t fields;           /* max_headers; 0: 1000 */
    bool ignore_invalid, underscores;
};
struct wr_request {
    enum wr_method method;
    struct wr_str method_text;
    struct wr_str line;        /* whole request line, for $request */
    struct wr_str target;      /* as sent, for $request_uri; of absolute-form only the
                                * origin-form part. Without "#...", which nginx shows and passes
                                * on */
    struct wr_str uri;         /* decoded, normalized path: $uri */
    struct wr_str args;        /* after the '?'; p NULL: there is none */
    struct wr_str scheme_host; /* authority of absolute-form; p NULL otherwise */
    struct wr_str host;        /* lower case, no port, from absolute-form or Host; may be empty */
    uint16_t host_port;        /* 0: none given */
    uint8_t version;           /* 9, 10, 11 */
    enum wr_framing framing;
    uint64_t length;           /* of WR_BODY_LENGTH */
    bool keepalive;            /* the client wants it */
    bool expect;               /* 100-continue */
    bool quoted;               /* target had %XX */
    bool complex;              /* normalizing changed something else */
    struct wr_fields fields;
    struct wr_str ignored;     /* first line dropped by ignore_invalid, for the log; p NULL: none */
    size_t head_size;          /* bytes of the head */
};
/* The head of a request to a server, which a speaker writes in its protocol. It borrows everything
 * until it is written. */
struct wr_request_out {
    enum wr_method method;     /* frames the reply */
    struct wr_str method_text, target;
    struct wr_str authority;   /* empty: not sent */
    uint8_t version;           /* of HTTP/1: 10, 11 */
    bool close;                /* it is the last request of the connection; not among `fields` */
    enum wr_framing framing;   /* NONE: no field about a body is sent; CHUNKED: of unknown length */
    uint64_t length;           /* of WR_BODY_LENGTH */
    const struct wr_field **fields; /* in this order; with fields about the connection
                                     * (wr_field_is_hop) only if the configuration sets them */
    uint32_t n;
    uint32_t own;              /* the first `own` fields are set by the configuration; HTTP/1 sends
                                * Host before them and the framing after them */
};
/* Begins the head with the fields the engine decides. length: of the body; UINT64_MAX: unknown. */
static inline struct wr_request_out wr_request_out(const struct wr_request *r, uint64_t length)
{
    return (struct wr_request_out){
        .method = r->method,
        .method_text = r->method_text,
        .version = 11,
        .framing = length == UINT64_MAX ? WR_BODY_CHUNKED
                 : length > 0 || r->framing != WR_BODY_NONE ? WR_BODY_LENGTH : WR_BODY_NONE,
        .length = length,
    };
}
struct wr_response {
    unsigned status;
    struct wr_str reason;      /* empty: the standard one */
    uint8_t version;           /* of the peer's reply */
    enum wr_framing framing;   /* as received, or what the content will be */
    uint64_t length;           /* of WR_BODY_LENGTH; of HEAD and 304: see has_length */
    uint64_t offset;           /* bytes of the whole that come before the body (slice) */
    bool has_length;           /* the peer sent Content-Length (it is not among the fields) */
    struct wr_str type;        /* Content-Type, with the server's parameters; p NULL: none */
    struct wr_str charset;     /* X-Accel-Charset; p NULL: none, "off": no charset is added */
    time_t last_modified;      /* -1: none; use wr_response_modified */
    bool keepalive;            /* the connection to the peer may be used again */
    bool no_server;            /* add no Server field: the peer's is passed on (proxy_pass_header),
                                * or none is sent */
    bool ranges;               /* Range may be honoured (Accept-Ranges: bytes) */
    struct wr_fields fields;   /* all others; hop-by-hop ones are not here */
    struct wr_fields trailers;
    size_t head_size;          /* bytes of the head */
};
static inline void wr_response_init(struct wr_response *r)
{
    memset(r, 0, sizeof(*r));
    r->last_modified = -1;
}
/* The head of a reply to a client, which a speaker writes in its protocol. It borrows everything
 * until it is written. */
struct wr_reply_out {
    unsigned status;
    struct wr_str reason;      /* empty: the standard one */
    struct wr_str server, date, type; /* fields of our own; empty: not sent, or among `fields` */
    time_t last_modified;      /* the same; negative: not sent */
    bool says_length;          /* send Content-Length, whether a body follows or not */
    bool bare;                 /* no body follows */
    uint64_t length;           /* with says_length; without it trailers end the body */
    const struct wr_fields *fields; /* all others, without those that are gone */
};
/* The field Last-Modified was not parsed yet: few callers need its value. */
#define WR_MODIFIED_UNREAD ((time_t)-2)
time_t wr_response_modified(struct wr_response *r); /* -1: none */

/* ---- uri: pure ---- */
/* target ("/a/../b%20c?x") -> decoded path, args, quoted, complex; "*" stays. Views into target
 * when there is nothing to change. False: no leading '/', bad escape, NUL, ".." above the root. */
bool wr_uri_normalize(struct wr_pool *pool, struct wr_str target, bool merge_slashes,
                      struct wr_request *out) WR_CHECKED;
enum wr_escape_kind { WR_ESC_URI, WR_ESC_ARGS, WR_ESC_COMPONENT, WR_ESC_REFRESH, WR_ESC_MEMCACHED };
void wr_uri_escape(struct wr_text *t, struct wr_str s, enum wr_escape_kind kind);
struct wr_str wr_uri_unescape(struct wr_pool *pool, struct wr_str s); /* bad escapes stay */
/* Host: "example.com:80" -> lower-case name without final dot ("[::1]" keeps its brackets), port
 * (0: none given). A view into host when nothing had to be changed. False: invalid, or empty. */
bool wr_host_parse(struct wr_pool *pool, struct wr_str host, struct wr_str *name,
                   uint16_t *port) WR_CHECKED;
bool wr_http_time(struct wr_str s, time_t *out) WR_CHECKED; /* RFC 9110 5.6.7, three forms */
const char *wr_status_reason(unsigned status); /* "Not Found"; NULL: unknown */

/* ---- field_values: pure ---- */
/* Values of the fields that a variable's name ("x_forwarded_for") means, joined by `separator`.
 * False: there are none. */
bool wr_fields_joined(struct wr_pool *p, const struct wr_fields *f, struct wr_str name,
                      const char *separator, struct wr_str *out) WR_CHECKED;
/* Values of the fields of exactly this name (in any case), joined by ", ". False: none. */
bool wr_fields_values(struct wr_pool *p, const struct wr_fields *f, struct wr_str name,
                      struct wr_str *out) WR_CHECKED;
/* Value of a cookie in "a=1; b=2", of an argument in "a=1&b=2"; names are case-insensitive. */
bool wr_cookie_find(struct wr_str text, struct wr_str name, struct wr_str *out) WR_CHECKED;
bool wr_arg_find(struct wr_str args, struct wr_str name, struct wr_str *out) WR_CHECKED;
/* User and password of an Authorization field's value with the scheme Basic, in the pool. False:
 * another scheme, or not well-formed. */
bool wr_basic_credentials(struct wr_pool *p, struct wr_str v, struct wr_str *user,
                          struct wr_str *password) WR_CHECKED;
/* Padding may be missing. */
bool wr_base64_decode(struct wr_str in, struct wr_text *out) WR_CHECKED;

#endif

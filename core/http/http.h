/* http: layer 7. The ranks of folders are in HACKING.md; stream is a sibling it never includes.
 *
 * Map: http_conf (http {}, server {}, where they listen), http_rows (the table of the core
 * directives), mime (types), path (root and alias), speakers (chooses the version of HTTP of a
 * client connection), http_session (what all speakers have in common), http_tls (the handshake
 * before the first request), http_route (the steps up to the content), http_upstream (sending to a
 * server, up to the reply's head), take_reply (what becomes of the reply), proxy_hook (where a
 * cache joins), respond, http_relay, http_tunnel (the steps after it), body (request bodies:
 * limits, buffering, temp files), subrequest (children for the same server), file_threads (the
 * threads that read files), reply_head (its fields), short_reply (replies of our own),
 * accel_fields (fields that outlive X-Accel-Redirect), proxy_rows (common to proxy modules),
 * error_page (the directive, and how errors are answered), error_text (built-in pages), http_vars,
 * reply_vars, http_upstream_vars (variables).
 *
 * A request: its speaker reads a head -> wr_http_request_new, server by Host -> phases (SET, FIND,
 * REWRITE, PREACCESS, ACCESS, PRECONTENT, CONTENT) -> a content hook either fills h->res and calls
 * wr_http_respond*, or starts an upstream (start, pick, dial, send, head) -> respond -> relay ->
 * finish -> x->over, a function of its speaker. */
#ifndef WR_HTTP_H
#define WR_HTTP_H

#include "message/message.h"
#include "upstream/upstream.h"

/* ---- servers and locations ---- */
struct wr_http_server {
    struct wr_virtual v;       /* first */
    uint32_t magic;
    struct wr_locations *locations; /* owned by the module location; NULL: none */
    struct wr_head_limits limits;
};
static inline struct wr_http_server *wr_http_server_of(struct wr_virtual *v)
{
    return wr_container(v, struct wr_http_server, v);
}
struct wr_http_address {       /* listener->object at layer 7 */
    struct wr_address a;       /* first */
    uint32_t magic;
    struct wr_head_limits most; /* the highest limits of its servers */
    struct wr_str alpn;        /* protocols offered in the handshake, in wire format */
};

enum wr_location_kind { WR_LOC_EXACT, WR_LOC_PREFIX, WR_LOC_PREFIX_FINAL /* ^~ */, WR_LOC_REGEX,
                        WR_LOC_NAMED, WR_LOC_IF, WR_LOC_LIMIT };
struct wr_location {
    uint32_t magic;
    enum wr_location_kind kind;
    struct wr_str name;        /* "/api/", "@fallback", the regex text */
    struct wr_regex *regex;
    const struct wr_scope *scope;
    struct wr_locations *inner; /* nested; NULL: none */
    uint32_t order;            /* of regexes: their order in the file */
    bool fold_case;            /* ~* */
    bool auto_redirect;        /* "/x/" with proxy_pass and the like: "/x" gets 301 to "/x/" */
    const struct wr_scope *limited; /* of limit_except; NULL: the location has none */
    uint32_t unlimited;        /* bits 1 << WR_M_GET: methods limit_except leaves alone */
};
/* The scope of limit_except when this method is subject to it, for access modules only; NULL: the
 * location's own. */
static inline const struct wr_scope *wr_http_limit_scope(const struct wr_location *l,
                                                         enum wr_method m)
{
    return (l->unlimited & 1U << m) == 0 ? l->limited : NULL;
}
struct wr_http_conf {          /* of wr_module_http, by location */
    /* server */
    size_t large_buffer;
    uint32_t large_buffers, max_headers;
    uint64_t client_header_timeout_ms;
    bool ignore_invalid, underscores, merge_slashes;
    uint32_t server_tokens;    /* 0 off, 1 on, 2 build */
    /* location */
    struct wr_str root;                    /* of root and alias; absolute; root without last / */
    struct wr_template *root_tpl;          /* of a root with variables; else NULL */
    struct wr_str alias_of;                /* the beginning of the uri that alias replaces; p NULL
                                            * (regex location): it replaces the whole uri */
    const struct wr_scope *root_scope;     /* where it was set; NULL: the default */
    bool is_alias, internal, etag, log_not_found, absolute_redirect,
         server_name_in_redirect, port_in_redirect, chunked, tcp_nodelay, sendfile,
         reset_timedout, recursive_error_pages, msie_padding, aio_write;
    uint32_t client_body_in_file_only;     /* 0 off, 1 on, 2 clean */
    uint32_t keepalive_disable;            /* enum wr_keepalive_disable */
    uint64_t client_max_body;              /* 0: no limit */
    struct wr_amount limit_rate, limit_rate_after; /* bytes a second, bytes; 0: none */
    size_t client_body_buffer, sendfile_max_chunk, output_buffers; /* number * size */
    enum wr_aio { WR_AIO_OFF, WR_AIO_DIRECT, WR_AIO_THREADS } aio; /* DIRECT: only for directio */
    struct wr_thread_pool *aio_pool;
    struct wr_template *aio_pool_name;     /* of a name with variables; else NULL */
    uint64_t client_body_timeout_ms, send_timeout_ms, keepalive_timeout_ms, keepalive_header_s,
        keepalive_time_ms, keepalive_min_timeout_ms, lingering_time_ms, lingering_timeout_ms;
    uint32_t keepalive_requests, lingering_close; /* 0 off, 1 on, 2 always */
    uint32_t if_modified_since;            /* 0 off, 1 exact, 2 before */
    uint32_t max_ranges;                   /* UINT32_MAX: as many as asked for */
    struct wr_str client_body_temp_path, default_type;
    uint32_t client_body_temp_levels[3];   /* digits of the folders' names; 0: no such level */
    struct wr_dict *types;                 /* extension -> struct wr_str * */
};
enum wr_keepalive_disable { WR_KA_NONE = 1, WR_KA_MSIE6 = 2, WR_KA_SAFARI = 4 };
extern struct wr_module wr_module_http;
extern const struct wr_layer wr_layer_http;

/* ---- a request ---- */
struct wr_body {               /* of a request */
    struct wr_bufq q;          /* the part in memory; follows that in the file */
    struct wr_temp *file;      /* the first part, if it did not fit in memory; NULL: none */
    uint64_t size;             /* read so far, memory and file */
    bool complete;
};
enum wr_filter_rank {          /* head filters, in this order */
    WR_FR_SLICE, WR_FR_NOT_MODIFIED, WR_FR_HEADERS, WR_FR_USERID, WR_FR_CHARSET, WR_FR_SSI,
    WR_FR_SUB, WR_FR_ADDITION, WR_FR_GUNZIP, WR_FR_GZIP, WR_FR_RANGE, WR_FR_CHUNKED
};
/* ERROR: an error page replaces this reply, with the status in h->res.status (412, 416, 500). The
 * page is sent with the fields in h->res.fields (Content-Range of a 416): the filter removes those
 * that do not apply. */
enum wr_filter_result { WR_FILTER_OK, WR_FILTER_ERROR };
void wr_filters_init(void); /* sorts them by rank; call it once, after wr_modules_init */
struct wr_filter {             /* rows of a module; for the reply of a subrequest only those from
                                * CHARSET to SUB are called, which change its text */
    enum wr_filter_rank rank;
    enum wr_filter_result (*head)(struct wr_exchange *x); /* may call wr_http_add_body_filter */
};
struct wr_http_proxy_conf {    /* embedded in a proxy module's conf; rows: WR_HTTP_PROXY_ROWS */
    struct wr_upstream_rows rows;          /* first */
    const struct wr_http_speaker *speaker; /* of the connections to servers; set by the module */
    uint64_t send_timeout_ms, read_timeout_ms;
    size_t buffer_size;        /* proxy_buffer_size: most bytes of a reply's head and of one read */
    size_t buffers_total;      /* proxy_buffers: most bytes in memory for a slow client */
    uint64_t max_temp_file;    /* most further bytes in a file; 0: wait for the client */
    size_t temp_write;
    struct wr_str temp_path;
    uint32_t temp_levels[3];   /* digits of the folders' names; 0: no such level */
    bool buffering, request_buffering, intercept_errors, pass_request_body, pass_request_headers,
        ignore_client_abort, force_ranges, pass_trailers;
    bool chunked_out;          /* the protocol can carry a request body of unknown length; if not,
                                * such a body is read whole first whatever request_buffering says */
    struct wr_amount limit_rate;
    struct wr_template *set_body; /* the body to send, after the client's was read; or NULL */
    uint32_t ignore;           /* wr_ignore bits of proxy_ignore_headers */
    /* for the rows' setters only */
    uint32_t buffers;
    size_t buffer_each, busy;
    bool busy_set, temp_write_set;
    const struct wr_node *sized; /* the last row that set a size */
};
enum wr_ignore {
    WR_IGNORE_REDIRECT = 1, WR_IGNORE_X_EXPIRES = 2, WR_IGNORE_LIMIT_RATE = 4,
    WR_IGNORE_BUFFERING = 8, WR_IGNORE_CHARSET = 16, WR_IGNORE_EXPIRES = 32,
    WR_IGNORE_CACHE_CONTROL = 64, WR_IGNORE_SET_COOKIE = 128, WR_IGNORE_VARY = 256
};
enum wr_abort {
    WR_ABORT_LEFT,             /* the client has left: send nothing */
    WR_ABORT_CUT,              /* the reply cannot be completed, and must not look complete */
    WR_ABORT_RESET             /* reset the connection: bytes sent before need not arrive */
};
enum wr_claim { WR_CLAIM_NO, WR_CLAIM_MORE, WR_CLAIM_YES };
/* A speaker carries HTTP in one version of the protocol: a const table with one half for each side.
 * It writes heads that http has decided (wr_request_out, wr_reply_out). Its endpoints read and
 * write bodies; at the end of a reply's body they write h->res.trailers. */
struct wr_http_speaker {       /* of a module: wr_module.speaker */
    const char *name;
    const char *word;          /* parameter of `listen` that allows this speaker. NULL: the standard
                                * one, for connections that no other claims; there is exactly one */
    const char *version;       /* value of proxy_http_version that chooses it; NULL: none */
    struct wr_str alpn;        /* its names, in wire format */
    /* YES: a plain connection that begins with these bytes is for this speaker. MORE: more bytes
     * are needed to decide. Pure. NULL without a word. */
    enum wr_claim (*claims)(struct wr_str first);
    struct {                   /* to the client */
        /* It was chosen for s; nothing was read. NULL: the zeroed state needs no preparation. */
        void (*begin)(struct wr_session *s);
        /* The session was woken while no exchange has its connection. Heads may be read: a
         * handshake is over. */
        void (*wake)(struct wr_session *s);
        /* Sends an interim head without fields (100). Bytes that cannot be sent at once are sent
         * with the next read or write. */
        void (*interim)(struct wr_exchange *x, unsigned status);
        /* Writes the head of the reply (101 included). False: it is too long. */
        bool (*reply)(struct wr_exchange *x, const struct wr_reply_out *out) WR_CHECKED;
        /* Nothing more will be sent for this exchange, which ends next. Called by wr_http_abort.
         * NULL: the end of the exchange is enough. */
        void (*abort)(struct wr_exchange *x, enum wr_abort how);
        /* The worker ends: take no further requests as soon as no client is harmed by that; those
         * that run go on. */
        void (*drain)(struct wr_session *s);
        void (*ended)(struct wr_session *s); /* frees the speaker's part of the session */
    } server;
    struct {                   /* to the server */
        /* Makes the endpoint x->peer on the try's connection and writes the head of the request.
         * False: it is too long. */
        bool (*request)(struct wr_exchange *x, const struct wr_request_out *out) WR_CHECKED;
        /* Reads the next head, interim or final, into h->res. AGAIN: it is incomplete; EOF: the
         * server closed before its end; ERROR: wr_endpoint_why has the reason, or errno. */
        enum wr_io (*head)(struct wr_exchange *x) WR_CHECKED;
        /* Called for a failed try before its endpoint ends. True: the server has reported that it
         * did not begin with the request. NULL: the protocol cannot report that. */
        bool (*refused)(const struct wr_exchange *x);
        const struct wr_link_speaker *link; /* how its connections are shared */
    } peer;
};
/* s->of_layer: the state of a client connection. */
#define WR_HTTP_STATE 128      /* bytes for the speaker */
struct wr_http_session {
    uint32_t magic, requests;  /* requests: begun so far */
    const struct wr_http_speaker *speaker; /* NULL: not known yet */
    bool secured;              /* with `ssl`: the handshake is over, or the client speaks plain */
    union {
        uint64_t state[WR_HTTP_STATE / sizeof(uint64_t)]; /* the speaker's own, zeroed */
        void *of_speaker;      /* for a speaker that needs more */
    };
};
static inline struct wr_http_session *wr_http_session_of(const struct wr_session *s)
{
    return WR_CHECK(s->of_layer, HTTP_SESSION);
}
/* Chooses the speaker of a client connection. words: bit i is set if `listen` has the word of
 * all[i]; alpn: the protocol chosen in the handshake, n 0: none; first: the bytes received so far.
 * NULL: more bytes are needed. Pure. */
const struct wr_http_speaker *wr_speaker_choose(const struct wr_http_speaker *const *all,
                                                uint32_t words, struct wr_str alpn,
                                                struct wr_str first);
/* Finds the speaker of that value of proxy_http_version; NULL: there is none. */
const struct wr_http_speaker *wr_speaker_of_version(struct wr_str version);
/* True: there is a speaker for a server that chooses this protocol (ALPN). */
bool wr_speakers_reach(struct wr_str alpn);
/* For speakers: makes the exchange of a request that began on s at begun_ms (monotonic; 0: now). It
 * is in the session's list and in the default server. The caller sets `over` and the client
 * endpoint, fills h->req, calls wr_http_host_known as soon as the host is known or known to be
 * missing, and runs the exchange. */
struct wr_exchange *wr_http_request_new(struct wr_session *s, uint64_t begun_ms);
/* For wr_head_rules.of_host; x is the exchange. Enters the server of h->req.host and returns its
 * limits of heads. */
const struct wr_head_limits *wr_http_host_known(void *x, const struct wr_request *r);
/* The head is malformed or incomplete: the reply will have this status. line: the request line was
 * fine. */
void wr_http_request_bad(struct wr_exchange *x, uint16_t status, const char *why, bool line);
/* Longest wait for a head on this address. */
uint64_t wr_http_header_ms(const struct wr_session *s);
/* A proxy module's part of the steps send and head: one const struct per module. The engine
 * connects, sends, reads, retries and relays. */
struct wr_http_proxy_ops {
    const char *name;
    /* Changes and completes the request for this server. Called for each try. False: reply 500. */
    bool (*request)(struct wr_exchange *x, struct wr_request_out *out);
    /* Hides, renames and rewrites fields of the final reply, which is in h->res as received. PASS:
     * respond; TAKEN: the step was set (X-Accel-Redirect); REJECTED: wr_reject was called. */
    enum wr_verdict (*reply)(struct wr_exchange *x);
    /* Appends the URL that a server is asked for: names the reply in a cache. */
    void (*url)(struct wr_exchange *x, struct wr_text *t);
    /* Appends the URL that the error log shows after "upstream: "; NULL: "http://ADDRESS". */
    void (*log_url)(const struct wr_exchange *x, struct wr_text *t);
};
/* The rows of a proxy module, written once for all of them; temp is the default folder. */
#define WR_HTTP_PROXY_ROWS(prefix, temp, type, field) \
    WR_UPSTREAM_ROWS(prefix, WR_L7, type, field.rows), \
    WR_ROW(prefix "_next_upstream", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, \
           wr_set_mask, type, field.rows.next, wr_next_words, "error timeout", \
           "failures and statuses after which another server is tried; off: none"), \
    WR_MSEC(prefix "_send_timeout", WR_L7 | WR_IN_LOCATIONS, type, field.send_timeout_ms, "60s", \
            "longest wait between two writes of a request to a server"), \
    WR_MSEC(prefix "_read_timeout", WR_L7 | WR_IN_LOCATIONS, type, field.read_timeout_ms, "60s", \
            "longest wait between two reads of a server's reply"), \
    WR_FLAG(prefix "_buffering", WR_L7 | WR_IN_LOCATIONS, type, field.buffering, "on", \
            "reads replies faster than clients take them; off: no faster than they are sent"), \
    WR_FLAG(prefix "_request_buffering", WR_L7 | WR_IN_LOCATIONS, type, field.request_buffering, \
            "on", "reads a request's whole body before a server is chosen"), \
    WR_FLAG(prefix "_intercept_errors", WR_L7 | WR_IN_LOCATIONS, type, field.intercept_errors, \
            "off", "error_page replaces replies with status 300 or more"), \
    WR_FLAG(prefix "_pass_request_body", WR_L7 | WR_IN_LOCATIONS, type, field.pass_request_body, \
            "on", "sends the client's body to the server"), \
    WR_FLAG(prefix "_pass_request_headers", WR_L7 | WR_IN_LOCATIONS, type, \
            field.pass_request_headers, "on", "sends the client's header fields to the server"), \
    WR_FLAG(prefix "_ignore_client_abort", WR_L7 | WR_IN_LOCATIONS, type, \
            field.ignore_client_abort, "off", "goes on with a request whose client has left"), \
    WR_FLAG(prefix "_force_ranges", WR_L7 | WR_IN_LOCATIONS, type, field.force_ranges, "off", \
            "serves byte ranges of replies whatever their Accept-Ranges says"), \
    WR_AMOUNT(prefix "_limit_rate", WR_L7 | WR_IN_LOCATIONS, type, field.limit_rate, "0", \
              "bytes a second read from a server, per request; 0: no limit"), \
    WR_ROW(prefix "_ignore_headers", WR_L7 | WR_IN_LOCATIONS | WR_MULTI, 1, WR_ARGS_ANY, \
           wr_set_mask, type, field.ignore, wr_ignore_words, NULL, \
           "fields of replies that have no effect here"), \
    WR_ROW(prefix "_buffer_size", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_proxy_size, type, field, \
           NULL, "4k", "most bytes of a reply's head, and of one read"), \
    WR_ROW(prefix "_buffers", WR_L7 | WR_IN_LOCATIONS, 2, 2, wr_set_proxy_buffers, type, field, \
           NULL, "8 4k", \
           "number and size: how much of a reply waits in memory for a slow client"), \
    WR_ROW(prefix "_busy_buffers_size", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_proxy_size, type, \
           field, NULL, NULL, "checked only: what is being sent needs no buffers of its own"), \
    WR_ROW(prefix "_max_temp_file_size", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_proxy_size, type, \
           field, NULL, "1024m", \
           "most of a reply that waits in a file for a slow client; 0: none"), \
    WR_ROW(prefix "_temp_file_write_size", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_proxy_size, type, \
           field, NULL, NULL, "most bytes written to such a file at once"), \
    WR_ROW(prefix "_temp_path", WR_L7 | WR_IN_LOCATIONS, 1, 4, wr_set_proxy_temp, type, field, \
           NULL, "\"" temp "\"", "folder of such files"), \
    WR_ROW(prefix "_send_lowat", WR_L7 | WR_IN_LOCATIONS, 1, 1, wr_set_proxy_size, type, field, \
           NULL, NULL, "checked only: has no effect on Linux")
extern const struct wr_enum wr_next_words[], wr_ignore_words[];
bool wr_set_proxy_size(struct wr_cf *cf, void *conf);
bool wr_set_proxy_buffers(struct wr_cf *cf, void *conf);
bool wr_set_proxy_temp(struct wr_cf *cf, void *conf);
/* For the module's `finish`: derives and checks the sizes. */
bool wr_http_proxy_finish(struct wr_cf *cf, struct wr_http_proxy_conf *c, const char *prefix);
/* For `finish` of a conf that sends requests on: registers the folders of their temporary files,
 * which will be made. */
void wr_http_proxy_folders(struct wr_cf *cf, const struct wr_http_proxy_conf *c);
/* X-Accel-Redirect: keeps some fields of this reply for the one that replaces it; the step respond
 * then adds them to that one. */
void wr_http_keep_fields(struct wr_exchange *x);
void wr_http_add_kept_fields(struct wr_exchange *x);
/* Appends "http://host:port" for a redirect, by absolute_redirect and the other directives about
 * redirects; nothing if it is off. */
void wr_http_origin(struct wr_exchange *x, struct wr_text *t);
/* Content hooks: reads the request body if request_buffering, then start, pick, dial, ...
 * u NULL: target names the upstream at run time. PASS is never returned. */
enum wr_verdict wr_http_proxy(struct wr_exchange *x, const struct wr_http_proxy_ops *ops,
                              const struct wr_http_proxy_conf *conf, struct wr_upstream *u,
                              struct wr_str target, uint16_t default_port);
/* A cache's part in the requests of proxy modules. Not called where its has_work says so. */
struct wr_proxy_hook {
    /* PASS: ask a server. TAKEN: wr_http_serve was called. HOLD: something is armed; call again. */
    enum wr_verdict (*start)(struct wr_exchange *x);
    void (*request)(struct wr_exchange *x, struct wr_request_out *out); /* after the proxy module */
    /* The final reply is in h->res as received, its body at x->peer: both may be replaced. */
    void (*head)(struct wr_exchange *x);
    void (*intercept)(struct wr_exchange *x); /* error_page replaces it: its body is not read */
    bool (*fail)(struct wr_exchange *x);  /* no server has replied. True: serve was called */
    bool (*after)(struct wr_exchange *x); /* it was sent. True: ask_again was called */
};
void wr_proxy_hook_init(void); /* finds the hook; call it once, after wr_modules_init */
void wr_http_serve(struct wr_exchange *x);     /* passes on h->res and x->peer as a server's */
void wr_http_ask_again(struct wr_exchange *x); /* content hooks run once more, for nobody */

struct wr_http {               /* x->of_layer */
    uint32_t magic;
    struct wr_request req;
    struct wr_response res;
    struct wr_http_server *server;
    const struct wr_location *location; /* NULL: none, only the server */
    struct wr_http_session *session;
    const struct wr_http_speaker *speaker; /* of the client; NULL: a subrequest, without client */
    struct wr_body body;
    const struct wr_http_proxy_ops *proxy;       /* NULL: the reply is not from a server */
    const struct wr_http_speaker *peer_speaker;  /* of the server */
    const struct wr_http_proxy_conf *proxy_conf;
    struct wr_relay_filter *filters; /* of the reply's body */
    uint32_t redirects;        /* internal ones left: 10 at the start */
    bool internal;             /* after an internal redirect */
    bool uri_changed;          /* by rewrite: repeat FIND */
    bool uri_internal;         /* the uri is no longer what the client sent */
    bool uri_set_by_break;     /* `rewrite ... break` changed it inside its location: the URI of
                                * proxy_pass does not count. Internal redirects clear it */
    bool alias_appends_uri;    /* try_files: an alias that stands for the whole uri (regex location)
                                * is followed by the uri. Internal redirects clear it */
    struct wr_str named_next;  /* of wr_http_internal: the @name for FIND to find; n 0: none */
    bool tunnel_open;
    bool head_sent, header_only, keepalive, error_page;
    bool expect;               /* the client waits for 100 Continue */
    bool discard;
    unsigned error_status;     /* replaces the status of the next reply; 0: it does not */
    uint64_t header_bytes_sent;
    struct wr_str limit_rate;  /* $limit_rate set at run time */
    uint16_t bad_status;       /* of a bad head: 400, 414, 431, ...; 0: it was fine */
    const char *bad_why;
    enum wr_method upstream_method; /* sent to the server; decides the framing of its reply */
    struct wr_fields kept;     /* fields of a reply with X-Accel-Redirect, or of an error with a
                                * page, for the reply that replaces it */
    enum { WR_AS_CONFIGURED, WR_BUFFER, WR_DONT_BUFFER } x_buffering; /* X-Accel-Buffering */
    struct wr_response *upstream_reply; /* as received; NULL: none, or no variable uses it */
    struct wr_fields *upstream_trailers; /* as received; NULL: none */
    bool pipelined;            /* received before the reply to the last request was sent */
    bool tunnel;               /* upgraded: raw from here on */
    bool aborted;              /* the reply was cut short: the connection cannot go on */
    bool asking, wanted;       /* a server has not replied yet; its reply is read to the end even
                                * if the client leaves */
    bool sliced;               /* it asks for a part, which is one reply of its own */
    bool conditional;          /* a proxied reply, but weir evaluates the request's conditions */
};
static inline struct wr_http *wr_http_of(const struct wr_exchange *x)
{
    return WR_CHECK(x->of_layer, HTTP);
}

/* ---- for content hooks ---- */
/* The reply is in h->res (status, type, length, fields); its body is q (taken over; may be empty).
 * Sets the step; returns WR_TAKEN. */
enum wr_verdict wr_http_respond(struct wr_exchange *x, struct wr_bufq *q);
/* Responds with a short text. text and type must live as long as x. */
enum wr_verdict wr_http_respond_text(struct wr_exchange *x, unsigned status, struct wr_str type,
                                     struct wr_str text);
/* Responds with 301, 302, 303, 307 or 308 and Location, made absolute by absolute_redirect. */
enum wr_verdict wr_http_redirect(struct wr_exchange *x, unsigned status, struct wr_str location);
/* Redirects internally: back to the phase SET with this uri (args p NULL: none), or for "@name" to
 * FIND, with the named location. TAKEN; REJECTED with 500 after 10. */
enum wr_verdict wr_http_internal(struct wr_exchange *x, struct wr_str uri, struct wr_str args);
/* Makes a subrequest: a child of x (wr_child_new) that GETs this path of x's server, without a body
 * and without a client. args p NULL: none. uri and args must live as long as x.
 *   - It may enter `internal` locations, runs the phases from SET on but PREACCESS and ACCESS, and
 *     has tries, error_page and the filters from CHARSET to SUB of its own location.
 *   - Its header fields are a copy of x's, which the caller may change. Left out are those that
 *     ask for a part of the reply, make it conditional or ask for another protocol, and those of
 *     the body.
 *   - Its reply is swallowed, unless wr_endpoint_collect(&child->client, ...) was called.
 * Set child->over, then wake the child. In over, child->status is the result, h->res of the child
 * its head, and h->aborted tells that the body was cut. The end wakes x, which waits with HOLD (a
 * hook) or WAITS (a filter). If x ends first (its client left, a shutdown), the child ends with it,
 * and over is called while x->ending. NULL: nested too deep, which was logged. */
struct wr_exchange *wr_subrequest_new(struct wr_exchange *x, struct wr_str uri,
                                      struct wr_str args);
/* Reads the body into h->body (memory, then file). HOLD: wait, call again; PASS: complete. */
enum wr_verdict wr_http_read_body(struct wr_exchange *x);
/* The body is not wanted: the speaker reads and drops it after the reply, within the limits of
 * lingering_close. */
void wr_http_discard_body(struct wr_exchange *x);
/* Path of the file the body is in; gives the file a name if it has none, until the request ends
 * (client_body_in_file_only on: for good). NULL: the body is in memory. */
const char *wr_http_body_path(struct wr_exchange *x);
/* For head filters. Until the body ends, f may add to h->res.trailers, which are sent after the
 * body if the framing can carry them. */
void wr_http_add_body_filter(struct wr_exchange *x, struct wr_relay_filter *f);
/* Keeps the final reply of the server, still unchanged in h->res, for $upstream_http_NAME and
 * $upstream_cookie_NAME. */
void wr_http_keep_reply(struct wr_exchange *x);
/* Keeps the trailers of the server's reply, and sends them on if pass_trailers is set. */
void wr_http_take_trailers(struct wr_exchange *x, struct wr_fields *came);
/* Replies with an error: by error_page, else with the built-in page. TAKEN: x->step was set. */
enum wr_verdict wr_http_error(struct wr_exchange *x, unsigned status);
bool wr_http_has_page(const struct wr_exchange *x, unsigned status); /* by error_page */
enum wr_go wr_http_connected(struct wr_exchange *x); /* wr_layer.connected */
uint32_t wr_next_of_status(unsigned status); /* wr_next bit; 0: none */
/* Text of the built-in page ("<html>..."); empty: the status has none. */
struct wr_str wr_error_text(struct wr_exchange *x, unsigned status);
/* Appends the path of the uri's file under root or alias; false: logged. A path that would leave
 * them ("/i../x" in `location /i { alias /img/; }`) is refused. */
bool wr_http_path(struct wr_exchange *x, struct wr_str uri, struct wr_text *out) WR_CHECKED;
bool wr_http_root(struct wr_exchange *x, struct wr_text *out) WR_CHECKED; /* $document_root */
/* *out: the threads that read files for this request, by `aio`; NULL: the worker reads. direct:
 * reads past the system's cache. False: no pool has the name that variables gave (logged). */
bool wr_http_threads(struct wr_exchange *x, bool direct, struct wr_threads **out) WR_CHECKED;
/* Prepares a temp file of x, written by the worker; folder must live as long as x. */
struct wr_temp wr_http_temp(struct wr_exchange *x, const char *folder);
/* The reply ends before it is complete: lets the speaker tell the client. The connection ends with
 * it, or only this request where the speaker carries several. */
void wr_http_abort(struct wr_exchange *x, enum wr_abort how);
/* Ends the current try: the reply of its server, or the rest of it, will not reach this client. */
void wr_http_leave_upstream(struct wr_exchange *x);
uint64_t wr_http_limit_rate(struct wr_exchange *x); /* $limit_rate */
struct wr_str wr_http_type_of(struct wr_exchange *x, struct wr_str path); /* by extension */

#endif

/* reply_head: decides the head of a reply after modules and filters have set theirs. The step
 * respond calls it. */
#include "http/http_impl.h"

#ifndef WR_SERVER
#define WR_SERVER "weir"
#endif

static void decide_body(struct wr_exchange *x)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_response *r = &wr_http_of(x)->res;
    const struct wr_bufq *stored;

    if (r->status == 204 || r->status < 200) {
        r->framing = WR_BODY_NONE;
        r->type = wr_str_of(NULL, 0);
        r->last_modified = -1;
    } else if (r->framing == WR_BODY_LENGTH || (h->header_only && r->framing == WR_BODY_NONE)) {
        return;
    } else if (h->filters == NULL && !(h->header_only && r->framing == WR_BODY_CHUNKED)
               && (stored = wr_endpoint_stored(&x->peer)) != NULL) {
        r->framing = WR_BODY_LENGTH;
        r->length = stored->n;
    } else {
        r->framing = WR_BODY_CHUNKED;
    }
}

/* Last-Modified of a 200, 206 or 304; an error page has none, as the error was never modified. -1
 * also if there is such a field, from a server or add_header. */
static time_t modified_time(struct wr_response *r)
{
    if (wr_fields_first(&r->fields, WR_F_LAST_MODIFIED) != NULL)
        return -1;
    if (r->status != 200 && r->status != 206 && r->status != 304)
        r->last_modified = -1;
    return r->last_modified;
}

static struct wr_str server_value(const struct wr_http_conf *c, const struct wr_response *r)
{
    if (r->no_server || wr_fields_first(&r->fields, WR_F_SERVER) != NULL)
        return wr_str_of(NULL, 0);
    return c->server_tokens == 0 ? WR_STR(WR_SERVER) : WR_STR(WR_SERVER "/" WR_VERSION);
}

void wr_http_decide_reply(struct wr_exchange *x, struct wr_reply_out *out)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_response *r = &wr_http_of(x)->res;

    decide_body(x);
    *out = (struct wr_reply_out){
        .status = r->status,
        .reason = r->reason,
        .server = server_value(wr_conf_of(x, &wr_module_http), r),
        .type = r->type,
        .last_modified = modified_time(r),
        /* A server's reply to HEAD has a length but no body. */
        .says_length = r->status != 304 && (r->framing == WR_BODY_LENGTH
                                            || (h->header_only && r->has_length)),
        .bare = h->header_only,
        .length = r->length,
        .fields = &r->fields,
    };
    if (wr_fields_first(&r->fields, WR_F_DATE) == NULL)
        out->date = wr_clock.http;
}

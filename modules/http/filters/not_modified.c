/* not_modified: conditional requests (RFC 9110 13) for files that weir itself sends, and replies of
 * a cache. The first of the head filters. For another proxied request the server has decided, from
 * the fields passed on. */
#include "http/http.h"
#include "precondition.h"

static enum wr_filter_result fail_precondition(struct wr_http *h)
{
    h->res.fields = (struct wr_fields){ 0 };
    h->res.last_modified = -1;
    h->res.ranges = false;
    h->res.status = 412;
    return WR_FILTER_ERROR;
}

static void leave_body_out(struct wr_http *h)
{
    h->res.status = 304;
    h->res.framing = WR_BODY_NONE;
    h->res.length = 0;
    h->res.type = (struct wr_str){ 0 };
    h->res.ranges = false;
    wr_fields_remove(&h->res.fields, WR_F_CONTENT_ENCODING);
    wr_fields_remove(&h->res.fields, WR_F_ACCEPT_RANGES);
}

static bool is_conditional(const struct wr_fields *f)
{
    return (f->first[WR_F_IF_UNMODIFIED_SINCE] | f->first[WR_F_IF_MATCH]
            | f->first[WR_F_IF_MODIFIED_SINCE] | f->first[WR_F_IF_NONE_MATCH]) != 0;
}

static enum wr_filter_result not_modified_head(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);
    struct wr_validators have;

    if (h->res.status != 200 || (h->proxy != NULL && !h->conditional)
        || !is_conditional(&h->req.fields))
        return WR_FILTER_OK;
    have.etag = wr_fields_value(&h->res.fields, WR_F_ETAG);
    have.modified = wr_response_modified(&h->res);
    switch (wr_precondition(&h->req.fields, &have, (enum wr_since)c->if_modified_since,
                            h->conditional)) {
    case WR_PRECONDITION_FAILED:
        return fail_precondition(h);
    case WR_PRECONDITION_UNCHANGED:
        leave_body_out(h);
        break;
    case WR_PRECONDITION_HOLDS:
        break;
    }
    return WR_FILTER_OK;
}

struct wr_module wr_module_not_modified = {
    .name = "not_modified",
    .layers = WR_L7,
    .filters = (const struct wr_filter[]){ { WR_FR_NOT_MODIFIED, not_modified_head }, { 0 } },
};

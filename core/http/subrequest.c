/* subrequest: a request that weir makes itself, to the same server, as a child of the exchange that
 * needs the reply or only its status. Called by modules. It goes through phases, upstream and relay
 * as a client's request does; its reply goes to the module that made it. */
#include "http/http_impl.h"

#define DEPTH_MAX 50           /* as in nginx */

static uint32_t depth_of(const struct wr_exchange *x)
{
    uint32_t depth = 0;

    for (; x->parent != NULL; x = x->parent)
        depth++;
    return depth;
}

/* Fields that ask for a part of the reply, make it conditional or ask for another protocol, and
 * those of the body, which a subrequest does not have. */
static bool is_left_out(enum wr_field_id id)
{
    switch (id) {
    case WR_F_RANGE: case WR_F_IF_RANGE: case WR_F_IF_MATCH: case WR_F_IF_NONE_MATCH:
    case WR_F_IF_MODIFIED_SINCE: case WR_F_IF_UNMODIFIED_SINCE: case WR_F_UPGRADE:
    case WR_F_EXPECT: case WR_F_CONTENT_LENGTH: case WR_F_TRANSFER_ENCODING:
        return true;
    default:
        return false;
    }
}

static void copy_fields(struct wr_pool *pool, const struct wr_fields *from, struct wr_fields *to)
{
    *to = (struct wr_fields){ 0 };
    for (uint32_t i = 0; i < from->n; i++) {
        const struct wr_field *f = &from->at[i];

        if (!f->gone && !is_left_out((enum wr_field_id)f->id))
            wr_fields_put(pool, to, (enum wr_field_id)f->id, f->name, f->value);
    }
}

struct wr_exchange *wr_subrequest_new(struct wr_exchange *x, struct wr_str uri,
                                      struct wr_str args)
{
    const struct wr_http *asking = wr_http_of(x);
    struct wr_exchange *child;
    struct wr_http *h;

    if (depth_of(x) == DEPTH_MAX) {
        wr_xlog(x, WR_LOG_ERROR, 0, "subrequests cycle while processing \"" WR_FMT "\"",
                WR_ARG(uri));
        return NULL;
    }
    child = wr_child_new(x, asking->server->v.scope, &wr_step_phases);
    child->phase = WR_PH_SET;
    h = wr_http_of(child);
    h->req = asking->req; /* $request, $request_uri: the client's */
    h->req.method = WR_M_GET;
    h->req.method_text = WR_STR("GET");
    h->req.uri = uri;
    h->req.args = args;
    h->req.framing = WR_BODY_NONE;
    h->req.length = 0;
    h->req.expect = false;
    copy_fields(child->pool, &asking->req.fields, &h->req.fields);
    h->internal = h->uri_internal = true;
    return child;
}

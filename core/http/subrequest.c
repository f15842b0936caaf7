/* subrequest: a request that weir makes itself, a child of the one it is made for, to the same
 * server. Called by modules that need the reply, or only the status, of another location. It takes
 * the same way as a client's request from the phases on; its reply goes to whoever made it. */
#include "http/http_impl.h"

#define DEPTH_MAX 50           /* as in nginx */

static uint32_t depth_of(const struct wr_exchange *x)
{
    uint32_t depth = 0;

    for (; x->parent != NULL; x = x->parent)
        depth++;
    return depth;
}

/* Its reply is wanted whole, once, and by nobody who could speak another protocol; and there is no
 * body. */
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

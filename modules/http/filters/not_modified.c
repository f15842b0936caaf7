/* not_modified: conditional requests (RFC 9110 13) for files that weir itself sends. The first of
 * the head filters. For a proxied request the server has decided, from the fields passed on. */
#include "etag.h"
#include "http/http.h"

enum { IMS_OFF, IMS_EXACT, IMS_BEFORE }; /* if_modified_since */

static struct wr_str asked_field(const struct wr_http *h, enum wr_field_id id)
{
    return wr_fields_value(&h->req.fields, id);
}

static bool is_listed(const struct wr_http *h, enum wr_field_id id, bool weak)
{
    return wr_etag_listed(asked_field(h, id), wr_fields_value(&h->res.fields, WR_F_ETAG), weak);
}

static bool is_unmodified(struct wr_http *h)
{
    time_t since;

    return wr_response_modified(&h->res) != -1
        && wr_http_time(asked_field(h, WR_F_IF_UNMODIFIED_SINCE), &since)
        && h->res.last_modified <= since;
}

static bool is_modified(struct wr_http *h, uint32_t how)
{
    time_t since;

    if (how == IMS_OFF || wr_response_modified(&h->res) == -1
        || !wr_http_time(asked_field(h, WR_F_IF_MODIFIED_SINCE), &since))
        return true;
    return since != h->res.last_modified
        && (how == IMS_EXACT || since < h->res.last_modified);
}

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

static enum wr_filter_result not_modified_head(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);
    bool since, none_match;

    if (h->res.status != 200 || h->proxy != NULL)
        return WR_FILTER_OK;
    if (asked_field(h, WR_F_IF_UNMODIFIED_SINCE).p != NULL && !is_unmodified(h))
        return fail_precondition(h);
    if (asked_field(h, WR_F_IF_MATCH).p != NULL && !is_listed(h, WR_F_IF_MATCH, false))
        return fail_precondition(h);
    since = asked_field(h, WR_F_IF_MODIFIED_SINCE).p != NULL;
    none_match = asked_field(h, WR_F_IF_NONE_MATCH).p != NULL;
    if (!since && !none_match)
        return WR_FILTER_OK;
    /* as in nginx: if both fields are present, both must allow a 304 */
    if ((since && is_modified(h, c->if_modified_since))
        || (none_match && !is_listed(h, WR_F_IF_NONE_MATCH, true)))
        return WR_FILTER_OK;
    leave_body_out(h);
    return WR_FILTER_OK;
}

struct wr_module wr_module_not_modified = {
    .name = "not_modified",
    .layers = WR_L7,
    .filters = (const struct wr_filter[]){ { WR_FR_NOT_MODIFIED, not_modified_head }, { 0 } },
};

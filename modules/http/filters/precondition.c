/* precondition: see precondition.h. */
#include "precondition.h"

#include "etag.h"

static bool has_field(const struct wr_fields *request, enum wr_field_id id)
{
    return wr_fields_first(request, id) != NULL;
}

static bool is_listed(const struct wr_fields *request, enum wr_field_id id,
                      const struct wr_validators *have, bool weak)
{
    return wr_etag_listed(wr_fields_value(request, id), have->etag, weak);
}

/* 13.1.4 */
static bool is_unmodified(const struct wr_fields *request, const struct wr_validators *have)
{
    time_t since;

    return have->modified != -1
        && wr_http_time(wr_fields_value(request, WR_F_IF_UNMODIFIED_SINCE), &since)
        && have->modified <= since;
}

/* 13.1.3 */
static bool is_modified(const struct wr_fields *request, const struct wr_validators *have,
                        enum wr_since how)
{
    time_t since;

    if (how == WR_SINCE_OFF || have->modified == -1
        || !wr_http_time(wr_fields_value(request, WR_F_IF_MODIFIED_SINCE), &since))
        return true;
    return how == WR_SINCE_BEFORE ? since < have->modified : since != have->modified;
}

static bool has_failed(const struct wr_fields *request, const struct wr_validators *have,
                       bool strict)
{
    bool match = has_field(request, WR_F_IF_MATCH);

    if (match && !is_listed(request, WR_F_IF_MATCH, have, false))
        return true;
    return has_field(request, WR_F_IF_UNMODIFIED_SINCE) && !(strict && match)
        && !is_unmodified(request, have);
}

enum wr_precondition wr_precondition(const struct wr_fields *request,
                                     const struct wr_validators *have, enum wr_since how,
                                     bool strict)
{
    bool since = has_field(request, WR_F_IF_MODIFIED_SINCE);
    bool none_match = has_field(request, WR_F_IF_NONE_MATCH);

    if (has_failed(request, have, strict))
        return WR_PRECONDITION_FAILED;
    if (strict && none_match)
        since = false;
    if ((!since && !none_match) || (since && is_modified(request, have, how))
        || (none_match && !is_listed(request, WR_F_IF_NONE_MATCH, have, true)))
        return WR_PRECONDITION_HOLDS;
    return WR_PRECONDITION_UNCHANGED;
}

bool wr_if_range_holds(const struct wr_fields *request, const struct wr_validators *have)
{
    struct wr_str want = wr_fields_value(request, WR_F_IF_RANGE);
    time_t at;

    if (want.p == NULL)
        return true;
    if (wr_str_ends(want, WR_STR("\"")))
        return wr_str_eq(want, have->etag) && !wr_str_starts(have->etag, WR_STR("W/"));
    return have->modified != -1 && wr_http_time(want, &at) && at == have->modified;
}

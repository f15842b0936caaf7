/* location: the module of `location`: its rows, and the hook that finds the location of a request.
 * A build without it has servers only. */
#include "location_impl.h"

/* Redirect "/x" to "/x/", the name of a location with auto_redirect. */
static enum wr_verdict add_slash(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    struct wr_text t = wr_text_grow(x->pool, h->req.uri.n + 16, 1 << 16);

    wr_uri_escape(&t, h->req.uri, WR_ESC_URI);
    wr_text_char(&t, '/');
    if (h->req.args.n > 0) {
        wr_text_char(&t, '?');
        wr_text_str(&t, h->req.args);
    }
    return wr_http_redirect(x, 301, wr_text_view(&t));
}

/* An internal jump to @name is not searched for. A name that no location has stays in named_next:
 * the core reports it. */
static const struct wr_location *take_named(struct wr_http *h)
{
    const struct wr_location *l = wr_location_named(h->server->locations, h->named_next);

    if (l != NULL)
        h->named_next.n = 0;
    return l;
}

static enum wr_verdict find_location(struct wr_exchange *x)
{
    struct wr_http *h = wr_http_of(x);
    const struct wr_locations *all = h->server->locations;
    const struct wr_scope *limited;
    bool slash = false;

    if (all == NULL) {
        h->location = NULL;
    } else if (h->named_next.n > 0) {
        const struct wr_location *named = take_named(h);

        if (named == NULL)
            return WR_PASS;
        h->location = named;
    } else {
        h->location = wr_location_find(all, x, h->req.uri, &slash);
    }
    if (slash)
        return add_slash(x);
    if (h->location == &wr_location_failed) { /* a regex gave up, which is logged */
        h->location = NULL;
        return wr_reject(x, 500, NULL);
    }
    if (h->location == NULL) {
        wr_exchange_scope(x, h->server->v.scope);
        return WR_PASS;
    }
    limited = wr_http_limit_scope(h->location, h->req.method);
    wr_exchange_scope(x, limited != NULL ? limited : h->location->scope);
    return WR_PASS;
}

static bool prepare(struct wr_cf *cf)
{
    wr_cf_state(cf, &wr_module_location) = WR_NEW(cf->pool, struct wr_location_state);
    return true;
}

static bool check(struct wr_cf *cf)
{
    struct wr_location_state *state = wr_cf_state(cf, &wr_module_location);

    for (uint32_t i = 0; i < state->levels.n; i++)
        wr_locations_build(state->levels.at[i]);
    return true;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("location", WR_L7 | WR_LV_SERVER | WR_LV_LOCATION | WR_BLOCK | WR_MULTI, 1, 2,
              wr_set_location, NULL,
              "settings for some of the paths: [= | ^~ | ~ | ~*] path, or @name"),
    WR_CUSTOM("limit_except", WR_L7 | WR_LV_LOCATION | WR_BLOCK, 1, WR_ARGS_ANY,
              wr_set_limit_except, NULL, "access rules for all methods but those listed"),
    { 0 },
};

struct wr_module wr_module_location = {
    .name = "location",
    .layers = WR_L7,
    .directives = directives,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_FIND, WR_L7, find_location, 0 },
        { 0 },
    },
    .prepare = prepare,
    .check = check,
};

/* first: picks the first server of an upstream that is usable, as an example of a balancer. For
 * upstream {} of both layers:
 *
 *     first;
 */
#include "upstream/upstream.h"

static struct wr_peer *first_pick(struct wr_upstream *u WR_UNUSED, struct wr_peer_group *g,
                                  struct wr_pick *p)
{
    for (uint32_t i = 0; i < g->n; i++)
        if (wr_peer_usable(p, &g->at[i]))
            return &g->at[i];
    return NULL;
}

static const struct wr_balancer_ops first = { .name = "first", .pick = first_pick };

static bool set_first(struct wr_cf *cf, void *conf WR_UNUSED)
{
    return wr_upstream_balance(cf, &first, NULL);
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("first", WR_ANY | WR_LV_UPSTREAM, 0, 0, set_first, NULL,
              "picks the first server that is usable"),
    { 0 }
};

extern struct wr_module wr_module_first;

struct wr_module wr_module_first = {
    .name = "first",
    .layers = WR_ANY,
    .directives = directives,
};

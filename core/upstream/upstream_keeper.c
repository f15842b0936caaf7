/* upstream_keeper: the work of the keeper for upstreams, as hooks: it publishes servers, watches
 * names and files of servers, takes back what dead processes held. */
#include "upstream/upstream_impl.h"

/* A process that died may have written anywhere before. */
static bool keeper_sweep(struct wr_conf *conf)
{
    wr_upstreams_rewrite(conf);
    return wr_peers_sweep(conf);
}

/* Corrects the counts. Slots may be free then: publishes the addresses that did not fit before. */
static bool keeper_look(struct wr_conf *conf)
{
    bool right = wr_peers_look(conf);

    wr_upstreams_fit(conf);
    return right;
}

static void keeper_start(struct wr_conf *conf, struct wr_loop *l)
{
    wr_names_watch(conf, l);
    wr_lists_watch(conf, l);
}

static void keeper_stop(void)
{
    wr_lists_unwatch();
    wr_names_unwatch();
}

const struct wr_keeper_hooks wr_upstreams_keeper = {
    .commit = wr_upstreams_commit,
    .start = keeper_start,
    .stop = keeper_stop,
    .sweep = keeper_sweep,
    .look = keeper_look,
    .is_damaged = wr_upstreams_are_damaged,
};

/* peer_mend: what the keeper writes into its zones again: all of it, if some other process has
 * written over the owner or the list of members; everything that is configured, after a process has
 * died that may have; addresses that had no slot, when slots may be free. The master, which reads
 * no shared memory, says which keeper is to be the owner. */
#include "upstream/upstream_impl.h"

#define TELL_MS 60000        /* damage is logged once in this time */

void wr_upstreams_fit(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        if (all->all.at[i]->full > 0)
            (void)wr_peer_zone_relist(all->all.at[i]);
}

void wr_upstreams_rewrite(struct wr_conf *c)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);

    for (uint32_t i = 0; i < all->all.n; i++)
        if (all->all.at[i]->run != 0)
            (void)wr_peer_zone_relist(all->all.at[i]);
}

static bool is_damaged(const struct wr_upstream *u)
{
    struct wr_member_list l;
    bool same;

    if (!wr_upstream_is_owned(u))
        return true;
    l = wr_members_read(&u->peers->zone);
    same = wr_members_hash(&l) == u->published;
    wr_members_free(&l);
    return !same;
}

bool wr_upstreams_are_damaged(const struct wr_conf *c)
{
    static uint64_t quiet_ms;
    const struct wr_upstreams *all = wr_conf_upstreams(c);
    uint32_t i = 0;

    while (i < all->all.n && (all->all.at[i]->run == 0 || !is_damaged(all->all.at[i])))
        i++;
    if (i == all->all.n)
        return false;
    if (wr_now() >= quiet_ms)
        wr_say(WR_LOG_ERROR, 0, "upstream \"" WR_FMT "\": another process has written into its "
               "zone, publishing its servers again", WR_ARG(all->all.at[i]->name));
    quiet_ms = wr_now() + TELL_MS;
    return true;
}

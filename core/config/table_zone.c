/* table_zone: tables in shared memory that directives name ("zone=NAME:SIZE"): all directives of a
 * module with one name share one table. The master makes the memory while loading and neither locks
 * nor reads it. */
#include "config/config_impl.h"

#include <errno.h>

struct wr_table_zone *wr_table_zone_named(struct wr_cf *cf, uint32_t i, struct wr_table_zone **all,
                                          struct wr_str name, size_t size)
{
    struct wr_table_zone *z = *all;

    while (z != NULL && !wr_str_eq(z->name, name))
        z = z->next;
    if (z != NULL && z->size != size) {
        (void)wr_cf_error(cf, i, "the size %zu of shared memory zone \"" WR_FMT "\" conflicts with"
                          " already declared size %zu", size, WR_ARG(name), z->size);
        return NULL;
    }
    if (z != NULL)
        return z;
    z = WR_NEW(cf->pool, struct wr_table_zone);
    z->name = wr_pool_str(cf->pool, name);
    z->size = size;
    z->node = cf->node;
    z->next = *all;
    *all = z;
    return z;
}

bool wr_table_zones_open(struct wr_cf *cf, struct wr_table_zone *all, const char *prefix,
                         uint32_t layout)
{
    for (struct wr_table_zone *z = all; z != NULL; z = z->next) {
        const char *name = wr_pool_fmt(cf->pool, "%s/" WR_FMT, prefix, WR_ARG(z->name)).p;
        struct wr_zone zone;

        z->shm = wr_shm_get(cf->conf->shm, cf->conf->old_shm, name, layout, z->size, z->size,
                            NULL);
        if (z->shm == NULL)
            return wr_cf_error_at(cf, z->node, 0, "shared memory for the zone \"" WR_FMT "\" could"
                                  " not be made (%d: %s)", WR_ARG(z->name), errno,
                                  strerror(errno));
        zone = wr_zone_of(z->shm);
        wr_table_place(&z->table, &zone, z->size, name);
    }
    return true;
}

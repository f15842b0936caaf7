/* health_impl: private to the files of active health checks (health_check, match). */
#ifndef WR_HEALTH_IMPL_H
#define WR_HEALTH_IMPL_H

#include "health.h"

/* ---- kinds ---- */
/* All kinds that are no module's of their own, in the order of messages; ends with NULL. To add
 * one: a file with its table, a row in health_kinds.c, its file in auto/modules. */
extern const struct wr_check_kind *const wr_check_kinds[];
extern const struct wr_check_kind wr_check_pgsql, wr_check_redis, wr_check_mysql, wr_check_smtp,
    wr_check_ldap;

#endif

/* health: active health checks, run by the keeper (docs/decisions/keeper.md). */
#include "health_impl.h"

extern struct wr_module wr_module_health;

struct wr_module wr_module_health = {
    .name = "health",
    .layers = WR_ANY,
};

/* cache_rules: a module without directives. It brings the pure parts of the response cache into the
 * build: what may be stored, how long it is fresh, what a request may get. */
#include "http/http.h"

extern struct wr_module wr_module_cache_rules;

struct wr_module wr_module_cache_rules = {
    .name = "cache_rules",
    .layers = WR_L7,
};

/* The empty table of modules for unit tests and fuzz drivers of core folders, which are linked
 * without any module. A test that needs a table defines its own wr_modules, which wins. */
#include "config/config.h"

struct wr_module *const wr_modules[] __attribute__((weak)) = { NULL };

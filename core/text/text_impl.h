/* Private to core/text: the variables of a layer, which variables.c registers while a configuration
 * is loaded and values.c evaluates. */
#ifndef WR_TEXT_IMPL_H
#define WR_TEXT_IMPL_H

#include "text/text.h"

#define WR_NO_SLOT UINT32_MAX /* wr_var.slot: the value is not kept */
#define WR_CAPTURES 10 /* $1 to $9; 0 is the whole match and has no variable */

struct wr_registry {                            /* of one layer of a configuration */
    struct wr_dict *rows;                       /* const struct wr_variable, except families */
    WR_VEC(const struct wr_variable *) families;
    struct wr_dict *vars;                       /* struct wr_var */
    WR_VEC(struct wr_var *) all;                /* the same, in order of mention */
    uint32_t slots;
};
struct wr_registry *wr_registry_of(const struct wr_conf *c, uint32_t layer);

struct wr_captures {                            /* wr_module_vars' state of an exchange */
    uint32_t n;
    struct wr_str at[WR_CAPTURES];
};

#endif

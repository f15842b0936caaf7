/* fields: the fields of a head from lines of text, for tables of what a reply or a request says. */
#ifndef FIELDS_H
#define FIELDS_H

#include "message/message.h"
#include "unit.h"

/* "A: b\nC: d". The texts and the array are in the pool. */
static inline struct wr_fields fields_of(struct wr_pool *pool, const char *lines)
{
    struct wr_str rest = wr_pool_str(pool, wr_str_c(lines));
    struct wr_fields f = { 0 };

    while (rest.n > 0) {
        struct wr_str value = wr_str_cut(&rest, '\n'), name = wr_str_cut(&value, ':');

        (void)wr_fields_add(pool, &f, name, wr_str_trim(value));
    }
    return f;
}

/* The same lines again. */
static inline struct wr_str fields_text(struct wr_pool *pool, const struct wr_fields *f)
{
    struct wr_text t = wr_text_grow(pool, 64, 1 << 20);

    for (uint32_t i = 0; i < f->n; i++)
        if (!f->at[i].gone)
            wr_text_fmt(&t, "%s" WR_FMT ": " WR_FMT, t.n > 0 ? "\n" : "", WR_ARG(f->at[i].name),
                        WR_ARG(f->at[i].value));
    return wr_text_view(&t);
}

#endif

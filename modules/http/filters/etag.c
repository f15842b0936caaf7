/* etag: see etag.h. */
#include "etag.h"

static const struct wr_str weak_mark = WR_STR_INIT("W/");

static bool first_is(struct wr_str list, struct wr_str etag)
{
    struct wr_str rest;

    if (!wr_str_starts(list, etag))
        return false;
    rest = wr_str_trim(wr_str_skip(list, etag.n));
    return rest.n == 0 || rest.p[0] == ',';
}

bool wr_etag_listed(struct wr_str list, struct wr_str etag, bool weak)
{
    list = wr_str_trim(list);
    if (wr_str_is(list, "*"))
        return true;
    if (wr_str_starts(etag, weak_mark)) {
        if (!weak)
            return false;
        etag = wr_str_skip(etag, weak_mark.n);
    }
    if (etag.n == 0)
        return false;
    while (list.n > 0) {
        list = wr_str_trim(list);
        if (weak && wr_str_starts(list, weak_mark))
            list = wr_str_skip(list, weak_mark.n);
        if (first_is(list, etag))
            return true;
        (void)wr_str_cut(&list, ',');
    }
    return false;
}

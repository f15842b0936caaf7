/* http_check: private to the kind of health check that asks a server over HTTP. */
#ifndef WR_HTTP_CHECK_H
#define WR_HTTP_CHECK_H

#include "http1/http1.h"

#include "../../shared/health/health.h"

/* ---- http_match: pure ---- */
struct wr_http_head {          /* of a reply */
    unsigned status;
    struct wr_str lines;       /* the field lines, each with its end; well-formed */
};
struct wr_match *wr_http_match_new(struct wr_pool *pool, struct wr_str name);
bool wr_http_match_line(struct wr_cf *cf, struct wr_match *m);
/* False: the head does not match, *why gets the reason. m NULL: a status of 2xx or 3xx. */
bool wr_http_match_head(const struct wr_match *m, const struct wr_http_head *h,
                        struct wr_text *why) WR_CHECKED;
bool wr_http_match_wants_body(const struct wr_match *m);
bool wr_http_match_body(const struct wr_match *m, struct wr_str body,
                        struct wr_text *why) WR_CHECKED;

#endif

/* rewrite_return: `return code`, `return code text`, `return code url`, `return url`. */
#include "rewrite_impl.h"

struct answer {
    unsigned status;
    struct wr_template *text;  /* NULL: none; the url if it is a redirect */
};

static bool is_redirect(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static enum wr_rewrite_next run_return(struct wr_rewrite *rw, const void *row)
{
    const struct answer *a = row;
    struct wr_exchange *x = rw->x;
    struct wr_http *h = wr_http_of(x);
    struct wr_str text = WR_STR("");

    if (a->text == NULL && a->status >= 400)
        return wr_rewrite_reject(rw, a->status);
    h->res.status = a->status; /* the text may contain $status */
    if (a->text != NULL)
        text = wr_template_str(x, a->text);
    if (text.p == NULL) {
        wr_xlog(x, WR_LOG_ERROR, 0, "the text to return is too long");
        return wr_rewrite_reject(rw, 500);
    }
    wr_http_discard_body(x);
    if (is_redirect(a->status))
        rw->verdict = wr_http_redirect(x, a->status, text);
    else
        rw->verdict = wr_http_respond_text(x, a->status, wr_http_type_of(x, h->req.uri), text);
    return WR_REWRITE_STOP;
}

static bool take_status(struct wr_cf *cf, struct answer *a)
{
    uint64_t code;

    if (!wr_str_u64(wr_cf_arg(cf, 1), &code) || code > 999)
        return wr_cf_error(cf, 1, "invalid return code \"" WR_FMT "\"",
                           WR_ARG(wr_cf_arg(cf, 1)));
    a->status = (unsigned)code;
    return true;
}

static bool take_text(struct wr_cf *cf, uint32_t i, struct answer *a)
{
    a->text = wr_template_new(cf, i, wr_cf_arg(cf, i));
    return a->text != NULL;
}

bool wr_set_return(struct wr_cf *cf, void *conf)
{
    struct answer *a = WR_NEW(cf->pool, struct answer);
    bool ok;

    if (cf->nargs == 1 && wr_rewrite_is_url(wr_cf_arg(cf, 1))) {
        a->status = 302;
        ok = take_text(cf, 1, a);
    } else {
        ok = take_status(cf, a) && (cf->nargs == 1 || take_text(cf, 2, a));
    }
    if (ok)
        wr_program_add(cf, conf, run_return, a);
    return ok;
}

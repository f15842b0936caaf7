/* rewrite_rule: `rewrite regex replacement [flag]`. Path and arguments of the replacement are
 * separate templates: the new arguments follow a literal '?'. The old arguments are appended,
 * unless the replacement ends with '?'. */
#include "rewrite_impl.h"

struct rule {
    struct wr_regex *re;
    struct wr_template *path;  /* of a redirect: all of the replacement */
    struct wr_template *args;  /* NULL: the old ones stay as they are */
    unsigned redirect;         /* the status of a redirect; 0: not one */
    bool stops;                /* last, break, redirect: the program ends */
    bool stays;                /* break: the location stays, whatever the new uri */
    bool keeps_args, has_args; /* append the old ones; the replacement has a literal '?' */
};

#define TEXT_MAX 65536

/* ---- while traffic flows ---- */

static void put_escaped(struct wr_text *out, struct wr_str capture)
{
    wr_uri_escape(out, capture, WR_ESC_ARGS);
}

/* True: the client's path had escapes, so captures must be escaped again in arguments and
 * redirects. */
static bool must_escape(const struct wr_request *r)
{
    struct wr_str path = r->target;

    path = wr_str_cut(&path, '?');
    return r->quoted || wr_str_find(path, '+') < path.n;
}

static bool put_text(struct wr_exchange *x, const struct wr_template *t, bool escape,
                     struct wr_text *out)
{
    if (escape)
        return wr_template_captures(x, t, out, put_escaped);
    return wr_template_text(x, t, out);
}

static void append_args(struct wr_text *t, char separator, struct wr_str args)
{
    if (args.n == 0)
        return;
    wr_text_char(t, separator);
    wr_text_str(t, args);
}

static enum wr_rewrite_next too_long(struct wr_rewrite *rw)
{
    wr_xlog(rw->x, WR_LOG_ERROR, 0, "the rewritten URI is too long");
    return wr_rewrite_reject(rw, 500);
}

static enum wr_rewrite_next redirect_to(struct wr_rewrite *rw, const struct rule *r)
{
    const struct wr_http *h = wr_http_of(rw->x);
    struct wr_text raw = wr_text_grow(rw->x->pool, 128, TEXT_MAX);
    struct wr_text to = wr_text_grow(rw->x->pool, 128, TEXT_MAX);

    if (!put_text(rw->x, r->path, must_escape(&h->req), &raw))
        return too_long(rw);
    wr_rewrite_unescape(&to, wr_text_view(&raw));
    if (r->keeps_args)
        append_args(&to, r->has_args ? '&' : '?', h->req.args);
    if (to.overflow)
        return too_long(rw);
    if (rw->log)
        wr_xlog(rw->x, WR_LOG_NOTICE, 0, "rewritten redirect: \"" WR_FMT "\"",
                WR_ARG(wr_text_view(&to)));
    rw->verdict = wr_http_redirect(rw->x, r->redirect, wr_text_view(&to));
    return WR_REWRITE_STOP;
}

static bool new_args(struct wr_exchange *x, const struct rule *r, struct wr_str *out)
{
    const struct wr_request *req = &wr_http_of(x)->req;
    struct wr_text t = wr_text_grow(x->pool, 128, TEXT_MAX);

    if (!put_text(x, r->args, must_escape(req), &t))
        return false;
    if (r->keeps_args)
        append_args(&t, '&', req->args);
    *out = wr_text_view(&t);
    return !t.overflow;
}

static enum wr_rewrite_next change_uri(struct wr_rewrite *rw, const struct rule *r)
{
    struct wr_http *h = wr_http_of(rw->x);
    struct wr_text uri = wr_text_grow(rw->x->pool, 128, TEXT_MAX);
    struct wr_str args = h->req.args;

    if (!put_text(rw->x, r->path, false, &uri) || (r->args != NULL && !new_args(rw->x, r, &args)))
        return too_long(rw);
    if (rw->log)
        wr_xlog(rw->x, WR_LOG_NOTICE, 0,
                "rewritten data: \"" WR_FMT "\", args: \"" WR_FMT "\"",
                WR_ARG(wr_text_view(&uri)), WR_ARG(args));
    if (uri.n == 0) {
        wr_xlog(rw->x, WR_LOG_ERROR, 0, "the rewritten URI has a zero length");
        return wr_rewrite_reject(rw, 500);
    }
    h->req.uri = wr_text_view(&uri);
    h->req.args = args;
    h->internal = true;
    h->uri_internal = true;
    h->uri_changed = !r->stays;
    h->uri_set_by_break = r->stays;
    return r->stops ? WR_REWRITE_STOP : WR_REWRITE_ON;
}

static enum wr_rewrite_next run_rule(struct wr_rewrite *rw, const void *row)
{
    const struct rule *r = row;
    int found = wr_rewrite_match(rw, r->re, wr_http_of(rw->x)->req.uri);

    if (found < 0)
        return wr_rewrite_reject(rw, 500);
    if (found == 0)
        return WR_REWRITE_ON;
    return r->redirect != 0 ? redirect_to(rw, r) : change_uri(rw, r);
}

/* ---- the directive ---- */

bool wr_rewrite_is_url(struct wr_str text)
{
    return wr_str_starts(text, WR_STR("http://")) || wr_str_starts(text, WR_STR("https://"))
        || wr_str_starts(text, WR_STR("$scheme"));
}

static bool take_flag(struct wr_cf *cf, struct rule *r)
{
    struct wr_str flag = wr_cf_arg(cf, 3);

    r->stops = true;
    if (wr_str_is(flag, "last"))
        return true;
    if (wr_str_is(flag, "break")) {
        r->stays = true;
        return true;
    }
    if (wr_str_is(flag, "redirect"))
        r->redirect = 302;
    else if (wr_str_is(flag, "permanent"))
        r->redirect = 301;
    else
        return wr_cf_error_hint(cf, 3, "write last, break, redirect or permanent",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(flag));
    return true;
}

static bool take_replacement(struct wr_cf *cf, struct rule *r)
{
    struct wr_str text = wr_cf_arg(cf, 2), path;

    r->keeps_args = text.n == 0 || text.p[text.n - 1] != '?';
    if (!r->keeps_args)
        text.n--;
    path = wr_str_of(text.p, wr_str_find(text, '?'));
    r->has_args = path.n < text.n;
    if (r->redirect != 0) {
        r->path = wr_template_new(cf, 2, text);
        return r->path != NULL;
    }
    r->path = wr_template_new(cf, 2, path);
    if (r->path == NULL)
        return false;
    if (!r->has_args && r->keeps_args)
        return true;
    r->args = wr_template_new(cf, 2, wr_str_skip(text, path.n + 1));
    return r->args != NULL;
}

bool wr_set_rewrite(struct wr_cf *cf, void *conf)
{
    struct rule *r = WR_NEW(cf->pool, struct rule);

    r->re = wr_cf_regex(cf, 1, wr_cf_arg(cf, 1), false);
    if (r->re == NULL)
        return false;
    if (wr_rewrite_is_url(wr_cf_arg(cf, 2))) {
        r->redirect = 302;
        r->stops = true;
    }
    if ((cf->nargs == 3 && !take_flag(cf, r)) || !take_replacement(cf, r))
        return false;
    wr_program_add(cf, conf, run_rule, r);
    return true;
}

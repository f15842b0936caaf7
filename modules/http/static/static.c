/* static: answers with a file under root or alias. The last content hook but one: proxy_pass and
 * index come before. Owns the file through a cleanup of the exchange's pool. Files are opened and
 * read as aio says. */
#include "../content_ranks.h"
#include "../open/open_path.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_file(void *arg)
{
    wr_reader_end(arg);
}

/* As in nginx: a file that does not exist or may not be read is logged as the client's error,
 * anything else as critical. */
static enum wr_verdict refuse_path(struct wr_exchange *x, const struct wr_open_error *e,
                                   const char *path)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    unsigned status = wr_open_status(e->err);

    if (status != 404 || c->log_not_found)
        wr_xlog(x, status == 500 ? WR_LOG_CRIT : WR_LOG_ERROR, e->err, "%s \"%s\" failed", e->call,
                path);
    return wr_reject(x, status, NULL);
}

static enum wr_verdict to_folder(struct wr_exchange *x)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_text to = wr_text_grow(x->pool, h->req.uri.n + h->req.args.n + 2, SIZE_MAX);

    wr_uri_escape(&to, h->req.uri, WR_ESC_URI);
    wr_text_char(&to, '/');
    if (h->req.args.n > 0) {
        wr_text_char(&to, '?');
        wr_text_str(&to, h->req.args);
    }
    wr_http_discard_body(x);
    return wr_http_redirect(x, 301, wr_text_view(&to));
}

static enum wr_verdict send_file(struct wr_exchange *x, struct wr_reader *r, const struct stat *st)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_http *h = wr_http_of(x);
    struct wr_bufq q = { 0 };

    h->res.status = 200;
    h->res.framing = WR_BODY_LENGTH;
    h->res.length = (uint64_t)st->st_size;
    h->res.last_modified = st->st_mtime;
    h->res.ranges = true;
    h->res.type = wr_http_type_of(x, h->req.uri);
    if (c->etag)
        (void)wr_fields_add_id(x->pool, &h->res.fields, WR_F_ETAG,
                               wr_pool_fmt(x->pool, "\"%llx-%llx\"",
                                           (unsigned long long)st->st_mtime,
                                           (unsigned long long)st->st_size));
    wr_bufq_file(&q, r, 0, (size_t)st->st_size);
    wr_http_discard_body(x);
    return wr_http_respond(x, &q);
}

static struct wr_reader *reader_of(struct wr_exchange *x, struct wr_opened *file)
{
    struct wr_reader *r = WR_NEW(x->pool, struct wr_reader);

    if (file == NULL)
        return NULL;
    wr_reader_init(r, file, NULL);
    wr_open_reader(x, r);
    wr_pool_cleanup(x->pool, close_file, r);
    return r;
}

static enum wr_verdict static_run(struct wr_exchange *x)
{
    const struct wr_http *h = wr_http_of(x);
    struct wr_text text = wr_text_grow(x->pool, 256, WR_OPEN_PATH_MAX);
    struct wr_open_error e;
    const char *path;
    enum wr_there there;
    struct wr_opened *file;
    struct wr_reader *r;
    struct stat st;

    if (h->req.method != WR_M_GET && h->req.method != WR_M_HEAD && h->req.method != WR_M_POST)
        return wr_reject(x, 405, NULL);
    if (wr_str_ends(h->req.uri, WR_STR("/")))
        return WR_PASS;
    if (!wr_http_path(x, h->req.uri, &text) || !wr_text_cstr(&text, &path))
        return wr_reject(x, 500, NULL);
    there = wr_open_path(x, path, &st, &file, &e);
    if (there != WR_THERE)
        return there == WR_OPENING ? WR_HOLD : refuse_path(x, &e, path);
    r = reader_of(x, file);
    if (S_ISDIR(st.st_mode))
        return to_folder(x);
    if (!S_ISREG(st.st_mode)) {
        wr_xlog(x, WR_LOG_CRIT, 0, "\"%s\" is not a regular file", path);
        return wr_reject(x, 404, NULL);
    }
    if (h->req.method == WR_M_POST)
        return wr_reject(x, 405, NULL);
    if (!wr_http_threads(x, file->direct, &r->threads))
        return wr_reject(x, 500, NULL);
    return send_file(x, r, &st);
}

struct wr_module wr_module_static = {
    .name = "static",
    .layers = WR_L7,
    .phases = (const struct wr_phase_hook[]){
        { WR_PH_CONTENT, WR_L7, static_run, WR_CONTENT_STATIC }, { 0 } },
};

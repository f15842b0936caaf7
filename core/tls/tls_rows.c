/* tls_rows: setters of the directives that ssl_ and proxy_ssl_ have in common (WR_TLS_ROWS). They
 * store the arguments in wr_tls_conf, of which tls_context makes a context. */
#include "tls/tls_impl.h"

bool wr_set_tls_files(struct wr_cf *cf, void *conf)
{
    struct wr_tls_names *list = WR_FIELD(cf, conf, struct wr_tls_names);
    struct wr_str arg = wr_cf_arg(cf, 1);
    struct wr_template *t;

    if (wr_str_starts(arg, WR_STR("engine:")) || wr_str_starts(arg, WR_STR("store:")))
        return wr_cf_error(cf, 1, "keys of engines and stores are known in nginx, not in this "
                           "build");
    t = wr_template_new(cf, 1, arg);
    if (t == NULL)
        return false;
    if (cf->first)
        *list = (struct wr_tls_names){ 0 };
    *wr_vec_push(cf->pool, list) = (struct wr_tls_name){ t, cf->node };
    return true;
}

bool wr_set_tls_file(struct wr_cf *cf, void *conf)
{
    struct wr_str arg = wr_cf_arg(cf, 1);

    *WR_FIELD(cf, conf, struct wr_tls_file) = (struct wr_tls_file){
        .path = arg.n > 0 ? wr_cf_path(cf, arg, true) : NULL, .node = cf->node };
    return true;
}

bool wr_set_tls_text(struct wr_cf *cf, void *conf)
{
    *WR_FIELD(cf, conf, struct wr_tls_text) = (struct wr_tls_text){ wr_cf_arg(cf, 1), cf->node };
    return true;
}

bool wr_set_tls_command(struct wr_cf *cf, void *conf)
{
    struct wr_tls_nodes *list = WR_FIELD(cf, conf, struct wr_tls_nodes);

    if (cf->first)
        *list = (struct wr_tls_nodes){ 0 };
    *wr_vec_push(cf->pool, list) = cf->node;
    return true;
}

/* One password a line. */
bool wr_set_tls_passwords(struct wr_cf *cf, void *conf)
{
    struct wr_tls_passwords *list = WR_FIELD(cf, conf, struct wr_tls_passwords);
    const char *path = wr_cf_path(cf, wr_cf_arg(cf, 1), true);
    struct wr_str text;

    wr_vault_pool(cf->pool);
    text = wr_tls_file_read(cf->pool, path);
    if (text.p == NULL)
        return wr_cf_error(cf, 1, "cannot read \"%s\" (%d: %s)", path, errno, strerror(errno));
    *list = (struct wr_tls_passwords){ 0 };
    while (text.p != NULL && text.n > 0) {
        struct wr_str line = wr_str_cut(&text, '\n');

        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n > 0)
            *wr_vec_push(cf->pool, list) = line;
    }
    return true;
}

bool wr_set_alpn(struct wr_cf *cf, void *conf)
{
    struct wr_str *alpn = WR_FIELD(cf, conf, struct wr_str);
    struct wr_text t = wr_text_grow(cf->pool, 64, 65536);

    for (uint32_t i = 1; i <= cf->nargs; i++) {
        struct wr_str name = wr_cf_arg(cf, i);

        if (name.n == 0 || name.n > 255)
            return wr_cf_error(cf, i, "protocol too long");
        wr_text_char(&t, (char)name.n);
        wr_text_str(&t, name);
    }
    *alpn = wr_text_view(&t);
    return true;
}

const struct wr_enum wr_tls_protocols[] = {
    { "SSLv2", WR_TLS_NONE }, { "SSLv3", WR_TLS_NONE }, { "TLSv1", WR_TLS_1_0 },
    { "TLSv1.1", WR_TLS_1_1 }, { "TLSv1.2", WR_TLS_1_2 }, { "TLSv1.3", WR_TLS_1_3 }, { 0 },
};

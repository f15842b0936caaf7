/* mime: content types by extension: the types {} block, and the type of a file by its name. A table
 * is a dict from extension (case is ignored) to type; scopes without types {} of their own share
 * it. */
#include "http/http_impl.h"

/* Adds an extension; of duplicates the last one counts. */
static void add_type(struct wr_cf *cf, struct wr_dict *types, const struct wr_node *n,
                     uint32_t word)
{
    struct wr_str *type = WR_NEW(cf->pool, struct wr_str), *old;
    struct wr_str extension = n->words[word].text;

    *type = n->words[0].text;
    old = wr_dict_add(types, extension, type);
    if (old == NULL)
        return;
    wr_diag_add(cf->conf->tree, WR_LOG_WARN, n, word, NULL,
                "duplicate extension \"" WR_FMT "\", content type: \"" WR_FMT
                "\", previous content type: \"" WR_FMT "\"",
                WR_ARG(extension), WR_ARG(*type), WR_ARG(*old));
    *old = *type;
}

bool wr_http_set_types(struct wr_cf *cf, void *conf)
{
    struct wr_http_conf *c = conf;
    bool ok = true;

    if (cf->first)
        c->types = wr_dict_new(cf->pool, true);
    for (const struct wr_node *n = cf->node->children; n != NULL; n = n->next) {
        if (n->block) {
            ok = wr_cf_error_at(cf, n, 0, "unexpected \"{\"");
            continue;
        }
        for (uint32_t i = 1; i < n->nwords; i++)
            add_type(cf, c->types, n, i);
    }
    return ok;
}

struct wr_dict *wr_http_default_types(struct wr_pool *p)
{
    static const char *const rows[][2] = {
        { "html", "text/html" }, { "gif", "image/gif" }, { "jpg", "image/jpeg" },
    };
    struct wr_dict *types = wr_dict_new(p, true);

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_str *type = WR_NEW(p, struct wr_str);

        *type = wr_str_c(rows[i][1]);
        (void)wr_dict_add(types, wr_str_c(rows[i][0]), type);
    }
    return types;
}

/* The part after the last dot; a name that begins with its only dot has no extension. */
static struct wr_str extension_of(struct wr_str path)
{
    size_t slash = wr_str_rfind(path, '/');
    struct wr_str name = slash < path.n ? wr_str_skip(path, slash + 1) : path;
    size_t dot = wr_str_rfind(name, '.');

    return dot == 0 || dot == name.n ? wr_str_of(NULL, 0) : wr_str_skip(name, dot + 1);
}

struct wr_str wr_http_type_of(struct wr_exchange *x, struct wr_str path)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_str extension = extension_of(path);
    const struct wr_str *type = extension.n > 0 ? wr_dict_get(c->types, extension) : NULL;

    return type != NULL ? *type : c->default_type;
}

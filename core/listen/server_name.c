/* server_name: the directive: checks its names, turns them to lower case, compiles regexes.
 * virtual_hosts.c makes the maps of them. */
#include "listen/listen.h"

#include <unistd.h>

static bool has_capital(struct wr_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    return false;
}

/* Hosts are matched in lower case: a pattern with capitals must ignore case to match anything. */
static bool take_regex(struct wr_cf *cf, uint32_t i, struct wr_server_name *out)
{
    struct wr_str s = wr_cf_arg(cf, i);

    if (s.n == 1)
        return wr_cf_error(cf, i, "empty regex in server name \"" WR_FMT "\"", WR_ARG(s));
    out->text = s;
    out->regex = wr_cf_regex(cf, i, wr_str_skip(s, 1), has_capital(s));
    return out->regex != NULL;
}

static bool take_name(struct wr_cf *cf, uint32_t i, struct wr_server_name *out)
{
    struct wr_str s = wr_cf_arg(cf, i);
    char host[WR_HOSTNAME_SIZE];

    out->node = cf->node;
    out->word = i;
    if (s.n > 0 && s.p[0] == '~')
        return take_regex(cf, i, out);
    if ((s.n > 0 && s.p[0] == '*' && (s.n < 3 || s.p[1] != '.')) || wr_str_is(s, "."))
        return wr_cf_error(cf, i, "server name \"" WR_FMT "\" is invalid", WR_ARG(s));
    if (wr_str_find(s, '/') < s.n)
        wr_cf_warn(cf, i, "server name \"" WR_FMT "\" has suspicious symbols", WR_ARG(s));
    out->text = wr_pool_lower(cf->pool, wr_str_is(s, "$hostname") ? wr_hostname(host) : s);
    return true;
}

bool wr_set_server_name(struct wr_cf *cf, void *conf)
{
    struct wr_virtual *sv = WR_CHECK(cf->scope->object, VIRTUAL);
    bool ok = true;

    (void)conf;
    for (uint32_t i = 1; i <= cf->nargs; i++)
        ok = take_name(cf, i, wr_vec_push(cf->pool, &sv->names)) && ok;
    /* $server_name is the first one, without the dot of ".a.b". */
    sv->name = sv->names.at[0].text;
    if (sv->name.n > 0 && sv->name.p[0] == '.')
        sv->name = wr_str_skip(sv->name, 1);
    return ok;
}

void wr_virtual_unnamed(struct wr_cf *cf, struct wr_virtual *sv)
{
    *wr_vec_push(cf->pool, &sv->names) =
        (struct wr_server_name){ .text = WR_STR(""), .node = cf->node };
    sv->name = WR_STR("");
}

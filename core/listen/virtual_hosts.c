/* virtual_hosts: chooses a server of a listener by host name. Each listener has one map,
 * filled after loading; layer 7 looks up the Host of each request, both layers the SNI of each
 * handshake. Exact names and wildcards are hashed, regexes are tried in the order of the file.
 *
 * Wildcards are looked up label by label, longest first. Texts longer than the longest wildcard of
 * the map are skipped, so that a host of a thousand dots costs no more than another one. */
#include "listen/listen.h"
#include "tls/tls.h"

struct host_regex {
    const struct wr_regex *re;
    struct wr_virtual *server;
};
struct wr_hosts_map {
    struct wr_pool *pool;
    struct wr_virtual *default_server;
    struct wr_dict *exact;               /* each dict may be NULL: empty */
    struct wr_dict *head, *tail;         /* key "a.b": of "*.a.b" in head, of "a.b.*" in tail */
    size_t head_max, tail_max;           /* length of the longest key */
    WR_VEC(struct host_regex) regexes;
};

struct wr_hosts_map *wr_hosts_new(struct wr_pool *p, struct wr_virtual *default_server)
{
    struct wr_hosts_map *m = WR_NEW(p, struct wr_hosts_map);

    m->pool = p;
    m->default_server = default_server;
    return m;
}

static bool has_key(const struct wr_dict *d, struct wr_str key)
{
    return d != NULL && wr_dict_get(d, key) != NULL;
}

static void put_key(struct wr_hosts_map *m, struct wr_dict **d, struct wr_str key,
                    struct wr_virtual *sv)
{
    if (*d == NULL)
        *d = wr_dict_new(m->pool, false);
    (void)wr_dict_add(*d, key, sv);
}

static enum wr_host_added put_wildcard(struct wr_hosts_map *m, struct wr_str key, bool exact_too,
                                       struct wr_virtual *sv)
{
    if (has_key(m->head, key) || (exact_too && has_key(m->exact, key)))
        return WR_HOST_CONFLICT;
    put_key(m, &m->head, key, sv);
    m->head_max = wr_max(m->head_max, key.n);
    if (exact_too)
        put_key(m, &m->exact, key, sv);
    return WR_HOST_ADDED;
}

enum wr_host_added wr_hosts_add(struct wr_hosts_map *m, const struct wr_server_name *name,
                                struct wr_virtual *sv)
{
    struct wr_str s = name->text;
    size_t star;

    if (name->regex != NULL) {
        *wr_vec_push(m->pool, &m->regexes) = (struct host_regex){ name->regex, sv };
        return WR_HOST_ADDED;
    }
    if (wr_str_search(s, WR_STR("..")) < s.n)
        return WR_HOST_INVALID;
    if (wr_str_ends(s, WR_STR(".*")) && wr_str_find(s, '*') == s.n - 1) {
        s.n -= 2;
        if (has_key(m->tail, s))
            return WR_HOST_CONFLICT;
        put_key(m, &m->tail, s, sv);
        m->tail_max = wr_max(m->tail_max, s.n);
        return WR_HOST_ADDED;
    }
    star = wr_str_rfind(s, '*');
    if (star < s.n && (star > 0 || !wr_str_starts(s, WR_STR("*."))))
        return WR_HOST_INVALID;
    if (s.n > 0 && (s.p[0] == '*' || s.p[0] == '.'))
        return put_wildcard(m, wr_str_skip(s, s.p[0] == '*' ? 2 : 1), s.p[0] == '.', sv);
    if (has_key(m->exact, s))
        return WR_HOST_CONFLICT;
    put_key(m, &m->exact, s, sv);
    return WR_HOST_ADDED;
}

/* ---- lookup ---- */

static void *find_head(const struct wr_hosts_map *m, struct wr_str host)
{
    for (;;) {
        size_t at = wr_str_find(host, '.');
        void *found;

        if (at == host.n)
            return NULL;
        host = wr_str_skip(host, at + 1);
        found = host.n <= m->head_max ? wr_dict_get(m->head, host) : NULL;
        if (found != NULL)
            return found;
    }
}

static void *find_tail(const struct wr_hosts_map *m, struct wr_str host)
{
    /* After a key there is at least a dot. */
    host.n = wr_min(host.n, m->tail_max + 1);
    for (;;) {
        size_t at = wr_str_rfind(host, '.');
        void *found;

        if (at == host.n)
            return NULL;
        host.n = at;
        found = wr_dict_get(m->tail, host);
        if (found != NULL)
            return found;
    }
}

struct wr_virtual *wr_host_find(const struct wr_hosts_map *m, struct wr_exchange *x,
                                struct wr_str host)
{
    struct wr_virtual *found = m->exact != NULL ? wr_dict_get(m->exact, host) : NULL;

    if (found == NULL && m->head != NULL)
        found = find_head(m, host);
    if (found == NULL && m->tail != NULL)
        found = find_tail(m, host);
    if (found != NULL)
        return found;
    for (uint32_t i = 0; host.n > 0 && i < m->regexes.n; i++) {
        int match = wr_match(x, m->regexes.at[i].re, host);

        if (match != 0)
            return match > 0 ? m->regexes.at[i].server : NULL;
    }
    return m->default_server;
}

const struct wr_scope *wr_host_scope(const struct wr_hosts_map *m, const struct wr_session *s,
                                     struct wr_str host)
{
    char buf[WR_HOST_NAME_MAX];
    const struct wr_virtual *found;

    if (host.n > sizeof(buf))
        return m->default_server->scope;
    for (size_t i = 0; i < host.n; i++)
        buf[i] = (char)wr_lower((unsigned char)host.p[i]);
    found = wr_host_find(m, NULL, wr_str_of(buf, host.n));
    if (found != NULL)
        return found->scope;
    wr_session_log(s, "looking for a server", WR_LOG_ERROR, 0,
                   "a regex of server_name failed on \"" WR_FMT "\"", WR_ARG(host));
    return NULL;
}

/* ---- listeners with several servers ---- */

bool wr_address_attach(struct wr_cf *cf, const struct wr_listen_line *line, struct wr_address *a)
{
    struct wr_virtual *v = WR_CHECK(cf->scope->object, VIRTUAL);

    v->has_listen = true;
    if (a->default_server == NULL || line->default_server)
        a->default_server = v;
    *wr_vec_push(cf->pool, &a->servers) = v;
    return true;
}

static bool add_name(struct wr_cf *cf, const struct wr_listener *l, struct wr_hosts_map *map,
                     const struct wr_server_name *name, struct wr_virtual *v)
{
    enum wr_host_added added = wr_hosts_add(map, name, v);

    if (added == WR_HOST_INVALID)
        return wr_cf_error_at(cf, name->node, name->word,
                              "invalid server name or wildcard \"" WR_FMT "\" on " WR_FMT,
                              WR_ARG(name->text), WR_ARG(l->text));
    if (added == WR_HOST_CONFLICT)
        wr_diag_add(cf->conf->tree, WR_LOG_WARN, name->node, name->word, NULL,
                    "conflicting server name \"" WR_FMT "\" on " WR_FMT ", ignored",
                    WR_ARG(name->text), WR_ARG(l->text));
    return true;
}

/* A single server of a listener serves every host: only its regexes are added, for their
 * captures. */
bool wr_address_finish(struct wr_cf *cf, const struct wr_listener *l, struct wr_address *a)
{
    bool ok = true;

    a->map = wr_hosts_new(cf->pool, a->default_server);
    for (uint32_t i = 0; i < a->servers.n; i++) {
        struct wr_virtual *v = a->servers.at[i];

        for (uint32_t j = 0; j < v->names.n; j++)
            if (a->servers.n > 1 || v->names.at[j].regex != NULL)
                ok = add_name(cf, l, a->map, &v->names.at[j], v) && ok;
    }
    return wr_ssl_check(cf, l, a->default_server->scope) && ok;
}

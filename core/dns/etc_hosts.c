/* The hosts file: name -> addresses, read again when it has changed. The resolver calls it and, at
 * start, code that needs addresses at once. Owns the one table of the process. */
#include "dns/dns.h"

#include <sys/stat.h>

enum { FILE_MAX = 16 << 20, RECHECK_MS = 1000, TTL_MS = 1000 };

struct host {
    WR_VEC(struct wr_name_addr) all;
};

static const char *path = "/etc/hosts";
static struct wr_pool *pool;
static struct wr_dict *hosts;
static struct stat seen;
static uint64_t checked_at;

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct wr_str next_word(struct wr_str *line)
{
    size_t n = 0;
    struct wr_str word;

    while (line->n > 0 && is_blank(line->p[0]))
        *line = wr_str_skip(*line, 1);
    while (n < line->n && !is_blank(line->p[n]))
        n++;
    word = wr_str_of(line->p, n);
    *line = wr_str_skip(*line, n);
    return word;
}

static void add_address(struct wr_str name, const struct wr_addr *addr)
{
    struct host *h = wr_dict_get(hosts, name);

    if (h == NULL) {
        h = WR_NEW(pool, struct host);
        (void)wr_dict_add(hosts, name, h);
    }
    /* keep the order of the file; an address that is listed twice counts once */
    for (uint32_t i = 0; i < h->all.n; i++)
        if (wr_addr_eq(&h->all.at[i].addr, addr))
            return;
    if (h->all.n < WR_NAMES)
        wr_vec_push(pool, &h->all)->addr = *addr;
}

static void parse_line(struct wr_str line)
{
    struct wr_str word;
    struct wr_addr addr;

    line.n = wr_str_find(line, '#');
    word = next_word(&line);
    if (!wr_addr_parse_ip(word, &addr))
        return; /* also skips link-local addresses with a scope, which cannot be peers */
    while ((word = next_word(&line)).n > 0)
        add_address(word, &addr);
}

static void load_file(void)
{
    struct wr_str text;

    wr_pool_free(pool);
    pool = wr_pool_new(0);
    hosts = wr_dict_new(pool, true);
    text = wr_file_read(pool, path, FILE_MAX);
    while (text.p != NULL && text.n > 0)
        parse_line(wr_str_cut(&text, '\n'));
}

static bool has_changed(void)
{
    struct stat st;

    /* treat a missing file as an empty one */
    if (stat(path, &st) < 0)
        memset(&st, 0, sizeof(st));
    if (pool != NULL && st.st_ino == seen.st_ino && st.st_size == seen.st_size
        && st.st_mtim.tv_sec == seen.st_mtim.tv_sec
        && st.st_mtim.tv_nsec == seen.st_mtim.tv_nsec)
        return false;
    seen = st;
    return true;
}

static void refresh_table(void)
{
    if (pool != NULL && wr_now() - checked_at < RECHECK_MS)
        return;
    checked_at = wr_now();
    if (has_changed())
        load_file();
}

void wr_hosts_use(const char *other)
{
    path = other;
    wr_pool_free(pool);
    pool = NULL;
}

/* RFC 6761 6.3: localhost is the loopback, also without an entry in the file. */
static void put_localhost(struct wr_names *out)
{
    static const char *const text[] = { "127.0.0.1", "::1" };
    static struct wr_name_addr at[WR_COUNT(text)];

    for (size_t i = 0; i < WR_COUNT(text); i++)
        if (wr_addr_parse_ip(wr_str_c(text[i]), &at[i].addr))
            out->n++;
    out->at = at;
}

void wr_hosts_lookup(struct wr_str name, struct wr_names *out)
{
    const struct host *h;

    refresh_table();
    *out = (struct wr_names){ .ttl_ms = TTL_MS };
    if (name.n > 0 && name.p[name.n - 1] == '.')
        name.n--;
    h = wr_dict_get(hosts, name);
    if (h != NULL) {
        out->n = h->all.n;
        out->at = h->all.at;
    } else if (wr_str_ieq(name, WR_STR("localhost"))) {
        put_localhost(out);
    }
    out->code = out->n > 0 ? WR_DNS_OK : WR_DNS_NXDOMAIN;
}

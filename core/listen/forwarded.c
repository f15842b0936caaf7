/* forwarded: finds the client behind trusted proxies in the list of addresses they pass on
 * (X-Forwarded-For). Pure; called by geo and realip. */
#include "listen/listen.h"

static struct wr_str take_last_word(struct wr_str *list)
{
    struct wr_str word;
    size_t n = list->n;

    while (n > 0 && (list->p[n - 1] == ',' || list->p[n - 1] == ' '))
        n--;
    word = wr_str_of(list->p, n);
    while (n > 0 && list->p[n - 1] != ',' && list->p[n - 1] != ' ')
        n--;
    list->n = n;
    return wr_str_skip(word, n);
}

/* "*" and "unix:" are addresses in a configuration only: a word a client sent must not become the
 * address of a local socket. */
static bool parse_address(struct wr_str word, struct wr_addr *out)
{
    return wr_addr_parse_ip(word, out)
        || (!wr_str_starts(word, WR_STR("*")) && !wr_str_starts(word, WR_STR("unix:"))
            && wr_addr_parse(word, 0, out));
}

bool wr_forwarded(struct wr_addr *a, struct wr_str list, const struct wr_networks *proxies,
                  bool recursive)
{
    bool changed = false;
    struct wr_addr next;

    do {
        if (list.n == 0 || !wr_networks_have(proxies, a)
            || !parse_address(take_last_word(&list), &next))
            break;
        *a = next;
        changed = true;
    } while (recursive);
    return changed;
}

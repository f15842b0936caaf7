/* listen: the addresses clients come to, and the servers behind each.
 *
 * Map: listen_conf and listen_addr (the directive, of both layers), virtual_hosts and server_name
 * (several servers on one address), proxy_protocol and proxy_header (the client that a proxy in
 * front names), forwarded (the client behind several of them). */
#ifndef WR_LISTEN_H
#define WR_LISTEN_H

#include "text/text.h"

/* ---- PROXY protocol: proxy-protocol.txt of HAProxy, versions 1 and 2 ---- */
#define WR_PROXY_MAX 4096      /* bytes of a header; more is refused */
struct wr_proxy_header {
    struct wr_addr source, destination; /* len 0: not told (LOCAL, UNKNOWN, another family) */
    struct wr_str tlvs;        /* raw, of version 2; borrowed from the text */
    size_t size;               /* bytes of the whole header */
    const char *why;           /* when BAD */
};
enum wr_proxy_found { WR_PROXY_MORE, WR_PROXY_OK, WR_PROXY_BAD };
enum wr_proxy_found wr_proxy_header_parse(struct wr_str in, struct wr_proxy_header *out);
/* Value of a TLV by its name ("alpn", "ssl_cn", ...) or number ("0xae", "ssl_0x21"); "ssl_verify"
 * is made in the pool, all others are views. False: not there. */
bool wr_proxy_tlv(struct wr_pool *pool, struct wr_str tlvs, struct wr_str name,
                  struct wr_str *out) WR_CHECKED;
/* Version 1, "PROXY UNKNOWN" where it cannot say both addresses; at most 107 bytes. */
void wr_proxy_header_write(struct wr_text *t, const struct wr_addr *source,
                           const struct wr_addr *destination);
/* OK: s->proxy is there and nothing but it was taken; AGAIN: call again; ERROR: there will be none,
 * EOF: not in time, both were logged. */
enum wr_io wr_proxy_read(struct wr_session *s) WR_CHECKED;
extern struct wr_module wr_module_proxy_protocol;
/* Follows a list of addresses ("192.0.2.1, 10.0.0.1:80") from its end while *a is one of the
 * proxies; one step at most unless recursive. True: *a was changed. */
bool wr_forwarded(struct wr_addr *a, struct wr_str list, const struct wr_networks *proxies,
                  bool recursive);

/* ---- listen ---- */
struct wr_listens { /* state of the listen module: all addresses of the configuration */
    struct wr_listener *first, **last;
};
/* Parses a `listen` directive of a server block and adds it (port ranges: several). server goes
 * to layer's `attach`. Errors in nginx's words. default_port 0: a port is required. */
struct wr_listen_line {
    struct wr_listener *listener;
    bool default_server;
};
bool wr_listen_conf(struct wr_cf *cf, const struct wr_layer *layer, uint16_t default_port,
                    bool (*attach)(struct wr_cf *cf, const struct wr_listen_line *line));

/* ---- virtual servers: several on one address, chosen by a name ---- */
struct wr_server_name {
    struct wr_str text;        /* lower case; "" too; the pattern with its ~ */
    struct wr_regex *regex;    /* ~... */
    const struct wr_node *node; /* server_name, or the server without one */
    uint32_t word;
};
struct wr_virtual {            /* server {} of either layer, first in the layer's own struct */
    uint32_t magic;
    const struct wr_scope *scope;
    const struct wr_node *node;
    struct wr_str name;        /* the first, for $server_name */
    WR_VEC(struct wr_server_name) names;
    bool has_listen;
};
bool wr_set_server_name(struct wr_cf *cf, void *conf); /* of the server cf->scope is */
void wr_virtual_unnamed(struct wr_cf *cf, struct wr_virtual *v); /* it has no server_name */
struct wr_hosts_map;           /* virtual_hosts.c: of one listening address */
enum wr_host_put { WR_HOST_PUT, WR_HOST_CONFLICT /* ignored */, WR_HOST_INVALID };
struct wr_hosts_map *wr_hosts_new(struct wr_pool *p, struct wr_virtual *standard);
enum wr_host_put wr_hosts_add(struct wr_hosts_map *m, const struct wr_server_name *name,
                              struct wr_virtual *v) WR_CHECKED;
/* Exact, longest *.wildcard, longest wildcard.*, first regex in order, default. Sets captures (x
 * NULL: does not). NULL: a regex gave up. host is in lower case. */
struct wr_virtual *wr_host_find(const struct wr_hosts_map *m, struct wr_exchange *x,
                                struct wr_str host);
/* The scope for a host name as it came from a TLS client: `by_name` of the layers. */
const struct wr_scope *wr_host_scope(const struct wr_hosts_map *m, const struct wr_session *s,
                                     struct wr_str host);
struct wr_address {            /* listener->object, first in it */
    uint32_t magic;
    struct wr_virtual *standard; /* default_server, or the first */
    struct wr_hosts_map *map;
    WR_VEC(struct wr_virtual *) servers;
};
/* A listen line of the server cf->scope is; after loading: the map. False: reported. */
bool wr_address_attach(struct wr_cf *cf, const struct wr_listen_line *line, struct wr_address *a);
bool wr_address_finish(struct wr_cf *cf, const struct wr_listener *l, struct wr_address *a);

struct wr_listens *wr_conf_listens(const struct wr_conf *c);
extern struct wr_module wr_module_listen;

#endif

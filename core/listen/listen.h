/* listen: the addresses clients come to, and the servers behind each.
 *
 * Map: listen_conf and listen_addr (the directive, of both layers), virtual_hosts and server_name
 * (several servers on one address), proxy_protocol and proxy_header (the client that a proxy in
 * front names), announce (that for servers), forwarded (the client behind several of them). */
#ifndef WR_LISTEN_H
#define WR_LISTEN_H

#include "text/text.h"

/* ---- PROXY protocol: proxy-protocol.txt of HAProxy, versions 1 and 2 ---- */
#define WR_PROXY_MAX 4096      /* bytes of a header; more is refused */
struct wr_proxy_header {
    struct wr_addr source, destination; /* len 0: not given (LOCAL, UNKNOWN, another family) */
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
/* Writes a header of version 1, at most 107 bytes; "PROXY UNKNOWN" unless both addresses are IPv4
 * or both are IPv6. */
void wr_proxy_header_write(struct wr_text *t, const struct wr_addr *source,
                           const struct wr_addr *destination);
/* Version 2, for a TCP connection, with these TLVs and, if wanted, a checksum. Without addresses of
 * one family it says so (AF_UNSPEC), and has the TLVs nevertheless. */
void wr_proxy_header_write2(struct wr_text *t, const struct wr_addr *source,
                            const struct wr_addr *destination, struct wr_str tlvs, bool crc32c);
void wr_proxy_tlv_put(struct wr_text *t, uint8_t type, struct wr_str value); /* 64 KB at most */
/* proxy_protocol and its companions: the header that a proxy module sends to servers. */
struct wr_announce_tlv {
    uint8_t type;
    struct wr_template *value; /* NULL: weir makes it (ssl, crc32c) */
};
struct wr_announce {
    bool on;
    uint32_t version;          /* 1, 2 */
    WR_VEC(struct wr_announce_tlv) tlvs;
    const struct wr_node *tlv_node; /* the last proxy_protocol_tlv */
};
bool wr_set_announce_tlv(struct wr_cf *cf, void *conf);
extern const struct wr_bounds wr_announce_versions;
#define WR_ANNOUNCE_ROWS(layer, type, field) \
    WR_FLAG("proxy_protocol", (layer) | WR_IN_LOCATIONS, type, field.on, "off", \
            "sends a PROXY header with the client's address to the server"), \
    WR_ROW("proxy_protocol_version", (layer) | WR_IN_LOCATIONS, 1, 1, wr_set_num, type, \
           field.version, &wr_announce_versions, "1", "version of the PROXY header that is sent"), \
    WR_ROW("proxy_protocol_tlv", (layer) | WR_IN_LOCATIONS | WR_MULTI, 1, 2, wr_set_announce_tlv, \
           type, field, NULL, NULL, "a TLV of the PROXY header (version 2): alpn, authority, " \
           "unique_id, netns or 0xe0 to 0xff and a value, which is left out if empty; ssl; crc32c")
/* Call it from `finish` of a conf in use. False: reported. */
bool wr_announce_finish(struct wr_cf *cf, const struct wr_announce *a) WR_CHECKED;
/* The header for this exchange, in its pool; a->on. */
struct wr_str wr_announce_text(struct wr_exchange *x, const struct wr_announce *a);
/* Reads the PROXY header of a client and no byte after it. OK: s->proxy has it; AGAIN: call again;
 * ERROR: it is invalid, or the client is gone; EOF: it did not come in time. The last two were
 * logged. */
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
struct wr_listen_line {        /* one of the listeners of a `listen` directive */
    struct wr_listener *listener;
    bool default_server;
};
/* Parses the `listen` directive of a server block and adds its listeners (a port range has
 * several). `attach` gets each of them, to add the server to it. default_port 0: a port is
 * required. False: an error was reported, in nginx's words. */
bool wr_listen_conf(struct wr_cf *cf, const struct wr_layer *layer, uint16_t default_port,
                    bool (*attach)(struct wr_cf *cf, const struct wr_listen_line *line));

/* ---- virtual servers: several on one address, chosen by a name ---- */
struct wr_server_name {
    struct wr_str text;        /* in lower case, may be ""; of a regex: the pattern with its ~ */
    struct wr_regex *regex;    /* NULL: the name is not a regex */
    const struct wr_node *node; /* the server_name directive; the server block if it has none */
    uint32_t word;
};
struct wr_virtual {            /* server {} of either layer; begins the layer's own struct */
    uint32_t magic;
    const struct wr_scope *scope;
    const struct wr_node *node;
    struct wr_str name;        /* the first, for $server_name */
    WR_VEC(struct wr_server_name) names;
    bool has_listen;
};
/* Setter of server_name; cf->scope->object is the struct wr_virtual. */
bool wr_set_server_name(struct wr_cf *cf, void *conf);
/* Gives v the empty name, as its server block has no server_name. */
void wr_virtual_unnamed(struct wr_cf *cf, struct wr_virtual *v);
struct wr_hosts_map;           /* virtual_hosts.c: of one listening address */
enum wr_host_added { WR_HOST_ADDED, WR_HOST_CONFLICT /* ignored */, WR_HOST_INVALID };
struct wr_hosts_map *wr_hosts_new(struct wr_pool *p, struct wr_virtual *default_server);
enum wr_host_added wr_hosts_add(struct wr_hosts_map *m, const struct wr_server_name *name,
                                struct wr_virtual *v) WR_CHECKED;
/* Finds the server of a host name (in lower case): by the exact name, the longest *.wildcard, the
 * longest wildcard.*, the first regex in order; else it is the default server. Sets captures of x
 * (x NULL: does not). NULL: a regex gave up. */
struct wr_virtual *wr_host_find(const struct wr_hosts_map *m, struct wr_exchange *x,
                                struct wr_str host);
/* Scope of the server of a host name as a TLS client sent it, in any case: wr_layer.by_name. */
const struct wr_scope *wr_host_scope(const struct wr_hosts_map *m, const struct wr_session *s,
                                     struct wr_str host);
struct wr_address {            /* begins the layer's own struct, which is listener->object */
    uint32_t magic;
    struct wr_virtual *default_server; /* default_server, or the first */
    struct wr_hosts_map *map;
    WR_VEC(struct wr_virtual *) servers;
};
/* Adds the server of cf->scope to the address of a `listen` line. False: reported. */
bool wr_address_attach(struct wr_cf *cf, const struct wr_listen_line *line, struct wr_address *a);
/* Makes the map when all servers are loaded. False: reported. */
bool wr_address_finish(struct wr_cf *cf, const struct wr_listener *l, struct wr_address *a);

struct wr_listens *wr_conf_listens(const struct wr_conf *c);
/* The listener for streams that a connection to this address comes to; NULL: there is none. */
const struct wr_listener *wr_conf_listener_at(const struct wr_conf *c, const struct wr_addr *a);
extern struct wr_module wr_module_listen;

#endif

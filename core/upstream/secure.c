/* secure: what an exchange wants of the TLS handshake with its peers: the name without its port,
 * and the protocols to offer. Called after the tries have begun. */
#include "upstream/upstream_impl.h"

static struct wr_str handshake_name(struct wr_exchange *x, const struct wr_tries *a)
{
    const struct wr_peer_tls *c = a->tls;

    return wr_hostport_host(c->name != NULL ? wr_template_str(x, c->name) : a->tls_host);
}

static struct wr_str alpn_list(struct wr_exchange *x, const struct wr_peer_alpn *list)
{
    struct wr_text t = wr_text_grow(x->pool, 64, UINT16_MAX);

    for (uint32_t i = 0; i < list->n; i++) {
        struct wr_str name = wr_template_str(x, list->at[i]);

        if (!wr_alpn_append(&t, name))
            wr_xlog(x, WR_LOG_ERROR, 0, "a protocol of %zu bytes is not offered to the server",
                    name.n);
    }
    return wr_text_view(&t);
}

void wr_tries_secure(struct wr_exchange *x, const struct wr_peer_tls *tls, struct wr_str host)
{
    struct wr_tries *a = x->tries;

    a->tls = tls;
    a->tls_host = host;
    a->tls_name = wr_pool_str(x->pool, handshake_name(x, a));
    a->tls_alpn = tls->alpn.n > 0 ? alpn_list(x, &tls->alpn) : wr_str_of(NULL, 0);
}

/* nat_kernel: what the kernel is asked: transactions through libnftables, the list of flows through
 * libnetfilter_conntrack. Called by the nat process. A build without the libraries has it, too, and
 * refuses `forward nat` while loading. */
#include "nat/nat_impl.h"

#include <errno.h>

#define HAVE_LIBRARIES (WR_HAVE_NFTABLES && WR_HAVE_NETFILTER_CONNTRACK)

bool wr_nat_kernel_there(void)
{
    return HAVE_LIBRARIES;
}

#if HAVE_LIBRARIES
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <nftables/libnftables.h>

struct wr_nat_kernel {
    struct nft_ctx *nft;
    char why[512];
};

struct wr_nat_kernel *wr_nat_kernel_new(void)
{
    struct wr_nat_kernel *k = wr_calloc(1, sizeof(*k));

    k->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (k->nft != NULL && nft_ctx_buffer_output(k->nft) == 0
        && nft_ctx_buffer_error(k->nft) == 0)
        return k;
    wr_say(WR_LOG_EMERG, errno, "cannot begin with libnftables");
    wr_nat_kernel_free(k);
    return NULL;
}

void wr_nat_kernel_free(struct wr_nat_kernel *k)
{
    if (k == NULL)
        return;
    if (k->nft != NULL)
        nft_ctx_free(k->nft);
    free(k);
}

/* The first line of nft's message without its position: "Error: Could not process rule: ...". */
static void keep_reason(struct wr_nat_kernel *k, int err)
{
    struct wr_str text = wr_str_c(nft_ctx_get_error_buffer(k->nft)), error = WR_STR("Error: ");
    struct wr_str line = wr_str_cut(&text, '\n');
    size_t at = wr_str_search(line, error);

    line = at < line.n ? wr_str_skip(line, at + error.n) : line;
    if (err == EPERM || wr_str_search(line, WR_STR("Operation not permitted")) < line.n)
        (void)snprintf(k->why, sizeof(k->why), "the right to change the kernel's rules is "
                       "missing: \"forward nat\" needs CAP_NET_ADMIN (nft: " WR_FMT ")",
                       WR_ARG(line));
    else
        (void)snprintf(k->why, sizeof(k->why), "the kernel refused the rules of \"forward nat\": "
                       WR_FMT, WR_ARG(line));
}

bool wr_nat_kernel_run(struct wr_nat_kernel *k, const char *text, const char **why)
{
    errno = 0;
    if (nft_run_cmd_from_buffer(k->nft, text) == 0)
        return true;
    keep_reason(k, errno);
    *why = k->why;
    return false;
}

const char *wr_nat_kernel_output(const struct wr_nat_kernel *k)
{
    return nft_ctx_get_output_buffer(k->nft);
}

/* ---- flows ---- */

struct count {
    bool (*is_ours)(const struct wr_nat_flow *f, void *arg);
    void *arg;
    int64_t n;
};

static void read_flow(const struct nf_conntrack *ct, struct wr_nat_flow *f)
{
    *f = (struct wr_nat_flow){ .to = { .len = sizeof(f->to.in6) } };
    if (nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO) == AF_INET) {
        f->to.in.sin_family = AF_INET;
        f->to.len = sizeof(f->to.in);
        f->to.in.sin_addr.s_addr = nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_DST);
    } else {
        f->to.in6.sin6_family = AF_INET6;
        memcpy(&f->to.in6.sin6_addr, nfct_get_attr(ct, ATTR_ORIG_IPV6_DST), 16);
    }
    wr_addr_set_port(&f->to, ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST)));
}

/* A flow in TIME_WAIT or CLOSE has nothing more to say. */
static bool is_alive(const struct nf_conntrack *ct)
{
    uint8_t state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);

    return nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO) == IPPROTO_TCP
        && state != TCP_CONNTRACK_TIME_WAIT && state != TCP_CONNTRACK_CLOSE;
}

static int count_flow(enum nf_conntrack_msg_type type WR_UNUSED, struct nf_conntrack *ct,
                      void *arg)
{
    struct count *c = arg;
    struct wr_nat_flow f;

    if ((nfct_get_attr_u32(ct, ATTR_STATUS) & IPS_DST_NAT) == 0 || !is_alive(ct))
        return NFCT_CB_CONTINUE;
    read_flow(ct, &f);
    c->n += c->is_ours(&f, c->arg);
    return NFCT_CB_CONTINUE;
}

int64_t wr_nat_kernel_flows(bool (*is_ours)(const struct wr_nat_flow *f, void *arg), void *arg)
{
    struct count c = { .is_ours = is_ours, .arg = arg };
    struct nfct_handle *h = nfct_open(CONNTRACK, 0);
    uint32_t family = AF_UNSPEC;
    bool ok = h != NULL && nfct_callback_register(h, NFCT_T_ALL, count_flow, &c) == 0
           && nfct_query(h, NFCT_Q_DUMP, &family) == 0;

    if (!ok)
        wr_say(WR_LOG_ERROR, errno, "cannot read the kernel's list of flows");
    if (h != NULL)
        nfct_close(h);
    return ok ? c.n : -1;
}

#else

struct wr_nat_kernel *wr_nat_kernel_new(void)
{
    return NULL;
}

void wr_nat_kernel_free(struct wr_nat_kernel *k WR_UNUSED)
{
}

bool wr_nat_kernel_run(struct wr_nat_kernel *k WR_UNUSED, const char *text WR_UNUSED,
                       const char **why)
{
    *why = "";
    return false;
}

const char *wr_nat_kernel_output(const struct wr_nat_kernel *k WR_UNUSED)
{
    return "";
}

int64_t wr_nat_kernel_flows(bool (*is_ours)(const struct wr_nat_flow *f, void *arg) WR_UNUSED,
                            void *arg WR_UNUSED)
{
    return -1;
}
#endif

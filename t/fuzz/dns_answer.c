/* Any bytes as a DNS answer. The first byte chooses the type asked for, and whether the name is
 * given or taken from the message; the rest is the message. */
#include "dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const struct wr_dns_record *r, uint16_t type)
{
    size_t n = strnlen(r->name, sizeof(r->name));

    WR_ASSERT(r->type == type && r->ttl <= INT32_MAX && n < sizeof(r->name));
    for (size_t i = 0; i < n; i++)
        WR_ASSERT(r->name[i] > ' ' && r->name[i] < 0x7f);
    if (type == 1 || type == 28)
        WR_ASSERT(r->addr.len > 0 && r->addr.sa.sa_family == (type == 1 ? AF_INET : AF_INET6));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t types[] = { 1, 28, 33, 5, 12 };
    static struct wr_dns_answer out;
    uint16_t type;

    if (size == 0)
        return 0;
    type = types[(data[0] & 0x7f) % WR_COUNT(types)];
    wr_dns_parse(data + 1, size - 1, data[0] & 0x80 ? WR_STR("") : WR_STR("www.example.org"), type,
                 &out);
    (void)wr_dns_asks(data + 1, size - 1, WR_STR("www.example.org"), type);
    WR_ASSERT(out.n <= WR_DNS_RECORDS && (out.n == 0 || out.code == WR_DNS_OK));
    for (uint32_t i = 0; i < out.n; i++)
        check_record(&out.at[i], type);
    return 0;
}

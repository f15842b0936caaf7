/* Any bytes as a Cookie field, as the name of a server, and as a file of secrets. Cookies must lie
 * in the field, one after the other; a value that is found in the index is one that was put there;
 * what is sent has no byte that ends a field or an attribute. */
#include "../../modules/http/sticky/sticky_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 4
#define KEY "0123456789abcdef"

static struct wr_peer_slot slots[PEERS];
static struct wr_peer peers[PEERS];
static struct wr_sticky_index ix;

static void values_of(const void *arg, struct wr_str route, const struct wr_addr *addr,
                      struct wr_sticky_value *out)
{
    out[0] = wr_sticky_name(route, addr);
    out[1] = wr_sticky_sign(wr_str_c(arg), route, addr);
}

/* The first bytes are the route of a peer, as another process may write them. */
static void make_index(struct wr_str text)
{
    struct wr_peer_group g = { .at = peers, .n = PEERS };

    for (uint32_t i = 0; i < PEERS; i++) {
        WR_ASSERT(wr_addr_parse(WR_STR("10.0.0.1:80"), 0, &slots[i].addr));
        wr_addr_set_port(&slots[i].addr, (uint16_t)(80 + i));
        peers[i] = (struct wr_peer){ &slots[i], i, 2 };
    }
    memset(slots[3].route, 0, sizeof(slots[3].route));
    if (text.n > 0)
        memcpy(slots[3].route, text.p, wr_min(text.n, sizeof(slots[3].route)));
    wr_sticky_index_make(&ix, &g, 2, values_of, KEY);
}

static void find_value(struct wr_str value)
{
    uint32_t at = 0, i;

    while ((i = wr_sticky_index_next(&ix, value, &at)) != UINT32_MAX) {
        const struct wr_sticky_value *first;

        WR_ASSERT(i < PEERS && value.n > 0 && value.n <= WR_STICKY_VALUE);
        first = wr_sticky_index_value(&ix, &peers[i]);
        WR_ASSERT(first != NULL && first->n > 0 && first->n <= WR_STICKY_VALUE);
    }
}

static void read_field(struct wr_str field)
{
    struct wr_str rest = field, value;
    const char *end = field.p;

    while (wr_sticky_cookie(&rest, WR_STR("sid"), &value)) {
        WR_ASSERT(value.p >= end && value.p + value.n <= field.p + field.n);
        WR_ASSERT(memchr(value.p, ';', value.n) == NULL);
        end = value.p + value.n;
        find_value(value);
    }
    WR_ASSERT(rest.n == 0);
}

static void read_secrets(struct wr_str text)
{
    struct wr_str out[WR_STICKY_SECRETS];
    uint32_t n;

    if (wr_sticky_secrets(text, out, &n) == NULL)
        WR_ASSERT(n > 0);
    for (uint32_t i = 0; i < n; i++)
        WR_ASSERT(out[i].n >= WR_STICKY_SECRET_MIN && memchr(out[i].p, '\n', out[i].n) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str text = wr_str_of((const char *)data, size);

    make_index(text);
    find_value(text);
    read_field(text);
    read_secrets(text);
    if (wr_sticky_is_value(text))
        WR_ASSERT(memchr(text.p != NULL ? text.p : "", ';', text.n) == NULL);
    wr_sticky_index_free(&ix);
    return 0;
}

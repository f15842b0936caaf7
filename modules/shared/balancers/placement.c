/* placement: hashes of keys, addresses and servers, and the line of weights. All of them place as
 * nginx does, so that a fleet can move over server by server: t/320_hash.t compares. Pure. */
#include "placement.h"

static uint32_t crc_table[256];

__attribute__((constructor)) static void fill_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = (c & 1) != 0 ? c >> 1 ^ 0xedb88320U : c >> 1;
        crc_table[i] = c;
    }
}

uint32_t wr_crc32(uint32_t before, struct wr_str text)
{
    uint32_t c = ~before;

    for (size_t i = 0; i < text.n; i++)
        c = c >> 8 ^ crc_table[(c ^ (unsigned char)text.p[i]) & 0xff];
    return ~c;
}

/* The bits of the checksum that Cache::Memcached takes. */
static uint32_t middle_bits(uint32_t crc)
{
    return crc >> 16 & 0x7fff;
}

uint32_t wr_place_key(struct wr_str key, uint32_t round, uint32_t before)
{
    char digits[12];
    int n = 0;

    if (round > 0)
        n = snprintf(digits, sizeof(digits), "%u", round);
    return before + middle_bits(wr_crc32(wr_crc32(0, wr_str_of(digits, (size_t)n)), key));
}

uint32_t wr_place_addr(const struct wr_addr *a, uint32_t before)
{
    struct wr_str bytes = wr_addr_bytes(a);
    uint32_t hash = before;

    if (bytes.n == 0)
        bytes = wr_str_of("\0\0\0", 3);
    if (bytes.n == 4)
        bytes.n = 3;
    for (size_t i = 0; i < bytes.n; i++)
        hash = (hash * 113 + (unsigned char)bytes.p[i]) % 6271;
    return hash;
}

uint32_t wr_place_server(struct wr_str text)
{
    struct wr_str host = text, port = { NULL, 0 };
    size_t at = text.n;

    if (wr_str_starts(text, WR_STR("unix:"))) {
        host = wr_str_skip(text, 5);
    } else {
        while (at > 0 && text.p[at - 1] >= '0' && text.p[at - 1] <= '9')
            at--;
        if (at > 0 && at < text.n && text.p[at - 1] == ':') {
            host.n = at - 1;
            port = wr_str_skip(text, at);
        }
    }
    return wr_crc32(wr_crc32(wr_crc32(0, host), wr_str_of("\0", 1)), port);
}

/* ---- line ---- */

void wr_weights_clear(struct wr_line_of_weights *l)
{
    free(l->end);
    l->end = NULL;
    l->size = 0;
    wr_weights_begin(l);
}

void wr_weights_begin(struct wr_line_of_weights *l)
{
    l->n = 0;
    l->sum = 0;
}

void wr_weights_add(struct wr_line_of_weights *l, uint32_t weight)
{
    if (l->n == l->size) {
        uint32_t size = wr_max(2 * l->size, 16U);
        uint64_t *bigger = wr_calloc(size, sizeof(*bigger));

        for (uint32_t i = 0; i < l->n; i++)
            bigger[i] = l->end[i];
        free(l->end);
        l->end = bigger;
        l->size = size;
    }
    l->sum += weight;
    l->end[l->n++] = l->sum;
}

uint32_t wr_weights_at(const struct wr_line_of_weights *l, uint64_t place)
{
    uint32_t low = 0, high = l->n > 0 ? l->n - 1 : 0;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (place < l->end[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Any bytes as a message of the keeper to the nat process; what it takes for a list of peers is
 * written again, and shared out to slots. */
#include "nat/nat_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t group, slots, *slot;
    struct wr_nat_list l;
    size_t again;
    char *text;

    if (!wr_nat_wire_read(wr_str_of((const char *)data, size), &group, &l))
        return 0;
    text = wr_nat_wire_write(group, l.at, l.n, &again);
    WR_ASSERT(again == size);
    free(text);
    slots = wr_nat_slots(l.at, l.n);
    WR_ASSERT(slots > 0 && slots <= WR_NAT_SLOTS_MAX);
    slot = wr_calloc(slots, sizeof(*slot));
    wr_nat_slots_fill(l.at, l.n, slot, slots);
    for (uint32_t k = 0; k < slots; k++)
        WR_ASSERT(slot[k] == WR_NAT_NOBODY || (slot[k] < l.n && l.at[slot[k]].usable));
    free(slot);
    free(l.at);
    return 0;
}

/* Any bytes as a file of servers: the first byte chooses its form, the rest is the text. */
#include "upstream/upstream_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_list_rules rules = { .default_port = 80 };
    struct wr_server_list l;
    bool good;

    if (size == 0)
        return 0;
    rules.directives = (data[0] & 1) != 0;
    rules.refused = rules.directives ? data[0] & WR_PARAMS_OF_BACKUPS : WR_PARAMS_OF_NAMES;
    good = wr_server_list_parse(wr_str_of((const char *)data + 1, size - 1), &rules, &l);
    WR_ASSERT(good == (l.fault.line == 0) && l.n <= WR_LIST_LINES_MAX);
    WR_ASSERT(good || (l.fault.why[0] != '\0' && l.fault.column > 0 && l.fault.width > 0));
    wr_server_list_keys(&l, WR_STR("group"), l.at, wr_min(l.n, 4u));
    for (uint32_t i = 0; i < l.n; i++) {
        WR_ASSERT(l.at[i].text.n > 0 && l.at[i].weight > 0);
        WR_ASSERT(l.at[i].named == (l.at[i].addr.len == 0));
        WR_ASSERT(!l.at[i].named || rules.directives);
    }
    wr_server_list_free(&l);
    return 0;
}

/* chaos: makes input and output as awkward as a network may be, so that the whole test suite
 * exercises partial reads and writes. The transports of a debug build call it; it owns a generator,
 * whose seed from WR_CHAOS makes a failure repeatable. */
#include "os/os.h"

#if WR_DEBUG

static bool has_read_seed, is_on;
static uint64_t random_state;

bool wr_chaos(void)
{
    const char *seed;

    if (!has_read_seed) {
        has_read_seed = true;
        seed = getenv("WR_CHAOS");
        is_on = seed != NULL && *seed != '\0';
        if (is_on && !wr_str_u64(wr_str_c(seed), &random_state))
            random_state = wr_hash_stable(wr_str_c(seed), 0);
    }
    return is_on;
}

/* splitmix64: every seed is a good one. */
static uint64_t next_random(void)
{
    uint64_t v = random_state += 0x9e3779b97f4a7c15U;

    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9U;
    v = (v ^ v >> 27) * 0x94d049bb133111ebU;
    return v ^ v >> 31;
}

bool wr_chaos_io(size_t *n)
{
    uint64_t dice;

    if (!wr_chaos())
        return true;
    dice = next_random();
    if (dice % 16 == 0)
        return false;
    if ((dice >> 8) % 4 == 0)
        *n = wr_min(*n, (size_t)(1 + (dice >> 16) % 8));
    return true;
}

#endif

/* cache_holder: how the cache reads and writes words of shared memory, and a process in 32 bits of
 * it, so that others can tell whether it still lives: its slot, and bits of its pid, as slots are
 * used again. */
#ifndef WR_CACHE_HOLDER_H
#define WR_CACHE_HOLDER_H

#include "os/os.h"

/* Each word is read once where it matters, and what was read is checked. */
#define WR_READ(word) atomic_load_explicit(&(word), memory_order_relaxed)
#define WR_WRITE(word, value) atomic_store_explicit(&(word), (value), memory_order_relaxed)

static inline uint32_t wr_cache_read_most(const _Atomic uint32_t *word, uint32_t most)
{
    uint32_t value = WR_READ(*word); /* once: wr_min would read it twice */

    return value < most ? value : most;
}

uint32_t wr_cache_holder_me(void); /* never 0 */
/* Is that process dead? One system call, unless it is this process. False where it cannot be known
 * (master_process off). */
bool wr_cache_holder_is_gone(uint32_t holder);
static inline uint32_t wr_cache_holder_slot(uint32_t holder) /* WR_SLOT_NONE: it has none */
{
    uint32_t slot = (holder >> 20) - 1;

    return slot < WR_SLOTS ? slot : WR_SLOT_NONE;
}

#endif

/* zone: a segment of shared memory divided into parts, and one kind of part: the roster, a list
 * that the owner of the zone publishes. The keeper publishes, workers read; the master only
 * measures and places parts.
 *
 * The place of a part follows from the sizes of the parts before it, computed by the same function
 * that measures: no offset is stored in shared memory. */
#include "os/os.h"

#define LINE 64
#define COPY_TRIES 64

void *wr_zone_part(struct wr_zone *z, size_t n)
{
    size_t at = z->n;

    z->n += (n + LINE - 1) & ~(size_t)(LINE - 1);
    return z->p != NULL ? z->p + at : NULL;
}

void wr_roster_place(struct wr_roster *r, struct wr_zone *z, uint32_t most)
{
    r->most = most;
    r->owner = wr_zone_part(z, sizeof(*r->owner));
    r->version = wr_zone_part(z, sizeof(*r->version));
    for (uint32_t i = 0; i < WR_COUNT(r->list); i++)
        r->list[i] = wr_zone_part(z, ((size_t)most + 1) * sizeof(*r->list[i]));
}

/* A seqlock: the owner writes the list that is not current, then the version. If it publishes twice
 * during the copy, copy again; this ends after COPY_TRIES, in case a process writes garbage all the
 * time. */
uint32_t wr_roster_read(const struct wr_roster *r, uint32_t *out, uint32_t *version)
{
    uint32_t count = 0;

    for (uint32_t tries = 0; tries < COPY_TRIES; tries++) {
        const _Atomic uint32_t *list;
        uint32_t n;

        *version = wr_roster_version(r);
        list = r->list[*version & 1];
        n = atomic_load_explicit(&list[0], memory_order_relaxed); /* once: wr_min reads it twice */
        n = wr_min(n, r->most);
        count = 0;
        for (uint32_t i = 1; i <= n; i++) {
            uint32_t number = atomic_load_explicit(&list[i], memory_order_relaxed);

            if (number < r->most)
                out[count++] = number;
        }
        /* Finish the copy before the second look at the version. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(r->version, memory_order_relaxed) == *version)
            break;
    }
    return count;
}

void wr_roster_publish(struct wr_roster *r, const uint32_t *numbers, uint32_t n)
{
    uint32_t version = atomic_load(r->version) + 1;
    _Atomic uint32_t *list = r->list[version & 1];

    WR_ASSERT(n <= r->most);
    /* Orders the earlier change of the version before the new words: a reader that sees one of them
     * also sees that this list is no longer current. */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&list[0], n, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++)
        atomic_store_explicit(&list[i + 1], numbers[i], memory_order_relaxed);
    atomic_store(r->version, version);
}

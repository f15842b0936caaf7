/* cache_wait: exchanges that wait until the entry of a name changes: a leader ends, shows what it
 * fills, or has more bytes of it. A wait list as docs/decisions/zones.md has it: words in shared
 * memory, each "a process waits for this name". The processes behind the words are rung.
 *
 * The order of looks: wr_cache_wait_begin, then a look at the facts (lead, find, the bytes of the
 * filling object), then sleep if they are not what is wanted. Whoever changes the facts rings
 * afterwards. Everybody who waits is also woken twice a second, in case a word was damaged, there
 * was no place for one, or a leader died: each wake means "look again". */
#ifndef WR_CACHE_WAIT_H
#define WR_CACHE_WAIT_H

#include "cache_object.h"

#include "event/event.h"

#define WR_CACHE_LOOK_MS 500

struct wr_cache_waiting;
struct wr_cache_waits {
    struct wr_cache_waiting *here; /* private: the waiters of this process; NULL: none yet */
    _Atomic uint64_t *used;       /* shared: a bit for each process that ever waited */
    _Atomic uint64_t *words;      /* shared: slot + 1 in 16 bits, 48 bits of the name; 0: free */
    _Atomic uint32_t *taken;      /* shared: words of each group that are taken, or more */
    _Atomic uint32_t *changes;    /* shared: counts rings, by name */
};
struct wr_cache_waiter {          /* in the pool of its exchange; zero: waits for nothing */
    struct wr_link link;
    struct wr_cache_waits *waits;
    struct wr_task *task;         /* woken at a change */
    struct wr_cache_name name;
    uint32_t change;              /* the count when it last looked */
    uint32_t word;                /* its place + 1; 0: none, or a fellow has it */
};
void wr_cache_waits_place(struct wr_cache_waits *w, struct wr_zone *z);
/* Idempotent for one name: call it before each look. The loop is that of the task. */
void wr_cache_wait_begin(struct wr_cache_waits *w, struct wr_cache_waiter *who,
                         const struct wr_cache_name *name, struct wr_loop *loop,
                         struct wr_task *task);
void wr_cache_wait_end(struct wr_cache_waiter *who); /* idempotent; before its pool ends */
/* Something changed that is looked at by that name: wakes who waits for it, in all processes. Cheap
 * when nobody does. */
void wr_cache_waits_ring(struct wr_cache_waits *w, const struct wr_cache_name *name);
/* This process was rung: WR_BELL_CACHE. */
void wr_cache_waits_called(void);
void wr_cache_waits_end(struct wr_cache_waits *w); /* before the loop ends; nobody waits any more */
void wr_cache_waits_clear(struct wr_cache_waits *w, uint32_t process); /* a dead one */

#endif

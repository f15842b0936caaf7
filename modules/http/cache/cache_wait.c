/* cache_wait: the words of those who wait, and the waiters of this process behind them. Exchanges
 * wait, leaders ring; the keeper clears the words of the dead.
 *
 * A name has a group of words; a word in it names a process that waits for the name. The waiters of
 * one process for one name share a word. No ring is lost. One side is a waiter W, the other a
 * process C that changes the facts; all accesses are sequentially consistent:
 *
 *     W: notes the count of changes, counts a word, writes it, looks at the facts, sleeps
 *     C: changes the facts, counts the change, looks at the words, rings
 *
 * If C does not see the word, then W looks after the change. A process that is rung wakes those of
 * its waiters for whose names the count has moved on. A word may be overwritten, and a group be
 * full: then the timer wakes. */
#include "cache_wait.h"

#define GROUPS 128
#define GROUP 64                   /* words */
#define COUNTS 1024
#define LISTS 256

struct wr_cache_waiting {          /* private to a process */
    struct wr_link lists[LISTS];   /* waiters, by name */
    struct wr_link busy;           /* in busy_waits while there are any */
    struct wr_cache_waits *of;
    struct wr_loop *loop;
    struct wr_timer timer;
    struct wr_task look;
    uint32_t n;
};

static struct wr_link busy_waits = { &busy_waits, &busy_waits };

void wr_cache_waits_place(struct wr_cache_waits *w, struct wr_zone *z)
{
    *w = (struct wr_cache_waits){ .words = wr_zone_part(z, sizeof(*w->words) * GROUPS * GROUP) };
    w->used = wr_zone_part(z, WR_SLOTS / 64 * sizeof(*w->used));
    w->taken = wr_zone_part(z, sizeof(*w->taken) * GROUPS);
    w->changes = wr_zone_part(z, sizeof(*w->changes) * COUNTS);
}

static uint64_t hash_of(const struct wr_cache_name *name)
{
    uint64_t words[2];

    memcpy(words, name->digest, sizeof(words));
    return words[0] ^ words[1] * 0x9e3779b97f4a7c15U;
}

static _Atomic uint64_t *group_of(const struct wr_cache_waits *w, uint64_t hash)
{
    return w->words + hash % GROUPS * GROUP;
}

static _Atomic uint32_t *count_of(const struct wr_cache_waits *w, const struct wr_cache_name *name)
{
    return &w->changes[hash_of(name) % COUNTS];
}

static _Atomic uint32_t *taken_of(const struct wr_cache_waits *w, const struct wr_cache_name *name)
{
    return &w->taken[hash_of(name) % GROUPS];
}

static struct wr_link *list_of(struct wr_cache_waiting *p, const struct wr_cache_name *name)
{
    return &p->lists[hash_of(name) / GROUPS % LISTS];
}

static bool is_same(const struct wr_cache_name *a, const struct wr_cache_name *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

/* ---- words ---- */

static uint64_t word_of(const struct wr_cache_name *name)
{
    return (uint64_t)(wr_self.slot + 1) << 48 | hash_of(name) >> 16;
}

static uint64_t bit_of(uint32_t process)
{
    return (uint64_t)1 << (process % 64);
}

static void mark_used(const struct wr_cache_waits *w)
{
    _Atomic uint64_t *bits = &w->used[wr_self.slot / 64];

    if ((atomic_load_explicit(bits, memory_order_relaxed) & bit_of(wr_self.slot)) == 0)
        (void)atomic_fetch_or(bits, bit_of(wr_self.slot));
}

/* Returns its place + 1; 0: all are taken. */
static uint32_t take_word(const struct wr_cache_waits *w, const struct wr_cache_name *name)
{
    _Atomic uint64_t *group = group_of(w, hash_of(name));
    uint64_t word = word_of(name);

    if (wr_self.slot >= WR_SLOTS)
        return 0;
    mark_used(w);
    (void)atomic_fetch_add(taken_of(w, name), 1); /* first: who rings looks only if there are any */
    for (uint32_t i = 0; i < GROUP; i++) {
        uint64_t none = 0;

        if (atomic_load_explicit(&group[i], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&group[i], &none, word))
            return (uint32_t)(&group[i] - w->words) + 1;
    }
    (void)atomic_fetch_sub(taken_of(w, name), 1);
    return 0;
}

static void give_word(const struct wr_cache_waits *w, const struct wr_cache_waiter *who)
{
    uint64_t word = word_of(&who->name);

    if (atomic_compare_exchange_strong(&w->words[who->word - 1], &word, 0))
        (void)atomic_fetch_sub(taken_of(w, &who->name), 1);
}

/* ---- waking ---- */

static void wake_waiter(struct wr_cache_waiter *who, uint32_t change)
{
    who->change = change;
    wr_task_wake(who->waits->here->loop, who->task);
}

static void wake_name(struct wr_cache_waits *w, const struct wr_cache_name *name, uint32_t change)
{
    struct wr_link *list;

    if (w->here == NULL || w->here->n == 0)
        return;
    list = list_of(w->here, name);
    for (struct wr_link *k = list->next; k != list; k = k->next) {
        struct wr_cache_waiter *who = wr_container(k, struct wr_cache_waiter, link);

        if (is_same(&who->name, name))
            wake_waiter(who, change);
    }
}

void wr_cache_waits_ring(struct wr_cache_waits *w, const struct wr_cache_name *name)
{
    uint64_t hash = hash_of(name) >> 16;
    _Atomic uint64_t *group = group_of(w, hash_of(name));
    uint32_t change = atomic_fetch_add(count_of(w, name), 1) + 1;

    for (uint32_t i = 0; i < GROUP && atomic_load(taken_of(w, name)) != 0; i++) {
        uint64_t word = atomic_load(&group[i]);
        uint32_t slot = (uint32_t)(word >> 48) - 1;

        if (word != 0 && (word & 0xffffffffffff) == hash && slot < WR_SLOTS &&
            slot != wr_self.slot)
            wr_ring(slot, WR_BELL_CACHE);
    }
    wake_name(w, name, change);
}

/* all: also those for whose names nothing was counted */
static void wake_all(struct wr_cache_waiting *p, bool all)
{
    for (uint32_t i = 0; i < LISTS; i++) {
        for (struct wr_link *k = p->lists[i].next; k != &p->lists[i]; k = k->next) {
            struct wr_cache_waiter *who = wr_container(k, struct wr_cache_waiter, link);
            uint32_t change = atomic_load(count_of(p->of, &who->name));

            if (all || change != who->change)
                wake_waiter(who, change);
        }
    }
}

void wr_cache_waits_called(void)
{
    for (struct wr_link *k = busy_waits.next; k != &busy_waits; k = k->next)
        wake_all(wr_container(k, struct wr_cache_waiting, busy), false);
}

static void look_again(struct wr_task *t)
{
    struct wr_cache_waiting *p = wr_container(t, struct wr_cache_waiting, look);

    if (p->n == 0)
        return;
    wr_timer_set(p->loop, &p->timer, WR_CACHE_LOOK_MS);
    wake_all(p, true);
}

/* ---- waiting ---- */

static struct wr_cache_waiting *waiting_new(struct wr_cache_waits *w, struct wr_loop *loop)
{
    struct wr_cache_waiting *p = wr_calloc(1, sizeof(*p));

    for (uint32_t i = 0; i < LISTS; i++)
        wr_list_init(&p->lists[i]);
    p->of = w;
    p->loop = loop;
    p->look.run = look_again;
    p->timer.task = &p->look;
    return p;
}

static struct wr_cache_waiter *fellow_of(const struct wr_cache_waiter *who)
{
    struct wr_link *list = list_of(who->waits->here, &who->name);

    for (struct wr_link *k = list->next; k != list; k = k->next) {
        struct wr_cache_waiter *other = wr_container(k, struct wr_cache_waiter, link);

        if (other != who && is_same(&other->name, &who->name))
            return other;
    }
    return NULL;
}

static void first_waiter(struct wr_cache_waiting *p)
{
    wr_list_push(&busy_waits, &p->busy);
    wr_timer_set(p->loop, &p->timer, WR_CACHE_LOOK_MS);
}

static void last_waiter(struct wr_cache_waiting *p)
{
    wr_list_remove(&p->busy);
    wr_timer_idle(&p->timer);
}

void wr_cache_wait_begin(struct wr_cache_waits *w, struct wr_cache_waiter *who,
                         const struct wr_cache_name *name, struct wr_loop *loop,
                         struct wr_task *task)
{
    if (who->waits != NULL && (who->waits != w || !is_same(&who->name, name)))
        wr_cache_wait_end(who);
    if (who->waits == NULL) {
        if (w->here == NULL)
            w->here = waiting_new(w, loop);
        *who = (struct wr_cache_waiter){ .waits = w, .task = task, .name = *name };
        wr_list_push(list_of(w->here, name), &who->link);
        if (w->here->n++ == 0)
            first_waiter(w->here);
    }
    who->change = atomic_load(count_of(w, name));
    if (who->word == 0) {
        const struct wr_cache_waiter *fellow = fellow_of(who);

        if (fellow == NULL || fellow->word == 0)
            who->word = take_word(w, name);
    }
    atomic_thread_fence(memory_order_seq_cst); /* before the look at the facts */
}

/* The word goes to another waiter for the name, if there is one: to the first, where fellow_of
 * finds it. */
static void pass_word(struct wr_cache_waiter *who)
{
    struct wr_cache_waiter *fellow = fellow_of(who);

    if (fellow == NULL)
        give_word(who->waits, who);
    else if (fellow->word == 0)
        fellow->word = who->word;
    else
        give_word(who->waits, who);
    who->word = 0;
}

void wr_cache_wait_end(struct wr_cache_waiter *who)
{
    struct wr_cache_waits *w = who->waits;

    if (w == NULL)
        return;
    if (who->word != 0)
        pass_word(who);
    wr_list_remove(&who->link);
    if (--w->here->n == 0)
        last_waiter(w->here);
    who->waits = NULL;
}

void wr_cache_waits_end(struct wr_cache_waits *w)
{
    if (w->here == NULL)
        return;
    WR_ASSERT(w->here->n == 0);
    wr_timer_off(w->here->loop, &w->here->timer);
    wr_task_cancel(&w->here->look);
    free(w->here);
    w->here = NULL;
}

void wr_cache_waits_clear(struct wr_cache_waits *w, uint32_t process)
{
    if ((atomic_fetch_and(&w->used[process / 64], ~bit_of(process)) & bit_of(process)) == 0)
        return;
    for (uint32_t i = 0; i < GROUPS * GROUP; i++) {
        uint64_t word = atomic_load_explicit(&w->words[i], memory_order_relaxed);

        if (word >> 48 == process + 1 && atomic_compare_exchange_strong(&w->words[i], &word, 0))
            (void)atomic_fetch_sub(&w->taken[i / GROUP], 1);
    }
}

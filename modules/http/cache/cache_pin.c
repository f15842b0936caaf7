/* cache_pin: which objects are being read. Readers pin; whoever wants to use cells again reads all
 * pins (cache_block). The words of a process are in its row; the row of a dead one is cleared by
 * the keeper, and by the next process of the slot.
 *
 * One side is a reader R, the other a process C that collects cells; sequentially consistent:
 *
 *     R: writes the number into its row, looks whether the object is still there (its extent has
 *        the number, and the entry refers to it), reads
 *     C: makes sure that no entry refers to it, takes the number out of the extent, reads all rows,
 *        uses the cells again
 *
 * If C does not see the pin, R looks after the number was taken out, and does not read. If C sees
 * it, C puts the number back. */
#include "cache_tier.h"

#define LISTS 256
#define WORDS_MOST 65536           /* of all processes; more are damage */

struct pin {
    uint64_t number;
    uint32_t count;                /* of readers; 0: free */
    uint32_t next;                 /* in its list, or of the free ones; + 1 */
};
struct wr_cache_pins {             /* private to a process */
    struct pin pin[WR_CACHE_PINS];
    uint32_t list[LISTS];          /* by number; + 1 */
    uint32_t free, top;
    uint32_t slot;
};

static _Atomic uint64_t *word_of(const struct wr_cache_memory *m, uint32_t slot, uint32_t i)
{
    return &m->rows[slot].number[i];
}

static void clear_row(struct wr_cache_memory *m, uint32_t slot)
{
    uint32_t top = wr_cache_read_most(&m->head->top[slot], WR_CACHE_PINS);

    for (uint32_t i = 0; i < top; i++)
        WR_WRITE(*word_of(m, slot, i), 0);
    WR_WRITE(m->head->top[slot], 0);
}

void wr_cache_memory_clear(struct wr_cache_memory *m, uint32_t process)
{
    uint64_t bit = (uint64_t)1 << (process % 64);

    if (m->blocks == 0 || (atomic_load(&m->head->used[process / 64]) & bit) == 0)
        return;
    clear_row(m, process);
    (void)atomic_fetch_and(&m->head->used[process / 64], ~bit);
}

static struct wr_cache_pins *pins_of(struct wr_cache_memory *m)
{
    if (m->pins == NULL) {
        m->pins = wr_calloc(1, sizeof(*m->pins));
        m->pins->slot = wr_self.slot < WR_SLOTS ? wr_self.slot : 0; /* the only process has none */
        clear_row(m, m->pins->slot);
        (void)atomic_fetch_or(&m->head->used[m->pins->slot / 64],
                              (uint64_t)1 << (m->pins->slot % 64));
    }
    return m->pins;
}

static uint32_t *list_of(struct wr_cache_pins *p, uint64_t number)
{
    return &p->list[number % LISTS];
}

static struct pin *find_pin(struct wr_cache_pins *p, uint64_t number)
{
    for (uint32_t i = *list_of(p, number); i != 0; i = p->pin[i - 1].next)
        if (p->pin[i - 1].number == number)
            return &p->pin[i - 1];
    return NULL;
}

static struct pin *new_pin(struct wr_cache_memory *m, struct wr_cache_pins *p, uint64_t number)
{
    uint32_t i = p->free;

    if (i != 0)
        p->free = p->pin[i - 1].next;
    else if (p->top < WR_CACHE_PINS)
        i = ++p->top;
    else
        return NULL;
    p->pin[i - 1] = (struct pin){ .number = number, .next = *list_of(p, number) };
    *list_of(p, number) = i;
    if (WR_READ(m->head->top[p->slot]) < p->top)
        WR_WRITE(m->head->top[p->slot], p->top);
    return &p->pin[i - 1];
}

static void free_pin(const struct wr_cache_memory *m, struct wr_cache_pins *p, struct pin *pin)
{
    uint32_t i = (uint32_t)(pin - p->pin) + 1, *at = list_of(p, pin->number);

    atomic_store_explicit(word_of(m, p->slot, i - 1), 0, memory_order_release);
    while (*at != i)
        at = &p->pin[*at - 1].next;
    *at = pin->next;
    pin->next = p->free;
    p->free = i;
}

static bool is_there(const struct wr_cache_memory *m, const struct wr_cache_view *v,
                     const struct wr_cache_ref *r)
{
    return atomic_load(&m->extent[r->at].number) == r->number
        && wr_cache_index_has(m->ix, v->at, r->number);
}

bool wr_cache_pin_take(struct wr_cache_memory *m, const struct wr_cache_view *v, bool filling,
                       struct wr_cache_pinned *p)
{
    const struct wr_cache_ref *r = filling ? &v->filling : &v->memory;
    struct wr_cache_pins *own;
    struct pin *pin;

    if (r->number == 0 || r->at >= wr_cache_cells(m))
        return false;
    own = pins_of(m);
    pin = find_pin(own, r->number);
    if (pin == NULL)
        pin = new_pin(m, own, r->number);
    if (pin == NULL)
        return false;
    if (pin->count == 0) {
        atomic_store(word_of(m, own->slot, (uint32_t)(pin - own->pin)), r->number);
        atomic_thread_fence(memory_order_seq_cst);
        if (!is_there(m, v, r)) {
            free_pin(m, own, pin);
            return false;
        }
    }
    pin->count++;
    *p = (struct wr_cache_pinned){ .m = m, .ref = *r, .pin = (uint32_t)(pin - own->pin) };
    return true;
}

void wr_cache_pin_drop(struct wr_cache_pinned *p)
{
    struct wr_cache_memory *m = p->m;
    struct pin *pin;

    if (m == NULL)
        return;
    pin = &m->pins->pin[p->pin];
    if (--pin->count == 0)
        free_pin(m, m->pins, pin);
    p->m = NULL;
}

void wr_cache_pins_end(struct wr_cache_memory *m)
{
    if (m->pins != NULL)
        clear_row(m, m->pins->slot);
    free(m->pins);
    m->pins = NULL;
}

/* ---- all pins ---- */

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void add_number(struct wr_cache_pinned_now *p, uint64_t number)
{
    if (p->n == p->room) {
        p->room = wr_max(2 * p->room, 64U);
        p->number = wr_realloc(p->number, p->room * sizeof(*p->number));
    }
    p->number[p->n++] = number;
}

/* Returns how many words it read. */
static uint32_t read_row(const struct wr_cache_memory *m, uint32_t slot,
                         struct wr_cache_pinned_now *p)
{
    uint32_t top = wr_cache_read_most(&m->head->top[slot], WR_CACHE_PINS);

    for (uint32_t i = 0; i < top; i++) {
        uint64_t number = atomic_load(word_of(m, slot, i));

        if (number != 0)
            add_number(p, number);
    }
    return top + 1;
}

bool wr_cache_pinned_read(const struct wr_cache_memory *m, struct wr_cache_pinned_now *p)
{
    uint32_t words = 0;

    p->n = 0;
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t w = 0; w < WR_SLOTS / 64; w++) {
        uint64_t used = atomic_load(&m->head->used[w]);

        for (; used != 0 && words <= WORDS_MOST; used &= used - 1)
            words += read_row(m, w * 64 + (uint32_t)__builtin_ctzll(used), p);
    }
    if (words > WORDS_MOST)
        return false;
    if (p->n > 1)
        qsort(p->number, p->n, sizeof(*p->number), compare_numbers);
    return true;
}

bool wr_cache_pinned_has(const struct wr_cache_pinned_now *p, uint64_t number)
{
    return p->n > 0
        && bsearch(&number, p->number, p->n, sizeof(number), compare_numbers) != NULL;
}

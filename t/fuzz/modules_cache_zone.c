/* Any bytes in the shared memory of a cache, as a faulty or hostile process may write them between
 * any two steps: look-ups, leading, filling, reading, purging and walking must go on, and
 * afterwards everything works again. The sanitizers watch the rest of the memory.
 *
 * An input is a sequence of letters, each with a byte that names a key: l leads, e ends it, s
 * stores (a byte: size by 300), f finds and reads, d has a file, r removes, p purges, t and x purge
 * a tag and a prefix, c asks what is purged, k walks, o takes the oldest file, n lets time pass, z
 * clears what a dead process held. w (an offset of three bytes, a count, the bytes) and W (the
 * same, in the purges) write. */
#include "../../modules/http/cache/cache_store.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS 8192
#define MEMORY (16 * 20000)

static struct wr_cache_store store;
static struct wr_zone zone, purge_zone;
static struct wr_cache_view led, view;

static void place_parts(struct wr_zone *z, struct wr_zone *purges)
{
    wr_cache_index_place(&store.index, z, KEYS);
    wr_cache_waits_place(&store.waits, z);
    wr_cache_memory_place(&store.memory, z, MEMORY, &store.index);
    wr_purges_place(&store.purges, purges);
    store.index.waits = &store.waits;
}

static void make_zone(void)
{
    struct wr_zone z = { .fd = -1 }, purges = { .fd = -1 };

    wr_self_init();
    wr_clock_update();
    place_parts(&z, &purges);
    zone = (struct wr_zone){ .p = wr_calloc(1, z.n), .fd = memfd_create("zone", MFD_CLOEXEC) };
    purge_zone = (struct wr_zone){ .p = wr_calloc(1, purges.n), .fd = zone.fd };
}

/* The rows of pins stay as they are: zero, but for our own. */
static void begin_again(void)
{
    struct wr_zone z = zone, purges = purge_zone;

    place_parts(&z, &purges);
    memset(zone.p, 0, (size_t)((char *)store.memory.rows - zone.p));
    memset(purge_zone.p, 0, purges.n);
}

static struct wr_cache_name name_of(uint8_t key)
{
    struct wr_cache_name name = { { 0 } };

    memset(name.digest, key % 32 + 1, sizeof(name.digest));
    return name;
}

static void overwrite(struct wr_scan *s, bool purges)
{
    size_t most = purges ? 1 << 16 : (size_t)((char *)store.memory.rows - zone.p);
    size_t at = (wr_scan_u16(s) * 256U + wr_scan_u8(s)) % most;
    struct wr_str bytes = wr_scan_take(s, wr_scan_u8(s));

    if (!s->bad)
        memcpy((purges ? purge_zone.p : zone.p) + at, bytes.p, wr_min(bytes.n, most - at));
}

static bool put_object(const struct wr_cache_name *name, size_t n)
{
    static char bytes[256 * 300];
    struct wr_cache_stored s = { .created_us = wr_purge_stamp(&store.purges) };
    struct wr_cache_fill *f = wr_cache_fill_new(&store.memory, n % 2 == 0 ? n : SIZE_MAX);
    bool stored = false;

    if (f != NULL && wr_cache_fill_add(f, wr_str_of(bytes, n))) {
        s.memory = wr_cache_fill_finish(f);
        stored = memcmp(name, &led.name, sizeof(*name)) == 0
            ? wr_cache_index_store_led(&store.index, &led, &s)
            : wr_cache_index_store(&store.index, name, &s);
    }
    wr_cache_fill_end(f);
    return stored;
}

static bool read_object(const struct wr_cache_name *name)
{
    static char out[WR_CACHE_EXTENT];
    struct wr_cache_pinned pinned = { .m = NULL };
    struct wr_cache_at at = { .cell = 0 };
    uint64_t done = 0, n;
    struct wr_str part;

    if (!wr_cache_index_find(&store.index, name, &view))
        return false;
    wr_cache_index_touch(&store.index, &view);
    if (wr_cache_memory_is_small(&view.memory))
        return wr_cache_memory_copy(&store.memory, &view, out);
    if (!wr_cache_pin_take(&store.memory, &view, done != 0, &pinned))
        return false;
    (void)wr_cache_pin_filled(&pinned, &n);
    do {
        part = wr_cache_pin_part(&pinned, &at, done, view.memory.size - done);
        for (size_t i = 0; i < part.n; i += 64)
            out[i % sizeof(out)] = part.p[i];
        done += part.n;
    } while (part.n > 0 && done < view.memory.size);
    wr_cache_pin_drop(&pinned);
    return done >= view.memory.size;
}

static void change_entry(uint8_t what, const struct wr_cache_name *name, struct wr_scan *s)
{
    bool there = wr_cache_index_find(&store.index, name, &view);
    uint64_t us = wr_purge_stamp(&store.purges);

    if (what == 'd' && there)
        (void)wr_cache_index_set_disk(&store.index, name, view.created_us, wr_scan_u8(s) * 999U);
    else if (what == 'r' && there)
        (void)wr_cache_index_remove(&store.index, name, view.created_us, &view);
    else if (what == 'p')
        (void)wr_cache_index_purge(&store.index, name, us, us % 2 == 0, &view);
}

static void purge_something(uint8_t what, uint8_t key)
{
    struct wr_str text = wr_str_of((const char *)&key, 1);
    uint64_t tags[2] = { key * 65536U + 1, 9 };

    if (what == 't')
        WR_ASSERT(wr_purge_tag(&store.purges, tags[0], key % 2 == 0));
    else if (what == 'x')
        WR_ASSERT(wr_purge_prefix(&store.purges, text, key % 2 == 0));
    else
        (void)wr_purge_check(&store.purges, wr_purge_newest(&store.purges), text,
                             wr_str_of((const char *)tags, sizeof(tags)));
}

static void act(struct wr_scan *s)
{
    uint8_t what = wr_scan_u8(s), key = what != 'w' && what != 'W' ? wr_scan_u8(s) : 0;
    struct wr_cache_name name = name_of(key);
    uint32_t cursor = key;

    switch (what) {
    case 'w':
    case 'W':
        overwrite(s, what == 'W');
        break;
    case 'l':
        wr_cache_index_lead_end(&store.index, &led);
        if (wr_cache_index_lead(&store.index, &name, 5, &led) != WR_CACHE_LEADS)
            led.leader = 0;
        break;
    case 'e':
        wr_cache_index_lead_end(&store.index, &led);
        break;
    case 's':
        (void)put_object(&name, wr_scan_u8(s) * 300U);
        break;
    case 'f':
        (void)read_object(&name);
        break;
    case 'k':
        (void)wr_cache_index_walk(&store.index, &cursor, 1000, NULL, NULL);
        break;
    case 'o':
        (void)wr_cache_index_take(&store.index, UINT64_MAX, &view);
        break;
    case 'n':
        wr_clock.mono_ms += key;
        break;
    case 'z':
        wr_cache_store_clear(&store, key);
        break;
    case 't':
    case 'x':
    case 'c':
        purge_something(what, key);
        break;
    default:
        change_entry(what, &name, s);
    }
}

static void works_again(void)
{
    uint32_t cursor = 0, right = 0;

    for (uint32_t i = 1; i < WR_SLOTS; i++) /* row 0: of this process, which has no slot */
        wr_cache_memory_clear(&store.memory, i);
    memset((void *)store.index.shard, 0, 64); /* a floor may forbid everything for a day */
    memset((void *)store.index.shard, 0xff, 4); /* as left by a holder that died */
    for (uint32_t i = 0; i < 2; i++)
        while (!wr_cache_index_walk(&store.index, &cursor, 1000, NULL, NULL))
            ;
    for (uint8_t key = 0; key < 8; key++) {
        struct wr_cache_name name = name_of(key);

        right += put_object(&name, 1000) && read_object(&name);
    }
    WR_ASSERT(right > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wr_log nowhere;
    struct wr_scan s = wr_scan_of(data, size);

    wr_log_default = &nowhere;
    if (zone.p == NULL)
        make_zone();
    begin_again();
    led = (struct wr_cache_view){ .leader = 0 };
    for (int acts = 0; acts < 200 && !s.bad && wr_scan_left(&s) > 0; acts++)
        act(&s);
    works_again();
    wr_cache_store_end(&store);
    return 0;
}

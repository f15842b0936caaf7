/* pool: region memory that is freed at once, and the growing arrays in it. All code calls it, from
 * the loop's thread only. It owns a process-local cache of regions, so that a session costs no
 * malloc: a pool lives in its first region, and both come from the cache and go back to it. */
#include "base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT 1
#endif
#endif

#ifdef EXACT
#include <sanitizer/asan_interface.h>
#else
#define EXACT 0
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define ALIGNMENT 16
#define REGION 4096
#define CACHE_MAX 1024        /* regions, 4 MB */
#define BIG (REGION / 4)      /* from this size on, a malloc wastes less than a new region */

struct region {
    _Alignas(ALIGNMENT) struct region *next;
    const struct wr_pool_memory *from; /* NULL: malloc, and the cache */
};

struct big {
    _Alignas(ALIGNMENT) struct big *next;
    const struct wr_pool_memory *from; /* NULL: malloc */
};

struct cleanup {
    struct cleanup *next;
    void (*fn)(void *arg);
    void *arg;
};

struct wr_pool {
    struct region first;      /* the pool is the head of its own first region */
    char *at, *end;
    struct big *bigs;
    struct cleanup *cleanups;
    size_t used, limit;
    const struct wr_pool_memory *from;
};

static struct region *cache;
static unsigned cached;

static struct region *get_region(const struct wr_pool_memory *from)
{
    struct region *r = cache;

    if (from != NULL) {
        r = from->alloc(REGION);
    } else if (r == NULL) {
        r = malloc(REGION);
    } else {
        cache = r->next;
        cached--;
    }
    if (r != NULL)
        r->from = from;
    return r;
}

static void put_region(struct region *r)
{
    if (r->from != NULL) {
        r->from->free(r);
        return;
    }
    if (EXACT || cached == CACHE_MAX) {
        free(r);
        return;
    }
    r->next = cache;
    cache = r;
    cached++;
}

void wr_pool_drop_cache(void)
{
    for (struct region *r = cache; r != NULL; r = cache) {
        cache = r->next;
        free(r);
    }
    cached = 0;
}

struct wr_pool *wr_pool_new(size_t limit)
{
    struct region *r = EXACT ? malloc(sizeof(struct wr_pool)) : get_region(NULL);
    struct wr_pool *p = (struct wr_pool *)r;

    if (wr_unlikely(p == NULL))
        wr_out_of_memory(REGION);
    p->first.next = NULL;
    p->first.from = p->from = NULL;
    p->at = EXACT ? NULL : (char *)p + sizeof(*p);
    p->end = EXACT ? NULL : (char *)p + REGION;
    p->bigs = NULL;
    p->cleanups = NULL;
    p->used = 0;
    p->limit = limit == 0 ? SIZE_MAX : limit;
    return p;
}

void wr_pool_free(struct wr_pool *p)
{
    if (p == NULL)
        return;
    /* A cleanup may still allocate here, and even add another cleanup. */
    while (p->cleanups != NULL) {
        struct cleanup *c = p->cleanups;

        p->cleanups = c->next;
        c->fn(c->arg);
    }
    while (p->bigs != NULL) {
        struct big *b = p->bigs;

        ASAN_UNPOISON_MEMORY_REGION(b, sizeof(*b));
        p->bigs = b->next;
        if (b->from != NULL)
            b->from->free(b);
        else
            free(b);
    }
    while (p->first.next != NULL) {
        struct region *r = p->first.next;

        p->first.next = r->next;
        put_region(r);
    }
    put_region(&p->first);
}

static void *take_big(struct wr_pool *p, size_t n)
{
    struct big *b;
    size_t size;

    if (!wr_add(n, sizeof(*b), &size)
        || (b = p->from != NULL ? p->from->alloc(size) : malloc(size)) == NULL)
        return NULL;
    b->from = p->from;
    b->next = p->bigs;
    p->bigs = b;
    /* Poison the head, which stands before the caller's bytes: so ASan finds an underflow, too. */
    ASAN_POISON_MEMORY_REGION(b, sizeof(*b));
    return (char *)b + sizeof(*b);
}

/* Abandons the rest of the previous region: less than BIG, and pools are short-lived. */
static void *take_region(struct wr_pool *p, size_t size)
{
    struct region *r = get_region(p->from);

    if (r == NULL)
        return NULL;
    r->next = p->first.next;
    p->first.next = r;
    p->at = (char *)r + sizeof(*r) + size;
    p->end = (char *)r + REGION;
    return (char *)r + sizeof(*r);
}

/* Abandons the rest of the region in use, which is ordinary memory. Does nothing under ASan, which
 * finds overflows only where each piece is a malloc of its own. */
void wr_pool_use(struct wr_pool *p, const struct wr_pool_memory *from)
{
    if (EXACT || p->from == from)
        return;
    p->from = from;
    p->at = p->end = NULL;
}

/* The limit and `used` count whole units of ALIGNMENT, so a million tiny pieces count with their
 * real size. If n is so near SIZE_MAX that rounding up wraps, size is smaller than n. */
static inline void *take_piece(struct wr_pool *p, size_t n)
{
    size_t size = (n + (n == 0) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    void *out;

    if (wr_unlikely(size < n || size > p->limit - p->used))
        return NULL;
    if (EXACT) {
        out = take_big(p, n);
    } else if (wr_likely(size <= (size_t)(p->end - p->at))) {
        out = p->at;
        p->at += size;
    } else {
        out = size >= BIG ? take_big(p, size) : take_region(p, size);
    }
    if (wr_likely(out != NULL))
        p->used += size;
    return out;
}

void *wr_pool_try(struct wr_pool *p, size_t n)
{
    return take_piece(p, n);
}

void *wr_pool_alloc(struct wr_pool *p, size_t n)
{
    void *out = take_piece(p, n);

    if (wr_unlikely(out == NULL))
        wr_out_of_memory(n);
    return out;
}

void *wr_pool_zalloc(struct wr_pool *p, size_t n)
{
    void *out = take_piece(p, n);

    if (wr_unlikely(out == NULL))
        wr_out_of_memory(n);
    return memset(out, 0, n);
}

void *wr_pool_array(struct wr_pool *p, size_t count, size_t size)
{
    size_t n;

    if (!wr_mul(count, size, &n))
        wr_out_of_memory(SIZE_MAX);
    return wr_pool_zalloc(p, n);
}

char *wr_pool_cstr(struct wr_pool *p, struct wr_str s)
{
    char *copy = wr_pool_alloc(p, s.n + 1);

    if (s.n > 0)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

struct wr_str wr_pool_str(struct wr_pool *p, struct wr_str s)
{
    return wr_str_of(wr_pool_cstr(p, s), s.n);
}

struct wr_str wr_pool_lower(struct wr_pool *p, struct wr_str s)
{
    char *copy = wr_pool_cstr(p, s);

    for (size_t i = 0; i < s.n; i++)
        copy[i] = (char)wr_lower((unsigned char)copy[i]);
    return wr_str_of(copy, s.n);
}

struct wr_str wr_pool_fmt(struct wr_pool *p, const char *fmt, ...)
{
    struct wr_text t = wr_text_grow(p, 63, SIZE_MAX / 2);
    va_list ap;

    va_start(ap, fmt);
    wr_text_vfmt(&t, fmt, ap);
    va_end(ap);
    if (t.overflow)
        wr_out_of_memory(t.cap);
    return wr_text_view(&t);
}

void wr_pool_cleanup(struct wr_pool *p, void (*fn)(void *arg), void *arg)
{
    struct cleanup *c = wr_pool_alloc(p, sizeof(*c));

    *c = (struct cleanup){ p->cleanups, fn, arg };
    p->cleanups = c;
}

size_t wr_pool_used(const struct wr_pool *p)
{
    return p->used;
}

/* Most arrays of large elements hold only one. */
static uint32_t first_capacity(size_t size)
{
    return size >= 512 ? 1 : size >= 128 ? 2 : 8;
}

/* Doubling leaves the old arrays in the pool; together they are at most as large as the one in use.
 * The array's own type is unknown here: its pointer is copied as bytes, so that no optimiser may
 * assume that a store through void ** leaves a T * unchanged. */
void wr_vec_reserve(struct wr_pool *p, void **at, const uint32_t *n, uint32_t *cap, size_t size)
{
    char *old, *wider;

    memcpy(&old, (void *)at, sizeof(old));
    if (*n == *cap) {
        uint32_t more = *cap == 0 ? first_capacity(size) : *cap * 2;
        size_t bytes;

        WR_ASSERT(more > *cap);
        if (!wr_mul(more, size, &bytes))
            wr_out_of_memory(SIZE_MAX);
        wider = wr_pool_alloc(p, bytes);
        if (*n > 0)
            memcpy(wider, old, *n * size);
        memcpy((void *)at, &wider, sizeof(wider));
        *cap = more;
        old = wider;
    }
    memset(old + *n * size, 0, size);
}

void *wr_malloc(size_t n)
{
    void *p = malloc(n + (n == 0));

    if (wr_unlikely(p == NULL))
        wr_out_of_memory(n);
    return p;
}

void *wr_calloc(size_t count, size_t size)
{
    void *p = calloc(count + (count == 0), size + (size == 0));

    if (wr_unlikely(p == NULL))
        wr_out_of_memory(size);
    return p;
}

void *wr_realloc(void *p, size_t n)
{
    p = realloc(p, n + (n == 0));
    if (wr_unlikely(p == NULL))
        wr_out_of_memory(n);
    return p;
}

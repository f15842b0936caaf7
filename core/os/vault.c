/* vault: memory excluded from core files: for OpenSSL (keys, values computed from them, decrypted
 * data) and for the keys and passwords of a configuration. It is mapped in chunks with
 * MADV_DONTDUMP and given out in size classes, 8 in each doubling. Freed blocks wait in the list of
 * their class and are never unmapped; a block over 64 KB is a mapping of its own, and is unmapped.
 * Threads may call it; main sets it up. After a fork the child has a copy (copy on write). */
#include "os/os.h"

#include <pthread.h>
#include <sys/mman.h>

#define CHUNK ((size_t)1 << 20)
#define LARGEST ((size_t)1 << 16)
#define CLASSES 80
#define SMALL 128                /* up to this size in steps of 16 */

struct head {                    /* before each block */
    size_t size;                 /* bytes that fit into the block */
    struct head *next;           /* in the list of free blocks */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct head *unused[CLASSES];
static char *bump, *bump_end;

/* Returns the class for n bytes; *size is the size of its blocks. */
static unsigned class_of(size_t n, size_t *size)
{
    unsigned log, part;

    if (n <= SMALL) {
        *size = (n + 15) / 16 * 16;
        return (unsigned)(*size / 16 - 1);
    }
    log = 63 - (unsigned)__builtin_clzll((unsigned long long)n - 1);
    part = (unsigned)((n - 1) >> (log - 3));
    *size = (size_t)(part + 1) << (log - 3);
    return (log - 7) * 8 + part;
}

static void *map_pages(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    (void)madvise(p, n, MADV_DONTDUMP);
    return p;
}

static struct head *take_large(size_t n)
{
    size_t whole = (n + sizeof(struct head) + 4095) & ~(size_t)4095;
    struct head *h = n < SIZE_MAX / 2 ? map_pages(whole) : NULL;

    if (h != NULL)
        h->size = whole - sizeof(*h);
    return h;
}

/* The mutex is held. */
static struct head *cut_new(size_t size)
{
    size_t whole = sizeof(struct head) + size;
    struct head *h;

    if (whole > (size_t)(bump_end - bump)) {
        char *chunk = map_pages(CHUNK);

        if (chunk == NULL)
            return NULL;
        bump = chunk;
        bump_end = chunk + CHUNK;
    }
    h = (void *)bump;
    bump += whole;
    h->size = size;
    return h;
}

void *wr_vault_alloc(size_t n)
{
    struct head *h;
    size_t size;
    unsigned c;

    if (n == 0)
        return NULL;
    if (n > LARGEST) {
        h = take_large(n);
        return h != NULL ? h + 1 : NULL;
    }
    c = class_of(n, &size);
    (void)pthread_mutex_lock(&mutex);
    h = unused[c];
    if (h != NULL)
        unused[c] = h->next;
    else
        h = cut_new(size);
    (void)pthread_mutex_unlock(&mutex);
    return h != NULL ? h + 1 : NULL;
}

void wr_vault_free(void *p)
{
    struct head *h = p;
    size_t size;
    unsigned c;

    if (h == NULL)
        return;
    h--;
    if (h->size > LARGEST) {
        (void)munmap(h, h->size + sizeof(*h));
        return;
    }
    c = class_of(h->size, &size);
    (void)pthread_mutex_lock(&mutex);
    h->next = unused[c];
    unused[c] = h;
    (void)pthread_mutex_unlock(&mutex);
}

void *wr_vault_realloc(void *p, size_t n)
{
    const struct head *h = p;
    void *to;

    if (h != NULL && n > 0 && n <= h[-1].size && n >= h[-1].size / 2)
        return p;
    to = wr_vault_alloc(n);
    if (n > 0 && to == NULL)
        return NULL;
    if (h != NULL && n > 0)
        memcpy(to, p, wr_min(n, h[-1].size));
    wr_vault_free(p);
    return to;
}

void wr_vault_pool(struct wr_pool *p)
{
    static const struct wr_pool_memory vault = { wr_vault_alloc, wr_vault_free };

    wr_pool_use(p, &vault);
}

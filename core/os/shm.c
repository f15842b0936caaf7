/* shm: memory shared by the processes of an instance, kept over reloads and upgrades. The master
 * makes a set per configuration before it forks. It owns the process's list of segments; sets hold
 * them, the last set that lets go unmaps. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct ref {
    struct wr_link link;
    struct wr_shm *shm;
};

static struct wr_link all = { &all, &all };

static struct wr_shm *find(const struct wr_shm_set *set, struct wr_str name)
{
    for (struct wr_link *l = set->segments.next; l != &set->segments; l = l->next) {
        struct wr_shm *shm = wr_container(l, struct ref, link)->shm;

        if (wr_str_is(name, shm->name))
            return shm;
    }
    return NULL;
}

static bool fits(const struct wr_shm *a, const struct wr_shm *b)
{
    return a->layout == b->layout && a->shape == b->shape && a->size == b->size;
}

static void hold(struct wr_shm_set *set, struct wr_shm *shm)
{
    struct ref *r = wr_calloc(1, sizeof(*r));

    r->shm = shm;
    shm->users++;
    wr_list_push(&set->segments, &r->link);
}

static void release(struct wr_shm *shm)
{
    if (--shm->users > 0)
        return;
    wr_list_remove(&shm->link);
    (void)munmap(shm->p, shm->size);
    (void)close(shm->fd);
    free(shm->name);
    free(shm);
}

/* Maps `like->fd`; NULL with errno, and the descriptor stays the caller's then. */
static struct wr_shm *map(struct wr_str name, const struct wr_shm *like)
{
    void *p = mmap(NULL, like->size, PROT_READ | PROT_WRITE, MAP_SHARED, like->fd, 0);
    struct wr_shm *shm;

    if (p == MAP_FAILED)
        return NULL;
    shm = wr_calloc(1, sizeof(*shm));
    *shm = *like;
    shm->p = p;
    shm->name = wr_calloc(1, name.n + 1);
    if (name.n > 0)
        memcpy(shm->name, name.p, name.n);
    wr_list_push(&all, &shm->link);
    return shm;
}

/* A memfd, because a file in a folder would need a name, rights and somebody to remove it. */
static struct wr_shm *create(const char *name, const struct wr_shm *wanted)
{
    struct wr_shm like = *wanted, *shm = NULL;

    if (wanted->size > INT64_MAX) {
        errno = EFBIG;
        return NULL;
    }
    like.fd = memfd_create(name, MFD_CLOEXEC);
    if (like.fd < 0)
        return NULL;
    if (ftruncate(like.fd, (off_t)like.size) == 0)
        shm = map(wr_str_c(name), &like);
    if (shm == NULL) {
        int err = errno;

        (void)close(like.fd);
        errno = err;
    }
    return shm;
}

struct wr_shm_set *wr_shm_set_new(void)
{
    struct wr_shm_set *s = wr_calloc(1, sizeof(*s));

    wr_list_init(&s->segments);
    return s;
}

void wr_shm_set_free(struct wr_shm_set *s)
{
    if (s == NULL)
        return;
    while (!wr_list_empty(&s->segments)) {
        struct ref *r = wr_container(s->segments.next, struct ref, link);

        wr_list_remove(&r->link);
        release(r->shm);
        free(r);
    }
    free(s);
}

struct wr_shm *wr_shm_get(struct wr_shm_set *set, struct wr_shm_set *old, const char *name,
                          uint32_t layout, uint64_t shape, size_t size, struct wr_shm **previous)
{
    struct wr_shm wanted = { .layout = layout, .shape = shape, .size = size, .fresh = true };
    struct wr_shm *here = find(set, wr_str_c(name)), *there = NULL, *shm;

    if (previous != NULL)
        *previous = NULL;
    if (here != NULL && fits(here, &wanted))
        return here;
    /* A ';' would end the name in the text of an upgrade. */
    if (here != NULL || size == 0 || strchr(name, ';') != NULL) {
        errno = here != NULL ? EEXIST : EINVAL;
        return NULL;
    }
    if (old != NULL)
        there = find(old, wr_str_c(name));
    if (there != NULL && fits(there, &wanted)) {
        there->fresh = false;
        hold(set, there);
        return there;
    }
    shm = create(name, &wanted);
    if (shm == NULL)
        return NULL;
    if (previous != NULL)
        *previous = there;
    hold(set, shm);
    return shm;
}

/* ---- over a binary upgrade ---- */

void wr_shm_export(const struct wr_shm_set *s, struct wr_text *out)
{
    for (struct wr_link *l = s->segments.next; l != &s->segments; l = l->next) {
        const struct wr_shm *shm = wr_container(l, struct ref, link)->shm;

        wr_text_fmt(out, "%d:%u:%llu:%zu:%s;", shm->fd, (unsigned)shm->layout,
                    (unsigned long long)shm->shape, shm->size, shm->name);
    }
}

static bool number(struct wr_str *s, uint64_t max, uint64_t *out)
{
    return wr_str_u64(wr_str_cut(s, ':'), out) && *out <= max;
}

/* The text comes from our own earlier binary, but through the environment: nothing is believed that
 * the kernel does not confirm. */
static void import_one(struct wr_shm_set *set, struct wr_str s)
{
    struct wr_shm like = { .fresh = false };
    uint64_t fd, layout, size;
    struct wr_shm *shm;
    struct stat st;

    if (!number(&s, INT32_MAX, &fd) || !number(&s, UINT32_MAX, &layout) ||
        !number(&s, UINT64_MAX, &like.shape) || !number(&s, INT64_MAX, &size))
        return;
    like.fd = (int)fd;
    like.layout = (uint32_t)layout;
    like.size = (size_t)size;
    if (size == 0 || fstat(like.fd, &st) != 0 || (uint64_t)st.st_size < size ||
        fcntl(like.fd, F_SETFD, FD_CLOEXEC) != 0 || find(set, s) != NULL)
        return;
    shm = map(s, &like);
    if (shm == NULL)
        wr_say(WR_LOG_WARN, errno, "shared memory \"" WR_FMT "\" of the old binary is not used",
               WR_ARG(s));
    else
        hold(set, shm);
}

struct wr_shm_set *wr_shm_import(struct wr_str text)
{
    struct wr_shm_set *set = wr_shm_set_new();

    while (text.n > 0)
        import_one(set, wr_str_cut(&text, ';'));
    return set;
}

void wr_shm_inherit(const struct wr_shm_set *s, bool on)
{
    for (struct wr_link *l = s->segments.next; l != &s->segments; l = l->next) {
        const struct wr_shm *shm = wr_container(l, struct ref, link)->shm;

        if (fcntl(shm->fd, F_SETFD, on ? 0 : FD_CLOEXEC) != 0)
            wr_say(WR_LOG_ALERT, errno, "fcntl() of shared memory \"%s\" failed", shm->name);
    }
}

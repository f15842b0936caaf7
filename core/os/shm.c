/* shm: memory shared by the processes of an instance, kept over reloads and upgrades. The master
 * makes a set for each configuration before it forks. It owns the process's list of segments; sets
 * hold them, and the last holder unmaps.
 *
 * Every process of the instance may write to a segment. So its size and name are kept in private
 * memory, and the memfd is sealed: if a process could truncate it, the next access behind the end
 * would kill the reader. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

struct ref {
    struct wr_link link;
    struct wr_shm *shm;
};

static struct wr_link all_segments = { &all_segments, &all_segments };

static struct wr_shm *find_segment(const struct wr_shm_set *set, struct wr_str name)
{
    for (struct wr_link *l = set->segments.next; l != &set->segments; l = l->next) {
        struct wr_shm *shm = wr_container(l, struct ref, link)->shm;

        if (wr_str_is(name, shm->name))
            return shm;
    }
    return NULL;
}

static bool has_same_form(const struct wr_shm *a, const struct wr_shm *b)
{
    return a->layout == b->layout && a->shape == b->shape && a->size == b->size;
}

void wr_shm_hold(struct wr_shm *shm)
{
    shm->users++;
}

static void add_to_set(struct wr_shm_set *set, struct wr_shm *shm)
{
    struct ref *r = wr_calloc(1, sizeof(*r));

    r->shm = shm;
    wr_shm_hold(shm);
    wr_list_push(&set->segments, &r->link);
}

void wr_shm_release(struct wr_shm *shm)
{
    if (--shm->users > 0)
        return;
    wr_list_remove(&shm->link);
    (void)munmap(shm->p, shm->size);
    (void)close(shm->fd);
    free(shm->name);
    free(shm);
}

/* Maps like->fd. NULL with errno; the descriptor then stays the caller's. */
static struct wr_shm *map_segment(struct wr_str name, const struct wr_shm *like)
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
    wr_list_push(&all_segments, &shm->link);
    return shm;
}

static int close_failed(int fd)
{
    int err = errno;

    (void)close(fd);
    errno = err;
    return -1;
}

/* A memfd, because a file in a folder would need a name, rights and a process that removes it. Its
 * name is shown in /proc only and must be short. */
static int create_file(struct wr_str name, size_t size)
{
    char text[32];
    int fd;

    (void)snprintf(text, sizeof(text), "weir-%016llx",
                   (unsigned long long)wr_hash_stable(name, 0));
    fd = memfd_create(text, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || (ftruncate(fd, (off_t)size) == 0 &&
                   fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) == 0))
        return fd;
    return close_failed(fd);
}

static struct wr_shm *create_segment(struct wr_str name, const struct wr_shm *wanted)
{
    struct wr_shm like = *wanted, *shm;

    if (wanted->size > INT64_MAX) {
        errno = EFBIG;
        return NULL;
    }
    like.fd = create_file(name, wanted->size);
    if (like.fd < 0)
        return NULL;
    shm = map_segment(name, &like);
    if (shm == NULL)
        (void)close_failed(like.fd);
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
        wr_shm_release(r->shm);
        free(r);
    }
    free(s);
}

struct wr_shm *wr_shm_get(struct wr_shm_set *set, struct wr_shm_set *old, const char *name,
                          uint32_t layout, uint64_t shape, size_t size, struct wr_shm **previous)
{
    struct wr_shm wanted = { .layout = layout, .shape = shape, .size = size, .fresh = true };
    struct wr_shm *here = find_segment(set, wr_str_c(name)), *there = NULL, *shm;

    if (previous != NULL)
        *previous = NULL;
    if (here != NULL && has_same_form(here, &wanted))
        return here;
    if (here != NULL || size == 0) {
        errno = here != NULL ? EEXIST : EINVAL;
        return NULL;
    }
    if (old != NULL)
        there = find_segment(old, wr_str_c(name));
    if (there != NULL && has_same_form(there, &wanted)) {
        there->fresh = false;
        add_to_set(set, there);
        return there;
    }
    shm = create_segment(wr_str_c(name), &wanted);
    if (shm == NULL)
        return NULL;
    if (previous != NULL && there != NULL && there->layout == layout)
        *previous = there;
    add_to_set(set, shm);
    return shm;
}

/* ---- over a binary upgrade ---- */

/* In the exported text ';' ends a name and a line feed ends the set. */
static bool is_plain(char c)
{
    return (unsigned char)c > ' ' && c != ';' && c != '%';
}

static void export_name(const char *name, struct wr_text *out)
{
    for (; *name != '\0'; name++) {
        if (is_plain(*name))
            wr_text_char(out, *name);
        else
            wr_text_fmt(out, "%%%02x", (unsigned)(unsigned char)*name);
    }
}

/* Decodes to `out`, which has room for s.n bytes. */
static struct wr_str import_name(struct wr_str s, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? wr_hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? wr_hex_digit(s.p[i + 2]) : -1;

        out[n++] = low >= 0 ? (char)(high * 16 + low) : s.p[i];
        i += low >= 0 ? 2 : 0;
    }
    return wr_str_of(out, n);
}

void wr_shm_export(const struct wr_shm_set *s, struct wr_text *out)
{
    for (struct wr_link *l = s->segments.next; l != &s->segments; l = l->next) {
        const struct wr_shm *shm = wr_container(l, struct ref, link)->shm;

        wr_text_fmt(out, "%d:%u:%llu:%zu:", shm->fd, (unsigned)shm->layout,
                    (unsigned long long)shm->shape, shm->size);
        export_name(shm->name, out);
        wr_text_char(out, ';');
    }
}

static bool take_number(struct wr_str *s, uint64_t max, uint64_t *out)
{
    return wr_str_u64(wr_str_cut(s, ':'), out) && *out <= max;
}

/* Copies with pread(): if the file is truncated meanwhile, that fails, while reading mapped memory
 * would kill the process. */
static bool copy_bytes(int fd, char *to, size_t size)
{
    size_t at = 0;

    while (at < size) {
        off_t data = lseek(fd, (off_t)at, SEEK_DATA);
        ssize_t n;

        if (data < 0 || (size_t)data >= size) /* the rest is a hole, which the copy has anyway */
            return errno == ENXIO || data >= 0;
        at = (size_t)data;
        n = pread(fd, to + at, wr_min(size - at, (size_t)65536), (off_t)at);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* An old binary that does not seal may still have workers that truncate the segment: use a copy. */
static struct wr_shm *copy_unsealed(struct wr_str name, const struct wr_shm *like)
{
    struct wr_shm *shm = create_segment(name, like);

    if (shm != NULL && !copy_bytes(like->fd, shm->p, like->size)) {
        shm->users = 1;
        wr_shm_release(shm);
        shm = NULL;
    }
    if (shm != NULL)
        (void)close(like->fd);
    return shm;
}

static struct wr_shm *take_over(struct wr_str name, const struct wr_shm *like)
{
    int seals = fcntl(like->fd, F_GET_SEALS);
    struct stat st;

    if (seals < 0 || (seals & SEALS) != SEALS)
        return copy_unsealed(name, like);
    if (fstat(like->fd, &st) != 0 || (uint64_t)st.st_size < like->size) {
        errno = EINVAL;
        return NULL;
    }
    return map_segment(name, like);
}

/* The text comes from our own earlier binary, but through the environment: use only what the kernel
 * confirms. */
static void import_one(struct wr_shm_set *set, struct wr_str s)
{
    struct wr_shm like = { .fresh = false };
    uint64_t fd, layout, size;
    struct wr_shm *shm;
    struct wr_str name;
    struct stat st;
    char *buf;

    if (!take_number(&s, INT32_MAX, &fd) || !take_number(&s, UINT32_MAX, &layout) ||
        !take_number(&s, UINT64_MAX, &like.shape) || !take_number(&s, INT64_MAX, &size))
        return;
    like.fd = (int)fd;
    like.layout = (uint32_t)layout;
    like.size = (size_t)size;
    if (size == 0 || fstat(like.fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size < size || fcntl(like.fd, F_SETFD, FD_CLOEXEC) != 0)
        return;
    buf = wr_malloc(s.n + 1);
    name = import_name(s, buf);
    shm = find_segment(set, name) == NULL ? take_over(name, &like) : NULL;
    if (shm != NULL)
        add_to_set(set, shm);
    else
        wr_say(WR_LOG_WARN, errno, "shared memory \"" WR_FMT "\" of the old binary is not used",
               WR_ARG(name));
    free(buf);
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

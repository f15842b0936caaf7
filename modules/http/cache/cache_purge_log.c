/* cache_purge_log: purges by tag and prefix in files of the zone's folder, as the files they
 * concern outlive the shared memory. A purge is appended by a thread when it is made; whoever
 * begins with an empty index reads them all. The keeper writes what is still remembered to one
 * file once the others have grown.
 *
 * All that is read may be anything: see wr_purge_restore. */
#include "cache_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROWN (256 * 1024)     /* bytes of the files before they are written anew */
#define MOST (64 << 20)        /* bytes that are read of one */

/* Purges go to the first; the second is the first one of before, the third has all older ones. */
static const char *const names[] = { ".weir-purges", ".weir-purges.old", ".weir-purges.all" };
enum { NEW, OLD, ALL };

struct writing {
    struct wr_job job;
    struct wr_cache_folder *folder;
    char *bytes;
    size_t n;
    bool anew;                 /* replaces all files */
    struct wr_cache_failure why;
};

static int open_file(int folder, const char *name, int flags)
{
    return openat(folder, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
}

/* Records lie one behind the other: what a full disk, or a process that was killed, has left of one
 * would make all behind it unreadable. */
static bool append_record(int fd, struct wr_str record)
{
    struct stat st;
    off_t torn;

    if (flock(fd, LOCK_EX) != 0 || fstat(fd, &st) != 0)
        return false;
    torn = st.st_size % (off_t)record.n;
    return (torn == 0 || ftruncate(fd, st.st_size - torn) == 0) && wr_file_write_all(fd, record);
}

static bool append_file(int folder, const struct writing *w)
{
    int fd = open_file(folder, names[NEW], O_APPEND);
    bool ok = fd >= 0 && append_record(fd, wr_str_of(w->bytes, w->n));

    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    return ok;
}

static bool write_anew(int folder, const struct writing *w)
{
    int fd = open_file(folder, ".weir-purges.tmp", O_TRUNC);
    bool ok = fd >= 0 && wr_file_write_all(fd, wr_str_of(w->bytes, w->n));

    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    return ok && renameat(folder, ".weir-purges.tmp", folder, names[ALL]) == 0
        && unlinkat(folder, names[OLD], 0) == 0;
}

static void write_run(struct wr_job *j)
{
    struct writing *w = wr_container(j, struct writing, job);
    int fd = wr_cache_folder_open(w->folder, &w->why);

    if (fd < 0)
        return;
    if (!(w->anew ? write_anew(fd, w) : append_file(fd, w)))
        w->why = (struct wr_cache_failure){ "write()", errno };
}

static void write_done(struct wr_job *j)
{
    struct writing *w = wr_container(j, struct writing, job);

    if (w->why.call != NULL)
        wr_cache_folder_failed(w->folder, &w->why);
    free(w->bytes);
    free(w);
}

static void start_writing(struct wr_cache_zone *z, struct wr_threads *t, char *bytes, size_t n,
                          bool anew)
{
    struct writing *w = wr_calloc(1, sizeof(*w));

    w->job.run = write_run;
    w->job.done = write_done;
    w->folder = &z->folder;
    w->bytes = bytes;
    w->n = n;
    w->anew = anew;
    if (t != NULL && wr_job_start(t, &w->job))
        return;
    free(bytes);
    free(w);
}

void wr_cache_purge_log(struct wr_cache_zone *z, const struct wr_purge_record *r)
{
    char *bytes = wr_malloc(sizeof(*r));

    memcpy(bytes, r, sizeof(*r));
    start_writing(z, wr_cache_threads, bytes, sizeof(*r), false);
}

/* ---- reading ---- */

static uint64_t read_purges(struct wr_cache_zone *z, int folder, const char *name)
{
    int fd = wr_cache_open_below(folder, name, O_RDONLY, false);
    FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
    struct wr_purge_record r;
    uint64_t n = 0;

    if (f == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    for (; n < MOST && fread(&r, sizeof(r), 1, f) == 1; n += sizeof(r))
        (void)!wr_purge_restore(&z->store.purges, &r);
    (void)fclose(f);
    return n;
}

uint64_t wr_cache_purges_read(struct wr_cache_zone *z)
{
    struct wr_cache_failure why;
    int fd = wr_cache_folder_open(&z->folder, &why);
    uint64_t n = 0;

    for (size_t i = 0; fd >= 0 && i < WR_COUNT(names); i++)
        n += read_purges(z, fd, names[i]);
    return n;
}

/* ---- writing anew ---- */

/* Purges that are made from here on go to a new file; those of before are in memory by now. */
void wr_cache_purges_settle(struct wr_cache_zone *z, struct wr_threads *t, uint64_t bytes)
{
    struct wr_text all = { 0 };
    struct wr_purge_record r;
    uint32_t cursor = 0;
    int fd = atomic_load(&z->folder.fd);

    if (bytes < GROWN || fd < 0)
        return;
    /* An old file that is there still could not be written anew: it goes now. */
    if (renameat2(fd, names[NEW], fd, names[OLD], RENAME_NOREPLACE) != 0 && errno != EEXIST)
        return;
    all.cap = (WR_PURGE_TAGS + WR_PURGE_PREFIXES + 2) * sizeof(r);
    all.p = wr_malloc(all.cap);
    while (wr_purge_next(&z->store.purges, &cursor, &r))
        wr_text_str(&all, wr_str_of((const char *)&r, sizeof(r)));
    start_writing(z, t, all.p, all.n, true);
}

/* cache_walk: walks the folders of a cache and gives the files whose name and place are those of an
 * object. The loader calls it in a thread. Links are not followed; folders that no levels of the
 * marker explain are not entered. */
#include "cache_load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMES 64             /* levels that a marker names */

struct wr_cache_walk {
    uint8_t levels[SCHEMES][3];
    uint32_t nlevels;
    DIR *dir[4];               /* the folder and those that were entered */
    char folder[3][3];         /* their names */
    uint32_t depth;
    uint64_t foreign;
    struct wr_cache_failure why;
};

static DIR *open_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (d == NULL && fd >= 0)
        (void)close(fd);
    return d;
}

struct wr_cache_walk *wr_cache_walk_new(struct wr_cache_folder *f, struct wr_cache_failure *why)
{
    int fd = wr_cache_folder_open(f, why);
    struct wr_cache_walk *w;

    if (fd < 0)
        return NULL;
    w = wr_calloc(1, sizeof(*w));
    w->nlevels = wr_cache_folder_levels(f, w->levels, SCHEMES);
    w->dir[0] = open_folder(fd, ".");
    if (w->dir[0] != NULL)
        return w;
    *why = (struct wr_cache_failure){ "opendir()", errno };
    free(w);
    return NULL;
}

static bool is_digits(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (wr_hex_digit(name[i]) < 0 || (name[i] >= 'A' && name[i] <= 'F'))
            return false;
    return true;
}

/* May files lie in a folder of that name at this depth? */
static bool is_level(const struct wr_cache_walk *w, const char *name, size_t n)
{
    if (w->depth == 3 || n > 2 || !is_digits(name, n))
        return false;
    for (uint32_t i = 0; i < w->nlevels; i++)
        if (w->levels[i][w->depth] == n)
            return true;
    return false;
}

/* name: of n bytes, which is_level has seen */
static void enter_folder(struct wr_cache_walk *w, const char *name, size_t n)
{
    DIR *d = open_folder(dirfd(w->dir[w->depth]), name);

    if (d == NULL && errno != ENOTDIR && errno != ELOOP && errno != ENOENT)
        w->why = (struct wr_cache_failure){ "opendir()", errno };
    if (d == NULL)
        return;
    memcpy(w->folder[w->depth], name, n + 1);
    w->dir[++w->depth] = d;
}

static void leave_folder(struct wr_cache_walk *w)
{
    (void)closedir(w->dir[w->depth]);
    w->dir[w->depth] = NULL;
    w->depth--;
}

/* True: by some levels the file of that name lies where it was found. */
static bool is_in_place(const struct wr_cache_walk *w, const char *file,
                        struct wr_cache_place *out)
{
    char here[WR_CACHE_PATH_MAX], path[WR_CACHE_PATH_MAX];
    struct wr_text t = wr_text_on(here, sizeof(here) - 1);

    for (uint32_t i = 0; i < w->depth; i++) {
        wr_text_c(&t, w->folder[i]);
        wr_text_char(&t, '/');
    }
    wr_text_c(&t, file);
    here[t.n] = '\0';
    for (uint32_t i = 0; i < w->nlevels; i++) {
        wr_cache_path(&out->name, w->levels[i], path);
        if (strcmp(path, here) == 0) {
            memcpy(out->levels, w->levels[i], 3);
            return true;
        }
    }
    return false;
}

static bool is_own_name(const struct wr_cache_walk *w, const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0
        || (w->depth == 0 && (strcmp(name, WR_CACHE_TEMP) == 0
                              || strcmp(name, "lost+found") == 0
                              || strncmp(name, WR_CACHE_MARKER, sizeof(WR_CACHE_MARKER) - 1) == 0));
}

/* True: it is a file to give out. */
static bool look_at(struct wr_cache_walk *w, const struct dirent *e, struct wr_cache_place *out)
{
    const size_t n = strlen(e->d_name);

    if (is_own_name(w, e->d_name))
        return false;
    if (is_level(w, e->d_name, n) && (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN)) {
        enter_folder(w, e->d_name, n);
        return false;
    }
    if ((e->d_type == DT_REG || e->d_type == DT_UNKNOWN)
        && wr_cache_name_parse(wr_str_of(e->d_name, n), &out->name)
        && is_in_place(w, e->d_name, out))
        return true;
    w->foreign++;
    return false;
}

bool wr_cache_walk_next(struct wr_cache_walk *w, struct wr_cache_place *out)
{
    const struct dirent *e;

    for (;;) {
        errno = 0;
        e = readdir(w->dir[w->depth]);
        if (e != NULL) {
            if (look_at(w, e, out))
                return true;
            continue;
        }
        if (errno != 0)
            w->why = (struct wr_cache_failure){ "readdir()", errno };
        if (w->depth == 0)
            return false;
        leave_folder(w);
    }
}

uint64_t wr_cache_walk_foreign(const struct wr_cache_walk *w)
{
    return w->foreign;
}

struct wr_cache_failure wr_cache_walk_failure(const struct wr_cache_walk *w)
{
    return w->why;
}

void wr_cache_walk_free(struct wr_cache_walk *w)
{
    if (w == NULL)
        return;
    while (w->depth > 0)
        leave_folder(w);
    (void)closedir(w->dir[0]);
    free(w);
}

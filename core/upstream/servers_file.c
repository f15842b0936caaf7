/* servers_file: the directives servers_file and state, which name files of servers, and how such a
 * file is read: at start by the master, later by a thread of the keeper (servers_watch). */
#include "upstream/upstream_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading: touches nothing but *s, as threads do it ---- */

static struct wr_file_id id_of(const struct stat *st)
{
    return (struct wr_file_id){
        .device = st->st_dev, .inode = st->st_ino, .size = (uint64_t)st->st_size,
        .changed = (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec,
        .touched = (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec,
    };
}

static bool is_same_file(const struct wr_file_id *a, const struct wr_file_id *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size
        && a->changed == b->changed && a->touched == b->touched;
}

static void read_failed(struct wr_list_source *s, const char *why, int err)
{
    s->failed = why;
    s->err = err;
    s->id = (struct wr_file_id){ .size = 0 };
}

/* Reads all of it into s->list.text; false: failed. */
static bool read_text(struct wr_list_source *s, int fd, struct wr_str *text)
{
    char *p = wr_malloc(WR_LIST_SIZE_MAX + 1);
    size_t n = 0;
    ssize_t got;

    do {
        got = read(fd, p + n, WR_LIST_SIZE_MAX + 1 - n);
        n += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && n <= WR_LIST_SIZE_MAX) || (got < 0 && errno == EINTR));
    if (got < 0)
        read_failed(s, "read()", errno);
    else if (n > WR_LIST_SIZE_MAX)
        read_failed(s, "is larger than 4m", 0);
    if (s->failed != NULL) {
        free(p);
        return false;
    }
    *text = wr_str_of(wr_realloc(p, n + 1), n);
    return true;
}

static void read_open(struct wr_list_source *s, int fd, const struct stat *st)
{
    struct wr_file_id id = id_of(st), after;
    struct wr_str text;
    struct stat now;

    s->same = is_same_file(&id, &s->id);
    if (s->same || !read_text(s, fd, &text))
        return;
    after = fstat(fd, &now) == 0 ? id_of(&now) : id;
    s->unsettled = !is_same_file(&id, &after);
    s->id = s->unsettled ? (struct wr_file_id){ .size = 0 } : id;
    (void)wr_server_list_parse(text, &s->rules, &s->list);
    s->list.text = (char *)(uintptr_t)text.p;
    s->list.size = text.n;
}

void wr_list_read(struct wr_list_source *s)
{
    int fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    struct stat st;

    s->failed = NULL;
    s->err = 0;
    s->same = s->unsettled = false;
    s->list = (struct wr_server_list){ .n = 0 };
    if (fd < 0)
        read_failed(s, "open()", errno);
    else if (fstat(fd, &st) < 0)
        read_failed(s, "fstat()", errno);
    else if (!S_ISREG(st.st_mode)) /* a FIFO would be waited for */
        read_failed(s, "is not a regular file", 0);
    else
        read_open(s, fd, &st);
    if (fd >= 0)
        (void)close(fd);
}

/* ---- at start ---- */

/* The fault at its place in the file of servers, as if that were a part of the configuration. */
static bool report_fault(struct wr_cf *cf, const struct wr_list_source *s)
{
    struct wr_file *f = WR_NEW(cf->conf->tree->pool, struct wr_file);

    f->path = s->path;
    f->text = wr_pool_str(cf->conf->tree->pool, wr_str_of(s->list.text, s->list.size));
    f->number = cf->node->file->number;
    wr_diag_put(cf->conf->tree, WR_LOG_EMERG,
                (struct wr_place){ f, s->list.fault.line, s->list.fault.column,
                                   s->list.fault.width },
                NULL, "%s", s->list.fault.why);
    return false;
}

static bool report_unread(struct wr_cf *cf, const struct wr_list_source *s)
{
    if (s->err == 0)
        return wr_cf_error(cf, 1, "\"%s\" %s", s->path, s->failed);
    return wr_cf_error(cf, 1, "%s \"%s\" failed (%d: %s)", s->failed, s->path, s->err,
                       strerror(s->err));
}

static void free_list(void *list)
{
    wr_server_list_free(list);
    free(list);
}

/* Reads the file that word 1 names. NULL: reported. The list is freed with the configuration. */
static struct wr_server_list *read_at_start(struct wr_cf *cf, struct wr_list_source *s,
                                            bool may_be_missing)
{
    struct wr_server_list *l;

    s->path = wr_cf_path(cf, wr_cf_arg(cf, 1), true);
    wr_list_read(s);
    if (s->failed != NULL && !(may_be_missing && s->err == ENOENT)) {
        report_unread(cf, s);
        return NULL;
    }
    if (s->list.fault.line > 0) {
        report_fault(cf, s);
        wr_server_list_free(&s->list);
        return NULL;
    }
    l = wr_calloc(1, sizeof(*l));
    *l = s->list;
    return l;
}

struct wr_list_rules wr_list_rules_of(const struct wr_upstream *u, bool directives)
{
    return (struct wr_list_rules){
        .default_port = u->layer == WR_L7 ? 80 : 0,
        .refused = (u->layer == WR_L4 ? WR_PARAMS_OF_ROUTES : 0)
                 | (u->balancer->no_backup ? WR_PARAMS_OF_BACKUPS : 0)
                 | (directives ? 0 : WR_PARAMS_OF_NAMES),
        .directives = directives,
    };
}

/* The list changes while the keeper runs: frees the last one. */
static void free_listed(void *upstream)
{
    struct wr_upstream *u = WR_CHECK(upstream, UPSTREAM);

    free_list(u->listed);
    u->listed = NULL;
}

/* Applied late: the file is read by the same rules later, when the balancer is known. */
bool wr_set_servers_file(struct wr_cf *cf, void *conf WR_UNUSED)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    struct wr_list_source s = { .rules = wr_list_rules_of(u, false) };

    if (cf->nargs == 2 && !wr_str_is(wr_cf_arg(cf, 2), "allow_empty"))
        return wr_cf_error_hint(cf, 2, "it takes FILE or FILE allow_empty",
                                "invalid parameter \"" WR_FMT "\"", WR_ARG(wr_cf_arg(cf, 2)));
    if (u->has_state)
        return wr_cf_error(cf, 0, "\"servers_file\" is incompatible with \"state\"");
    u->listed = read_at_start(cf, &s, false);
    if (u->listed == NULL)
        return false;
    wr_pool_cleanup(cf->pool, free_listed, u);
    u->list_path = s.path;
    u->list_may_empty = cf->nargs == 2;
    if (u->listed->n == 0 && !u->list_may_empty)
        wr_cf_warn(cf, 1, "there are no servers in \"%s\"", s.path);
    return true;
}

bool wr_set_state(struct wr_cf *cf, void *conf WR_UNUSED)
{
    struct wr_upstream *u = WR_CHECK(cf->scope->object, UPSTREAM);
    struct wr_list_source s = { .rules = wr_list_rules_of(u, true) };
    struct wr_server_list *l;

    if (u->servers.n > 0)
        return wr_cf_error(cf, 0, "\"state\" is incompatible with \"server\"");
    u->has_state = true;
    l = read_at_start(cf, &s, true);
    if (l == NULL)
        return false;
    wr_pool_cleanup(cf->pool, free_list, l);
    wr_server_list_keys(l, u->name, NULL, 0);
    for (uint32_t i = 0; i < l->n; i++) {
        l->at[i].node = cf->node;
        *wr_vec_push(cf->pool, &u->servers) = l->at[i];
    }
    return true;
}

/* After loading, when all `server` lines are known. */
void wr_servers_file_finish(struct wr_upstream *u)
{
    if (u->listed != NULL)
        wr_server_list_keys(u->listed, u->name, u->servers.at, u->servers.n);
}

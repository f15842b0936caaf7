/* servers_watch: the keeper's watch over the files of servers_file. inotify on the folder of each
 * file tells of changes (a file written, renamed over it, a link changed beside it), and every 2 s
 * a look finds those that it does not tell of. A thread looks and reads, so that a file system that
 * does not answer delays only its own files. What was read is published without a reload. */
#include "upstream/upstream_impl.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    POLL_MS = 2000,
    SETTLE_MS = 100, SETTLE_MAX_MS = 1000, /* after the last change; after the first one */
    CONFIRM_MS = 2000,           /* a list that lost half of its servers must stay so long */
    THREADS_MAX = 16, EVENT_READS_MAX = 64,
    CHANGES = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM
              | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF
};

struct look {                    /* outlives its watch, if the file system does not answer */
    struct wr_job job;
    struct list_watch *owner;    /* the loop's */
    struct wr_list_source source;
    int notify, wd;              /* wd: of the folder, or -1 */
    char *folder;
};

struct list_watch {
    struct wr_task task;
    struct wr_timer timer;
    struct wr_upstream *u;
    struct look *look;
    struct list_watch *next;
    struct wr_str name;          /* of the file in its folder */
    int wd;
    uint64_t look_at;            /* at the latest */
    uint64_t changed_at, settled_at; /* the first change since the last look; 0: none */
    struct wr_server_list waiting; /* read, to be confirmed until confirm_at */
    uint64_t confirm_at;         /* 0: nothing waits */
    int said;                    /* the error that was logged last; 0: none */
    bool looked, answered;
};

static struct {
    struct wr_loop *loop;
    struct wr_threads *threads;
    struct list_watch *all;
    struct wr_watch notify;
    struct wr_task events;
    int fd;
} me = { .fd = -1 };

/* ---- a look, in a thread ---- */

static void look_run(struct wr_job *j)
{
    struct look *k = wr_container(j, struct look, job);

    if (k->notify >= 0)
        k->wd = inotify_add_watch(k->notify, k->folder, CHANGES | IN_ONLYDIR);
    wr_list_read(&k->source);
}

static void free_look(struct wr_job *j)
{
    struct look *k = wr_container(j, struct look, job);

    wr_server_list_free(&k->source.list);
    free((char *)(uintptr_t)k->source.path);
    free(k->folder);
    free(k);
}

static void look_done(struct wr_job *j)
{
    struct look *k = wr_container(j, struct look, job);

    k->owner->answered = true;
    wr_task_wake(me.loop, &k->owner->task);
}

static struct look *look_new(struct list_watch *w)
{
    struct look *k = wr_calloc(1, sizeof(*k));
    struct wr_str path = wr_str_c(w->u->list_path);
    size_t slash = path.n;
    char *copy = wr_calloc(path.n + 1, 1);

    memcpy(copy, path.p, path.n);
    while (slash > 0 && path.p[slash - 1] != '/')
        slash--;
    w->name = wr_str_skip(path, slash);
    k->folder = wr_calloc(slash + 2, 1);
    memcpy(k->folder, slash > 0 ? path.p : "./", slash > 0 ? slash : 2);
    k->job.run = look_run;
    k->job.done = look_done;
    k->owner = w;
    k->source.path = copy;
    k->source.rules = wr_list_rules_of(w->u, false);
    k->notify = me.fd;
    k->wd = -1;
    return k;
}

/* ---- what was read ---- */

/* A number of the key and the parameters. */
static uint64_t key_and_params(const struct wr_server *s)
{
    uint64_t values[] = {
        s->key, s->weight, s->max_fails, s->max_conns, s->fail_timeout_ms, s->slow_start_ms,
        s->on_down, s->backup, s->down, s->drain,
    };

    return wr_hash_stable(wr_str_of((const char *)values, sizeof(values)),
                          wr_hash_stable(s->route, 0));
}

/* The number of servers of a that are not in b. */
static uint32_t count_missing(const struct wr_server_list *a, const struct wr_server_list *b,
                              wr_server_id *id)
{
    uint64_t *ids = wr_server_ids(b->at, b->n, id);
    uint32_t n = 0;

    for (uint32_t i = 0; i < a->n; i++)
        n += !wr_server_ids_have(ids, b->n, id(&a->at[i]));
    free(ids);
    return n;
}

static bool is_halved(const struct wr_server_list *old, const struct wr_server_list *new)
{
    return old->n > 0 && 2 * new->n <= old->n;
}

/* Takes over the list. A keeper that owns the zone no longer only keeps it, and is silent. */
static void apply_list(struct list_watch *w, struct wr_server_list *l)
{
    struct wr_upstream *u = w->u;
    uint32_t before = u->listed->n, added, gone, others;
    bool halved = is_halved(u->listed, l), changed;

    wr_server_list_keys(l, u->name, u->servers.at, u->servers.n);
    added = count_missing(l, u->listed, wr_server_key_of);
    gone = count_missing(u->listed, l, wr_server_key_of);
    others = count_missing(l, u->listed, key_and_params) - added;
    wr_server_list_free(u->listed);
    *u->listed = *l;
    *l = (struct wr_server_list){ .n = 0 };
    changed = wr_peer_zone_relist(u);
    if (!wr_upstream_is_owned(u) || !(changed || added > 0 || gone > 0 || w->looked))
        return;
    wr_say(halved ? WR_LOG_WARN : WR_LOG_NOTICE, 0, "upstream \"" WR_FMT "\": \"%s\" has %u "
           "servers, before %u (%u new, %u gone, %u changed)", WR_ARG(u->name), u->list_path,
           u->listed->n, before, added, gone, others);
}

static void drop_waiting(struct list_watch *w)
{
    wr_server_list_free(&w->waiting);
    w->confirm_at = 0;
}

/* Once for each error. */
static void say_failure(struct list_watch *w)
{
    const struct wr_list_source *s = &w->look->source;
    int code = s->err != 0 ? s->err : -1;

    drop_waiting(w);
    if (w->said == code || !wr_upstream_is_owned(w->u))
        return;
    w->said = code;
    if (s->err != 0)
        wr_say(WR_LOG_ERROR, s->err, "%s \"%s\" failed, the %u servers of upstream \"" WR_FMT
               "\" stay as they are", s->failed, s->path, w->u->listed->n, WR_ARG(w->u->name));
    else
        wr_say(WR_LOG_ERROR, 0, "\"%s\" %s, the %u servers of upstream \"" WR_FMT "\" stay as they "
               "are", s->path, s->failed, w->u->listed->n, WR_ARG(w->u->name));
}

static void say_fault(const struct list_watch *w)
{
    const struct wr_list_source *s = &w->look->source;

    if (wr_upstream_is_owned(w->u))
        wr_say(WR_LOG_ERROR, 0, "%s in %s:%u, the %u servers of upstream \"" WR_FMT "\" stay as "
               "they are", s->list.fault.why, s->path, s->list.fault.line, w->u->listed->n,
               WR_ARG(w->u->name));
}

static void take_list(struct list_watch *w)
{
    struct wr_server_list *l = &w->look->source.list;

    drop_waiting(w);
    if (l->fault.line > 0) {
        say_fault(w);
    } else if (is_halved(w->u->listed, l) && !w->u->list_may_empty) {
        w->waiting = *l;
        *l = (struct wr_server_list){ .n = 0 };
        w->confirm_at = wr_now() + CONFIRM_MS;
    } else {
        apply_list(w, l);
    }
    w->looked = true;
}

static void take_answer(struct list_watch *w)
{
    struct wr_list_source *s = &w->look->source;

    w->answered = false;
    w->wd = w->look->wd;
    w->look_at = wr_now() + POLL_MS;
    if (s->failed != NULL) {
        say_failure(w);
    } else if (s->unsettled) {
        w->look_at = wr_now() + SETTLE_MS;
    } else if (!s->same) {
        w->said = 0;
        take_list(w);
    } else if (w->confirm_at != 0 && wr_now() >= w->confirm_at) {
        w->confirm_at = 0;
        apply_list(w, &w->waiting);
    } else if (w->u->full > 0) {
        (void)wr_peer_zone_relist(w->u); /* sessions may have left slots meanwhile */
    }
    wr_server_list_free(&s->list);
    if (w->confirm_at != 0)
        w->look_at = wr_min(w->look_at, w->confirm_at);
}

/* ---- when to look ---- */

static uint64_t next_look(const struct list_watch *w)
{
    return w->settled_at != 0 ? wr_min(w->look_at, w->settled_at) : w->look_at;
}

static void watch_run(struct wr_task *t)
{
    struct list_watch *w = wr_container(t, struct list_watch, task);

    if (w->answered)
        take_answer(w);
    if (w->look->job.busy)
        return;
    if (wr_now() >= next_look(w)) {
        w->changed_at = w->settled_at = 0;
        if (wr_job_start(me.threads, &w->look->job))
            return;
        w->look_at = wr_now() + POLL_MS;
    }
    wr_timer_set(me.loop, &w->timer, next_look(w) - wr_now());
}

static void note_change(struct list_watch *w)
{
    if (w->changed_at == 0)
        w->changed_at = wr_now();
    w->settled_at = wr_min(wr_now() + SETTLE_MS, w->changed_at + SETTLE_MAX_MS);
    wr_task_wake(me.loop, &w->task);
}

/* A name with two dots in front: the folder that a link beside the file leads to is replaced that
 * way. No name: the folder itself. */
static bool is_about(const struct list_watch *w, const struct inotify_event *e)
{
    struct wr_str name = wr_str_c(e->len > 0 ? e->name : "");

    if (e->wd != w->wd && (e->mask & IN_Q_OVERFLOW) == 0)
        return false;
    return name.n == 0 || wr_str_eq(name, w->name) || wr_str_starts(name, WR_STR(".."));
}

static void read_events(struct wr_task *t WR_UNUSED)
{
    _Alignas(struct inotify_event) char buf[4096];

    for (int i = 0; i < EVENT_READS_MAX; i++) {
        ssize_t n = read(me.fd, buf, sizeof(buf));
        const struct inotify_event *e;

        if (n <= 0)
            return;
        for (char *p = buf; p < buf + n; p += sizeof(*e) + e->len) {
            e = (const struct inotify_event *)(void *)p;
            for (struct list_watch *w = me.all; w != NULL; w = w->next)
                if (is_about(w, e))
                    note_change(w);
        }
    }
    wr_task_wake(me.loop, &me.events);
}

static void on_notify(struct wr_watch *w WR_UNUSED, uint32_t events WR_UNUSED)
{
    wr_task_wake(me.loop, &me.events);
}

/* ---- begin and end ---- */

static void open_notify(void)
{
    me.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    me.notify.on_event = on_notify;
    me.events.run = read_events;
    if (me.fd >= 0 && wr_watch_add(me.loop, me.fd, &me.notify, EPOLLIN | EPOLLET))
        return;
    wr_say(WR_LOG_WARN, errno, "inotify is not available: files of servers are looked at every "
           "2 seconds");
    if (me.fd >= 0)
        (void)close(me.fd);
    me.fd = -1;
}

static void watch_file(struct wr_upstream *u)
{
    struct list_watch *w = wr_calloc(1, sizeof(*w));

    w->u = u;
    w->wd = -1;
    w->task.run = watch_run;
    w->timer.task = &w->task;
    w->look = look_new(w);
    w->next = me.all;
    me.all = w;
    wr_task_wake(me.loop, &w->task);
}

void wr_lists_watch(struct wr_conf *c, struct wr_loop *l)
{
    struct wr_upstreams *all = wr_conf_upstreams(c);
    uint32_t n = 0;

    for (uint32_t i = 0; i < all->all.n; i++)
        n += all->all.at[i]->listed != NULL;
    if (n == 0)
        return;
    me.loop = l;
    me.threads = wr_threads_new(l, WR_STR("files of servers"), wr_min(n, (uint32_t)THREADS_MAX), n);
    open_notify();
    for (uint32_t i = 0; i < all->all.n; i++)
        if (all->all.at[i]->listed != NULL)
            watch_file(all->all.at[i]);
}

void wr_lists_unwatch(void)
{
    struct list_watch *w, *next;

    for (w = me.all; w != NULL; w = next) {
        next = w->next;
        wr_timer_off(me.loop, &w->timer);
        wr_task_cancel(&w->task);
        wr_job_leave(&w->look->job, free_look);
        drop_waiting(w);
        free(w);
    }
    me.all = NULL;
    wr_task_cancel(&me.events);
    wr_threads_free(me.threads);
    me.threads = NULL;
    if (me.fd >= 0 && !wr_threads_stuck()) /* a thread may still use it */
        (void)close(me.fd);
    me.fd = -1;
}

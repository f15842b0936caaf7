/* limit: counts the connections of this process and tells whether there is room for one more; logs
 * when there is none. Sessions and dials count themselves in and out; listen asks before it
 * accepts, dial before it connects. Owns the counts and the state "full". */
#include "event/event.h"

#include <errno.h>

enum {
    SAY_MS = 1000,
    FULL_MS = 500,   /* then idle connections and free descriptors are looked for again */
    RESERVE = 10,    /* 1/RESERVE of the connections is kept for servers */
    EASE = 8         /* "full" ends when 1/EASE is free, not when one connection closes */
};

static struct wr_loop *loop;
static struct wr_open open_now;
static bool (*close_unused)(enum wr_side);

/* ---- counts ---- */

bool wr_open_fits(const struct wr_open *o, enum wr_side side, uint32_t more)
{
    if (o->max == 0)
        return true;
    if (o->n[WR_CLIENT] + o->n[WR_SERVER] + more > o->max)
        return false;
    return side == WR_SERVER || o->n[WR_CLIENT] + more <= o->max - o->max / RESERVE;
}

static bool is_eased(void)
{
    return wr_open_fits(&open_now, WR_CLIENT, open_now.max / EASE + 1);
}

uint32_t wr_connections(void)
{
    return open_now.n[WR_CLIENT] + open_now.n[WR_SERVER];
}

void wr_connections_unused(bool (*close_one)(enum wr_side side))
{
    close_unused = close_one;
}

bool wr_connections_free_one(void)
{
    return close_unused != NULL && (close_unused(WR_SERVER) || close_unused(WR_CLIENT));
}

/* ---- shortages: one log line a second for each kind ---- */

static void say_again(struct wr_task *t);

static struct shortage {
    int err;                 /* 0: worker_connections */
    uint32_t refused[2], closed; /* not yet logged; closed: unused ones, to make room */
    struct wr_task task;
    struct wr_timer timer;   /* while it runs the next line has to wait */
} by_limit = { .task.run = say_again, .timer.task = &by_limit.task },
  by_files = { .err = EMFILE, .task.run = say_again, .timer.task = &by_files.task };

static void say_shortage(struct shortage *s, bool first)
{
    bool was_refused = s->refused[WR_CLIENT] + s->refused[WR_SERVER] > 0;
    char buf[200];
    struct wr_text t = wr_text_on(buf, sizeof(buf));

    if (s->err == 0)
        wr_text_fmt(&t, "%u worker_connections", open_now.max);
    else
        wr_text_c(&t, "open files");
    wr_text_c(&t, " are not enough");
    if (was_refused && !first)
        wr_text_fmt(&t, ", %u clients and %u connections to servers were refused",
                    s->refused[WR_CLIENT], s->refused[WR_SERVER]);
    if (s->closed > 0)
        wr_text_c(&t, ", reusing connections");
    if (s->closed > 0 && !first)
        wr_text_fmt(&t, ": %u unused ones were closed", s->closed);
    wr_say(was_refused ? WR_LOG_ERROR : WR_LOG_WARN, s->err, WR_FMT, WR_ARG(wr_text_view(&t)));
    s->refused[WR_CLIENT] = s->refused[WR_SERVER] = s->closed = 0;
    wr_timer_set(loop, &s->timer, SAY_MS);
}

static void say_again(struct wr_task *t)
{
    struct shortage *s = wr_container(t, struct shortage, task);

    if (!s->timer.fired)
        return;
    wr_timer_off(loop, &s->timer);
    if (s->refused[WR_CLIENT] + s->refused[WR_SERVER] + s->closed > 0)
        say_shortage(s, false);
}

static void say_or_count(struct shortage *s)
{
    if (s->timer.at == 0 && !s->timer.fired) /* else say_again will log the counts */
        say_shortage(s, true);
}

void wr_connections_refused(enum wr_side side, int err)
{
    struct shortage *s = err == 0 ? &by_limit : &by_files;

    s->refused[side]++;
    say_or_count(s);
}

/* ---- room ---- */

bool wr_connections_room(enum wr_side side)
{
    while (!wr_open_fits(&open_now, side, 1)) {
        bool clients_only = wr_connections() < open_now.max; /* only clients have no room */

        if (close_unused == NULL
            || !(clients_only ? close_unused(WR_CLIENT) : wr_connections_free_one()))
            return false;
        by_limit.closed++;
        say_or_count(&by_limit);
    }
    return true;
}

/* ---- full ---- */

static void look_again(struct wr_task *t);

static struct {
    bool is_set;
    void (*changed)(bool full);
    struct wr_task task;
    struct wr_timer timer;
} full = { .task.run = look_again, .timer.task = &full.task };

static void look_again(struct wr_task *t)
{
    (void)t;
    if (!full.is_set || (!full.timer.fired && !is_eased()))
        return;
    full.is_set = false;
    wr_timer_off(loop, &full.timer);
    if (full.changed != NULL)
        full.changed(false);
}

void wr_connections_full(void)
{
    if (full.is_set)
        return;
    full.is_set = true;
    wr_timer_set(loop, &full.timer, FULL_MS);
    if (full.changed != NULL)
        full.changed(true);
}

void wr_connections_add(enum wr_side side, int delta)
{
    open_now.n[side] += (uint32_t)delta;
    if (full.is_set && delta < 0 && is_eased())
        wr_task_wake(loop, &full.task);
}

/* ---- the beginning and the end ---- */

void wr_connections_limit(struct wr_loop *l, uint32_t max)
{
    loop = l;
    open_now.max = max;
}

void wr_connections_watch(void (*changed)(bool full))
{
    full.changed = changed;
}

void wr_connections_end(void)
{
    struct shortage *both[] = { &by_limit, &by_files };

    for (size_t i = 0; i < WR_COUNT(both); i++) {
        both[i]->timer.fired = true;
        say_again(&both[i]->task);
        wr_timer_off(loop, &both[i]->timer);
        wr_task_cancel(&both[i]->task);
    }
    wr_timer_off(loop, &full.timer);
    wr_task_cancel(&full.task);
    full.is_set = false;
}

/* cache_keep: a server's reply on its way into the cache: its endpoint is wrapped, and what is
 * read from it is also written to a file, to the memory tier, or both. What is stored outlives the
 * exchange, so its state is memory of its own.
 *
 * The end is when the whole body was read: the memory tier has the object at once, the file when
 * threads have written it. Until then the request leads; whoever waits for it is rung at the end.
 */
#include "cache_impl.h"

#include <errno.h>

#define BUSY_MS 4              /* between two tries to enter the index */
#define ENTER_MS 2000          /* then the object is given up */

struct wr_cache_keep {
    uint32_t magic;
    struct wr_link link;         /* of all of this process */
    struct wr_cache_ctx *ctx;    /* of the exchange that still reads the body; NULL: it has ended */
    struct wr_cache_zone *zone;  /* of the configuration, which outlives all writes */
    struct wr_cache_name name;
    struct wr_cache_view view;   /* token of leads, updates */
    bool leads, updates;
    bool in_memory;              /* the index has the object in memory already */
    uint64_t created_us, body_n;
    uint32_t flags;
    struct wr_freshness fresh;
    struct wr_str before;        /* before the body; in the exchange's pool: until the body ended */
    struct wr_cache_write *write; /* NULL: no file */
    struct wr_cache_fill *memory; /* NULL: not in memory */
    uint64_t disk;               /* bytes of the file that was written; 0: none was, yet */
    /* The object is whole, but another process changes the index just now. */
    struct wr_loop *loop;
    struct wr_timer timer;
    struct wr_task task;
    uint64_t give_up_ms;         /* 0: did not have to wait */
};

/* The body was read, or will not be. */
static struct wr_cache_keep *let_go(struct wr_cache_ctx *c)
{
    struct wr_cache_keep *f = c->fill;

    c->fill = NULL;
    if (f != NULL)
        f->ctx = NULL;
    return f;
}

static void end_lead(struct wr_cache_keep *f)
{
    struct wr_cache_index *ix = &f->zone->store.index;

    if (f->leads)
        wr_cache_index_lead_end(ix, &f->view);
    if (f->updates)
        wr_cache_index_update_end(ix, &f->view);
    f->leads = f->updates = false;
}

static struct wr_link all = { &all, &all };
static bool ending;            /* the worker, and with it its loop */

static void end_filling(struct wr_cache_keep *f)
{
    if (f->ctx != NULL)
        f->ctx->fill = NULL;
    wr_list_remove(&f->link);
    wr_timer_off(f->loop, &f->timer);
    wr_task_cancel(&f->task);
    end_lead(f);
    if (f->memory != NULL)
        wr_cache_fill_end(f->memory);
    WR_UNTYPED(f);
    free(f);
}

/* It will not fit the next time either: those who wait need not wait any longer. */
static void end_in_vain(struct wr_cache_keep *f)
{
    if (f->leads)
        wr_cache_index_set_user(&f->zone->store.index, &f->view, wr_cache_say(WR_CACHE_NEVER));
    end_filling(f);
}

/* ---- file ---- */

/* The last change of the index failed, with errno. True: it is tried again in a moment. */
static bool tries_again(struct wr_cache_keep *f)
{
    if (errno != EAGAIN || ending)
        return false;
    if (f->give_up_ms == 0)
        f->give_up_ms = wr_now() + ENTER_MS;
    if (wr_now() >= f->give_up_ms)
        return false;
    wr_timer_set(f->loop, &f->timer, BUSY_MS);
    return true;
}

static void enter_file(struct wr_cache_keep *f)
{
    struct wr_cache_index *ix = &f->zone->store.index;
    struct wr_cache_stored s = {
        .created_us = f->created_us, .disk = f->disk, .flags = f->flags,
    };
    bool known = f->in_memory ? wr_cache_index_set_disk(ix, &f->name, f->created_us, s.disk)
                              : wr_cache_index_store(ix, &f->name, &s);

    if (!known && tries_again(f))
        return;
    if (!known)
        wr_cache_remove_later(&f->zone->folder, wr_cache_threads, &f->name, f->created_us);
    end_filling(f);
}

/* The index has the new object in memory, without a file: nobody would find the old one's file, or
 * count it, before the next start. */
static void remove_older(struct wr_cache_keep *f)
{
    if (f->in_memory && f->view.disk > 0)
        wr_cache_remove_later(&f->zone->folder, wr_cache_threads, &f->name, f->view.created_us);
}

static void file_written(void *arg, const struct wr_cache_written *w)
{
    struct wr_cache_keep *f = WR_CHECK(arg, CACHE_KEEP);

    f->disk = w->stored ? wr_cache_file_cost(w->size) : 0;
    if (w->stored) {
        enter_file(f);
        return;
    }
    remove_older(f);
    end_filling(f);
}

/* ---- memory ---- */

static void add_memory(struct wr_cache_keep *f, struct wr_str bytes)
{
    if (f->memory == NULL || wr_cache_fill_add(f->memory, bytes))
        return;
    wr_cache_fill_end(f->memory);
    f->memory = NULL;
}

/* Writes the bytes before the body again, with its length. */
static void seal_memory(struct wr_cache_keep *f)
{
    char *before = wr_malloc(f->before.n);

    memcpy(before, f->before.p, f->before.n);
    wr_cache_seal(before, f->before.n, f->body_n, 0);
    wr_cache_fill_patch(f->memory, 0, wr_str_of(before, f->before.n));
    free(before);
}

/* Without a file it is tried again if need be: then f->memory is there still. */
static void enter_memory(struct wr_cache_keep *f)
{
    struct wr_cache_stored s = { .created_us = f->created_us, .flags = f->flags };

    s.memory = wr_cache_fill_finish(f->memory);
    if (f->leads && memcmp(&f->name, &f->view.name, sizeof(f->name)) == 0)
        f->in_memory = wr_cache_index_store_led(&f->zone->store.index, &f->view, &s);
    else
        f->in_memory = wr_cache_index_store(&f->zone->store.index, &f->name, &s);
    if (!f->in_memory && f->write == NULL && !f->zone->disk && tries_again(f))
        return;
    wr_cache_fill_end(f->memory);
    f->memory = NULL;
}

static void store_memory(struct wr_cache_keep *f)
{
    seal_memory(f);
    enter_memory(f);
}

/* ---- entering the index ---- */

static void enter_index(struct wr_cache_keep *f)
{
    if (f->disk > 0) {
        enter_file(f);
        return;
    }
    enter_memory(f);
    if (f->memory == NULL)
        end_filling(f);
}

static void enter_again(struct wr_task *t)
{
    enter_index(wr_container(t, struct wr_cache_keep, task));
}

/* ---- the body ---- */

void wr_cache_keep_add(struct wr_cache_ctx *c, const char *p, size_t n)
{
    struct wr_cache_keep *f = c->fill;
    struct wr_bufq q = { 0 };

    if (f == NULL || n == 0)
        return;
    f->body_n += n;
    add_memory(f, wr_str_of(p, n));
    if (f->write != NULL) {
        wr_bufq_copy(&q, p, n);
        if (!wr_cache_write_add(f->write, &q)) /* `done` frees f */
            (void)let_go(c);
        wr_bufq_clear(&q);
        return;
    }
    if (f->memory == NULL)
        end_in_vain(let_go(c));
}

void wr_cache_keep_end(struct wr_cache_ctx *c)
{
    struct wr_cache_keep *f = let_go(c);

    if (f == NULL)
        return;
    c->kept = true;
    if (f->memory != NULL)
        store_memory(f);
    if (f->in_memory)
        end_lead(f);
    if (f->leads)
        wr_cache_index_set_user(&f->zone->store.index, &f->view, wr_cache_say(WR_CACHE_SOON));
    if (f->write != NULL)
        wr_cache_write_finish(f->write, wr_str_of(NULL, 0));
    else if (f->memory == NULL)
        end_filling(f);
}

void wr_cache_keep_drop(struct wr_cache_ctx *c)
{
    struct wr_cache_keep *f = let_go(c);

    if (f == NULL)
        return;
    if (f->write != NULL)
        wr_cache_write_abort(f->write);
    end_filling(f);
}

void wr_cache_keeps_end(void)
{
    struct wr_threads *t = wr_cache_threads;
    struct wr_link *l;

    ending = true;
    wr_cache_threads = NULL; /* files are removed here from now on */
    wr_cache_writes_end();
    wr_threads_free(t); /* a job that ran has told its end now */
    while ((l = all.next) != &all) {
        struct wr_cache_keep *f = wr_container(l, struct wr_cache_keep, link);

        if (f->give_up_ms != 0)
            enter_index(f);
        else
            end_filling(f);
    }
    ending = false;
}

/* ---- the beginning ---- */

/* NULL: too long to be stored; `c` leads on. */
static struct wr_cache_keep *new_filling(struct wr_exchange *x, struct wr_cache_ctx *c,
                                         const struct wr_freshness *fresh)
{
    struct wr_cache_facts facts = wr_cache_facts_of(x, c, fresh);
    struct wr_cache_keep *f;
    struct wr_str before;

    if (!wr_cache_encode_reply(x, c, &facts, &before))
        return NULL;
    f = wr_calloc(1, sizeof(*f));
    WR_TYPED(f, CACHE_KEEP);
    f->loop = x->loop;
    f->task.run = enter_again;
    f->timer.task = &f->task;
    f->zone = c->zone;
    f->name = c->name;
    f->view = c->view;
    f->leads = c->leads;
    f->updates = c->updates;
    f->created_us = c->created_us;
    f->flags = facts.flags;
    f->fresh = *fresh;
    f->before = before;
    wr_list_push(&all, &f->link);
    c->leads = c->updates = false;
    return f;
}

/* With a disk, memory is for what was asked for before. */
static void begin_memory(struct wr_cache_keep *f, uint64_t length)
{
    struct wr_cache_memory *m = &f->zone->store.memory;
    size_t size = SIZE_MAX;

    if (m->blocks == 0 || (f->zone->disk && f->view.uses < 2))
        return;
    if (length < SIZE_MAX - f->before.n)
        size = f->before.n + (size_t)length;
    f->memory = wr_cache_fill_new(m, size);
    add_memory(f, f->before);
}

static bool has_files(const struct wr_cache_keep *f)
{
    return f->zone->disk && wr_cache_threads != NULL;
}

static struct wr_cache_write_how how_of(struct wr_exchange *x, struct wr_cache_keep *f)
{
    return (struct wr_cache_write_how){
        .folder = &f->zone->folder, .threads = wr_cache_threads, .loop = x->loop,
        .name = f->name, .done = file_written, .arg = f,
    };
}

static void begin_file(struct wr_exchange *x, struct wr_cache_keep *f)
{
    struct wr_cache_write_how how = how_of(x, f);

    if (has_files(f))
        f->write = wr_cache_write_new(&how, f->before);
}

/* A body of `length` bytes is to come; UINT64_MAX: nobody knows. NULL: too long to be stored. */
static struct wr_cache_keep *open_filling(struct wr_exchange *x, struct wr_cache_ctx *c,
                                          const struct wr_freshness *fresh, uint64_t length)
{
    struct wr_cache_keep *f = new_filling(x, c, fresh);

    if (f == NULL)
        return NULL;
    begin_memory(f, length);
    begin_file(x, f);
    c->fill = f;
    f->ctx = c;
    return f;
}

void wr_cache_keep_bare(struct wr_exchange *x, struct wr_cache_ctx *c,
                        const struct wr_freshness *fresh)
{
    if (open_filling(x, c, fresh, 0) != NULL)
        wr_cache_keep_end(c);
}

void wr_cache_keep_begin(struct wr_exchange *x, struct wr_cache_ctx *c,
                         const struct wr_freshness *fresh)
{
    struct wr_http *h = wr_http_of(x);
    uint64_t length = h->res.framing == WR_BODY_LENGTH ? h->res.length : UINT64_MAX;
    struct wr_cache_keep *f = NULL;

    c->lacks = h->req.method == WR_M_HEAD && !c->converts ? WR_CACHE_OF_HEAD : 0;
    if (wr_cache_variant_place(x, c) && wr_cache_take_tags(x, c))
        f = open_filling(x, c, fresh, length);
    if (f == NULL) {
        wr_cache_lead_in_vain(c);
        return;
    }
    if (f->write == NULL && f->memory == NULL) {
        end_in_vain(f);
        return;
    }
    wr_cache_tee(x, c);
    h->wanted = true;
    h->conditional = true;
    h->res.ranges = h->res.status == 200;
    if (h->res.framing == WR_BODY_NONE || wr_endpoint_at_end(&x->peer))
        wr_cache_keep_end(c);
}

void wr_cache_keep_head(struct wr_exchange *x, struct wr_cache_ctx *c)
{
    struct wr_cache_keep *f = c->fill;
    struct wr_freshness fresh = f->fresh;

    c->leads = f->leads;
    c->updates = f->updates;
    c->view = f->view;
    f->leads = f->updates = false;
    wr_cache_keep_drop(c);
    c->lacks |= WR_CACHE_BODILESS;
    wr_cache_keep_bare(x, c, &fresh);
}

/* ---- after a 304 ---- */

/* The body of what was found, if it is in memory. */
static bool copy_body(const struct wr_cache_ctx *c, struct wr_cache_fill *to)
{
    struct wr_cache_at at = { 0 };
    uint64_t from = c->object.body_at, end = from + c->object.body_n;

    if (c->whole.p != NULL)
        return wr_cache_fill_add(to, wr_str_of(c->whole.p + from, (size_t)c->object.body_n));
    while (from < end) {
        struct wr_str part = wr_cache_pin_part(&c->pinned, &at, from, WR_CACHE_EXTENT);

        part.n = (size_t)wr_min((uint64_t)part.n, end - from);
        if (part.n == 0 || !wr_cache_fill_add(to, part))
            return false;
        from += part.n;
    }
    return true;
}

static void memory_again(struct wr_cache_ctx *c, struct wr_cache_keep *f)
{
    struct wr_cache_memory *m = &f->zone->store.memory;

    if (m->blocks == 0 || (c->whole.p == NULL && c->pinned.m == NULL))
        return;
    f->memory = wr_cache_fill_new(m, f->before.n + (size_t)c->object.body_n);
    add_memory(f, f->before);
    f->body_n = c->object.body_n;
    if (f->memory != NULL && copy_body(c, f->memory)) {
        store_memory(f);
    } else if (f->memory != NULL) {
        wr_cache_fill_end(f->memory);
        f->memory = NULL;
    }
}

void wr_cache_keep_again(struct wr_exchange *x, struct wr_cache_ctx *c,
                         const struct wr_freshness *fresh)
{
    struct wr_cache_write_how how;
    struct wr_cache_keep *f;

    c->tags.n = wr_cache_ntags(&c->object);
    for (uint32_t i = 0; i < c->tags.n; i++)
        c->tags.at[i] = wr_cache_tag(&c->object, i);
    c->lacks = c->object.facts.flags & (WR_CACHE_BODILESS | WR_CACHE_OF_HEAD);
    f = new_filling(x, c, fresh);
    if (f == NULL) {
        wr_cache_lead_end(c);
        return;
    }
    memory_again(c, f);
    if (f->in_memory)
        end_lead(f);
    how = how_of(x, f);
    if (has_files(f))
        wr_cache_refresh(&how, f->before, c->object.facts.created_us);
    else if (f->memory == NULL)
        end_filling(f);
}

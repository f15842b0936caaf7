/* Queues of slices: bytes on their way, in blocks, in borrowed memory or in files. All buffering
 * code calls it. A queue owns its slices, and each slice one reference to its block. */
#include "event/event_impl.h"

#include <sys/uio.h>

static void append_slice(struct wr_bufq *q, struct wr_slice *s)
{
    s->next = NULL;
    if (q->tail != NULL)
        q->tail->next = s;
    else
        q->head = s;
    q->tail = s;
    q->n += s->n;
}

static struct wr_slice *take_head(struct wr_bufq *q)
{
    struct wr_slice *s = q->head;

    q->head = s->next;
    if (q->head == NULL)
        q->tail = NULL;
    q->n -= s->n;
    return s;
}

/* Takes n bytes off the front of s. */
static void cut_front(struct wr_slice *s, size_t n)
{
    s->n -= n;
    if (s->p != NULL)
        s->p += n;
    else
        s->at += (off_t)n;
}

/* Another view of the first n bytes of s. */
static struct wr_slice *view_of(const struct wr_slice *s, size_t n)
{
    struct wr_slice *v = wr_slice_new();

    *v = *s;
    v->n = n;
    if (v->block != NULL)
        v->block->refs++;
    return v;
}

/* True if s continues the queue's last slice in the same block and needs no slice of its own. */
static bool can_join(const struct wr_bufq *q, const struct wr_slice *s)
{
    const struct wr_slice *t = q->tail;

    return t != NULL && s->block != NULL && t->block == s->block && t->p + t->n == s->p;
}

static void append_or_join(struct wr_bufq *q, struct wr_slice *s)
{
    if (!can_join(q, s)) {
        append_slice(q, s);
        return;
    }
    q->tail->n += s->n;
    q->n += s->n;
    wr_slice_free(s);
}

char *wr_bufq_room(struct wr_bufq *q, size_t *n)
{
    struct wr_slice *s = q->tail;
    struct wr_block *b = s != NULL ? s->block : NULL;

    /* the bytes behind the slice of a shared block may belong to another queue */
    if (b == NULL || b->refs > 1 || s->p + s->n == b->data + b->size) {
        b = wr_block_new();
        s = wr_slice_new();
        *s = (struct wr_slice){ .block = b, .p = b->data };
        append_slice(q, s);
    }
    *n = (size_t)(b->data + b->size - (s->p + s->n));
    return b->data + (s->p - b->data) + s->n;
}

void wr_bufq_commit(struct wr_bufq *q, size_t n)
{
    struct wr_slice *s = q->tail;

    /* the queue was not changed since wr_bufq_room */
    WR_ASSERT(s != NULL && s->block != NULL && s->block->refs == 1);
    WR_ASSERT(n <= (size_t)(s->block->data + s->block->size - (s->p + s->n)));
    s->n += n;
    q->n += n;
}

void wr_bufq_copy(struct wr_bufq *q, const void *p, size_t n)
{
    const char *from = p;

    while (n > 0) {
        size_t room;
        char *to = wr_bufq_room(q, &room);

        room = wr_min(room, n);
        memcpy(to, from, room);
        wr_bufq_commit(q, room);
        from += room;
        n -= room;
    }
}

void wr_bufq_borrow(struct wr_bufq *q, const void *p, size_t n)
{
    struct wr_slice *s;

    if (n == 0)
        return;
    s = wr_slice_new();
    *s = (struct wr_slice){ .p = p, .n = n };
    append_slice(q, s);
}

void wr_bufq_file(struct wr_bufq *q, struct wr_reader *r, off_t at, size_t n)
{
    struct wr_slice *s;

    if (n == 0)
        return;
    s = wr_slice_new();
    *s = (struct wr_slice){ .file = r, .at = at, .n = n };
    append_slice(q, s);
}

void wr_bufq_load(struct wr_bufq *q)
{
    if (q->n > WR_BLOCK_SIZE)
        return;
    for (struct wr_slice *s = q->head; s != NULL; s = s->next) {
        struct wr_block *b;

        if (s->p != NULL || s->n == 0)
            continue;
        b = wr_block_new();
        if (!wr_reader_take(s->file, b->data, s->n, (uint64_t)s->at)) {
            wr_block_unref(b);
            continue;
        }
        s->block = b;
        s->p = b->data;
        s->file = NULL;
    }
}

void wr_bufq_move(struct wr_bufq *dst, struct wr_bufq *src, size_t n)
{
    n = wr_min(n, src->n);
    while (n > 0) {
        struct wr_slice *s = src->head;

        /* the last slice is split into two views of one block */
        if (s->n > n) {
            append_or_join(dst, view_of(s, n));
            cut_front(s, n);
            src->n -= n;
            return;
        }
        n -= s->n;
        s = take_head(src);
        append_or_join(dst, s);
    }
}

void wr_bufq_tee(struct wr_bufq *dst, const struct wr_bufq *src)
{
    /* empty room at the end of src is not shared */
    for (const struct wr_slice *s = src->head; s != NULL; s = s->next)
        if (s->n > 0)
            append_or_join(dst, view_of(s, s->n));
}

size_t wr_bufq_iovec(const struct wr_bufq *q, struct iovec *v, size_t max)
{
    size_t i = 0;

    for (const struct wr_slice *s = q->head; s != NULL && s->p != NULL && i < max; s = s->next) {
        if (s->n == 0)
            continue;
        /* struct iovec has no const form; it is only read from */
        v[i].iov_base = (void *)(uintptr_t)s->p;
        v[i++].iov_len = s->n;
    }
    return i;
}

void wr_bufq_drop(struct wr_bufq *q, size_t n)
{
    WR_ASSERT(n <= q->n);
    while (n > 0 && q->head->n <= n) {
        struct wr_slice *s = take_head(q);

        n -= s->n;
        wr_slice_free(s);
    }
    if (n > 0) {
        cut_front(q->head, n);
        q->n -= n;
    }
}

size_t wr_bufq_peek(const struct wr_bufq *q, void *p, size_t n)
{
    char *to = p;
    size_t done = 0;

    for (const struct wr_slice *s = q->head; s != NULL && s->p != NULL && done < n; s = s->next) {
        size_t part = wr_min(s->n, n - done);

        memcpy(to + done, s->p, part);
        done += part;
    }
    return done;
}

void wr_bufq_free(struct wr_bufq *q)
{
    struct wr_slice *s, *next;

    for (s = q->head; s != NULL; s = next) {
        next = s->next;
        wr_slice_free(s);
    }
    *q = (struct wr_bufq){ 0 };
}

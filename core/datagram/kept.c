/* kept: copies of datagrams that must wait: until the session has a peer, or until its answer shows
 * that nobody has to send them again. Owned by a flow or an exchange; always few, as what does not
 * fit is lost. */
#include "datagram/datagram.h"

struct wr_kept_one {
    struct wr_kept_one *next;
    size_t n;
    char data[];
};

struct wr_count wr_trains_count(const struct wr_trains *l)
{
    struct wr_count c = { 0 };

    for (uint32_t i = 0; i < l->n; i++) {
        c.datagrams += wr_train_count(&l->at[i]);
        c.bytes += l->at[i].n;
    }
    return c;
}

static bool keep_one(struct wr_kept *k, const struct wr_train *t, size_t most)
{
    size_t size = sizeof(struct wr_kept_one) + t->n;
    struct wr_kept_one *one;

    if (k->first != NULL && (size > most || k->bytes > most - size))
        return false;
    one = wr_calloc(1, size);
    one->n = t->n;
    if (t->n > 0)
        memcpy(one->data, t->p, t->n);
    if (k->first == NULL)
        k->last = &k->first;
    *k->last = one;
    k->last = &one->next;
    k->bytes += size;
    return true;
}

uint64_t wr_kept_add(struct wr_kept *k, const struct wr_trains *l, size_t most)
{
    uint64_t lost = 0;

    for (uint32_t i = 0; i < l->n; i++) {
        struct wr_train t = l->at[i];
        struct wr_trains left = { &t, 1 };

        while (left.n > 0) {
            struct wr_train one = wr_trains_first(&left);

            lost += !keep_one(k, &one, most);
        }
    }
    return lost;
}

struct wr_trains wr_kept_load(const struct wr_kept *k, struct wr_train trains[static WR_TRAINS])
{
    struct wr_trains l = { .at = trains };

    for (struct wr_kept_one *o = k->first; o != NULL && l.n < WR_TRAINS; o = o->next)
        trains[l.n++] = (struct wr_train){ o->data, o->n, o->n };
    return l;
}

void wr_kept_drop(struct wr_kept *k, uint64_t datagrams)
{
    for (; datagrams > 0 && k->first != NULL; datagrams--) {
        struct wr_kept_one *o = k->first;

        k->first = o->next;
        k->bytes -= sizeof(*o) + o->n;
        free(o);
    }
}

void wr_kept_clear(struct wr_kept *k)
{
    wr_kept_drop(k, UINT64_MAX);
}

/* mux: frames in and out, and a stream as an endpoint: the same for both sides. */
#include "mux.h"

enum { HEAD_MAX = 65536, FRAME_MAX = 2 * MUX_WINDOW, HEADS_MAX = 16, OUT_HIGH = 262144, READS = 8 };

/* ---- fields ---- */

static void put_text(struct wr_text *t, struct wr_str s)
{
    wr_text_char(t, (char)(s.n >> 8));
    wr_text_char(t, (char)s.n);
    wr_text_str(t, s);
}

void mux_put(struct wr_text *t, struct wr_str name, struct wr_str value)
{
    put_text(t, name);
    put_text(t, value);
}

/* Nothing that means something else where HTTP/1 is spoken. */
static bool get_text(struct wr_str *p, bool name, struct wr_str *out)
{
    size_t n = p->n < 2 ? 0 : (size_t)(unsigned char)p->p[0] << 8 | (unsigned char)p->p[1];

    if (p->n < 2 || p->n - 2 < n || (name && n == 0))
        return false;
    *out = wr_str_of(p->p + 2, n);
    *p = wr_str_skip(*p, 2 + n);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)out->p[i];

        if (name ? !(c > ' ' && c < 0x7f && strchr("\"(),/;<=>?@[\\]{}", c) == NULL
                     && (c != ':' || i == 0))
                 : (c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool mux_get(struct wr_str *p, struct wr_str *name, struct wr_str *value)
{
    return get_text(p, true, name) && get_text(p, false, value);
}

bool mux_fields(struct wr_pool *pool, struct wr_str p, struct wr_fields *out)
{
    struct wr_str name, value;

    while (p.n > 0) {
        if (!mux_get(&p, &name, &value))
            return false;
        if (name.p[0] != ':' && !wr_field_is_hop(wr_field_id(name)))
            (void)wr_fields_add(pool, out, name, value);
    }
    return true;
}

/* ---- out ---- */

static uint32_t number_at(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static void number_to(char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(v >> (24 - 8 * i));
}

void mux_frame(struct mux *m, char type, uint32_t id, struct wr_str payload)
{
    char header[MUX_HEADER] = { type };

    number_to(header + 1, id);
    number_to(header + 5, (uint32_t)payload.n);
    wr_bufq_copy(&m->out, header, sizeof(header));
    wr_bufq_copy(&m->out, payload.p, payload.n);
    wr_loop_flush_later(m->conn->loop, &m->flush);
}

void mux_number(struct mux *m, char type, uint32_t id, uint32_t number)
{
    char p[4];

    number_to(p, number);
    mux_frame(m, type, id, wr_str_of(p, sizeof(p)));
}

static void wake_all(struct mux *m)
{
    for (struct wr_link *l = m->streams.next; l != &m->streams; l = l->next)
        wr_exchange_wake(wr_container(l, struct mux_stream, link)->x);
}

void mux_write(struct mux *m)
{
    enum wr_io io = WR_IO_OK;
    size_t put;

    while (m->out.n > 0 && io == WR_IO_OK) {
        io = wr_conn_write_q(m->conn, &m->out, SIZE_MAX, &put);
        if (io == WR_IO_ERROR) {
            m->side->lost(m);
            return;
        }
    }
    if (m->full && m->out.n < OUT_HIGH / 2) {
        m->full = false;
        wake_all(m);
        wr_task_wake(m->conn->loop, m->conn->task);
    }
    wr_conn_arm(m->conn);
    if (m->out.n == 0)
        m->side->drained(m);
}

static void flush_out(struct wr_flush *f)
{
    mux_write(wr_container(f, struct mux, flush));
}

/* ---- in ---- */

static struct mux_stream *find(struct mux *m, uint32_t id)
{
    for (struct wr_link *l = m->streams.next; l != &m->streams; l = l->next)
        if (wr_container(l, struct mux_stream, link)->id == id)
            return wr_container(l, struct mux_stream, link);
    return NULL;
}

static void reset(struct mux_stream *s, bool refused)
{
    s->reset = true;
    s->refused = refused;
    wr_bufq_clear(&s->in);
    wr_exchange_wake(s->x);
}

static bool goes_away(struct mux *m, uint32_t last)
{
    m->goaway = wr_min(m->goaway, last);
    for (struct wr_link *l = m->streams.next; l != &m->streams; l = l->next)
        if (wr_container(l, struct mux_stream, link)->id > last)
            reset(wr_container(l, struct mux_stream, link), true);
    return true;
}

static bool of_stream(struct mux_stream *s, char type, struct wr_str p)
{
    switch (type) {
    case 'd':
        if (s->in_end || p.n > s->may_come)
            return false;
        s->may_come -= (uint32_t)p.n;
        wr_bufq_copy(&s->in, p.p, p.n);
        break;
    case 'e':
        if (s->in_end)
            return false;
        s->in_end = true;
        if (!mux_fields(s->x->pool, wr_pool_str(s->x->pool, p), &s->trailers))
            return false;
        break;
    case 'w':
        if (p.n != 4 || number_at(p.p) > INT32_MAX - s->may_send)
            return false;
        s->may_send += number_at(p.p);
        break;
    case 'r':
        reset(s, wr_str_is(p, "n"));
        break;
    default:
        return false;
    }
    wr_exchange_wake(s->x);
    return true;
}

static bool take_frame(struct mux *m, char type, uint32_t id, struct wr_str p)
{
    struct mux_stream *s = find(m, id);

    if (type == 'g')
        return p.n == 4 && goes_away(m, number_at(p.p));
    if (type == 'h' || type == 'H')
        return (s == NULL || (!s->in_end && s->heads.n < HEADS_MAX))
            && m->side->head(m, s, id, p, type == 'H');
    if (s == NULL) /* it has ended here, and the other side does not know yet */
        return id <= m->last;
    if (s->lease != NULL && type != 'r')
        s->lease->received += p.n;
    return s->reset || of_stream(s, type, p);
}

/* False: it breaks the protocol. */
static bool take_frames(struct mux *m)
{
    size_t at = 0, n;

    for (; at < m->in_n && *m->preface != '\0'; at++)
        if (m->in[at] != *m->preface++)
            return false;
    for (; m->in_n - at >= MUX_HEADER; at += MUX_HEADER + n) {
        char *p = m->in + at;

        n = number_at(p + 5);
        if (n > FRAME_MAX)
            return false;
        if (m->in_n - at - MUX_HEADER < n)
            break;
        if (!take_frame(m, p[0], number_at(p + 1), wr_str_of(p + MUX_HEADER, n)))
            return false;
    }
    m->in_n -= at;
    memmove(m->in, m->in + at, m->in_n);
    return true;
}

void mux_run(struct mux *m)
{
    size_t got;

    m->full = m->full || m->out.n > 2 * OUT_HIGH; /* nothing is read that asks for more */
    for (int i = 0; i < READS && m->out.n <= 2 * OUT_HIGH; i++) {
        enum wr_io io = wr_conn_read(m->conn, wr_scratch, MUX_WINDOW, &got);

        if (io == WR_IO_AGAIN)
            break;
        m->in = wr_realloc(m->in, m->in_n + got + 1);
        memcpy(m->in + m->in_n, wr_scratch, got);
        m->in_n += got;
        if (io != WR_IO_OK || !take_frames(m)) {
            m->side->lost(m);
            return;
        }
        if (i + 1 == READS)
            wr_task_wake(m->conn->loop, m->conn->task);
    }
    mux_write(m);
}

struct mux *mux_new(const struct mux_side *side, struct wr_conn *conn, void *owner)
{
    struct mux *m = wr_calloc(1, sizeof(*m));

    WR_TYPED(m, MUX);
    m->side = side;
    m->conn = conn;
    m->owner = owner;
    m->goaway = UINT32_MAX;
    m->preface = "";
    m->flush.fn = flush_out;
    wr_list_init(&m->streams);
    return m;
}

void mux_free(struct mux *m)
{
    while (!wr_list_empty(&m->streams)) {
        struct mux_stream *s = wr_container(m->streams.next, struct mux_stream, link);

        wr_list_remove(&s->link);
        s->m = NULL;
        wr_exchange_wake(s->x);
    }
    wr_flush_cancel(&m->flush);
    wr_bufq_clear(&m->out);
    free(m->in);
    WR_UNTYPED(m);
    free(m);
}

/* ---- a stream as an endpoint ---- */

static void drop_stream(void *arg)
{
    struct mux_stream *s = arg;

    mux_stream_leave(s, WR_STR("c"));
    wr_bufq_clear(&s->in);
}

struct mux_stream *mux_stream_new(struct mux *m, struct wr_exchange *x, uint32_t id)
{
    struct mux_stream *s = WR_NEW(x->pool, struct mux_stream);

    WR_TYPED(s, MUX_STREAM);
    s->m = m;
    s->x = x;
    s->id = m->last = id;
    s->may_send = s->may_come = MUX_WINDOW;
    wr_list_push(&m->streams, &s->link);
    m->n++;
    wr_pool_cleanup(x->pool, drop_stream, s);
    return s;
}

void mux_stream_leave(struct mux_stream *s, struct wr_str why)
{
    struct mux *m = s->m;

    if (m == NULL)
        return;
    if (!s->reset && !(s->in_end && s->out_end))
        mux_frame(m, 'r', s->id, why);
    wr_list_remove(&s->link);
    s->m = NULL;
    m->n--;
}

/* What has come is given before it is told that no more will. */
static enum wr_io stream_read(struct wr_endpoint *e, void *p, size_t n, size_t *got)
{
    struct mux_stream *s = WR_CHECK(e->state, MUX_STREAM);

    *got = wr_bufq_peek(&s->in, p, n);
    wr_bufq_drop(&s->in, *got);
    s->was_read += (uint32_t)*got;
    if (s->was_read >= MUX_WINDOW / 2 && !s->in_end && s->m != NULL) {
        mux_number(s->m, 'w', s->id, s->was_read);
        s->may_come += s->was_read;
        s->was_read = 0;
    }
    if (*got > 0)
        return WR_IO_OK;
    if (s->in_end) {
        if (s->lease != NULL && s->trailers.n > 0)
            wr_http_take_trailers(s->x, &s->trailers);
        return WR_IO_EOF;
    }
    if (s->m != NULL && !s->reset)
        return WR_IO_AGAIN;
    s->why = s->m == NULL ? "the mux connection was lost" : "a mux stream was reset";
    return WR_IO_ERROR;
}

static void write_end(struct mux_stream *s)
{
    const struct wr_fields *f = &wr_http_of(s->x)->res.trailers;
    struct wr_text t = wr_text_grow(s->x->pool, 64, HEAD_MAX);

    for (uint32_t i = 0; s->lease == NULL && i < f->n; i++)
        if (!f->at[i].gone)
            mux_put(&t, f->at[i].name, f->at[i].value);
    mux_frame(s->m, 'e', s->id, wr_text_view(&t));
    s->out_end = true;
}

/* Ranges of files are read: frames of one connection are not sent from many files. */
static enum wr_io write_piece(struct mux_stream *s, const struct wr_slice *c, size_t *put)
{
    const struct wr_waiter who = { s->x->loop, &s->x->task };
    size_t n = wr_min(wr_min(c->n, (size_t)MUX_PIECE), (size_t)s->may_send);
    struct wr_str piece = wr_str_of(c->p, n);

    if (c->p == NULL) {
        enum wr_io io = wr_reader_read(c, &who, wr_scratch, n, &n);

        if (io != WR_IO_OK)
            return io;
        piece = wr_str_of(wr_scratch, n);
    }
    mux_frame(s->m, 'd', s->id, piece);
    s->may_send -= (uint32_t)n;
    if (s->lease != NULL)
        s->lease->sent += n;
    *put += n;
    return n < c->n ? WR_IO_EOF : WR_IO_OK;
}

static enum wr_io stream_write(struct wr_endpoint *e, const struct wr_slice *chain, bool fin,
                               size_t *put)
{
    struct mux_stream *s = WR_CHECK(e->state, MUX_STREAM);
    enum wr_io io = WR_IO_OK;

    *put = 0;
    if (s->m == NULL || s->reset)
        return WR_IO_ERROR;
    for (; io == WR_IO_OK && chain != NULL; chain = chain->next) {
        if (s->may_send == 0 || s->m->out.n > OUT_HIGH) {
            s->m->full = s->m->full || s->m->out.n > OUT_HIGH;
            return *put > 0 ? WR_IO_OK : WR_IO_AGAIN;
        }
        io = s->out_end ? WR_IO_ERROR : write_piece(s, chain, put);
    }
    if (io == WR_IO_OK && *put == 0 && fin && !s->out_end)
        write_end(s);
    return io == WR_IO_EOF || (io == WR_IO_AGAIN && *put > 0) ? WR_IO_OK : io;
}

static uint64_t stream_want(struct wr_endpoint *e WR_UNUSED)
{
    return 0;
}

static void stream_to_raw(struct wr_endpoint *e WR_UNUSED, struct wr_bufq *in WR_UNUSED,
                          struct wr_bufq *out WR_UNUSED)
{
}

static void stream_end(struct wr_endpoint *e, enum wr_end how WR_UNUSED)
{
    mux_stream_leave(WR_CHECK(e->state, MUX_STREAM), WR_STR("c"));
    e->ops = NULL;
}

static bool stream_at_end(const struct wr_endpoint *e)
{
    const struct mux_stream *s = WR_CHECK(e->state, MUX_STREAM);

    return s->in_end && s->in.n == 0;
}

static const char *stream_why(const struct wr_endpoint *e)
{
    return WR_CHECK(e->state, MUX_STREAM)->why;
}

static bool stream_gone(const struct wr_endpoint *e)
{
    const struct mux_stream *s = WR_CHECK(e->state, MUX_STREAM);

    return s->m == NULL || s->reset;
}

const struct wr_endpoint_ops mux_endpoint = {
    .name = "mux stream",
    .read = stream_read,
    .write = stream_write,
    .want = stream_want,
    .to_raw = stream_to_raw,
    .end = stream_end,
    .at_end = stream_at_end,
    .why = stream_why,
    .gone = stream_gone,
};

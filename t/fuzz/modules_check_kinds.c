/* Any bytes as those of a server, for each kind of check: the low three bits of the first byte
 * choose the kind, the others what it is told; the second byte how the bytes are cut. A
 * conversation ends with a verdict and a reason, however it is cut, and what is sent stays within
 * its bound. */
#include "base/base.h"

#include "../../modules/shared/health/health_impl.h"

#include <openssl/crypto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wr_check_kind *kind_of(unsigned number)
{
    unsigned n = 0;

    while (wr_check_kinds[n] != NULL)
        n++;
    WR_ASSERT(n <= 8); /* or it takes more bits */
    return wr_check_kinds[number % n];
}

/* One call with a block of exactly these bytes, so that ASan finds a read past its end. */
static enum wr_check_next call_kind(const struct wr_check_kind *kind, struct wr_check_talk *t,
                                    const uint8_t *p, size_t n, enum wr_check_end end,
                                    size_t *used)
{
    char *own = malloc(wr_max(n, (size_t)1));
    enum wr_check_next next;

    if (n > 0)
        memcpy(own, p, n);
    t->out.n = 0;
    *used = 0;
    next = kind->input(t, wr_str_of(own, n), end, used);
    free(own);
    WR_ASSERT(*used <= n && !t->out.overflow);
    WR_ASSERT((next == WR_CHECK_FAIL || next == WR_CHECK_PASS) == (t->why.n > 0));
    WR_ASSERT(end == WR_CHECK_OPEN || next == WR_CHECK_PASS || next == WR_CHECK_FAIL);
    for (size_t i = 0; i < t->why.n; i++)
        WR_ASSERT(t->why.p[i] >= ' ' && t->why.p[i] <= '~');
    if (next == WR_CHECK_WORK)
        return WR_CHECK_MORE;
    if (next != WR_CHECK_TLS)
        return next;
    WR_ASSERT(t->can_secure && kind->upgrades);
    t->can_secure = false;
    t->secured = true;
    return WR_CHECK_MORE;
}

static void talk_with(const struct wr_check_kind *kind, struct wr_check_talk *t, const uint8_t *p,
                      size_t n, size_t piece)
{
    enum wr_check_next next = kind->begin(t);
    size_t begin = 0, end = 0, used;
    bool secured = t->secured;

    while (next == WR_CHECK_MORE) {
        enum wr_check_end how = end < n ? WR_CHECK_OPEN : WR_CHECK_CLOSED;

        if (t->secured == secured)
            end = wr_min(n, end + piece);
        secured = t->secured;
        next = call_kind(kind, t, p + begin, end - begin, how, &used);
        begin += used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[WR_CHECK_WHY_MAX];
    struct wr_pool *pool = wr_pool_new(256 << 10);
    struct wr_check_conf conf = { .uri = WR_STR("/") };
    struct wr_check_talk t = { .conf = &conf, .pool = pool, .why = wr_text_on(why, sizeof(why)) };
    unsigned what = size > 0 ? data[0] : 0, piece = size > 1 ? data[1] : 1;
    const struct wr_check_kind *kind = kind_of(what % 8);

    what /= 8;
    if (what % 2)
        conf.user = WR_STR("weir");
    if (what / 2 % 2)
        conf.password = WR_STR("secret");
    if (kind->roles != NULL)
        conf.role = what / 4 % 3;
    t.can_secure = kind->upgrades && what / 12 % 2;
    t.out = wr_text_grow(pool, 64, 16384);
    t.state = wr_pool_zalloc(pool, kind->state_size + 1);
    size = wr_min(size, (size_t)4096);
    talk_with(kind, &t, data + wr_min(size, (size_t)2), size - wr_min(size, (size_t)2), piece + 1);
    wr_pool_free(pool);
    return 0;
}

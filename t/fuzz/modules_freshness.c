/* A reply from any bytes, stored or not, and used under any circumstances: 24 bytes choose these,
 * what follows are the lines of the reply's head, and behind an empty one those of the request's.
 * What is forbidden is not stored, a reply is used stale only where something permits it, and the
 * numbers, which may come from a broken file as well, stay within their bounds. */
#include "../../modules/http/cache/freshness.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHOICES 24

static struct wr_fields fields_of(struct wr_pool *pool, struct wr_str *lines)
{
    struct wr_fields f = { 0 };

    while (lines->n > 0) {
        struct wr_str value = wr_str_cut(lines, '\n'), name = wr_str_cut(&value, ':');

        if (name.n == 0)
            break;
        (void)wr_fields_add(pool, &f, name, wr_str_trim(value));
    }
    return f;
}

static bool has_field(const struct wr_fields *f, enum wr_field_id id)
{
    return wr_fields_first(f, id) != NULL;
}

static void check_stored(const struct wr_store_ask *a, const struct wr_freshness *f)
{
    struct wr_cache_control c;
    bool says = (a->ignore & WR_IGNORE_CACHE_CONTROL) == 0
             && !has_field(a->fields, WR_F_X_ACCEL_EXPIRES);
    bool targeted = a->rfc9111 && wr_cache_control_targeted(a->fields, &c);

    WR_ASSERT(f->age <= WR_CC_FOREVER && f->received == a->now);
    WR_ASSERT(f->while_revalidate <= WR_CC_FOREVER && f->if_error <= WR_CC_FOREVER);
    WR_ASSERT(f->fresh_until <= a->now + WR_CC_FOREVER * 1000ULL);
    WR_ASSERT(a->status >= 200 && a->status != 304);
    WR_ASSERT((a->ignore & WR_IGNORE_VARY) != 0
              || !wr_fields_has_token(a->fields, WR_F_VARY, WR_STR("*")));
    WR_ASSERT(a->rfc9111 || (a->ignore & WR_IGNORE_SET_COOKIE) != 0
              || !has_field(a->fields, WR_F_SET_COOKIE));
    if (!says)
        return;
    if (!targeted)
        c = wr_cache_control_reply(a->fields);
    WR_ASSERT((c.flags & WR_CC_PRIVATE) == 0);
    WR_ASSERT((c.flags & WR_CC_NO_STORE) == 0
              || (a->rfc9111 && (c.flags & WR_CC_MUST_UNDERSTAND) != 0));
    WR_ASSERT((c.flags & WR_CC_NO_CACHE) == 0 || (f->flags & WR_FRESH_ASK) != 0);
}

static void check_used(const struct wr_use_ask *a, struct wr_using u)
{
    const struct wr_freshness *f = a->stored;
    bool stored = wr_use_is_stored(u.how);

    WR_ASSERT(!stored || (f != NULL && !a->bypass && (f->flags & WR_FRESH_ASK) == 0));
    WR_ASSERT(!u.background || u.how == WR_USE_STALE);
    if (f == NULL)
        return;
    WR_ASSERT(wr_freshness_age(f, a->now) <= WR_CC_FOREVER);
    WR_ASSERT(u.how != WR_USE_HIT || wr_freshness_ttl(f, a->now) >= 0);
    if (stored && a->now >= f->fresh_until)
        WR_ASSERT((f->flags & WR_FRESH_NEVER_STALE) == 0 && u.how != WR_USE_HIT
                  && ((a->use_stale & WR_STALE_UPDATING) != 0 || f->while_revalidate > 0
                      || (a->request != NULL && a->request->max_stale != WR_CC_ABSENT)));
    if (wr_use_after_failure(a, WR_STALE_ERROR))
        WR_ASSERT(!a->bypass && (f->flags & (WR_FRESH_NEVER_STALE | WR_FRESH_ASK)) == 0
                  && ((a->use_stale & WR_STALE_ERROR) != 0 || f->if_error > 0
                      || a->now < f->fresh_until));
}

static void use_it(const uint8_t *b, const struct wr_freshness *f,
                   const struct wr_cache_control *request)
{
    struct wr_use_ask a = {
        .stored = (b[0] & 1) != 0 ? f : NULL, .request = (b[0] & 2) != 0 ? request : NULL,
        .bypass = (b[0] & 12) == 12, .updating = (b[0] & 16) != 0,
        .background = (b[0] & 32) != 0, .validator = (b[0] & 64) != 0,
        .use_stale = (uint32_t)b[1] << 4 | b[2],
    };

    memcpy(&a.now, b + 3, sizeof(a.now));
    check_used(&a, wr_use_judge(&a));
    a.now = f->fresh_until + b[3]; /* a chance to hit the windows */
    check_used(&a, wr_use_judge(&a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t b[CHOICES] = { 0 };
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_str rest = wr_str_skip(wr_str_of((const char *)data, size), CHOICES);
    struct wr_fields reply, asked;
    struct wr_cache_control request;
    struct wr_freshness f;
    struct wr_store_ask a;

    if (size > 0)
        memcpy(b, data, wr_min(size, sizeof(b)));
    reply = fields_of(pool, &rest);
    asked = fields_of(pool, &rest);
    request = wr_cache_control_request(&asked);
    a = (struct wr_store_ask){
        .rfc9111 = (b[0] & 1) != 0, .authorization = (b[0] & 2) != 0, .slice = (b[0] & 4) != 0,
        .status = (unsigned)b[1] * 4, .method = b[2] % WR_M_COUNT, .request = &request,
        .fields = &reply, .ignore = (uint32_t)b[3] << 1, .valid = (int64_t)b[4] - 1,
        .now = 1800000000000ULL + b[5], .asked = 1800000000000ULL - (uint64_t)b[6] * 100,
    };
    if (wr_store_judge(&a, &f) == WR_STORE_YES) {
        check_stored(&a, &f);
        use_it(b + 7, &f, &request);
    }
    memcpy(&f, b, wr_min(sizeof(f), sizeof(b))); /* of a broken file */
    f.while_revalidate = f.if_error = f.flags = (uint32_t)b[8] << 24 | b[9];
    use_it(b + 7, &f, &request);
    wr_pool_free(pool);
    return 0;
}

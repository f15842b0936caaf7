/* Which fields are stored, and what a 304 changes (RFC 9111 3.1, 3.2, 4.3.4). */
#include "lib/fields.h"
#include "lib/unit.h"

#include "../../modules/http/cache/stored_fields.h"

START_TEST(trimmed)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        { "A: 1\nDate: x\nSet-Cookie: a=b", "A: 1\nDate: x\nSet-Cookie: a=b" },
        { "Connection: a, B\nA: 1\nB: 2\nC: 3", "C: 3" },
        { "A: 1\nB: 2\nConnection: a\nConnection: b", "" },
        { "Connection: close\nKeep-Alive: 5\nTE: a\nTrailer: b\nUpgrade: c\nX: 1", "X: 1" },
        { "Proxy-Authenticate: a\nproxy-authentication-info: b\nProxy-Authorization: c\n"
          "Proxy-Connection: d\nTransfer-Encoding: e\nProxy-Foo: 1", "Proxy-Foo: 1" },
        { "Cache-Control: no-cache=\"Set-Cookie, x\", max-age=5\nSet-Cookie: a\nX: 1\nY: 2",
          "Cache-Control: no-cache=\"Set-Cookie, x\", max-age=5\nY: 2" },
        { "Cache-Control: private=\"x\"\nx: 1\nX: 2\nY: 3", "Cache-Control: private=\"x\"\nY: 3" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields f = fields_of(pool, rows[i].in);
        struct wr_cache_control c = wr_cache_control_reply(&f);

        wr_stored_trim(&f, &c);
        ck_view(fields_text(pool, &f), rows[i].out);
        wr_pool_free(pool);
    }
}
END_TEST

START_TEST(merged)
{
    static const struct {
        const char *stored, *fresh;
        enum wr_merge how;
        const char *out;
    } rows[] = {
        { "A: 1", "", WR_MERGE_SAME, "A: 1" },
        { "A: 1", "A: 1", WR_MERGE_SAME, "A: 1" },
        { "A: 1\nB: 2", "a: 3", WR_MERGE_CHANGED, "B: 2\na: 3" },
        { "A: 1", "B: 2", WR_MERGE_CHANGED, "A: 1\nB: 2" },
        { "A: 1\nA: 2\nB: 3", "A: 4\nA: 5", WR_MERGE_CHANGED, "B: 3\nA: 4\nA: 5" },
        { "A: 1\nA: 2", "A: 1\nA: 2", WR_MERGE_SAME, "A: 1\nA: 2" },
        { "A: 1\nA: 2", "A: 1", WR_MERGE_CHANGED, "A: 1" },
        { "A: 1", "A: 1\nA: 2", WR_MERGE_CHANGED, "A: 1\nA: 2" },
        { "Cache-Control: max-age=1", "Cache-Control: max-age=2", WR_MERGE_CHANGED,
          "Cache-Control: max-age=2" },
        { "Date: a\nAge: 5\nB: 1", "Date: b", WR_MERGE_SAME, "B: 1\nDate: b" },
        { "Date: a\nAge: 5", "Age: 1", WR_MERGE_SAME, "Date: a\nAge: 1" },
        /* 3.2: what belongs to the body stays, as do fields that are not stored at all */
        { "Content-Length: 5\nContent-Encoding: gzip\nContent-Range: x",
          "Content-Length: 0\nContent-Encoding: br\nContent-Range: y", WR_MERGE_SAME,
          "Content-Length: 5\nContent-Encoding: gzip\nContent-Range: x" },
        { "A: 1\nB: 2", "Connection: b\nB: 3\nProxy-Authenticate: c\nKeep-Alive: d\nTE: e",
          WR_MERGE_SAME, "A: 1\nB: 2" },
        { "Set-Cookie: a", "Set-Cookie: b", WR_MERGE_SAME, "Set-Cookie: a" },
        { "A: 1", "Set-Cookie: b", WR_MERGE_SAME, "A: 1" },
        /* 4.3.4 */
        { "ETag: \"a\"\nB: 1", "ETag: \"a\"\nB: 2", WR_MERGE_CHANGED, "ETag: \"a\"\nB: 2" },
        { "ETag: \"a\"\nB: 1", "ETag: \"b\"\nB: 2", WR_MERGE_OTHER, "ETag: \"a\"\nB: 1" },
        { "B: 1", "ETag: \"b\"\nB: 2", WR_MERGE_OTHER, "B: 1" },
        { "ETag: W/\"a\"", "ETag: W/\"b\"", WR_MERGE_OTHER, "ETag: W/\"a\"" },
        { "ETag: W/\"a\"\nB: 1", "ETag: \"a\"\nB: 2", WR_MERGE_CHANGED,
          "ETag: W/\"a\"\nB: 2" },
        { "ETag: \"a\"", "ETag: W/\"a\"", WR_MERGE_SAME, "ETag: \"a\"" },
        { "ETag: \"a\"\nB: 1", "B: 2", WR_MERGE_CHANGED, "ETag: \"a\"\nB: 2" },
        /* it would be a variant of other fields */
        { "Vary: a, b", "Vary: B\nVary: A", WR_MERGE_SAME, "Vary: a, b" },
        { "Vary: a, b\nC: 1", "Vary: a\nC: 2", WR_MERGE_OTHER, "Vary: a, b\nC: 1" },
        { "Vary: a\nC: 1", "Vary: a, b", WR_MERGE_OTHER, "Vary: a\nC: 1" },
        { "C: 1", "Vary: a", WR_MERGE_OTHER, "C: 1" },
        { "Vary: a", "C: 1", WR_MERGE_CHANGED, "Vary: a\nC: 1" },
    };

    for (size_t i = 0; i < WR_COUNT(rows); i++) {
        struct wr_pool *pool = wr_pool_new(0);
        struct wr_fields stored = fields_of(pool, rows[i].stored);
        struct wr_fields fresh = fields_of(pool, rows[i].fresh);
        enum wr_merge how = wr_stored_merge(pool, &stored, &fresh);

        ck_assert_msg(how == rows[i].how, "%s and %s: %d", rows[i].stored, rows[i].fresh,
                      (int)how);
        ck_view(fields_text(pool, &stored), rows[i].out);
        wr_pool_free(pool);
    }
}
END_TEST

UNIT_MAIN("stored_fields", trimmed, merged)

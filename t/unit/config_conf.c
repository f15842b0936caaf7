/* conf: a whole configuration from a file or a text, the hooks, reload, the end. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

static bool finished_once(struct wr_scope *s, void *arg)
{
    uint32_t i, *distinct = arg;

    for (i = 0; i < wr_modules_count; i++) {
        if (s->conf[i] == NULL)
            continue;
        ck_assert_uint_eq(fake_of(s, wr_modules[i])->finished, 1);
        if (s->parent == NULL || s->parent->conf[i] != s->conf[i])
            ++*distinct;
    }
    return true;
}

START_TEST(hooks)
{
    struct wr_conf *c = fake_load("stream { server { listen 1; } server { proxy_timeout 1s; } }");
    uint32_t distinct = 0;

    ck_assert_str_eq(fake_trace, "prepare stream server listen:1 server check ");
    wr_scope_each(c->main, finished_once, &distinct);
    ck_assert_uint_eq(distinct, 9); /* core log; events; stream log proxy; stream proxy; proxy */
    ck_assert_ptr_nonnull(wr_conf_state(c, &fake_core));
    ck_assert_ptr_null(wr_conf_state(c, &fake_proxy));
    wr_conf_free(c);
}
END_TEST

START_TEST(no_hooks_after_errors)
{
    struct wr_conf *c = fake_load("stream { }\nfoo;");

    ck_assert_str_eq(fake_trace, "prepare stream ");
    ck_assert_uint_eq(fake_of(c->main, &fake_core)->finished, 0);
    wr_conf_free(c);
}
END_TEST

START_TEST(from_file)
{
    char path[] = "/tmp/wr-conf-XXXXXX";
    int fd = mkstemp(path);
    struct wr_conf *c, *next;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, "stream { }\n", 11), 11);
    close(fd);
    wr_modules_init();
    c = wr_conf_load(path, WR_STR("worker_processes 3;"), "/somewhere/", NULL);
    ck_assert_str_eq(findings(c->tree), "");
    ck_assert_str_eq(c->path, path);
    ck_assert_str_eq(c->prefix, "/somewhere/");
    ck_assert_str_eq(c->tree->prefix, "/tmp/");
    ck_assert_uint_eq(fake_of(c->main, &fake_core)->num, 3);
    next = wr_conf_load(path, WR_STR("daemon"), "/somewhere", c);
    ck_assert_uint_eq(next->tree->errors, 1);
    ck_assert_ptr_nonnull(wr_conf_events(next));
    wr_conf_free(next);
    unlink(path);
    next = wr_conf_load(path, WR_STR(""), "/", c);
    ck_assert_uint_eq(next->tree->errors, 1);
    ck_assert_str_eq(next->prefix, "/");
    wr_conf_free(next);
    wr_conf_free(c);
    wr_conf_free(NULL);
}
END_TEST

FAKE_MAIN("config/conf", { hooks, 0 }, { no_hooks_after_errors, 0 }, { from_file, 0 })

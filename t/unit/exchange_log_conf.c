/* error_log: levels, targets, inheritance, errors. */
#include "lib/unit.h"

#include "lib/exchange_fake.h"

static const struct wr_log *log_of(const struct wr_conf *c, uint32_t layer)
{
    const struct wr_scope *s = layer == 0 ? c->main : wr_conf_layer(c, layer);

    return wr_scope_log(layer != 0 && s->children != NULL ? s->children : s);
}

/* "NAME level ..., max level" */
static const char *show(const struct wr_log *log)
{
    static char buf[1024];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    const char *s;

    for (uint32_t i = 0; i < log->n; i++)
        wr_text_fmt(&t, "%s %s, ", log->target[i].sink->name, wr_level_name(log->target[i].level));
    wr_text_fmt(&t, "max %s", wr_level_name(log->max));
    ck_assert(wr_text_cstr(&t, &s));
    return s;
}

static const struct {
    const char *line, *log;
} good[] = {
    { "", "stderr error, max error" },
    { "error_log stderr;", "stderr error, max error" },
    { "error_log \"\" info;", "stderr info, max info" },
    { "error_log stderr debug;", "stderr debug, max debug" },
    { "error_log stderr debug_core;", "stderr debug, max debug" },
    { "error_log stderr debug_http debug_event;", "stderr debug, max debug" },
    { "error_log stderr emerg; error_log memory:4k warn;",
      "stderr emerg, memory:4k warn, max warn" },
    { "error_log stderr; error_log stderr info;", "stderr error, stderr info, max info" },
    { "error_log /dev/null crit;", "/dev/null crit, max crit" },
    { "error_log dev/null;", "/dev/null error, max error" }, /* relative to the prefix */
};

START_TEST(levels_and_targets)
{
    for (size_t i = 0; i < WR_COUNT(good); i++) {
        struct wr_conf *c = fake_load(good[i].line);

        ck_assert_str_eq(fake_findings(c), "");
        ck_assert_str_eq(show(log_of(c, 0)), good[i].log);
        wr_conf_free(c);
        ck_assert_ptr_null(wr_sink_find("/dev/null"));
        ck_assert_ptr_null(wr_sink_find("memory:4k"));
    }
}
END_TEST

START_TEST(inherits)
{
    struct wr_conf *c = fake_load("error_log stderr warn; stream { server { } }"
                                  " http { error_log /dev/null info; error_log stderr;"
                                  " server { error_log stderr crit; } }");

    ck_assert_str_eq(fake_findings(c), "");
    ck_assert_ptr_eq(log_of(c, WR_L4), log_of(c, 0));
    ck_assert_str_eq(show(log_of(c, WR_L4)), "stderr warn, max warn");
    ck_assert_str_eq(show(log_of(c, WR_L7)), "stderr crit, max crit");
    ck_assert_str_eq(show(wr_scope_log(wr_conf_layer(c, WR_L7))),
                     "/dev/null info, stderr error, max info");
    wr_conf_free(c);
}
END_TEST

static const struct {
    const char *line, *findings;
} bad[] = {
    { "error_log stderr foo;", "1:18 invalid log level \"foo\"\n" },
    { "error_log stderr warn info;", "1:23 duplicate log level \"info\"\n" },
    { "error_log stderr debug_core debug_foo;", "1:29 invalid log level \"debug_foo\"\n" },
    { "error_log stderr notice debug_core;", "1:25 invalid log level \"debug_core\"\n" },
    { "error_log stderr debug debug_core;", "1:24 invalid log level \"debug_core\"\n" },
    { "error_log stderr debug_core warn;", "1:29 duplicate log level \"warn\"\n" },
    { "error_log memory:x;", "1:11 invalid buffer size \"x\"\n" },
    { "error_log memory:;", "1:11 invalid buffer size \"\"\n" },
    { "error_log memory:1k;", "1:11 invalid buffer size \"1k\"\n" },
    { "error_log /nonexistent/x;",
      "1:11 open() \"/nonexistent/x\" failed (2: No such file or directory)\n" },
    { "error_log syslog:foo;", "1:11 unknown syslog parameter \"foo\"\n" },
};

START_TEST(refuses)
{
    for (size_t i = 0; i < WR_COUNT(bad); i++) {
        struct wr_conf *c = fake_load(bad[i].line);

        ck_assert_str_eq(fake_findings(c), bad[i].findings);
        wr_conf_free(c);
    }
}
END_TEST

START_TEST(at_most_eight)
{
    char text[512] = "";
    struct wr_conf *c;

    for (unsigned i = 0; i < 9; i++) {
        size_t n = strlen(text);

        snprintf(text + n, sizeof(text) - n, "error_log stderr;");
    }
    c = fake_load(text);
    ck_assert_str_eq(fake_findings(c), "1:137 at most 8 error logs in one block\n");
    wr_conf_free(c);
}
END_TEST

START_TEST(the_default_file)
{
    struct wr_conf *c;

    wr_modules_init();
    wr_error_log_default = "dev/full";
    c = wr_conf_load_text("t.conf", WR_STR(""), WR_STR(""), "/");
    ck_assert_str_eq(show(log_of(c, 0)), "/dev/full error, max error");
    wr_conf_free(c);

    wr_error_log_default = "/nonexistent/x";
    c = wr_conf_load_text("t.conf", WR_STR(""), WR_STR(""), "/");
    ck_assert_str_eq(fake_findings(c),
                     "open() \"/nonexistent/x\" failed (2: No such file or directory)\n");
    wr_conf_free(c);
}
END_TEST

UNIT_MAIN("exchange/log_conf", levels_and_targets, inherits, refuses, at_most_eight,
          the_default_file)

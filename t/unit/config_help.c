/* help: weir --help DIRECTIVE. */
#define WR_FAKE_MODULES
#include "lib/config_fake.h"

static char out[16384];

static bool help(const char *name)
{
    FILE *f = fmemopen(out, sizeof(out), "w");
    bool ok;

    wr_modules_init();
    ok = wr_directive_help(name, f);
    fclose(f);
    return ok;
}

START_TEST(one)
{
    ck_assert(help("proxy_timeout"));
    ck_assert_str_eq(out, "proxy_timeout: between two reads\n"
                          "    syntax:   proxy_timeout time;\n"
                          "    default:  10m\n"
                          "    context:  stream, http, server, location, if in location\n"
                          "    module:   proxy\n");
}
END_TEST

struct row {
    const char *name, *syntax;
};

static const struct row rows[] = {
    { "daemon", "daemon on | off;" },
    { "worker_processes", "worker_processes number;" },
    { "pid", "pid path;" },
    { "log_name", "log_name string;" },
    { "file_size", "file_size size;" },
    { "choice", "choice off | error | timeout | http_500;" },
    { "proxy_next_upstream", "proxy_next_upstream off | error | timeout | http_500 ...;" },
    { "location", "location value [value] { ... }" },
    { "late", "late;" },
    { "server_name", "server_name value ...;" },
    { "map", "map value value { ... }" },
};

START_TEST(syntax)
{
    char line[128];

    ck_assert(help(rows[_i].name));
    snprintf(line, sizeof(line), "    syntax:   %s\n", rows[_i].syntax);
    ck_assert_ptr_nonnull(strstr(out, line));
}
END_TEST

START_TEST(several)
{
    ck_assert(help("server"));
    ck_assert_ptr_nonnull(strstr(out, "context:  stream\n"));
    ck_assert_ptr_nonnull(strstr(out, "context:  http\n"));
    ck_assert_ptr_nonnull(strstr(out, "context:  upstream\n"));
}
END_TEST

static const char *const peer =
    "server: a peer\n"
    "    syntax:   server ADDRESS [weight=1] [max_conns=NUMBER] [fail_timeout=10s]\n"
    "                  [slow_start=TIME] [backup] [down];\n"
    "    default:  -\n"
    "    context:  upstream\n"
    "    module:   stream\n";

static const char *const words[] = { "weight", "max_conns", "slow_start", "backup", "down" };

START_TEST(words_of_others)
{
    char text[1024];

    ck_assert(help(words[_i]));
    snprintf(text, sizeof(text), "\"%s\" is not a directive; it is a word of\n%s", words[_i],
             peer);
    ck_assert_str_eq(out, text);
    ck_assert(!help("slow"));
    ck_assert(!help("1"));
    ck_assert(!help(""));
}
END_TEST

START_TEST(unknown)
{
    ck_assert(!help("proxy_pas"));
    ck_assert_str_eq(out, "weir: \"proxy_pas\" is not a directive\n"
                          "      = did you mean \"proxy_pass\"?\n");
    ck_assert(!help("gzip"));
    ck_assert_str_eq(out, "weir: \"gzip\" is a directive of nginx (ngx_http_gzip_module), not in "
                          "this build\n");
    ck_assert(!help("zone_sync"));
    ck_assert_str_eq(out, "weir: \"zone_sync\" is a directive of nginx's commercial subscription "
                          "(ngx_stream_zone_sync_module), not in this build\n");
    ck_assert(!help("brotli"));
    ck_assert_str_eq(out, "weir: \"brotli\" is a directive of the third-party module ngx_brotli, "
                          "not in this build\n");
    ck_assert(!help("ssl"));
    ck_assert_str_eq(out, "weir: \"ssl\" is a directive that nginx 1.25.1 removed: "
                          "write \"listen 443 ssl\"\n");
    ck_assert(!help("completely_different"));
    ck_assert_str_eq(out, "weir: \"completely_different\" is not a directive\n");
}
END_TEST

START_TEST(all)
{
    const char *p, *last = "";

    ck_assert(help("all"));
    ck_assert_int_eq(strncmp(out, "allow\tstream, http, server, location\t-\tin\n", 42), 0);
    for (p = out; *p != '\0'; p = strchr(p, '\n') + 1) {
        ck_assert_int_ge(strcmp(p, last) >= 0 || strcspn(p, "\t") == strcspn(last, "\t"), 1);
        last = p;
    }
    ck_assert_ptr_nonnull(strstr(out, "\nworker_processes\tmain\t1\thow many workers\n"));
}
END_TEST

FAKE_MAIN("config/help", { one, 0 }, { syntax, WR_COUNT(rows) }, { several, 0 },
          { words_of_others, WR_COUNT(words) }, { unknown, 0 },
          { all, 0 })

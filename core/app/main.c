/* main: reads the command line and does what it asks for. The other files of this folder do the
 * work. */
#include "app/app.h"
#include "http/http.h"

#include <errno.h>
#include <unistd.h>

/* The path of an existing configuration of nginx: beside ours or where it is usually installed;
 * NULL: none was found. */
static const char *find_nginx_conf(char *beside, size_t size)
{
    static const char *const others[] = { "/etc/nginx/nginx.conf",
                                          "/usr/local/nginx/conf/nginx.conf" };
    size_t folder = wr_str_rfind(wr_str_c(wr_paths.conf), '/');

    snprintf(beside, size, "%.*s/nginx.conf", (int)folder, wr_paths.conf);
    if (access(beside, F_OK) == 0)
        return beside;
    for (size_t i = 0; i < WR_COUNT(others); i++) {
        if (access(others[i], F_OK) == 0)
            return others[i];
    }
    return NULL;
}

/* No -c and no file at the built-in path: probably the first start. Suggest what to do. */
static void help_newcomer(const struct wr_options *o)
{
    char beside[4096];
    const char *nginx;

    if (o->conf != NULL || access(wr_paths.conf, F_OK) == 0)
        return;
    nginx = find_nginx_conf(beside, sizeof(beside));
    fprintf(stderr, "weir: there is no configuration file %s yet; try\n"
            "    %s --demo       run an example, which needs no preparation\n"
            "    %s -c FILE      run with a configuration file of your own\n", wr_paths.conf,
            o->program, o->program);
    if (nginx != NULL)
        fprintf(stderr, "    %s -t -c %s   test whether weir accepts nginx's configuration\n",
                o->program, nginx);
}

static int run_weir(const struct wr_options *o)
{
    struct wr_cycle *c;

    (void)wr_upgrade_inherit();
    if (wr_paths.home != NULL && !wr_master.inherited)
        wr_say(WR_LOG_NOTICE, 0, "%s is not writable: the log goes to %s, the pid file and "
               "temporary files to %s (-p sets another prefix)", WR_PREFIX, wr_paths.error_log,
               wr_paths.home);
    c = wr_master_segment() ? wr_cycle_load(NULL, wr_str_c(o->globals)) : NULL;
    if (c != NULL)
        return wr_master_run(c, o);
    help_newcomer(o);
    return 1;
}

static int explain_directive(const char *word)
{
    if (wr_directive_help(word, stdout))
        return 0;
    fputs("weir: \"weir --help all\" lists all directives\n", stderr);
    return 1;
}

/* True: the command line only asks for information, which needs neither paths nor a log. */
static bool is_only_information(const struct wr_options *o, int *code)
{
    *code = 0;
    if (o->help_word != NULL) {
        *code = explain_directive(o->help_word);
        return true;
    }
    if (o->version || o->help)
        wr_options_version(stderr, o->version_full);
    if (o->help)
        wr_options_usage(stderr);
    return o->version || o->help;
}

int main(int argc, char **argv)
{
    struct wr_options o;
    int code;

    wr_log_init();
    wr_self_init();
    wr_upgrade_remember(argv);
    wr_title_init(argc, argv);
    wr_clock_update();
    wr_tls_init();
    wr_modules_init();
    wr_phases_init();
    wr_filters_init();
    wr_proxy_hook_init();
    if (!wr_options_parse(argc, argv, &o))
        return WR_EXIT_USAGE;
    if (is_only_information(&o, &code))
        return code;
    if ((o.demo && !wr_demo_rights()) || !wr_paths_init(&o))
        return 1;
    wr_files_raise();
    wr_error_log_default = wr_paths.error_log;
    wr_console_init(wr_paths.error_log, wr_is_new_binary());
    if (o.signal != NULL)
        return wr_signaller(&o);
    if (o.test) {
        code = wr_cycle_test(&o);
        if (code != 0 && !o.quiet)
            help_newcomer(&o);
        return code;
    }
    return o.demo ? wr_demo(&o) : run_weir(&o);
}

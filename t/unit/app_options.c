/* The command line, word by word. */
#include "lib/unit.h"

#include "app/app.h"

static bool parse_line(const char *line, struct wr_options *o)
{
    static char text[256];
    static char *argv[16];
    struct wr_str rest;
    int argc = 0;

    snprintf(text, sizeof(text), "weir %s", line);
    rest = wr_str_c(text);
    while (rest.p != NULL && argc < 15) {
        struct wr_str word = wr_str_cut(&rest, ' ');

        if (word.n == 0)
            continue;
        argv[argc] = (char *)(uintptr_t)word.p;
        argv[argc++][word.n] = '\0';
    }
    argv[argc] = NULL;
    return wr_options_parse(argc, argv, o);
}

START_TEST(takes_flags)
{
    struct wr_options o;

    ck_assert(parse_line("", &o));
    ck_assert(!o.test && !o.help && o.conf == NULL);
    ck_assert(parse_line("-tq", &o));
    ck_assert(o.test && o.quiet && !o.dump);
    ck_assert(parse_line("-T", &o));
    ck_assert(o.test && o.dump);
    ck_assert(parse_line("-v", &o));
    ck_assert(o.version && !o.version_full);
    ck_assert(parse_line("-V -?", &o));
    ck_assert(o.version && o.version_full && o.help);
    ck_assert(parse_line("--demo", &o));
    ck_assert(o.demo);
}
END_TEST

START_TEST(takes_values)
{
    struct wr_options o;

    ck_assert(parse_line("-p /p -c c.conf -e e.log -g daemon -s reload", &o));
    ck_assert_str_eq(o.prefix, "/p");
    ck_assert_str_eq(o.conf, "c.conf");
    ck_assert_str_eq(o.error_log, "e.log");
    ck_assert_str_eq(o.globals, "daemon");
    ck_assert_str_eq(o.signal, "reload");
    ck_assert(parse_line("-tcc.conf -p/p", &o));
    ck_assert(o.test);
    ck_assert_str_eq(o.conf, "c.conf");
    ck_assert_str_eq(o.prefix, "/p");
}
END_TEST

START_TEST(takes_help)
{
    struct wr_options o;

    ck_assert(parse_line("--help", &o));
    ck_assert(o.help && o.help_word == NULL);
    ck_assert(parse_line("--help listen", &o));
    ck_assert(!o.help);
    ck_assert_str_eq(o.help_word, "listen");
    ck_assert(parse_line("--help=listen", &o));
    ck_assert_str_eq(o.help_word, "listen");
    ck_assert(parse_line("--help -v", &o));
    ck_assert(o.help && o.version);
}
END_TEST

/* The lines of parsing on the standard error output. */
static const char *complaint_of(const char *line)
{
    static char text[256];
    struct wr_options o;
    FILE *f = tmpfile();
    int fd = dup(STDERR_FILENO);
    size_t n;

    ck_assert(f != NULL && fd >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
    ck_assert_msg(!parse_line(line, &o), "%s", line);
    fflush(stderr);
    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
    close(fd);
    rewind(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

START_TEST(refuses_the_rest)
{
    static const struct {
        const char *line, *why;
    } wrong[] = {
        { "-x", "invalid option: \"x\"" }, { "word", "invalid option: \"word\"" },
        { "-tx", "invalid option: \"x\"" }, { "-c", "option \"-c\" requires file name" },
        { "-p", "option \"-p\" requires directory name" },
        { "-e", "option \"-e\" requires file name" }, { "-g", "option \"-g\" requires parameter" },
        { "-s", "option \"-s\" requires parameter" },
        { "-s halt", "invalid option: \"-s halt\"" }, { "--wrong", "invalid option: \"--wrong\"" },
        { "-t word", "invalid option: \"word\"" },
    };

    for (size_t i = 0; i < WR_COUNT(wrong); i++)
        ck_assert_ptr_nonnull(strstr(complaint_of(wrong[i].line), wrong[i].why));
}
END_TEST

START_TEST(fits_one_screen)
{
    char *text, *end;
    size_t n, lines = 0;
    FILE *f = open_memstream(&text, &n);

    wr_options_version(f, false);
    wr_options_usage(f);
    fclose(f);
    for (char *line = text; *line != '\0'; line = end + 1, lines++) {
        end = strchr(line, '\n');
        ck_assert_int_le(end - line, 80);
    }
    ck_assert_uint_le(lines, 24);
    free(text);
}
END_TEST

UNIT_MAIN("app/options", takes_flags, takes_values, takes_help, refuses_the_rest, fits_one_screen)

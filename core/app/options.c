/* options: the command line, as nginx has it, plus --help WORD and --demo. Called by main; owns
 * nothing (the strings are those of argv). */
#include "app/app.h"

#include <openssl/crypto.h>

static bool refuse(const char *text)
{
    fprintf(stderr, "weir: invalid option: \"%s\"\n", text);
    return false;
}

static bool long_option(int argc, char **argv, int *i, struct wr_options *o)
{
    const char *name = argv[*i] + 2;

    if (strcmp(name, "demo") == 0)
        return o->demo = true;
    if (strcmp(name, "version") == 0)
        return o->version = true;
    if (strncmp(name, "help=", 5) == 0) {
        o->help_word = name + 5;
        return true;
    }
    if (strcmp(name, "help") != 0)
        return refuse(argv[*i]);
    if (*i + 1 < argc && argv[*i + 1][0] != '-')
        o->help_word = argv[++*i];
    else
        o->help = true;
    return true;
}

/* The value of an option: the rest of the word, or the next word. */
static bool value(int argc, char **argv, int *i, const char *rest, const char **out)
{
    const char *what = rest[-1] == 'p' ? "directory name"
        : rest[-1] == 'c' || rest[-1] == 'e' ? "file name" : "parameter";

    if (*rest != '\0')
        *out = rest;
    else if (*i + 1 < argc && argv[*i + 1][0] != '\0')
        *out = argv[++*i];
    else {
        fprintf(stderr, "weir: option \"-%c\" requires %s\n", rest[-1], what);
        return false;
    }
    return true;
}

static bool known_signal(const char *word)
{
    static const char *const words[] = { "stop", "quit", "reopen", "reload", "trace" };

    for (size_t i = 0; i < WR_COUNT(words); i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    fprintf(stderr, "weir: invalid option: \"-s %s\"\n", word);
    return false;
}

/* One word of flags: "-t", "-tq", "-cFILE". */
static bool short_options(int argc, char **argv, int *i, struct wr_options *o)
{
    for (const char *p = argv[*i] + 1; *p != '\0'; p++) {
        switch (*p) {
        case '?': case 'h': o->help = true; break;
        case 'v': o->version = true; break;
        case 'V': o->version = o->version_full = true; break;
        case 't': o->test = true; break;
        case 'T': o->test = o->dump = true; break;
        case 'q': o->quiet = true; break;
        case 'p': return value(argc, argv, i, p + 1, &o->prefix);
        case 'c': return value(argc, argv, i, p + 1, &o->conf);
        case 'e': return value(argc, argv, i, p + 1, &o->error_log);
        case 'g': return value(argc, argv, i, p + 1, &o->globals);
        case 's': return value(argc, argv, i, p + 1, &o->signal) && known_signal(o->signal);
        default: return refuse((const char[]){ *p, '\0' });
        }
    }
    return true;
}

bool wr_options_parse(int argc, char **argv, struct wr_options *o)
{
    *o = (struct wr_options){ .program = argc > 0 ? argv[0] : "weir" };
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-')
            return refuse(argv[i]);
        if (!(argv[i][1] == '-' ? long_option(argc, argv, &i, o)
                                : short_options(argc, argv, &i, o)))
            return false;
    }
    return true;
}

void wr_options_usage(FILE *out)
{
    fputs("Usage: weir [-?hvVtTq] [-s signal] [-p prefix]\n"
          "            [-e filename] [-c filename] [-g directives]\n"
          "            [--help directive] [--demo]\n"
          "Options:\n"
          "  -?,-h         : this help\n"
          "  -v            : show version and exit\n"
          "  -V            : show version, modules and configure options, then exit\n"
          "  -t            : test configuration and exit\n"
          "  -T            : test configuration, dump it and exit\n"
          "  -q            : suppress non-error messages during configuration testing\n"
          "  -s signal     : send signal to a master process: stop, quit, reopen, reload\n"
          "                  (waits, and tells whether it was accepted), trace (what every\n"
          "                  session has gone through goes to the error log)\n", out);
    fprintf(out,
            "  -p prefix     : set prefix path (default: %s/)\n"
            "  -e filename   : set error log file (default: %s)\n"
            "  -c filename   : set configuration file (default: %s)\n"
            "  -g directives : set global directives out of configuration file\n"
            "  --help WORD   : explain a directive; \"all\" lists every one\n"
            "  --demo        : run an example on free ports, and tell what to type\n",
            WR_PREFIX, WR_ERROR_LOG_PATH, WR_CONF_PATH);
}

/* ---- the modules: line ---- */

static bool word_in(const char *list, struct wr_str word)
{
    struct wr_str rest = wr_str_c(list);

    while (rest.p != NULL) {
        struct wr_str w = wr_str_cut(&rest, ' ');
        if (w.n > 0 && wr_str_eq(w, word))
            return true;
    }
    return false;
}

bool wr_module_word(struct wr_str word)
{
    if (word_in(WR_MODULE_WORDS, word))
        return true;
    for (uint32_t i = 0; wr_modules[i] != NULL; i++) {
        if (wr_modules[i]->words != NULL && word_in(wr_modules[i]->words, word))
            return true;
    }
    return false;
}

static int by_text(const void *a, const void *b)
{
    return wr_str_cmp(*(const struct wr_str *)a, *(const struct wr_str *)b);
}

/* configure knows the option words of what it built; a module may have more words of its own. */
static void print_modules(FILE *out)
{
    struct wr_str words[256], rest = wr_str_c(WR_MODULE_WORDS), last = { NULL, 0 };
    size_t n = 0;

    for (uint32_t i = 0; rest.p != NULL || wr_modules[i] != NULL;) {
        struct wr_str w = wr_str_cut(&rest, ' ');

        if (w.n > 0 && n < WR_COUNT(words))
            words[n++] = w;
        if (rest.p == NULL && wr_modules[i] != NULL)
            rest = wr_str_c(wr_modules[i++]->words);
    }
    qsort(words, n, sizeof(words[0]), by_text);
    fprintf(out, "modules:");
    for (size_t i = 0; i < n; last = words[i++]) {
        if (!wr_str_eq(words[i], last))
            fprintf(out, " " WR_FMT, WR_ARG(words[i]));
    }
    fputc('\n', out);
}

void wr_options_version(FILE *out, bool full)
{
    const char *build = WR_BUILD;

    fprintf(out, "weir version: weir/%s%s%s%s (nginx/%s grammar)\n", WR_VERSION,
            *build != '\0' ? " (" : "", build, *build != '\0' ? ")" : "", WR_NGINX_VERSION);
    if (!full)
        return;
    fprintf(out, "built by %s\n", WR_COMPILER);
    fprintf(out, "built with %s", OPENSSL_VERSION_TEXT);
    if (strcmp(OPENSSL_VERSION_TEXT, OpenSSL_version(OPENSSL_VERSION)) != 0)
        fprintf(out, " (running with %s)", OpenSSL_version(OPENSSL_VERSION));
    fputs("\nTLS SNI support enabled\n", out);
    print_modules(out);
    fprintf(out, "configure arguments: %s\n", WR_CONFIGURE_ARGS);
}

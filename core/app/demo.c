/* demo: weir --demo, an example that needs no preparation: TCP sessions and HTTP requests balanced
 * over servers that weir itself provides, on free ports of this machine, in the foreground. Called
 * by main; the master calls wr_demo_tell once it runs.
 *
 * The configuration that is printed is the one that runs: one text, with the ports filled in. */
#include "app/app.h"

#include <errno.h>
#include <ftw.h>
#include <unistd.h>

enum { L4, L7, DB, API = DB + 3, MEDIA = API + 3, PORTS = MEDIA + 2 };

static uint16_t ports[PORTS];

/* Let the kernel choose free ports. Nobody else is likely to take one before it is opened again. */
static bool free_ports(void)
{
    struct wr_listen_opts o = { .type = SOCK_STREAM };
    const char *step = "";
    int fd[PORTS];
    struct wr_addr a;
    size_t got = 0;
    bool ok = wr_addr_parse_ip(WR_STR("127.0.0.1"), &a);

    while (ok && got < PORTS) {
        struct wr_addr bound;

        fd[got] = wr_socket_listen(&a, &o, &step);
        ok = fd[got] >= 0 && wr_socket_local(fd[got], &bound);
        if (!ok) {
            fprintf(stderr, "weir: [emerg] %s to 127.0.0.1 failed (%d: %s)\n", step, errno,
                    strerror(errno));
            break;
        }
        ports[got++] = wr_addr_port(&bound);
    }
    for (size_t i = 0; i < got; i++)
        close(fd[i]);
    return ok;
}

/* ---- the configuration ---- */

/* "@4" in a text is replaced by a port; the characters are in the order of the enum above. */
static const char port_names[PORTS + 1] = "47defabcmn";

static const struct piece {
    bool hidden;
    const char *text;
} pieces[] = {
    { true, "worker_processes auto;\n"
            "daemon off;\n"
            "error_log stderr warn;\n" },
    { false, "# Layer 4: TCP sessions, whatever they carry\n"
             "stream {\n"
             "    upstream database {\n"
             "        server 127.0.0.1:@d;\n"
             "        server 127.0.0.1:@e;\n"
             "        server 127.0.0.1:@f;\n"
             "    }\n"
             "    server {\n"
             "        listen 127.0.0.1:@4;\n"
             "        proxy_pass database;\n"
             "    }\n" },
#define SERVER(port, name) \
    "    server { listen 127.0.0.1:@" port "; return \"" name ", you are $remote_addr\\n\"; }\n"
    { true, SERVER("d", "database 1") SERVER("e", "database 2") SERVER("f", "database 3") },
#undef SERVER
    { false, "    # and three servers, which weir provides itself\n"
             "}\n" },
#if WR_HAVE_HTTP
    { false, "\n"
             "# Layer 7: HTTP requests, by what they ask for\n"
             "http {\n"
             "    upstream api_servers {\n"
             "        server 127.0.0.1:@a;\n"
             "        server 127.0.0.1:@b;\n"
             "        server 127.0.0.1:@c;\n"
             "    }\n"
             "    upstream media_servers {\n"
             "        server 127.0.0.1:@m;\n"
             "        server 127.0.0.1:@n;\n"
             "    }\n"
             "    server {\n"
             "        listen 127.0.0.1:@7;\n"
             "        proxy_set_header Host $host;\n"
             "        proxy_set_header X-Real-IP $remote_addr;\n"
             "        add_header X-Upstream $upstream_addr;\n"
             "        location /api/   { proxy_pass http://api_servers; }\n"
             "        location /media/ { proxy_pass http://media_servers/; }\n"
             "        location /       { return 404 \"try /api/ or /media/\\n\"; }\n"
             "    }\n" },
#define SERVER(port, name) \
    "    server {\n" \
    "        listen 127.0.0.1:@" port ";\n" \
    "        return 200 \"" name ": $request_uri, Host: $http_host, " \
    "X-Real-IP: $http_x_real_ip\\n\";\n" \
    "    }\n"
    { true, "    access_log off;\n"
            SERVER("a", "api 1") SERVER("b", "api 2") SERVER("c", "api 3")
            SERVER("m", "media 1") SERVER("n", "media 2") },
#undef SERVER
    { false, "    # and five servers, which weir provides itself; each says what it was asked\n"
             "}\n" },
#endif
};

static void fill_in(struct wr_text *t, const char *text)
{
    for (; *text != '\0'; text++) {
        const char *name = *text == '@' ? strchr(port_names, text[1]) : NULL;

        if (name == NULL || *name == '\0')
            wr_text_char(t, *text);
        else {
            wr_text_u64(t, ports[name - port_names]);
            text++;
        }
    }
}

/* ---- what to type ---- */

static const char told_l4[] =
    "\nType this in another terminal, several times; the servers take turns:\n\n"
    "    cat < /dev/tcp/127.0.0.1/@4                 # in bash\n"
    "    nc 127.0.0.1 @4 < /dev/null                 # in any shell, if nc is installed\n\n"
    "The answer:\n\n"
    "    database 1, you are 127.0.0.1\n\n";

#if WR_HAVE_HTTP
static const char told_l7[] =
    "And this ([1-4] makes curl send four requests):\n\n"
    "    curl -i http://127.0.0.1:@7/api/users\n"
    "    curl -s 'http://127.0.0.1:@7/api/[1-4]'\n"
    "    curl -s -H 'Host: example.com' http://127.0.0.1:@7/media/cat.jpg\n\n"
    "The answers:\n\n"
    "    HTTP/1.1 200 OK ... X-Upstream: 127.0.0.1:@a ...\n"
    "    api 1: /api/users, Host: 127.0.0.1, X-Real-IP: 127.0.0.1\n\n"
    "    api 2: /api/1, ...    api 3: /api/2, ...    api 1: /api/3, ...    api 2: /api/4, ...\n\n"
    "    media 1: /cat.jpg, Host: example.com, X-Real-IP: 127.0.0.1\n\n";
#endif

static void print_text(const char *indent, const char *text)
{
    char buf[2048];
    struct wr_text t = wr_text_on(buf, sizeof(buf));
    struct wr_str rest;

    fill_in(&t, text);
    rest = wr_text_view(&t);
    while (rest.n > 0) {
        struct wr_str line = wr_str_cut(&rest, '\n');
        printf("%s" WR_FMT "\n", line.n > 0 ? indent : "", WR_ARG(line));
    }
}

void wr_demo_tell(void)
{
    printf("\nweir runs this configuration (Ctrl-C ends it):\n\n");
    for (size_t i = 0; i < WR_COUNT(pieces); i++)
        if (!pieces[i].hidden)
            print_text("    ", pieces[i].text);
    print_text("", told_l4);
#if WR_HAVE_HTTP
    print_text("", told_l7);
#endif
    printf("Next, run weir with a configuration file of your own:\n\n"
           "    %s -c FILE\n"
           "    %s --help all         # every directive\n", wr_master.options->program,
           wr_master.options->program);
    fflush(stdout);
}

bool wr_demo_rights(void)
{
    struct wr_core_conf c = { 0 };
    const char *step;

    if (geteuid() != 0 || !wr_user_find(WR_STR(WR_USER), WR_STR(WR_GROUP), &c))
        return true;
    if (wr_drop_rights(WR_USER, c.uid, c.gid, 0, &step)) {
        wr_memory_show(true); /* readable in /proc, as if that user had started it */
        return true;
    }
    fprintf(stderr, "weir: [emerg] %s to user \"%s\" failed (%d: %s)\n", step, WR_USER, errno,
            strerror(errno));
    return false;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    (void)remove(path);
    return 0;
}

static int run_demo(const struct wr_options *o)
{
    char conf[8192];
    struct wr_text t = wr_text_on(conf, sizeof(conf));
    struct wr_cycle *c;

    if (!free_ports())
        return 1;
    wr_text_fmt(&t, "pid %sdemo-%d.pid;\n", wr_paths.prefix, (int)getpid());
    for (size_t i = 0; i < WR_COUNT(pieces); i++)
        fill_in(&t, pieces[i].text);
    WR_ASSERT(!t.overflow);
    c = wr_master_segment() ? wr_cycle_load_text("demo", wr_text_view(&t)) : NULL;
    return c == NULL ? 1 : wr_master_run(c, o);
}

int wr_demo(const struct wr_options *o)
{
    int code = run_demo(o);

    if (wr_paths.home != NULL)
        (void)nftw(wr_paths.home, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    return code;
}

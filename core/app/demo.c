/* demo: weir --demo. An example that needs nothing: a group of three servers which weir serves
 * itself, on free ports of this machine, in the foreground. Called by main; the master tells what
 * to type once it runs. */
#include "app/app.h"

#include <errno.h>
#include <unistd.h>

#define BACKENDS 3

static uint16_t front, back[BACKENDS];

/* The kernel knows a free port; it stays free for the moment until it is opened for good. */
static bool free_ports(uint16_t *out, size_t n)
{
    struct wr_listen_opts o = { .type = SOCK_STREAM, .setfib = -1 };
    const char *step = "";
    int fd[BACKENDS + 1];
    struct wr_addr a;
    size_t got = 0;
    bool ok = wr_addr_parse_ip(WR_STR("127.0.0.1"), &a);

    while (ok && got < n) {
        struct wr_addr bound;

        fd[got] = wr_socket_listen(&a, &o, &step);
        ok = fd[got] >= 0 && wr_socket_local(fd[got], &bound);
        if (!ok) {
            fprintf(stderr, "weir: [emerg] %s to 127.0.0.1 failed (%d: %s)\n", step, errno,
                    strerror(errno));
            break;
        }
        out[got++] = wr_addr_port(&bound);
    }
    for (size_t i = 0; i < got; i++)
        close(fd[i]);
    return ok;
}

/* %s: pid file. The ports follow. */
static const char text[] =
    "worker_processes auto;\n"
    "daemon off;\n"
    "error_log stderr warn;\n"
    "pid %sdemo-%d.pid;\n"
    "\n"
    "stream {\n"
    "    upstream backends {\n"
    "        server 127.0.0.1:%u;\n"
    "        server 127.0.0.1:%u;\n"
    "        server 127.0.0.1:%u;\n"
    "    }\n"
    "    server {\n"
    "        listen 127.0.0.1:%u;\n"
    "        proxy_pass backends;\n"
    "    }\n"
    "\n"
    "    # The backends, played by weir itself.\n"
    "    server { listen 127.0.0.1:%u; return \"hello from backend 1 ($remote_addr)\\n\"; }\n"
    "    server { listen 127.0.0.1:%u; return \"hello from backend 2 ($remote_addr)\\n\"; }\n"
    "    server { listen 127.0.0.1:%u; return \"hello from backend 3 ($remote_addr)\\n\"; }\n"
    "}\n";

void wr_demo_tell(void)
{
    printf("\nweir runs this configuration (Ctrl-C ends it):\n\n");
    printf("    stream {\n"
           "        upstream backends {\n");
    for (int i = 0; i < BACKENDS; i++)
        printf("            server 127.0.0.1:%u;\n", (unsigned)back[i]);
    printf("        }\n"
           "        server {\n"
           "            listen 127.0.0.1:%u;\n"
           "            proxy_pass backends;\n"
           "        }\n"
           "        # and three servers that answer \"hello from backend N\"\n"
           "    }\n\n", (unsigned)front);
    printf("Type this in another terminal, several times; the backends take turns:\n\n"
           "    nc -N 127.0.0.1 %u\n"
           "    cat < /dev/tcp/127.0.0.1/%u        # with bash alone\n"
           "    curl -s telnet://127.0.0.1:%u </dev/null\n\n"
           "It answers:\n\n"
           "    hello from backend 1 (127.0.0.1)\n\n"
           "Next: write your own file and run  weir -c FILE ; weir --help all  lists what it may"
           " say.\n", (unsigned)front, (unsigned)front, (unsigned)front);
    fflush(stdout);
}

int wr_demo(const struct wr_options *o)
{
    uint16_t ports[BACKENDS + 1];
    struct wr_cycle *c;
    char conf[4096];

    if (!free_ports(ports, BACKENDS + 1))
        return 1;
    front = ports[0];
    memcpy(back, ports + 1, sizeof(back));
    snprintf(conf, sizeof(conf), text, wr_places.prefix, (int)getpid(), back[0], back[1], back[2],
             front, back[0], back[1], back[2]);
    c = wr_master_common() ? wr_cycle_load_text("demo", wr_str_c(conf)) : NULL;
    return c == NULL ? 1 : wr_master_run(c, o);
}

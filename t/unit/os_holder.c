/* The process that has an address: its sockets are found in /proc by address, type and state. */
#include "os/os.h"

#include "lib/unit.h"

#include <fcntl.h>

static struct wr_addr addr(const char *text)
{
    struct wr_addr a;

    ck_assert(wr_addr_parse(wr_str_c(text), 1, &a));
    return a;
}

/* Listens on a port the kernel chooses, and makes it the address. */
static int listen_any(struct wr_addr *a, int type)
{
    struct wr_listen_opts o = { .type = type };
    const char *step;
    int fd;

    wr_addr_set_port(a, 0);
    fd = wr_socket_listen(a, &o, &step);
    ck_assert_int_ge(fd, 0);
    ck_assert(wr_socket_local(fd, a));
    return fd;
}

static bool is_ours(const struct wr_addr *a, int type)
{
    struct wr_holder h;

    if (!wr_socket_holder(a, type, &h))
        return false;
    ck_assert_ptr_nonnull(strstr(h.title, "os_holder"));
    return h.pid == getpid();
}

START_TEST(finds_this_process)
{
    static const struct {
        const char *listens, *asked, *other;
    } table[] = {
        { "127.0.0.1", "127.0.0.1", "127.0.0.2" },
        { "0.0.0.0", "127.0.0.3", NULL },
        { "127.0.0.1", "0.0.0.0", NULL },
        { "[::1]", "[::1]", "127.0.0.1" },
        { "[::1]", "[::]", "[::2]" },
    };
    static const int types[] = { SOCK_STREAM, SOCK_DGRAM };

    for (size_t i = 0; i < 2 * WR_COUNT(table); i++) {
        int type = types[i % 2], other = types[1 - i % 2], fd;
        struct wr_addr a = addr(table[i / 2].listens), b;

        if (a.sa.sa_family == AF_INET6 && access("/proc/net/if_inet6", R_OK) != 0)
            continue;
        fd = listen_any(&a, type);
        b = addr(table[i / 2].asked);
        wr_addr_set_port(&b, wr_addr_port(&a));
        ck_assert_msg(is_ours(&b, type), "row %zu", i);
        ck_assert_msg(!is_ours(&b, other), "row %zu", i);
        if (table[i / 2].other != NULL) {
            b = addr(table[i / 2].other);
            wr_addr_set_port(&b, wr_addr_port(&a));
            ck_assert_msg(!is_ours(&b, type), "row %zu", i);
        }
        (void)close(fd);
        ck_assert_msg(!is_ours(&a, type), "row %zu", i);
    }
}
END_TEST

START_TEST(finds_a_unix_socket)
{
    char dir[] = "/tmp/weir-unit-XXXXXX", text[64];
    struct wr_listen_opts o = { .type = SOCK_STREAM };
    const char *step;
    struct wr_addr a;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(text, sizeof(text), "unix:%s/s", dir);
    a = addr(text);
    ck_assert(!is_ours(&a, SOCK_STREAM));
    fd = wr_socket_listen(&a, &o, &step);
    ck_assert_int_ge(fd, 0);
    ck_assert(is_ours(&a, SOCK_STREAM));
    (void)close(fd);
    ck_assert(!is_ours(&a, SOCK_STREAM));
    (void)unlink(a.un.sun_path);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

UNIT_MAIN("os/holder", finds_this_process, finds_a_unix_socket)

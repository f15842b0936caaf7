/* holder: finds the process that has an address, as far as /proc shows it: a user sees the user's
 * own processes, root sees all. The master calls it once, when a start fails because an address is
 * in use; the answer is for a message only and may be outdated before it is read. Parses what the
 * kernel writes. */
#include "os/os.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#define SOCKETS_MAX 64
#define LINE_MAX_READ 512

struct sockets {
    uint64_t inode[SOCKETS_MAX];
    uint32_t n;
};

/* ---- sockets with that address ---- */

/* Words are separated by one or more spaces. */
static struct wr_str next_word(struct wr_str *rest)
{
    while (rest->n > 0 && rest->p[0] == ' ')
        *rest = wr_str_skip(*rest, 1);
    return wr_str_cut(rest, ' ');
}

/* "0100007F:1F90": the address as 32-bit words in the byte order of the machine, then the port. */
static bool is_same_address(struct wr_str text, const struct wr_addr *a)
{
    struct wr_str hex = wr_str_cut(&text, ':');
    unsigned char bytes[16];
    char word[9] = "";
    bool any = true;

    if ((hex.n != 8 && hex.n != 32) || text.n != 4)
        return false;
    for (size_t i = 0; i < hex.n / 8; i++) {
        uint32_t w;

        memcpy(word, hex.p + 8 * i, 8);
        w = (uint32_t)strtoul(word, NULL, 16);
        memcpy(bytes + 4 * i, &w, sizeof(w));
        any = any && w == 0;
    }
    memcpy(word, text.p, 4);
    word[4] = '\0';
    if (strtoul(word, NULL, 16) != wr_addr_port(a))
        return false;
    if (any || wr_addr_wildcard(a))
        return true;
    return a->sa.sa_family == AF_INET ? hex.n == 8 && memcmp(bytes, &a->in.sin_addr, 4) == 0
                                      : hex.n == 32 && memcmp(bytes, &a->in6.sin6_addr, 16) == 0;
}

/* Columns: sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode. */
static bool is_inet_line(struct wr_str line, const struct wr_addr *a, uint64_t *inode)
{
    struct wr_str local, state, number = { NULL, 0 };

    (void)next_word(&line);
    local = next_word(&line);
    (void)next_word(&line);
    state = next_word(&line);
    for (int i = 0; i < 6; i++)
        number = next_word(&line);
    /* a listening socket, or an unconnected datagram socket */
    return (wr_str_is(state, "0A") || wr_str_is(state, "07")) && is_same_address(local, a)
        && wr_str_u64(number, inode);
}

/* Columns: number, references, protocol, flags, type, state, inode, path. */
static bool is_unix_line(struct wr_str line, const struct wr_addr *a, uint64_t *inode)
{
    struct wr_str number = { NULL, 0 };

    for (int i = 0; i < 7; i++)
        number = next_word(&line);
    return wr_str_is(line, a->un.sun_path) && wr_str_u64(number, inode);
}

static void find_sockets(struct sockets *s, const char *table, const struct wr_addr *a)
{
    FILE *f = fopen(table, "re");
    char buf[LINE_MAX_READ];

    if (f == NULL)
        return;
    while (s->n < SOCKETS_MAX && fgets(buf, sizeof(buf), f) != NULL) {
        struct wr_str line = wr_str_of(buf, strcspn(buf, "\n"));

        s->n += a->sa.sa_family == AF_UNIX ? is_unix_line(line, a, &s->inode[s->n])
                                           : is_inet_line(line, a, &s->inode[s->n]);
    }
    fclose(f);
}

/* ---- processes that have one of them ---- */

static bool is_wanted_fd(const struct sockets *s, int fds, const char *name)
{
    struct wr_str text, head = WR_STR("socket:[");
    char target[64];
    ssize_t n = readlinkat(fds, name, target, sizeof(target));
    uint64_t inode;

    text = wr_str_of(target, (size_t)wr_max(n, 0));
    if (!wr_str_starts(text, head) || !wr_str_ends(text, WR_STR("]")))
        return false;
    text = wr_str_skip(text, head.n);
    text.n--;
    for (uint32_t i = 0; wr_str_u64(text, &inode) && i < s->n; i++)
        if (s->inode[i] == inode)
            return true;
    return false;
}

static bool has_wanted_fd(const struct sockets *s, int proc)
{
    int fds = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fds >= 0 ? fdopendir(fds) : NULL;
    const struct dirent *e;
    bool has = false;

    if (dir == NULL) {
        if (fds >= 0)
            (void)close(fds);
        return false;
    }
    while (!has && (e = readdir(dir)) != NULL)
        has = is_wanted_fd(s, fds, e->d_name);
    (void)closedir(dir);
    return has;
}

static void read_title(int proc, struct wr_holder *h)
{
    int fd = openat(proc, "cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, h->title, sizeof(h->title) - 1) : 0;

    if (fd >= 0)
        (void)close(fd);
    n = wr_max(n, 0);
    for (ssize_t i = 0; i < n; i++)
        if (h->title[i] == '\0')
            h->title[i] = ' ';
    while (n > 0 && h->title[n - 1] == ' ')
        n--;
    h->title[n] = '\0';
}

static bool check_process(const struct sockets *s, int all, const char *name, struct wr_holder *h)
{
    int proc = openat(all, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool has = proc >= 0 && has_wanted_fd(s, proc);

    if (has) {
        h->pid = (pid_t)strtol(name, NULL, 10);
        read_title(proc, h);
    }
    if (proc >= 0)
        (void)close(proc);
    return has;
}

bool wr_socket_holder(const struct wr_addr *a, int type, struct wr_holder *out)
{
    struct sockets s = { .n = 0 };
    const struct dirent *e;
    DIR *dir;

    *out = (struct wr_holder){ .pid = 0 };
    if (a->sa.sa_family == AF_UNIX) {
        find_sockets(&s, "/proc/net/unix", a);
    } else {
        find_sockets(&s, type == SOCK_DGRAM ? "/proc/net/udp" : "/proc/net/tcp", a);
        find_sockets(&s, type == SOCK_DGRAM ? "/proc/net/udp6" : "/proc/net/tcp6", a);
    }
    dir = s.n > 0 ? opendir("/proc") : NULL;
    if (dir == NULL)
        return false;
    while (out->pid == 0 && (e = readdir(dir)) != NULL)
        if (isdigit((unsigned char)e->d_name[0]))
            (void)check_process(&s, dirfd(dir), e->d_name, out);
    (void)closedir(dir);
    return out->pid != 0;
}

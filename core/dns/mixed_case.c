/* Mixed case in questions to name servers (draft-vixie-dnsext-dns0x20): servers repeat the question
 * in their answer, so each letter adds a bit that a forged answer has to guess. c-ares ignores
 * case, so the socket functions here read its sockets: they drop a datagram whose question is not
 * one of ours to the letter, and c-ares goes on waiting for the true answer. Answers over TCP
 * cannot be forged blindly and are not checked. channel calls it. It owns nothing. */
#include "dns/dns_impl.h"

#include <ares.h>
#include <errno.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

#define DATAGRAMS_A_TURN 64

void wr_case_mix(const char *name, char mixed[static WR_ASK_NAME])
{
    unsigned char bits[WR_ASK_NAME / 8];
    size_t i;

    if (getrandom(bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
        for (i = 0; i < sizeof(bits); i++)
            bits[i] = (unsigned char)wr_random();
    for (i = 0; name[i] != '\0' && i < WR_ASK_NAME - 1; i++) {
        bool up = (bits[i / 8] >> i % 8 & 1) != 0;

        mixed[i] = up && name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    }
    mixed[i] = '\0';
}

static bool is_asked(const struct wr_link *asks, const void *p, size_t n)
{
    for (const struct wr_link *k = asks->next; k != asks; k = k->next) {
        const struct wr_ask *a = wr_container(k, struct wr_ask, link);

        if (wr_dns_asks(p, n, wr_str_c(a->mixed), a->type))
            return true;
    }
    return false;
}

static bool is_datagram(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM;
}

/* The sockets are watched level triggered: datagrams left here are read in the next turn. */
static ares_ssize_t receive_answer(ares_socket_t fd, void *p, size_t size, int flags,
                                   struct sockaddr *from, ares_socklen_t *len, void *asks)
{
    const ares_socklen_t room = len != NULL ? *len : 0;
    const bool is_stream = !is_datagram(fd);

    for (int i = 0; i < DATAGRAMS_A_TURN; i++) {
        ssize_t n;

        if (len != NULL)
            *len = room;
        n = recvfrom(fd, p, size, flags, from, len);
        if (n < 0 || is_stream || is_asked(asks, p, (size_t)n))
            return n;
    }
    errno = EAGAIN;
    return -1;
}

static ares_socket_t open_socket(int family, int type, int protocol, void *asks)
{
    (void)asks;
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *asks)
{
    (void)asks;
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
                          void *asks)
{
    (void)asks;
    return connect(fd, to, len);
}

static ares_ssize_t send_question(ares_socket_t fd, const struct iovec *v, int n, void *asks)
{
    (void)asks;
    return writev(fd, v, n);
}

void wr_case_watch(void *ares, struct wr_link *asks)
{
    static const struct ares_socket_functions functions = {
        open_socket, close_socket, connect_socket, receive_answer, send_question,
    };

    ares_set_socket_functions(ares, &functions, asks);
}

/* Private to the files of datagram. */
#ifndef WR_DATAGRAM_IMPL_H
#define WR_DATAGRAM_IMPL_H

#include "datagram/datagram.h"

/* ---- train ---- */
struct wr_arrivals {           /* what one call read from a listening socket */
    struct wr_train train[WR_TRAINS];
    struct wr_addr client[WR_TRAINS], local[WR_TRAINS];
    uint32_t n;
};
/* Reads what waits; it is valid until the next call. False: errno; EAGAIN: nothing waits. */
bool wr_arrivals_read(const struct wr_accepting *a, struct wr_arrivals *out) WR_CHECKED;

struct wr_envelope {           /* addresses of datagrams that are sent from a listening socket */
    const struct wr_addr *to, *from; /* from NULL: the socket's own */
};
/* Sends to that client. OK, AGAIN as wr_trains_send. The datagrams that cannot be sent are left
 * out: *err has the errno of the last one. */
enum wr_io wr_envelope_send(int fd, const struct wr_envelope *e, struct wr_trains *l,
                            struct wr_count *sent, int *err) WR_CHECKED;

/* ---- mail ---- */
#define WR_DATAGRAM_MOST 65536 /* bytes, and a little more than any has */
#define WR_MAIL_RING (256 * 1024) /* bytes that wait in a box; a power of 2 */
struct wr_mail {
    struct wr_addr client, local;
    struct wr_str bytes;
    bool returned;             /* by the process that had the session, and has it no more */
};
struct wr_mail_record {        /* in a ring; the datagram is behind it */
    uint32_t size;             /* of all, a multiple of 8 */
    uint32_t n;                /* of the datagram */
    uint32_t from;             /* box of the sender */
    uint32_t returned;
    struct wr_addr client, local;
};
/* Pure: a record of which so many bytes wait, datagram and all. */
bool wr_mail_is_valid(const struct wr_mail_record *r, uint64_t waiting);
uint64_t wr_mail_key(const struct wr_addr *client, const struct wr_addr *local);
/* This process has the session of that key, or has it no longer. */
void wr_mail_show(uint64_t key);
void wr_mail_hide(uint64_t key);
/* True: another process has the session; the datagrams are on the way to it, or lost. */
bool wr_mail_forward(uint64_t key, const struct wr_addr *client, const struct wr_addr *local,
                     struct wr_trains *l) WR_CHECKED;

/* ---- flow ---- */
/* Passes mail to its session; false: it is not here. */
bool wr_flow_found(const struct wr_addr *client, const struct wr_addr *local,
                   struct wr_trains *l) WR_CHECKED;
/* Begins a session with mail that has come back. */
void wr_flow_begin(struct wr_accepting *a, const struct wr_addr *client,
                   const struct wr_addr *local, struct wr_trains *l);
/* Datagrams of one client have arrived: passes them to its session, or begins one. */
void wr_flow_arrived(struct wr_accepting *a, const struct wr_addr *client,
                     const struct wr_addr *local, struct wr_trains *l);

#endif

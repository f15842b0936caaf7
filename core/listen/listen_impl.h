/* What the two files of the listen directive share: listen_addr (where) and listen_conf (the rest).
 * Included by them only. */
#ifndef WR_LISTEN_IMPL_H
#define WR_LISTEN_IMPL_H

#include "listen/listen.h"

/* The addresses one line means: all of addrs with all ports. A unix path has port 0. */
struct wr_listen_addrs {
    struct wr_cf *cf;
    WR_VEC(struct wr_addr) addrs;
    uint16_t first_port, last_port;
};
/* Reads word 1 of w->cf's directive; default_port 0: a port is required. False: an error was
 * reported. */
bool wr_listen_addrs_read(struct wr_listen_addrs *w, uint16_t default_port) WR_CHECKED;

#endif

/* Private to listen_addr and listen_conf, the two files of the listen directive. */
#ifndef WR_LISTEN_IMPL_H
#define WR_LISTEN_IMPL_H

#include "listen/listen.h"

/* The addresses of one line: each of addrs with each port. A unix path has port 0. */
struct wr_listen_addrs {
    struct wr_cf *cf;
    WR_VEC(struct wr_addr) addrs;
    uint16_t first_port, last_port;
};
/* Reads word 1 of the directive w->cf is at; default_port 0: a port is required. False: an error
 * was reported. */
bool wr_listen_addrs_read(struct wr_listen_addrs *w, uint16_t default_port) WR_CHECKED;

#endif

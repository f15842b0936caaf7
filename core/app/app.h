/* app: the program. Rank 6: knows everything below, and modules only through objs/modules.c.
 *
 * Map: main (command line), options, cycle (load a configuration, open what it needs, hand over
 * from the one before), master (fork, supervise, signals, upgrade), worker, keeper, core_conf
 * (main and events directives), demo. */
#ifndef WR_APP_H
#define WR_APP_H

#include "stream/stream.h"

#define WR_VERSION "0.1.0"
#define WR_NGINX_VERSION "1.31.5" /* whose behaviour and grammar we follow; $nginx_version */

struct wr_options {
    const char *conf, *prefix, *error_log, *globals, *signal, *help_word;
    bool test, dump, quiet, version, version_full, help, demo;
};
bool wr_options_parse(int argc, char **argv, struct wr_options *o);

struct wr_core_conf {             /* of wr_module_core: main and events */
    uint32_t worker_processes;    /* 0 while defaulting; auto = cores */
    bool daemon, master_process;
    struct wr_str pid, lock_file, user, group, working_directory;
    uid_t uid;
    gid_t gid;
    uint64_t worker_rlimit_nofile, worker_rlimit_core, shutdown_timeout_ms;
    int32_t worker_priority;
    uint32_t worker_connections;
    /* affinity masks, env list, thread pools, debug_connection list: see core_conf.c */
};
extern struct wr_module wr_module_core;

/* ---- cycle: one generation of the configuration, as the master sees it ---- */
struct wr_cycle {
    struct wr_conf *conf;
    uint32_t generation;
    uint32_t workers;
    struct wr_shm *owners;        /* _Atomic uint32_t per accepting descriptor: the worker index */
    struct wr_cycle *old;
};

int wr_master_run(struct wr_cycle *c, const struct wr_options *o);
void wr_worker_run(struct wr_cycle *c, uint32_t slot, uint32_t index) WR_NORETURN;
void wr_keeper_run(struct wr_cycle *c, uint32_t slot) WR_NORETURN;

#endif

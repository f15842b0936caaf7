/* expires_time: the meaning of the values of `expires`. Pure but for the time zone; headers.c calls
 * it when a configuration is read, and for each reply where the value has variables. */
#ifndef WR_EXPIRES_TIME_H
#define WR_EXPIRES_TIME_H

#include "base/base.h"

enum wr_expires_kind {
    WR_EXPIRES_OFF,
    WR_EXPIRES_EPOCH,
    WR_EXPIRES_MAX,
    WR_EXPIRES_ACCESS,   /* counted from now */
    WR_EXPIRES_MODIFIED, /* counted from Last-Modified */
    WR_EXPIRES_DAILY     /* seconds after midnight, local time */
};
struct wr_expires {
    enum wr_expires_kind kind;
    int64_t seconds;
};
/* "1h", "-1", "@15h30m", "epoch", "max", "off". modified: the word `modified` comes before, so only
 * a time is allowed. NULL, or the error in nginx's words. */
const char *wr_expires_parse(struct wr_str value, bool modified, struct wr_expires *out) WR_CHECKED;

struct wr_expiry {
    time_t at;
    int64_t max_age;     /* below 0: no-cache */
};
/* last_modified -1: unknown, now stands for it. e is not OFF. */
struct wr_expiry wr_expires_at(const struct wr_expires *e, time_t now, time_t last_modified);

#endif

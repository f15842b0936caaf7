/* cache_control: what the fields of a head say about caching (RFC 9111 5, RFC 5861, RFC 8246,
 * RFC 9213, X-Accel-Expires). Pure: views point into the fields. */
#ifndef WR_CACHE_CONTROL_H
#define WR_CACHE_CONTROL_H

#include "message/message.h"

enum wr_cc {                   /* directives that are on or off: bits */
    WR_CC_NO_STORE = 1, WR_CC_NO_CACHE = 2, WR_CC_PRIVATE = 4, WR_CC_PUBLIC = 8,
    WR_CC_MUST_REVALIDATE = 16, WR_CC_PROXY_REVALIDATE = 32, WR_CC_MUST_UNDERSTAND = 64,
    WR_CC_NO_TRANSFORM = 128, WR_CC_IMMUTABLE = 256, WR_CC_ONLY_IF_CACHED = 512
};
#define WR_CC_ABSENT UINT32_MAX
#define WR_CC_FOREVER 2147483648U /* greater numbers become this: RFC 9111 1.2.2 */

struct wr_cache_control {
    uint32_t flags;            /* wr_cc bits; NO_CACHE and PRIVATE: without a list of fields */
    /* Seconds, or WR_CC_ABSENT. What is not a number is 0, that is stale (RFC 9111 4.2.1); of
     * several directives of one name the first counts. max-stale without a number: FOREVER. */
    uint32_t max_age, s_maxage, while_revalidate, if_error, max_stale, min_fresh;
    /* Names of fields as in no-cache="a, b"; p NULL: no such directive. */
    struct wr_str no_cache_fields, private_fields;
};
void wr_cache_control_init(struct wr_cache_control *c);
void wr_cache_control_add(struct wr_cache_control *c, struct wr_str value); /* of one field */
/* All Cache-Control fields of a reply. */
struct wr_cache_control wr_cache_control_reply(const struct wr_fields *f);
/* Those of a request. Without any, Pragma: no-cache counts as no-cache (RFC 9111 5.4). */
struct wr_cache_control wr_cache_control_request(const struct wr_fields *f);
/* CDN-Cache-Control (RFC 9213), a dictionary of RFC 8941. False: there is none, it is empty or not
 * well-formed; then Cache-Control and Expires hold. */
bool wr_cache_control_targeted(const struct wr_fields *f,
                               struct wr_cache_control *out) WR_CHECKED;
/* True: the name of a field is in a list like no_cache_fields. */
bool wr_cache_control_lists(struct wr_str list, struct wr_str name);

enum wr_accel_kind {
    WR_ACCEL_NONE,             /* absent, or not a number: nginx passes it over, "off" as well */
    WR_ACCEL_OFF,              /* 0: not to be stored */
    WR_ACCEL_FOR,              /* seconds from now */
    WR_ACCEL_UNTIL             /* "@" and Unix time; it may be over */
};
struct wr_accel_expires {
    enum wr_accel_kind kind;
    uint64_t seconds;          /* at most 2^31 from now, or the time, at most 2^40 */
};
struct wr_accel_expires wr_accel_expires(const struct wr_fields *f);

/* True: there is an Expires field. *at: its time; -1: it is not a date, that is, it is over. Of
 * several fields the first counts (RFC 9111 4.2.1, 5.3). */
bool wr_expires_field(const struct wr_fields *f, int64_t *at) WR_CHECKED;
/* Seconds of the Age field, at most 2^31. False: none, or it is not a number. The first member of
 * the first field counts (RFC 9111 5.1). */
bool wr_age_field(const struct wr_fields *f, uint32_t *seconds) WR_CHECKED;

#endif

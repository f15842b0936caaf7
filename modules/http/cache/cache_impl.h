/* cache_impl: shared by the files of the response cache that know the engine.
 *
 * Map: http_cache (the module: its rows and hook), cache_conf (setters of the rows), cache_path
 * (proxy_cache_path: zones), cache_look (a request looks for a stored reply, waits for one, or
 * asks a server), cache_ask (changes the request to it), cache_serve (a stored reply as the reply
 * of a server), cache_variant (replies of one key that vary), cache_keep (a server's reply on its
 * way into the cache), cache_tee (the endpoint that it is read from), cache_encode (its bytes),
 * cache_take (what becomes of a server's reply, or of its failure), cache_admit (from a file into
 * memory), cache_keeper (loads and evicts), cache_vars.
 *
 * Libraries below, which know no request: freshness, cache_control, vary (pure); cache_object (the
 * bytes), cache_file, cache_read, cache_write, cache_load, cache_evict (the disk); cache_store,
 * cache_index, cache_memory, cache_wait, tag_table (shared memory). */
#ifndef WR_CACHE_IMPL_H
#define WR_CACHE_IMPL_H

#include "cache_evict.h"
#include "cache_read.h"
#include "cache_store.h"
#include "cache_tags.h"
#include "cache_write.h"
#include "freshness.h"
#include "vary.h"

extern struct wr_module wr_module_http_cache;

/* ---- proxy_cache_path ---- */
struct wr_cache_zone {         /* of a configuration */
    uint32_t magic;
    struct wr_str name;        /* of keys_zone */
    const char *path;          /* absolute */
    const struct wr_node *node;
    size_t keys_size, memory_size; /* bytes; memory_size 0: no tier in memory */
    uint8_t levels[3];         /* digits of the folders' names; 0: no such level */
    bool disk;
    uint64_t inactive_s, max_size, min_free; /* max_size UINT64_MAX: no limit */
    struct wr_cache_pace manager_pace, loader_pace, purger_pace;
    bool purge;                /* purger=on */
    struct wr_cache_folder folder;
    struct wr_cache_store store;
    _Atomic uint64_t *owner;   /* shared, of the folder: number of the keeper that may change it */
    struct wr_cache_evictor *evictor; /* keeper only, like the fields below */
    struct wr_cache_loader *loader, *purger; /* NULL: does not run */
    struct wr_timer purge_timer, tend_timer;
    struct wr_task purge_task, tend_task;
    uint32_t tended;                  /* how far the walk through the index has come */
    uint64_t purged_us;               /* purges up to then were looked for in all files */
    struct wr_cache_zone *next;
};
struct wr_cache_state {        /* of a configuration */
    struct wr_cache_zone *zones;
};
bool wr_cache_set_path(struct wr_cf *cf, void *conf);
/* A zone by name; NULL: there is none. */
struct wr_cache_zone *wr_cache_zone_find(const struct wr_conf *c, struct wr_str name);
struct wr_cache_rows;
/* Reports that there is no zone of the name in the rows; always false. */
bool wr_cache_zone_unknown(struct wr_cf *cf, const struct wr_cache_rows *r);

/* ---- the rows of a family: proxy_cache and its kin ---- */
#define WR_STALE_OFF 2048u     /* the word off of use_stale, beside the bits of freshness.h */
struct wr_cache_valid { uint32_t status; uint64_t s; }; /* status 0: any */
struct wr_cache_tests {        /* true: one of the texts is neither empty nor "0" */
    WR_VEC(struct wr_template *) list;
};
struct wr_cache_rows {         /* by location */
    struct wr_cache_zone *zone; /* NULL: off, or named at run time */
    struct wr_str zone_name;   /* as written; p NULL: off */
    struct wr_template *zone_tpl, *key; /* NULL: none */
    const struct wr_node *node; /* of proxy_cache */
    WR_VEC(struct wr_cache_valid) valid;
    struct wr_cache_tests bypass, no_cache, purge;
    uint32_t methods;          /* bits 1 << WR_M_GET */
    uint32_t min_uses, use_stale;
    uint64_t lock_age_ms, lock_timeout_ms, max_range_offset;
    struct wr_template *tag;   /* list of tags of a reply; NULL: none */
    bool lock, background, revalidate, convert_head, rfc9111;
    bool limits_range;         /* there is a max_range_offset */
};
struct wr_cache_conf {         /* of wr_module_http_cache, by location */
    struct wr_cache_rows proxy;
    bool status;               /* cache_status */
};
bool wr_cache_set_zone(struct wr_cf *cf, void *conf);
bool wr_cache_set_valid(struct wr_cf *cf, void *conf);
bool wr_cache_set_methods(struct wr_cf *cf, void *conf);
bool wr_cache_set_range(struct wr_cf *cf, void *conf);
bool wr_cache_set_tests(struct wr_cf *cf, void *conf); /* field: struct wr_cache_tests */
bool wr_cache_set_purge(struct wr_cf *cf, void *conf); /* the same, and not true for all requests */
extern const struct wr_enum wr_stale_words[];
/* Seconds that replies of this status are fresh by proxy_cache_valid; -1: it has no line. */
int64_t wr_cache_valid_s(const struct wr_cache_rows *r, unsigned status);
bool wr_cache_is_any(struct wr_exchange *x, const struct wr_cache_tests *t);

/* ---- a request ---- */
enum wr_cache_outcome {         /* $upstream_cache_status */
    WR_CACHE_NONE, WR_CACHE_MISS, WR_CACHE_BYPASS, WR_CACHE_EXPIRED, WR_CACHE_STALE,
    WR_CACHE_UPDATING, WR_CACHE_REVALIDATED, WR_CACHE_HIT
};
struct wr_cache_ctx {          /* of wr_module_http_cache, of an exchange */
    const struct wr_cache_rows *rows; /* NULL: the cache has nothing to do with the request */
    struct wr_cache_zone *zone;
    struct wr_cache_control request; /* with rfc9111: what the client says; else zero */
    struct wr_str key;
    struct wr_cache_name name; /* of the key, or of a variant of it */
    uint64_t variant;          /* 0: none */
    const struct wr_variant *varies; /* what the request has for that; NULL: no variant */
    struct wr_str names;       /* of the fields that the key's replies vary by; p NULL: unknown */
    enum wr_cache_outcome status;
    uint64_t created_us;       /* stamp of the object that the server is asked for */
    uint64_t asked_ms;         /* wall time of that */
    bool stores;               /* the reply may be stored */
    bool converts;             /* HEAD is sent as GET */
    bool revalidates;          /* the server is asked with the stored validators */
    bool refused;              /* the request does not accept what is stored and fresh */
    bool refresh_after;        /* a stale reply is sent, the server is asked behind it */
    bool asks_anew;            /* that begins now: another location's request is not it */
    bool leads, updates;       /* view is the token to end that with */
    bool looking;              /* in the middle of a look-up: it waits */
    bool reads;                /* a thread opens the file */
    bool cleans;               /* the pool will end all this */
    struct wr_cache_view view;
    struct wr_cache_waiter waiter;
    uint64_t wait_until_ms;    /* 0: does not wait */
    /* what is stored, as far as it was found */
    bool found;
    struct wr_cache_object object;
    struct wr_str whole;       /* its bytes, if they were copied; p NULL: in the file, or pinned */
    struct wr_cache_pinned pinned;
    struct wr_cache_read *read; /* NULL: no file was asked for */
    /* what is being stored */
    struct wr_cache_tags tags;
    uint32_t lacks;            /* the body, as WR_CACHE_BODILESS or WR_CACHE_OF_HEAD say */
    bool kept;                 /* the reply is stored, all of it */
    const char *why_not;       /* why it may not be stored; NULL: it may, or nobody knows yet */
    struct wr_cache_keep *fill;
    const struct wr_endpoint_ops *real; /* of the server's endpoint, which is wrapped */
};
static inline struct wr_cache_ctx *wr_cache_ctx_of(struct wr_exchange *x)
{
    return wr_ctx_of(x, &wr_module_http_cache);
}
/* cache_key */
const struct wr_cache_rows *wr_cache_rows_of(const struct wr_exchange *x);
/* The key of the request; p NULL: too long. */
struct wr_str wr_cache_key(struct wr_exchange *x, const struct wr_cache_rows *r);
/* *out NULL: off for this request. False: there is no zone of that name (logged). */
bool wr_cache_zone_of(struct wr_exchange *x, const struct wr_cache_rows *r,
                      struct wr_cache_zone **out) WR_CHECKED;

/* cache_find */
enum wr_cache_finding {
    WR_CACHE_THERE,            /* c->found, c->object */
    WR_CACHE_ABSENT,
    WR_CACHE_READING           /* a thread opens the file: ask again when woken */
};
enum wr_cache_finding wr_cache_find(struct wr_exchange *x, struct wr_cache_ctx *c);

/* cache_variant */
/* Takes `names` as the fields that replies vary by (n 0: none), and makes c->name that of this
 * request's variant. False: its values are too long. */
bool wr_cache_vary_by(struct wr_exchange *x, struct wr_cache_ctx *c, struct wr_str names);
/* True: the object only tells what replies of the key vary by. */
bool wr_cache_is_marker(const struct wr_cache_object *o);
struct wr_str wr_cache_marker_names(struct wr_exchange *x, const struct wr_cache_object *o);
/* Is what was found the variant of this request? Different values may have one number. */
bool wr_cache_is_same_variant(const struct wr_cache_ctx *c);
/* Finds out which variant of the key the reply in h->res is, and stores a marker that tells so.
 * False: it is one for this request only. */
bool wr_cache_variant_place(struct wr_exchange *x, struct wr_cache_ctx *c);

/* cache_admit: takes the object that was found in a file into memory. */
void wr_cache_admit(struct wr_exchange *x, struct wr_cache_ctx *c);

/* cache_look */
enum wr_cache_said {           /* by a leader, in wr_cache_view.user */
    WR_CACHE_NEVER,            /* the reply is not stored: nobody need wait for it */
    WR_CACHE_SOON              /* it has come, and is stored in a moment */
};
uint64_t wr_cache_say(enum wr_cache_said what); /* now */
enum wr_verdict wr_cache_start(struct wr_exchange *x);
struct wr_use_ask wr_cache_use_ask(const struct wr_cache_ctx *c); /* for freshness */
void wr_cache_lead_end(struct wr_cache_ctx *c); /* of a request that stores nothing; idempotent */
void wr_cache_lead_in_vain(struct wr_cache_ctx *c); /* and nobody need wait for the next one */

/* cache_ask, cache_take: the other parts of the hook */
void wr_cache_request(struct wr_exchange *x, struct wr_request_out *out);
void wr_cache_head(struct wr_exchange *x);
void wr_cache_intercept(struct wr_exchange *x);
bool wr_cache_fail(struct wr_exchange *x);
bool wr_cache_after(struct wr_exchange *x);

/* cache_serve */
/* Makes what was found the reply of the exchange: h->res, and x->peer. */
void wr_cache_use(struct wr_exchange *x, struct wr_cache_ctx *c, enum wr_cache_outcome status);

/* cache_encode */
/* Collects what is stored beside the reply in h->res. */
struct wr_cache_facts wr_cache_facts_of(struct wr_exchange *x, const struct wr_cache_ctx *c,
                                        const struct wr_freshness *fresh);
/* The bytes before the body, in the pool. False: too many to be stored, which is no error. */
bool wr_cache_encode_reply(struct wr_exchange *x, const struct wr_cache_ctx *c,
                           const struct wr_cache_facts *facts, struct wr_str *out) WR_CHECKED;
/* Fills c->tags: those of the reply, and the one by which a purge of the key finds its variants.
 * False: they cannot all be kept, so a purge might pass the reply by. */
bool wr_cache_take_tags(struct wr_exchange *x, struct wr_cache_ctx *c) WR_CHECKED;

/* cache_keep, cache_tee */
/* The reply in h->res, as received, is stored as it comes: wraps x->peer. */
void wr_cache_keep_begin(struct wr_exchange *x, struct wr_cache_ctx *c,
                         const struct wr_freshness *fresh);
void wr_cache_keep_add(struct wr_cache_ctx *c, const char *p, size_t n); /* bytes of the body */
void wr_cache_keep_end(struct wr_cache_ctx *c);  /* the body is whole */
void wr_cache_keep_drop(struct wr_cache_ctx *c); /* not stored after all; idempotent */
/* Stores a reply without a body: all of it, at once. */
void wr_cache_keep_bare(struct wr_exchange *x, struct wr_cache_ctx *c,
                        const struct wr_freshness *fresh);
/* Stores only the head, for locations where error_page replaces the reply, too. */
void wr_cache_keep_head(struct wr_exchange *x, struct wr_cache_ctx *c);
/* Stores what was found with the head in h->res (a 304 was merged into it). */
void wr_cache_keep_again(struct wr_exchange *x, struct wr_cache_ctx *c,
                         const struct wr_freshness *fresh);
void wr_cache_keeps_end(void); /* the worker ends, and with it the threads */
void wr_cache_tee(struct wr_exchange *x, struct wr_cache_ctx *c);

/* cache_purge */
/* proxy_cache_purge: replies to the request; the key, or its tags, are purged. */
enum wr_verdict wr_cache_purge(struct wr_exchange *x, const struct wr_cache_rows *r);
/* Purges the replies of a key, with all variants. False: another process was in the way. */
bool wr_cache_purge_key(struct wr_cache_zone *z, struct wr_str key, bool soft, bool *was_there);

/* cache_purge_log */
void wr_cache_purge_log(struct wr_cache_zone *z, const struct wr_purge_record *r);
/* Restores all purges that the folder's files tell; returns how many bytes they have. Blocks. */
uint64_t wr_cache_purges_read(struct wr_cache_zone *z);
/* Keeper: writes the files anew, with what is still remembered, if they have grown to so many. */
void wr_cache_purges_settle(struct wr_cache_zone *z, struct wr_threads *t, uint64_t bytes);

extern const struct wr_keeper_hooks wr_cache_keeper;                        /* cache_keeper */
extern struct wr_threads *wr_cache_threads; /* of this worker; NULL: none */
extern const struct wr_variable wr_cache_vars[];

#endif

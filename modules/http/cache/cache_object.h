/* cache_object: a stored reply as one string of bytes, the same in memory and in a file. Pure; the
 * bytes may come from anywhere. Encoded by the writer, decoded by the memory tier, the reader and
 * the loader.
 *
 *   fixed part | tags | key | vary | head | body | trailers
 *
 * The fixed part has the lengths of all others, the times, and a checksum of everything before the
 * body. Numbers are in the order of this machine: on another one the format number does not fit.
 * The head is the reply as the server sent it: a status line and fields, each with its line end. */
#ifndef WR_CACHE_OBJECT_H
#define WR_CACHE_OBJECT_H

#include "freshness.h"

#include "http/http.h"

#define WR_CACHE_FORMAT 1                 /* raised when the fixed part or its meaning changes */
#define WR_CACHE_BEFORE_BODY_MAX (1 << 20) /* bytes before the body; more are not stored */
#define WR_CACHE_KEY_MAX 65535
#define WR_CACHE_VARY_MAX 32              /* fields */
#define WR_CACHE_TAGS_MAX 64
#define WR_CACHE_TRAILERS_MAX 65536
#define WR_CACHE_FIXED 192                /* bytes of the fixed part */

enum wr_cache_flag {                      /* kept as they are; their meaning is the caller's */
    WR_CACHE_VARIES = 1u << 0,            /* set by encode if there are vary fields */
    WR_CACHE_BODILESS = 1u << 2,          /* its body is not stored: error_page replaces it */
    WR_CACHE_OF_HEAD = 1u << 3            /* nor is it here: the server was asked by HEAD */
};

/* Stored beside the reply; a part of the format. */
struct wr_cache_facts {
    uint64_t created_us;       /* stamp of the request to the server (wr_purge_stamp): compared with
                                * purges, and tells two objects of one name apart; never 0 */
    uint64_t variant;          /* number of the variant, from its Vary fields; 0: there is none */
    struct wr_freshness fresh;
    int64_t last_modified_s;   /* Unix time; -1: none */
    uint32_t flags;            /* enum wr_cache_flag */
    uint32_t unused;           /* 0 */
};
struct wr_cache_vary {
    struct wr_str name, value; /* of a field of the request; value.p NULL: it had none */
};
struct wr_cache_object {
    struct wr_cache_facts facts;
    unsigned status;
    struct wr_str key;
    struct wr_str vary, tags;  /* raw: see wr_cache_vary_next, wr_cache_tag */
    struct wr_str head;        /* ends with an empty line */
    struct wr_str etag;        /* value of the field ETag, a view into head; p NULL: none */
    size_t body_at;            /* bytes before the body */
    uint64_t body_n;           /* UINT64_MAX: not known yet */
    uint32_t trailers_n;       /* bytes behind the body */
};

/* ---- encode ---- */
struct wr_cache_parts {        /* all borrowed */
    const struct wr_cache_facts *facts;
    struct wr_str key;
    const struct wr_cache_vary *vary;
    uint32_t nvary;
    const uint64_t *tags;
    uint32_t ntags;
    const struct wr_response *res; /* its status, reason, version, type and fields are stored. The
                                    * caller has removed fields that are not to be */
};
/* Appends everything before the body; the object is not sealed. False: a part is too long, or the
 * text overflowed. */
bool wr_cache_encode(struct wr_text *out, const struct wr_cache_parts *parts) WR_CHECKED;
/* Completes the bytes that encode appended: lengths and checksum. An object without a seal decodes
 * as broken. May be called in threads. */
void wr_cache_seal(char *bytes, size_t n, uint64_t body_n, uint32_t trailers_n);
/* ---- decode ---- */
enum wr_cache_decoded {
    WR_CACHE_WHOLE,            /* *o is filled, with views into the bytes */
    WR_CACHE_MORE,             /* o->body_at bytes are needed */
    WR_CACHE_FOREIGN,          /* does not begin like an object */
    WR_CACHE_OTHER_FORMAT,     /* of another version */
    WR_CACHE_BROKEN
};
/* bytes: the beginning of an object. Compares the checksum if `check`: they are from a file. With
 * MORE, and WR_CACHE_FIXED bytes, the facts and lengths are filled in. */
enum wr_cache_decoded wr_cache_decode(struct wr_str bytes, bool check, struct wr_cache_object *o);
/* Restores the reply: fields are views into o->head, arrays are in the pool. Its length is that of
 * the body. False: the head is not well-formed. */
bool wr_cache_reply(const struct wr_cache_object *o, struct wr_pool *pool,
                    struct wr_response *out) WR_CHECKED;
/* The same for the bytes behind the body: out gets the trailers. */
bool wr_cache_trailers(struct wr_str bytes, struct wr_pool *pool,
                       struct wr_fields *out) WR_CHECKED;
/* Cuts the next field off *rest, a copy of o->vary. False: no more. */
bool wr_cache_vary_next(struct wr_str *rest, struct wr_cache_vary *out);
static inline uint32_t wr_cache_ntags(const struct wr_cache_object *o)
{
    return (uint32_t)(o->tags.n / sizeof(uint64_t));
}
static inline uint64_t wr_cache_tag(const struct wr_cache_object *o, uint32_t i)
{
    uint64_t tag;

    memcpy(&tag, o->tags.p + i * sizeof(tag), sizeof(tag));
    return tag;
}
/* The bytes of the whole object; UINT64_MAX: not known yet. */
static inline uint64_t wr_cache_object_size(const struct wr_cache_object *o)
{
    return o->body_n == UINT64_MAX ? UINT64_MAX : o->body_at + o->body_n + o->trailers_n;
}

/* ---- names ---- */
/* Names an object: the MD5 digest of its key, as in nginx's documentation; for a variant, of the
 * key and the variant's number behind it. */
struct wr_cache_name {
    uint8_t digest[16];
};
struct wr_cache_name wr_cache_name_of(struct wr_str key, uint64_t variant);
#define WR_CACHE_HEX 32
#define WR_CACHE_PATH_MAX (3 * 3 + WR_CACHE_HEX + 1)
/* "c/29/b7f5...029c", zero-terminated: each folder is named by the next levels[i] digits from the
 * end of the name, 1 or 2; 0: no further folder. */
void wr_cache_path(const struct wr_cache_name *name, const uint8_t levels[static 3],
                   char out[static WR_CACHE_PATH_MAX]);
/* Reads the name of a file: 32 digits, lower case. */
bool wr_cache_name_parse(struct wr_str hex, struct wr_cache_name *out) WR_CHECKED;

#endif

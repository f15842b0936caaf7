/* vary: which of the stored replies of one key a request may get (RFC 9111 4.1). Pure: texts are
 * the caller's.
 *
 * With a key go the names of the fields that its reply varies by. With these and a request's fields
 * comes the number of the variant, under which it is looked up in one step. Its values are compared
 * whole, as others may choose values that have the same number. */
#ifndef WR_VARY_H
#define WR_VARY_H

#include "cache_object.h"

#define WR_VARY_NAMES_MAX 512  /* bytes of names that are kept with a key */

enum wr_vary {
    WR_VARY_NONE,              /* one reply for all */
    WR_VARY_BY,
    WR_VARY_NEVER              /* "*", not well-formed, more than WR_CACHE_VARY_MAX names, or more
                                * than fit: such a reply fits no other request */
};
/* Writes the names of the Vary fields of a reply: "accept,accept-encoding", in lower case, in
 * order, each once; so that the same fields always give the same text. */
enum wr_vary wr_vary_names(const struct wr_fields *reply, struct wr_text *out) WR_CHECKED;

struct wr_variant {
    uint64_t number;           /* never 0; the same in each process and after a restart */
    uint32_t n;
    struct wr_cache_vary at[WR_CACHE_VARY_MAX]; /* views into names and values */
};
/* The variant a request asks for. names: from wr_vary_names, or from where they were kept. Values
 * are joined if a field comes several times; white space that means nothing, and in
 * Accept-Encoding, Accept-Language and Accept-Charset upper case, are taken away. False: values do
 * not fit. */
bool wr_vary_variant(struct wr_str names, const struct wr_fields *request, struct wr_text *values,
                     struct wr_variant *out) WR_CHECKED;
/* A field that is absent equals only one that is absent. */
static inline bool wr_vary_equal(const struct wr_cache_vary *a, const struct wr_cache_vary *b)
{
    return wr_str_eq(a->name, b->name) && (a->value.p == NULL) == (b->value.p == NULL)
        && wr_str_eq(a->value, b->value);
}

#endif

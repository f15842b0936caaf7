/* dictionary: a field that is a dictionary of RFC 8941 (structured fields), member by member.
 * Pure. */
#ifndef WR_DICTIONARY_H
#define WR_DICTIONARY_H

#include "base/base.h"

struct wr_dictionary_item {    /* of a value; all of it empty: another number, bytes, or a list */
    struct wr_str digits;      /* an integer that is not negative, at most 15 of them */
    struct wr_str text;        /* a string, without its quotes and with its escapes, or a token */
    bool yes, no;              /* booleans; a key alone is true */
};
enum wr_dictionary { WR_DICTIONARY_MEMBER, WR_DICTIONARY_END, WR_DICTIONARY_BAD };
/* Cuts the next member off *s. After BAD the whole field is void (4.2). Parameters are left out. */
enum wr_dictionary wr_dictionary_next(struct wr_str *s, struct wr_str *key,
                                      struct wr_dictionary_item *it) WR_CHECKED;

#endif

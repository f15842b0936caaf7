/* slice_range: the arithmetic of `slice`: a reply is fetched and stored in pieces of one size, each
 * by a request with a Range field. Pure. */
#ifndef WR_SLICE_RANGE_H
#define WR_SLICE_RANGE_H

#include "base/base.h"

#define WR_SLICE_UNKNOWN UINT64_MAX /* a length or an end that is not known yet */
#define WR_SLICE_TEXT_MAX 64   /* bytes of a text of wr_slice_text */

struct wr_slices {             /* to be fetched: [from, to), from a multiple of the size */
    uint64_t from, to;         /* to may be WR_SLICE_UNKNOWN */
};
/* range: value of the client's Range field; p NULL: none. Of a single range the slices that hold
 * it; else, and for "-5", whose begin depends on the length, all. size: not 0. */
struct wr_slices wr_slices_of(struct wr_str range, uint64_t size);
/* The same when the length of the whole is known: no slice begins behind it. False: none is
 * left. */
bool wr_slices_clip(struct wr_slices *s, uint64_t length);
/* "bytes=0-99": the Range field, and $slice_range, of the slice that begins at `from`. */
void wr_slice_text(uint64_t from, uint64_t size, struct wr_text *out);

struct wr_content_range {
    uint64_t from, to;         /* to is one past the last byte */
    uint64_t length;           /* of the whole; WR_SLICE_UNKNOWN: "*" */
};
/* "bytes 0-99/1000" (RFC 9110 14.4). False: not well-formed, or not a range that can be. */
bool wr_content_range_parse(struct wr_str value, struct wr_content_range *out) WR_CHECKED;
/* NULL: the 206 is the slice that was asked for. Else what is wrong, in nginx's words. length: of
 * the whole, as the first slice had it; WR_SLICE_UNKNOWN: this is the first one. */
const char *wr_slice_wrong(const struct wr_content_range *got, uint64_t from, uint64_t size,
                           uint64_t length);

#endif

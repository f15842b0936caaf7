/* check_wire: what the kinds of checks for databases share: numbers as they are sent, digests,
 * messages of a server for people to read. */
#ifndef WR_CHECK_WIRE_H
#define WR_CHECK_WIRE_H

#include "health_impl.h"

#include <openssl/evp.h>

/* The memory for the state, which `begin` makes a typed one. */
static inline void *wr_check_state(const struct wr_check_talk *t)
{
    return t->state;
}

/* Appends the low `bytes` bytes of v, the highest first, or the lowest first. */
void wr_check_put_be(struct wr_text *t, uint32_t v, unsigned bytes);
void wr_check_put_le(struct wr_text *t, uint32_t v, unsigned bytes);
/* Takes a line from *in, without its end (LF or CR LF). False: it is not complete, nothing is
 * taken. */
bool wr_check_take_line(struct wr_str *in, struct wr_str *line) WR_CHECKED;
/* Digest of the parts, one behind the other. out: EVP_MD_get_size(md) bytes. False: OpenSSL has no
 * such digest. */
bool wr_check_digest(const EVP_MD *md, const struct wr_str *parts, size_t n,
                     unsigned char *out) WR_CHECKED;
/* Passes; what was seen: "logged in". */
enum wr_check_next wr_check_pass(struct wr_check_talk *t, const char *seen);
/* Fails. Appends to the reason what the server says, which is a sentence for people: printable
 * ASCII as it is, other bytes as \xXX, without the full stop at its end, cut at 160 bytes; ***
 * where it repeats the password. */
enum wr_check_next wr_check_fail_saying(struct wr_check_talk *t, struct wr_str message);
/* Fails because the bytes have come to an end; the reason ends with `while_doing`. */
enum wr_check_next wr_check_fail_end(struct wr_check_talk *t, enum wr_check_end end,
                                     const char *while_doing);
/* The role that the server has, against the one that is wanted, which is not "any". Passes or
 * fails. */
enum wr_check_next wr_check_role(struct wr_check_talk *t, const char *const *roles,
                                 struct wr_str has);

#endif

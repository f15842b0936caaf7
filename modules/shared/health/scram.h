/* scram: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding. Pure, but
 * for the keys it remembers. */
#ifndef WR_SCRAM_H
#define WR_SCRAM_H

#include "os/os.h"

#define WR_SCRAM_ITERATIONS_MAX 100000 /* a server cannot make this process count further */
#define WR_SCRAM_FIRST_MAX 1024        /* longest first message of a server */

struct wr_scram {
    char nonce[36];            /* of the client, printable */
    size_t nonce_n;
    unsigned char server[32];  /* the signature that the server has to send */
    unsigned char round[32], salted[32]; /* of the key that is being made */
    uint64_t rounds;           /* iterations done */
};
enum wr_scram_result {
    WR_SCRAM_OK,
    WR_SCRAM_MORE,             /* the key takes longer: call again with the same, in another turn */
    WR_SCRAM_MALFORMED,        /* not a message of SCRAM, or not for this client */
    WR_SCRAM_TOO_LONG,         /* more than WR_SCRAM_ITERATIONS_MAX iterations are asked for */
    WR_SCRAM_NO_DIGEST,        /* OpenSSL does not offer SHA-256 or PBKDF2 */
};

/* Appends the client's first message. random: any bytes that were never used before, 24 at most. */
void wr_scram_begin(struct wr_scram *s, const unsigned char *random, size_t n, struct wr_text *out);
/* Takes the server's first message and appends the client's last one, with the proof that it has
 * the password. */
enum wr_scram_result wr_scram_prove(struct wr_scram *s, struct wr_str password,
                                    struct wr_str server_first, struct wr_text *out) WR_CHECKED;
/* Does the server's last message prove that it has the password, too? */
bool wr_scram_verify(const struct wr_scram *s, struct wr_str server_last) WR_CHECKED;

#endif

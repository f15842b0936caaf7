/* scram: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding.
 *
 * The keys cost thousands of hashes, and depend on password, salt and iterations only, which stay
 * the same from check to check: the last ones are remembered, in memory that no core file gets. */
#include "scram.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>

#define N 32           /* bytes of SHA-256 */
#define SALT_MAX 128
#define REMEMBERED 16
#define ROUNDS 4096    /* iterations at a time: 1 or 2 ms, and all that most servers ask */

struct key_pair {
    unsigned char of[N]; /* SHA-256 of password, salt and iterations */
    unsigned char client[N], server[N];
    bool used;
};
struct server_first {
    struct wr_str nonce;
    unsigned char salt[SALT_MAX];
    size_t salt_n;
    uint64_t iterations;
};

static struct key_pair *remembered; /* REMEMBERED of them, by the first byte of `of` */

static bool make_hmac(const unsigned char *key, struct wr_str text, unsigned char *out)
{
    return HMAC(EVP_sha256(), key, N, (const unsigned char *)text.p, text.n, out, NULL) != NULL;
}

static bool make_hash(const void *p, size_t n, unsigned char *out)
{
    return EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) == 1;
}

void wr_scram_begin(struct wr_scram *s, const unsigned char *random, size_t n, struct wr_text *out)
{
    int made = EVP_EncodeBlock((unsigned char *)s->nonce, random, (int)wr_min(n, (size_t)24));

    s->nonce_n = (size_t)made;
    s->rounds = 0;
    wr_text_c(out, "n,,n=,r=");
    wr_text_str(out, wr_str_of(s->nonce, s->nonce_n));
}

/* Decodes base64 with its padding. Returns the number of bytes; 0: it is not base64, or it is
 * longer than max. */
static size_t decode_base64(struct wr_str s, unsigned char *out, size_t max)
{
    unsigned char block[3 * (SALT_MAX / 3 + 2)];
    size_t pad = 0, n;

    if (s.n == 0 || s.n % 4 != 0 || s.n / 4 * 3 > sizeof(block))
        return 0;
    while (pad < 2 && s.p[s.n - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < s.n - pad; i++)
        if (!wr_is_alnum(s.p[i]) && s.p[i] != '+' && s.p[i] != '/')
            return 0;
    if (EVP_DecodeBlock(block, (const unsigned char *)s.p, (int)s.n) < 0)
        return 0;
    n = s.n / 4 * 3 - pad;
    if (n > max)
        return 0;
    memcpy(out, block, n);
    return n;
}

/* "r=NONCE,s=SALT,i=ITERATIONS", maybe with extensions behind it. */
static bool parse_first(const struct wr_scram *s, struct wr_str text, struct server_first *f)
{
    struct wr_str nonce = wr_str_cut(&text, ','), salt = wr_str_cut(&text, ',');
    struct wr_str iterations = wr_str_cut(&text, ','), mine = wr_str_of(s->nonce, s->nonce_n);

    if (!wr_str_starts(nonce, WR_STR("r=")) || !wr_str_starts(salt, WR_STR("s="))
        || !wr_str_starts(iterations, WR_STR("i=")))
        return false;
    f->nonce = wr_str_skip(nonce, 2);
    if (!wr_str_starts(f->nonce, mine) || f->nonce.n == mine.n)
        return false;
    f->salt_n = decode_base64(wr_str_skip(salt, 2), f->salt, sizeof(f->salt));
    return f->salt_n > 0 && wr_str_u64(wr_str_skip(iterations, 2), &f->iterations)
        && f->iterations > 0;
}

/* The digest by which the keys are remembered. */
static bool digest_facts(struct wr_str password, const struct server_first *f, unsigned char *of)
{
    uint64_t facts[2] = { f->iterations, password.n };
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c != NULL && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1
        && EVP_DigestUpdate(c, facts, sizeof(facts)) == 1
        && EVP_DigestUpdate(c, password.p, password.n) == 1
        && EVP_DigestUpdate(c, f->salt, f->salt_n) == 1 && EVP_DigestFinal_ex(c, of, NULL) == 1;

    EVP_MD_CTX_free(c);
    return ok;
}

/* HMAC with the password as its key, for many texts. NULL: OpenSSL does not offer it. */
static EVP_MAC_CTX *open_mac(struct wr_str password)
{
    static EVP_MAC *hmac;
    static char sha256[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *c;

    if (hmac == NULL)
        hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    c = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
    if (c != NULL && EVP_MAC_init(c, (const unsigned char *)(password.n > 0 ? password.p : ""),
                                  password.n, params) == 1)
        return c;
    EVP_MAC_CTX_free(c);
    return NULL;
}

/* The next iterations of PBKDF2 (RFC 8018 5.2), for a key as long as the digest. False: a digest is
 * missing. */
static bool make_rounds(struct wr_scram *s, struct wr_str password, const struct server_first *f)
{
    static const unsigned char first[4] = { 0, 0, 0, 1 };
    EVP_MAC_CTX *c = open_mac(password);
    bool ok = c != NULL;

    for (uint32_t i = 0; ok && i < ROUNDS && s->rounds < f->iterations; i++) {
        ok = i == 0 || EVP_MAC_init(c, NULL, 0, NULL) == 1;
        if (s->rounds == 0)
            ok = ok && EVP_MAC_update(c, f->salt, f->salt_n) == 1
              && EVP_MAC_update(c, first, sizeof(first)) == 1;
        else
            ok = ok && EVP_MAC_update(c, s->round, N) == 1;
        ok = ok && EVP_MAC_final(c, s->round, NULL, N) == 1;
        for (unsigned k = 0; ok && k < N; k++)
            s->salted[k] = (s->rounds == 0 ? 0 : s->salted[k]) ^ s->round[k];
        s->rounds++;
    }
    EVP_MAC_CTX_free(c);
    return ok;
}

/* Finds the keys for this password, or makes them. */
static enum wr_scram_result find_keys(struct wr_scram *s, struct wr_str password,
                                      const struct server_first *f, const struct key_pair **out)
{
    unsigned char of[N];
    struct key_pair *k;

    if (remembered == NULL) {
        remembered = wr_vault_alloc(REMEMBERED * sizeof(*remembered));
        if (remembered == NULL)
            return WR_SCRAM_NO_DIGEST;
        memset(remembered, 0, REMEMBERED * sizeof(*remembered));
    }
    if (!digest_facts(password, f, of))
        return WR_SCRAM_NO_DIGEST;
    *out = k = &remembered[of[0] % REMEMBERED];
    if (k->used && memcmp(k->of, of, N) == 0)
        return WR_SCRAM_OK;
    if (!make_rounds(s, password, f))
        return WR_SCRAM_NO_DIGEST;
    if (s->rounds < f->iterations)
        return WR_SCRAM_MORE;
    k->used = make_hmac(s->salted, WR_STR("Client Key"), k->client)
           && make_hmac(s->salted, WR_STR("Server Key"), k->server);
    memcpy(k->of, of, N);
    OPENSSL_cleanse(s->salted, N);
    s->rounds = 0;
    return k->used ? WR_SCRAM_OK : WR_SCRAM_NO_DIGEST;
}

/* Signs the messages so far: gives the client's proof, and what the server has to send. */
static bool sign_messages(struct wr_scram *s, const struct key_pair *k, struct wr_str messages,
                          unsigned char *proof)
{
    unsigned char stored[N], signature[N];

    if (!make_hash(k->client, N, stored) || !make_hmac(stored, messages, signature)
        || !make_hmac(k->server, messages, s->server))
        return false;
    for (unsigned i = 0; i < N; i++)
        proof[i] = k->client[i] ^ signature[i];
    OPENSSL_cleanse(stored, sizeof(stored));
    return true;
}

enum wr_scram_result wr_scram_prove(struct wr_scram *s, struct wr_str password,
                                    struct wr_str server_first, struct wr_text *out)
{
    char buf[2 * WR_SCRAM_FIRST_MAX + 128];
    struct wr_text messages = wr_text_on(buf, sizeof(buf));
    struct server_first f;
    const struct key_pair *k;
    enum wr_scram_result found;
    unsigned char proof[N], base64[N * 4 / 3 + 4];

    if (server_first.n > WR_SCRAM_FIRST_MAX || !parse_first(s, server_first, &f))
        return WR_SCRAM_MALFORMED;
    if (f.iterations > WR_SCRAM_ITERATIONS_MAX)
        return WR_SCRAM_TOO_LONG;
    wr_text_c(&messages, "n=,r=");
    wr_text_str(&messages, wr_str_of(s->nonce, s->nonce_n));
    wr_text_char(&messages, ',');
    wr_text_str(&messages, server_first);
    wr_text_c(&messages, ",c=biws,r=");
    wr_text_str(&messages, f.nonce);
    found = find_keys(s, password, &f, &k);
    if (found != WR_SCRAM_OK)
        return found;
    if (messages.overflow || !sign_messages(s, k, wr_text_view(&messages), proof))
        return WR_SCRAM_NO_DIGEST;
    wr_text_c(out, "c=biws,r=");
    wr_text_str(out, f.nonce);
    wr_text_c(out, ",p=");
    (void)EVP_EncodeBlock(base64, proof, N);
    wr_text_c(out, (const char *)base64);
    return WR_SCRAM_OK;
}

bool wr_scram_verify(const struct wr_scram *s, struct wr_str server_last)
{
    unsigned char sent[N];
    struct wr_str v = wr_str_cut(&server_last, ',');

    return wr_str_starts(v, WR_STR("v=")) && decode_base64(wr_str_skip(v, 2), sent, N) == N
        && CRYPTO_memcmp(sent, s->server, N) == 0;
}

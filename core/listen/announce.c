/* announce: the PROXY header that proxy modules send to servers: its directives, and the bytes of
 * one exchange, with the TLVs of version 2. The proxy modules of both layers call it; the link
 * sends the bytes. */
#include "listen/listen.h"

#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define TLVS_MAX 3584        /* of a header, which many readers refuse above 4 KB */

enum { TLV_ALPN = 0x01, TLV_AUTHORITY = 0x02, TLV_CRC32C = 0x03, TLV_UNIQUE_ID = 0x05,
       TLV_SSL = 0x20, TLV_SSL_VERSION = 0x21, TLV_SSL_CN = 0x22, TLV_SSL_CIPHER = 0x23,
       TLV_SSL_SIG = 0x24, TLV_SSL_KEY = 0x25, TLV_NETNS = 0x30 };

/* ---- configuration ---- */

struct named_type {
    const char *name;
    uint8_t type;
    bool made;                 /* weir makes the value */
};
static const struct named_type types[] = {
    { "alpn", TLV_ALPN, false }, { "authority", TLV_AUTHORITY, false },
    { "unique_id", TLV_UNIQUE_ID, false }, { "netns", TLV_NETNS, false },
    { "ssl", TLV_SSL, true }, { "crc32c", TLV_CRC32C, true }, { NULL, 0, false },
};

/* "0xe0" to "0xff": the types that are free for any use. */
static bool own_type(struct wr_str s, struct named_type *out)
{
    int high = s.n == 4 ? wr_hex_digit(s.p[2]) : -1, low = s.n == 4 ? wr_hex_digit(s.p[3]) : -1;

    if (!wr_str_starts(s, WR_STR("0x")) || high < 0xe || low < 0)
        return false;
    *out = (struct named_type){ NULL, (uint8_t)(high << 4 | low), false };
    return true;
}

static bool find_type(struct wr_str s, struct named_type *out)
{
    for (const struct named_type *t = types; t->name != NULL; t++) {
        if (!wr_str_is(s, t->name))
            continue;
        *out = *t;
        return true;
    }
    return own_type(s, out);
}

bool wr_set_announce_tlv(struct wr_cf *cf, void *conf)
{
    struct wr_announce *a = WR_FIELD(cf, conf, struct wr_announce);
    struct wr_str word = wr_cf_arg(cf, 1);
    struct named_type type;
    struct wr_announce_tlv tlv = { 0 };

    if (!find_type(word, &type))
        return wr_cf_error_hint(cf, 1, "write alpn, authority, unique_id, netns, ssl, crc32c, or"
                                " 0xe0 to 0xff", "unknown TLV \"" WR_FMT "\"", WR_ARG(word));
    if (type.made != (cf->nargs == 1))
        return wr_cf_error(cf, 1, type.made ? "\"" WR_FMT "\" has no value: weir makes it"
                                            : "\"" WR_FMT "\" needs a value", WR_ARG(word));
    if (cf->first)
        memset(&a->tlvs, 0, sizeof(a->tlvs));
    for (uint32_t i = 0; i < a->tlvs.n; i++)
        if (a->tlvs.at[i].type == type.type)
            return wr_cf_error(cf, 1, "duplicate TLV \"" WR_FMT "\"", WR_ARG(word));
    tlv.type = type.type;
    if (!type.made) {
        tlv.value = wr_template_new(cf, 2, wr_cf_arg(cf, 2));
        if (tlv.value == NULL)
            return false;
    }
    *wr_vec_push(cf->pool, &a->tlvs) = tlv;
    a->tlv_node = cf->node;
    return true;
}

const struct wr_bounds wr_announce_versions = { 1, 2 };

bool wr_announce_finish(struct wr_cf *cf, const struct wr_announce *a)
{
    if (a->on && a->version == 1 && a->tlvs.n > 0)
        return wr_cf_error_at(cf, a->tlv_node, 0, "needs \"proxy_protocol_version 2\"");
    return true;
}

/* ---- the TLV ssl: what the client's own TLS is ---- */

static void put_text(struct wr_text *t, uint8_t type, const char *s)
{
    if (s != NULL)
        wr_proxy_tlv_put(t, type, wr_str_c(s));
}

static void put_name(struct wr_text *t, X509 *cert)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    int n;

    if (i < 0)
        return;
    n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    if (n > 0 && n <= 255)
        wr_proxy_tlv_put(t, TLV_SSL_CN, wr_str_of((const char *)utf8, (size_t)n));
    OPENSSL_free(utf8);
}

/* Algorithms of the certificate that the client was shown: "SHA256", "RSA2048". */
static void put_algorithms(struct wr_text *t, const SSL *ssl)
{
    const X509 *own = SSL_get_certificate(ssl);
    EVP_PKEY *key = own != NULL ? X509_get0_pubkey(own) : NULL;
    int digest = NID_undef;
    const char *kind;
    char buf[32];

    if (own == NULL || key == NULL)
        return;
    if (OBJ_find_sigid_algs(X509_get_signature_nid(own), &digest, NULL) == 1
        && digest != NID_undef)
        put_text(t, TLV_SSL_SIG, OBJ_nid2sn(digest));
    kind = EVP_PKEY_get0_type_name(key);
    if (kind != NULL && snprintf(buf, sizeof(buf), "%.20s%d", kind, EVP_PKEY_get_bits(key)) > 0)
        put_text(t, TLV_SSL_KEY, buf);
}

static void put_ssl(struct wr_text *t, SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    bool known = cert != NULL && SSL_get_verify_result(ssl) == X509_V_OK;
    char buf[1024];
    struct wr_text in = wr_text_on(buf, sizeof(buf));

    wr_text_char(&in, (char)(0x01 | (cert == NULL ? 0 : SSL_session_reused(ssl) ? 0x04 : 0x06)));
    wr_text_str(&in, wr_str_of(known ? "\0\0\0\0" : "\0\0\0\1", 4));
    put_text(&in, TLV_SSL_VERSION, SSL_get_version(ssl));
    put_text(&in, TLV_SSL_CIPHER, SSL_get_cipher_name(ssl));
    if (cert != NULL)
        put_name(&in, cert);
    put_algorithms(&in, ssl);
    wr_proxy_tlv_put(t, TLV_SSL, wr_text_view(&in));
}

/* ---- the bytes ---- */

static struct wr_str tlvs_of(struct wr_exchange *x, const struct wr_announce *a, bool *crc)
{
    struct wr_text t = wr_text_grow(x->pool, 256, TLVS_MAX);
    SSL *ssl = wr_tls_up(&x->s->conn) ? wr_tls_of(&x->s->conn) : NULL;

    *crc = false;
    for (uint32_t i = 0; i < a->tlvs.n; i++) {
        const struct wr_announce_tlv *tlv = &a->tlvs.at[i];
        struct wr_str v = tlv->value != NULL ? wr_template_str(x, tlv->value) : WR_STR("");

        if (tlv->type == TLV_CRC32C)
            *crc = true;
        else if (tlv->type == TLV_SSL && ssl != NULL)
            put_ssl(&t, ssl);
        else if (v.n > 0 && v.n + 3 <= TLVS_MAX - t.n)
            wr_proxy_tlv_put(&t, tlv->type, v);
        else if (v.n > 0)
            wr_xlog(x, WR_LOG_WARN, 0, "TLV 0x%02x of the PROXY header is too long, %zu bytes: it"
                    " is left out", tlv->type, v.n);
    }
    return wr_text_view(&t);
}

struct wr_str wr_announce_text(struct wr_exchange *x, const struct wr_announce *a)
{
    struct wr_text t = wr_text_grow(x->pool, WR_ADDR_TEXT_MAX, WR_PROXY_MAX);
    const struct wr_addr *local = wr_session_local(x->s);
    struct wr_str tlvs;
    bool crc;

    if (a->version == 1) {
        wr_proxy_header_write(&t, x->client_addr, local);
    } else {
        tlvs = tlvs_of(x, a, &crc);
        wr_proxy_header_write2(&t, x->client_addr, local, tlvs, crc);
    }
    return wr_text_view(&t);
}

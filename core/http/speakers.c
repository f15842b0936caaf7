/* speakers: chooses the speaker (the version of HTTP) of a client connection. Speakers are parts of
 * modules; the one without a word in `listen` gets each connection that no other claims. */
#include "http/http_impl.h"

#define SPEAKERS_MAX 32 /* bits of wr_listener.speaks */
#define FIRST_MAX 64    /* most bytes a speaker may need to recognize a connection */

static const struct wr_http_speaker *speakers[SPEAKERS_MAX + 1]; /* ends with NULL */

void wr_speakers_init(void)
{
    size_t n = 0, standards = 0;

    for (struct wr_module *const *m = wr_modules; *m != NULL; m++) {
        if ((*m)->speaker == NULL)
            continue;
        WR_ASSERT(n < SPEAKERS_MAX);
        speakers[n++] = (*m)->speaker;
        standards += (*m)->speaker->word == NULL;
    }
    WR_ASSERT(standards == 1);
}

uint32_t wr_speakers_word(struct wr_str word)
{
    for (size_t i = 0; speakers[i] != NULL; i++)
        if (speakers[i]->word != NULL && wr_str_is(word, speakers[i]->word))
            return 1U << i;
    return 0;
}

struct wr_str wr_speakers_alpn(struct wr_pool *p, uint32_t words)
{
    struct wr_text t = wr_text_grow(p, 64, 4096);

    for (size_t i = 0; speakers[i] != NULL; i++)
        if ((words & 1U << i) != 0)
            wr_text_str(&t, speakers[i]->alpn);
    for (size_t i = 0; speakers[i] != NULL; i++)
        if (speakers[i]->word == NULL)
            wr_text_str(&t, speakers[i]->alpn);
    return wr_text_view(&t);
}

const struct wr_http_speaker *wr_speaker_of_version(struct wr_str version)
{
    for (size_t i = 0; speakers[i] != NULL; i++)
        if (speakers[i]->version != NULL && wr_str_is(version, speakers[i]->version))
            return speakers[i];
    return NULL;
}

bool wr_speakers_reach(struct wr_str alpn)
{
    for (size_t i = 0; speakers[i] != NULL; i++)
        if (speakers[i]->peer.link != NULL && speakers[i]->peer.link->speaks(alpn))
            return true;
    return false;
}

/* ---- the choice ---- */

static bool is_among(struct wr_str list, struct wr_str name)
{
    while (list.n > 0) {
        size_t n = wr_min((size_t)(unsigned char)list.p[0], list.n - 1);

        if (wr_str_eq(wr_str_of(list.p + 1, n), name))
            return true;
        list = wr_str_skip(list, n + 1);
    }
    return false;
}

static enum wr_claim claim_of(const struct wr_http_speaker *p, struct wr_str alpn,
                              struct wr_str first)
{
    if (alpn.n > 0)
        return is_among(p->alpn, alpn) ? WR_CLAIM_YES : WR_CLAIM_NO;
    return p->claims(first);
}

const struct wr_http_speaker *wr_speaker_choose(const struct wr_http_speaker *const *all,
                                                uint32_t words, struct wr_str alpn,
                                                struct wr_str first)
{
    const struct wr_http_speaker *standard = NULL;
    bool open = false;

    for (size_t i = 0; all[i] != NULL; i++) {
        enum wr_claim claim;

        if (all[i]->word == NULL)
            standard = all[i];
        if (all[i]->word == NULL || (words & 1U << i) == 0)
            continue;
        claim = claim_of(all[i], alpn, first);
        if (claim == WR_CLAIM_YES)
            return all[i];
        open = open || claim == WR_CLAIM_MORE;
    }
    return open ? NULL : standard;
}

/* Peeks at the first bytes, which stay in the connection. If the client sends no more bytes and no
 * speaker claims them, the standard one gets the connection, to report the error. */
static const struct wr_http_speaker *choose_by_bytes(struct wr_session *s)
{
    const struct wr_http_speaker *found;
    struct wr_str alpn = wr_ssl_protocol(s);
    char first[FIRST_MAX];
    size_t got = 0;
    enum wr_io io = WR_IO_OK;

    if (alpn.n == 0)
        io = wr_conn_peek(&s->conn, first, sizeof(first), &got);
    found = wr_speaker_choose(speakers, s->listener->speaks, alpn, wr_str_of(first, got));
    if (found == NULL && (io == WR_IO_EOF || io == WR_IO_ERROR || got == sizeof(first)
                          || s->conn.deadline.fired || (s->conn.ready & WR_HUP) != 0))
        return wr_speaker_choose(speakers, 0, alpn, WR_STR(""));
    return found;
}

bool wr_speakers_begin(struct wr_session *s)
{
    struct wr_http_session *hs = wr_http_session_of(s);

    hs->speaker = s->listener->speaks == 0 ? wr_speaker_choose(speakers, 0, WR_STR(""), WR_STR(""))
                                           : choose_by_bytes(s);
    if (hs->speaker == NULL)
        wr_session_wait(s);
    else if (hs->speaker->server.begin != NULL)
        hs->speaker->server.begin(s);
    return hs->speaker != NULL;
}

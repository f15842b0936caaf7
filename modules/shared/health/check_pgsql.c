/* check_pgsql: is a PostgreSQL server up, and is it a primary or a standby? Pure.
 *
 * With user= it logs in (trust, md5, SCRAM-SHA-256, and password over TLS), asks
 * pg_is_in_recovery() if role= is given, and leaves properly. Without, the server is up when it
 * asks for a password, or refuses the user: one that starts up, shuts down or is full says that
 * first. The format of messages: PostgreSQL's documentation, "Frontend/Backend Protocol",
 * version 3. */
#include "check_wire.h"
#include "scram.h"

#define NOBODY "weir" /* the name that the server is told without user= */
#define DATABASE "postgres" /* there is one in nearly every server */
#define PROTOCOL 196608
#define SSL_REQUEST 80877103

enum pg_step {
    PG_SSL, PG_HANDSHAKE, PG_LOGIN, PG_SCRAM_FIRST, PG_SCRAM_LAST, PG_SESSION, PG_QUERY
};

struct check_pgsql {
    uint32_t magic;
    enum pg_step step;
    bool has_answered;         /* a password was sent, or SCRAM was begun */
    bool has_scram;
    bool is_verified;          /* SCRAM: the server has shown that it has the password */
    struct wr_str role;        /* what the server has answered; p NULL: nothing yet */
    struct wr_scram scram;
};

static const char *const roles[] = { "any", "primary", "standby", NULL };
static const char *const doing[] = {
    [PG_SSL] = "instead of answering whether it has SSL",
    [PG_HANDSHAKE] = "before the handshake",
    [PG_LOGIN] = "while logging in",
    [PG_SCRAM_FIRST] = "while logging in",
    [PG_SCRAM_LAST] = "while logging in",
    [PG_SESSION] = "after the login",
    [PG_QUERY] = "when it was asked for its role",
};

static enum wr_check_next fail_malformed(struct wr_check_talk *t)
{
    return wr_check_fail(t, "the answer is not one of PostgreSQL");
}

/* ---- what is sent ---- */

/* A message: its type, its length, which counts itself, and its body of two parts. */
static void put_message(struct wr_check_talk *t, char type, struct wr_str a, struct wr_str b)
{
    wr_text_char(&t->out, type);
    wr_check_put_be(&t->out, (uint32_t)(4 + a.n + b.n), 4);
    wr_text_str(&t->out, a);
    wr_text_str(&t->out, b);
}

static enum wr_check_next send_startup(struct wr_check_talk *t, struct check_pgsql *s)
{
    struct wr_str words[] = {
        WR_STR("user"), t->conf->user.p != NULL ? t->conf->user : WR_STR(NOBODY),
        WR_STR("database"), t->conf->database.p != NULL ? t->conf->database : WR_STR(DATABASE),
        WR_STR("application_name"), WR_STR("weir"), WR_STR(""), /* the empty one ends it */
    };
    size_t n = 8;

    for (size_t i = 0; i < WR_COUNT(words); i++)
        n += words[i].n + 1;
    wr_check_put_be(&t->out, (uint32_t)n, 4);
    wr_check_put_be(&t->out, PROTOCOL, 4);
    for (size_t i = 0; i < WR_COUNT(words); i++) {
        wr_text_str(&t->out, words[i]);
        wr_text_char(&t->out, '\0');
    }
    s->step = PG_LOGIN;
    return WR_CHECK_MORE;
}

static enum wr_check_next begin_pgsql(struct wr_check_talk *t)
{
    struct check_pgsql *s = wr_check_state(t);

    WR_TYPED(s, CHECK_PGSQL);
    if (!t->can_secure)
        return send_startup(t, s);
    wr_check_put_be(&t->out, 8, 4);
    wr_check_put_be(&t->out, SSL_REQUEST, 4);
    s->step = PG_SSL;
    return WR_CHECK_MORE;
}

static enum wr_check_next leave_server(struct wr_check_talk *t, enum wr_check_next verdict)
{
    put_message(t, 'X', WR_STR(""), WR_STR(""));
    return verdict;
}

/* ---- login ---- */

/* An attacker between here and the server can ask for it instead of SCRAM. */
static enum wr_check_next send_cleartext(struct wr_check_talk *t)
{
    if (!t->secured)
        return wr_check_fail(t, "the server asks for the password itself, which is sent over TLS "
                             "only: set proxy_ssl on, or let the server use scram-sha-256");
    put_message(t, 'p', t->conf->password, WR_STR("\0"));
    return WR_CHECK_MORE;
}

/* "md5" and the digest of the digest of password and user, and the salt. */
static enum wr_check_next send_md5(struct wr_check_talk *t, struct wr_str salt)
{
    struct wr_str parts[2] = { t->conf->password, t->conf->user };
    unsigned char digest[16];
    char buf[64];
    struct wr_text hex = wr_text_on(buf, sizeof(buf));

    if (salt.n < 4)
        return fail_malformed(t);
    if (!wr_check_digest(EVP_md5(), parts, 2, digest))
        return wr_check_fail(t, "the server asks for md5, which OpenSSL does not offer here");
    wr_text_hex(&hex, digest, sizeof(digest));
    parts[0] = wr_text_view(&hex);
    parts[1] = wr_str_of(salt.p, 4);
    if (!wr_check_digest(EVP_md5(), parts, 2, digest))
        return wr_check_fail(t, "the server asks for md5, which OpenSSL does not offer here");
    hex.n = 0;
    wr_text_c(&hex, "md5");
    wr_text_hex(&hex, digest, sizeof(digest));
    put_message(t, 'p', wr_text_view(&hex), WR_STR("\0"));
    return WR_CHECK_MORE;
}

/* list: names of mechanisms, each with a zero behind it. */
static enum wr_check_next begin_scram(struct wr_check_talk *t, struct check_pgsql *s,
                                      struct wr_str list)
{
    static const struct wr_str name = WR_STR_INIT("SCRAM-SHA-256\0");
    char buf[64], head[32];
    struct wr_text first = wr_text_on(buf, sizeof(buf)), before = wr_text_on(head, sizeof(head));
    struct wr_str m = wr_str_cut(&list, '\0');

    while (m.n > 0 && !wr_str_is(m, name.p))
        m = wr_str_cut(&list, '\0');
    if (m.n == 0)
        return wr_check_fail(t, "the server does not offer SCRAM-SHA-256");
    wr_scram_begin(&s->scram, t->nonce, sizeof(t->nonce), &first);
    wr_text_str(&before, name);
    wr_check_put_be(&before, (uint32_t)first.n, 4);
    put_message(t, 'p', wr_text_view(&before), wr_text_view(&first));
    s->has_scram = true;
    s->step = PG_SCRAM_FIRST;
    return WR_CHECK_MORE;
}

static enum wr_check_next send_proof(struct wr_check_talk *t, struct check_pgsql *s,
                                     struct wr_str server_first)
{
    char buf[WR_SCRAM_FIRST_MAX + 128];
    struct wr_text last = wr_text_on(buf, sizeof(buf));

    if (s->step != PG_SCRAM_FIRST)
        return fail_malformed(t);
    switch (wr_scram_prove(&s->scram, t->conf->password, server_first, &last)) {
    case WR_SCRAM_OK:
        break;
    case WR_SCRAM_MORE:
        return WR_CHECK_WORK;
    case WR_SCRAM_MALFORMED:
        return wr_check_fail(t, "the server's message of SCRAM-SHA-256 is malformed");
    case WR_SCRAM_TOO_LONG:
        return wr_check_fail(t, "the server asks for more than %d iterations of SCRAM-SHA-256",
                             WR_SCRAM_ITERATIONS_MAX);
    case WR_SCRAM_NO_DIGEST:
        return wr_check_fail(t, "OpenSSL does not offer SCRAM-SHA-256 here");
    }
    put_message(t, 'p', wr_text_view(&last), WR_STR(""));
    s->step = PG_SCRAM_LAST;
    return WR_CHECK_MORE;
}

static enum wr_check_next check_proof(struct wr_check_talk *t, struct check_pgsql *s,
                                      struct wr_str server_last)
{
    s->is_verified = s->step == PG_SCRAM_LAST && wr_scram_verify(&s->scram, server_last);
    if (s->is_verified)
        return WR_CHECK_MORE;
    return wr_check_fail(t, "the server does not prove that it has the password");
}

static enum wr_check_next logged_in(struct wr_check_talk *t, struct check_pgsql *s)
{
    if (s->has_scram && !s->is_verified)
        return wr_check_fail(t, "the server does not prove that it has the password");
    if (t->conf->user.p == NULL)
        return leave_server(t, wr_check_pass(t, "answers"));
    s->step = PG_SESSION;
    return WR_CHECK_MORE;
}

static enum wr_check_next answer_login(struct wr_check_talk *t, struct check_pgsql *s,
                                       uint32_t what, struct wr_str rest)
{
    switch (what) {
    case 3: return send_cleartext(t);
    case 5: return send_md5(t, rest);
    case 10: return begin_scram(t, s, rest);
    default:
        return wr_check_fail(t, "the server asks for a way of logging in that is not password, md5 "
                             "or SCRAM-SHA-256");
    }
}

/* An AuthenticationRequest. */
static enum wr_check_next on_login(struct wr_check_talk *t, struct check_pgsql *s,
                                   struct wr_str body)
{
    struct wr_scan b = wr_scan_of(body.p, body.n);
    uint32_t what = wr_scan_u32(&b);
    struct wr_str rest = wr_scan_take(&b, wr_scan_left(&b));

    if (b.bad || s->step >= PG_SESSION)
        return fail_malformed(t);
    if (what == 0)
        return logged_in(t, s);
    if (t->conf->user.p == NULL)
        return wr_check_pass(t, "answers");
    if (t->conf->password.p == NULL)
        return wr_check_fail(t, "the server asks for a password, and there is no password_file");
    if (what == 11)
        return send_proof(t, s, rest);
    if (what == 12)
        return check_proof(t, s, rest);
    if (s->has_answered)
        return fail_malformed(t);
    s->has_answered = true;
    return answer_login(t, s, what, rest);
}

/* ---- the other messages ---- */

static enum wr_check_next on_error(struct wr_check_talk *t, struct check_pgsql *s,
                                   struct wr_str body)
{
    struct wr_str code = WR_STR(""), message = WR_STR("");

    while (body.n > 1 && body.p[0] != '\0') {
        char type = body.p[0];
        struct wr_str rest = wr_str_skip(body, 1), value = wr_str_cut(&rest, '\0');

        if (type == 'C')
            code = value;
        if (type == 'M')
            message = value;
        body = rest;
    }
    /* The user, or its database, is refused: it is up. */
    if (t->conf->user.p == NULL && s->step == PG_LOGIN
        && (wr_str_starts(code, WR_STR("28")) || wr_str_starts(code, WR_STR("3D"))))
        return wr_check_pass(t, "answers");
    return wr_check_fail_saying(t, message);
}

/* A row with one field: true (in recovery) or false. */
static enum wr_check_next on_row(struct wr_check_talk *t, struct check_pgsql *s,
                                 struct wr_str body)
{
    struct wr_scan b = wr_scan_of(body.p, body.n);
    uint16_t fields = wr_scan_u16(&b);
    uint32_t n = wr_scan_u32(&b);
    uint8_t value = wr_scan_u8(&b);

    if (b.bad || s->step != PG_QUERY || fields != 1 || n != 1 || (value != 't' && value != 'f'))
        return fail_malformed(t);
    s->role = value == 't' ? WR_STR("standby") : WR_STR("primary");
    return WR_CHECK_MORE;
}

static enum wr_check_next on_ready(struct wr_check_talk *t, struct check_pgsql *s,
                                   struct wr_str body WR_UNUSED)
{
    if (s->step < PG_SESSION)
        return fail_malformed(t);
    if (s->step == PG_SESSION && t->conf->role != 0) {
        put_message(t, 'Q', WR_STR("SELECT pg_catalog.pg_is_in_recovery()"), WR_STR("\0"));
        s->step = PG_QUERY;
        return WR_CHECK_MORE;
    }
    if (s->step == PG_SESSION)
        return leave_server(t, wr_check_pass(t, "logged in"));
    if (s->role.p == NULL)
        return leave_server(t, wr_check_fail(t, "the server does not tell its role"));
    return leave_server(t, wr_check_role(t, roles, s->role));
}

/* ---- what is received ---- */

struct pg_message {
    char type;
    enum wr_check_next (*take)(struct wr_check_talk *t, struct check_pgsql *s, struct wr_str body);
};

static const struct pg_message messages[] = {
    { 'R', on_login },
    { 'E', on_error },
    { 'D', on_row },
    { 'Z', on_ready },
    { 'N', NULL }, /* notice */
    { 'S', NULL }, /* parameter */
    { 'K', NULL }, /* key by which a query could be cancelled */
    { 'v', NULL }, /* protocol options it does not have */
    { 'T', NULL }, /* the columns of the answer */
    { 'C', NULL }, /* the end of the answer */
};

static enum wr_check_next take_message(struct wr_check_talk *t, struct check_pgsql *s, char type,
                                       struct wr_str body)
{
    for (size_t i = 0; i < WR_COUNT(messages); i++)
        if (messages[i].type == type)
            return messages[i].take != NULL ? messages[i].take(t, s, body) : WR_CHECK_MORE;
    return fail_malformed(t);
}

/* The answer to SSLRequest is one byte. Nothing may follow before the handshake. */
static enum wr_check_next take_ssl(struct wr_check_talk *t, struct check_pgsql *s, struct wr_str in,
                                   size_t *used)
{
    if (in.n == 0)
        return WR_CHECK_MORE;
    if (in.p[0] == 'N')
        return wr_check_fail(t, "the server does not accept SSL, and proxy_ssl is on");
    if (in.p[0] != 'S' || in.n > 1)
        return fail_malformed(t);
    *used = 1;
    s->step = PG_HANDSHAKE;
    return WR_CHECK_TLS;
}

/* Takes all messages that are complete. */
static enum wr_check_next take_messages(struct wr_check_talk *t, struct check_pgsql *s,
                                        struct wr_str in, size_t *used)
{
    enum wr_check_next next = WR_CHECK_MORE;

    while (next == WR_CHECK_MORE) {
        struct wr_scan b = wr_scan_of(in.p + *used, in.n - *used);
        char type = (char)wr_scan_u8(&b);
        uint32_t n = wr_scan_u32(&b);
        struct wr_str body;

        if (b.bad)
            break;
        if (n < 4 || n > WR_CHECK_READ_MAX)
            return fail_malformed(t);
        body = wr_scan_take(&b, n - 4);
        if (b.bad)
            break;
        next = take_message(t, s, type, body);
        if (next != WR_CHECK_WORK)
            *used += 1 + (size_t)n;
    }
    return next;
}

static enum wr_check_next input_pgsql(struct wr_check_talk *t, struct wr_str in,
                                      enum wr_check_end end, size_t *used)
{
    struct check_pgsql *s = WR_CHECK(t->state, CHECK_PGSQL);
    enum wr_check_next next;

    if (s->step == PG_HANDSHAKE && t->secured)
        next = send_startup(t, s);
    else if (s->step == PG_SSL)
        next = take_ssl(t, s, in, used);
    else
        next = take_messages(t, s, in, used);
    if (next != WR_CHECK_PASS && next != WR_CHECK_FAIL && end != WR_CHECK_OPEN)
        return wr_check_fail_end(t, end, doing[s->step]);
    return next;
}

const struct wr_check_kind wr_check_pgsql = {
    .name = "pgsql",
    .layers = WR_L4,
    .params = WR_CHECK_USER | WR_CHECK_DATABASE | WR_CHECK_ROLE,
    .roles = roles,
    .state_size = sizeof(struct check_pgsql),
    .upgrades = true,
    .needs_user = true,
    .begin = begin_pgsql,
    .input = input_pgsql,
};

/* check_mysql: is a MySQL or MariaDB server up? Pure.
 *
 * With user= it logs in (mysql_native_password, caching_sha2_password), pings and quits. Without,
 * it tries to log in as the user "", and the server is up when it refuses: a check that left
 * before the login would count in max_connect_errors, and the server would block this host in the
 * end. The format of packets: MySQL's documentation, "Client/Server Protocol", version 10. */
#include "check_wire.h"

#define SALT 20                      /* bytes of the server's random text that are used */
#define PROTOCOL 10
#define CAP_LONG_PASSWORD 0x1U
#define CAP_PROTOCOL_41 0x200U
#define CAP_SSL 0x800U
#define CAP_TRANSACTIONS 0x2000U
#define CAP_SECURE 0x8000U
#define CAP_PLUGIN_AUTH 0x80000U
#define CAPS (CAP_LONG_PASSWORD | CAP_PROTOCOL_41 | CAP_TRANSACTIONS | CAP_SECURE)
#define PACKET_MAX (1U << 24)
#define UTF8 33

enum mysql_step { MY_GREETING, MY_HANDSHAKE, MY_LOGIN, MY_PING };

struct check_mysql {
    uint32_t magic;
    enum mysql_step step;
    uint8_t sequence;                /* of the next packet that is sent */
    bool has_plugins;                /* the server names its ways of logging in */
    bool has_switched, has_sent_all; /* each is done once */
    const struct plugin *plugin;
    unsigned char salt[SALT];
};

/* A way of logging in: what is sent for a password and the server's random text. */
struct plugin {
    struct wr_str name;
    size_t n;                        /* bytes of the answer */
    bool (*scramble)(struct wr_str password, const unsigned char *salt, unsigned char *out);
};

static const char *const doing[] = {
    [MY_GREETING] = "before its greeting",
    [MY_HANDSHAKE] = "before the handshake",
    [MY_LOGIN] = "while logging in",
    [MY_PING] = "instead of answering the ping",
};

static enum wr_check_next fail_malformed(struct wr_check_talk *t)
{
    return wr_check_fail(t, "the answer is not one of MySQL");
}

/* ---- passwords ---- */

/* SHA1(password) XOR SHA1(salt, SHA1(SHA1(password))) */
static bool scramble_native(struct wr_str password, const unsigned char *salt, unsigned char *out)
{
    unsigned char once[20], twice[20];
    struct wr_str parts[2] = { wr_str_of((const char *)salt, SALT),
                               wr_str_of((const char *)twice, sizeof(twice)) };
    struct wr_str first = wr_str_of((const char *)once, sizeof(once));

    if (!wr_check_digest(EVP_sha1(), &password, 1, once)
        || !wr_check_digest(EVP_sha1(), &first, 1, twice)
        || !wr_check_digest(EVP_sha1(), parts, 2, out))
        return false;
    for (size_t i = 0; i < sizeof(once); i++)
        out[i] ^= once[i];
    return true;
}

/* SHA256(password) XOR SHA256(SHA256(SHA256(password)), salt) */
static bool scramble_sha2(struct wr_str password, const unsigned char *salt, unsigned char *out)
{
    unsigned char once[32], twice[32];
    struct wr_str parts[2] = { wr_str_of((const char *)twice, sizeof(twice)),
                               wr_str_of((const char *)salt, SALT) };
    struct wr_str first = wr_str_of((const char *)once, sizeof(once));

    if (!wr_check_digest(EVP_sha256(), &password, 1, once)
        || !wr_check_digest(EVP_sha256(), &first, 1, twice)
        || !wr_check_digest(EVP_sha256(), parts, 2, out))
        return false;
    for (size_t i = 0; i < sizeof(once); i++)
        out[i] ^= once[i];
    return true;
}

static const struct plugin plugins[] = {
    { WR_STR_INIT("mysql_native_password"), 20, scramble_native },
    { WR_STR_INIT("caching_sha2_password"), 32, scramble_sha2 },
};

static const struct plugin *find_plugin(struct wr_str name)
{
    for (size_t i = 0; i < WR_COUNT(plugins); i++)
        if (wr_str_eq(plugins[i].name, name))
            return &plugins[i];
    return NULL;
}

/* out gets nothing where there is no password. False: the digest is missing. */
static bool scramble_password(struct wr_check_talk *t, const struct check_mysql *s,
                              struct wr_text *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];

    if (t->conf->password.n == 0)
        return true;
    if (!s->plugin->scramble(t->conf->password, s->salt, digest))
        return false;
    wr_text_str(out, wr_str_of((const char *)digest, s->plugin->n));
    return true;
}

static enum wr_check_next fail_digest(struct wr_check_talk *t, const struct check_mysql *s)
{
    return wr_check_fail(t, "OpenSSL does not offer here what " WR_FMT " needs",
                         WR_ARG(s->plugin->name));
}

/* ---- what is sent ---- */

static void put_packet(struct wr_check_talk *t, struct check_mysql *s, struct wr_str payload)
{
    wr_check_put_le(&t->out, (uint32_t)payload.n, 3);
    wr_check_put_le(&t->out, s->sequence++, 1);
    wr_text_str(&t->out, payload);
}

static void put_command(struct wr_check_talk *t, struct check_mysql *s, char command)
{
    s->sequence = 0;
    put_packet(t, s, wr_str_of(&command, 1));
}

/* Appends the head of a login, and of the request for SSL. */
static void put_caps(const struct wr_check_talk *t, const struct check_mysql *s,
                     struct wr_text *out)
{
    uint32_t caps = CAPS | (s->has_plugins ? CAP_PLUGIN_AUTH : 0);
    bool ssl = t->can_secure || t->secured;

    wr_check_put_le(out, caps | (ssl ? CAP_SSL : 0), 4);
    wr_check_put_le(out, PACKET_MAX, 4);
    wr_check_put_le(out, UTF8, 1);
    for (unsigned i = 0; i < 23; i++)
        wr_text_char(out, '\0');
}

static enum wr_check_next send_login(struct wr_check_talk *t, struct check_mysql *s)
{
    struct wr_text p = wr_text_grow(t->pool, 256, 4096);
    char buf[EVP_MAX_MD_SIZE];
    struct wr_text proof = wr_text_on(buf, sizeof(buf));

    put_caps(t, s, &p);
    wr_text_str(&p, t->conf->user);
    wr_text_char(&p, '\0');
    if (!scramble_password(t, s, &proof))
        return fail_digest(t, s);
    wr_check_put_le(&p, (uint32_t)proof.n, 1);
    wr_text_str(&p, wr_text_view(&proof));
    if (s->has_plugins) {
        wr_text_str(&p, s->plugin->name);
        wr_text_char(&p, '\0');
    }
    put_packet(t, s, wr_text_view(&p));
    s->step = MY_LOGIN;
    return WR_CHECK_MORE;
}

static enum wr_check_next request_ssl(struct wr_check_talk *t, struct check_mysql *s,
                                      uint32_t server_caps)
{
    char buf[64];
    struct wr_text p = wr_text_on(buf, sizeof(buf));

    if (!(server_caps & CAP_SSL))
        return wr_check_fail(t, "the server does not accept SSL, and proxy_ssl is on");
    put_caps(t, s, &p);
    put_packet(t, s, wr_text_view(&p));
    s->step = MY_HANDSHAKE;
    return WR_CHECK_TLS;
}

/* ---- packets ---- */

/* 0xff, the number, maybe "#" and five characters of SQLSTATE, the message. */
static enum wr_check_next take_error(struct wr_check_talk *t, const struct check_mysql *s,
                                     struct wr_scan *b)
{
    /* The user is refused: access denied (with or without a password), its way of logging in is
     * not this one, or the server takes it over SSL only. */
    static const uint16_t refused[] = { 1044, 1045, 1251, 1698, 3118, 3159 };
    unsigned low = wr_scan_u8(b), number = low | (unsigned)wr_scan_u8(b) << 8;
    struct wr_str message = wr_scan_take(b, wr_scan_left(b));

    if (b->bad)
        return fail_malformed(t);
    if (message.n >= 6 && message.p[0] == '#')
        message = wr_str_skip(message, 6);
    if (t->conf->user.p == NULL && s->step == MY_LOGIN)
        for (size_t i = 0; i < WR_COUNT(refused); i++)
            if (number == refused[i])
                return wr_check_pass(t, "answers");
    if (message.n == 0)
        return wr_check_fail(t, "error %u of MySQL", number);
    return wr_check_fail_saying(t, message);
}

static struct wr_str take_string(struct wr_scan *b)
{
    struct wr_str rest = wr_str_of((const char *)b->p, wr_scan_left(b));
    struct wr_str s = wr_scan_take(b, wr_str_find(rest, '\0'));

    if (wr_scan_left(b) > 0)
        (void)wr_scan_skip(b, 1);
    return s;
}

/* The second half of the greeting, which servers older than 4.1 lack. */
static void take_late_greeting(struct wr_scan *b, struct check_mysql *s, uint32_t *caps)
{
    struct wr_str more;
    size_t salt_n;

    (void)wr_scan_skip(b, 3); /* character set, status */
    *caps |= (uint32_t)wr_scan_u8(b) << 16;
    *caps |= (uint32_t)wr_scan_u8(b) << 24;
    salt_n = wr_scan_u8(b);
    (void)wr_scan_skip(b, 10);
    more = wr_scan_take(b, salt_n > 8 + 13 ? salt_n - 8 : 13);
    if (b->bad)
        return;
    memcpy(s->salt + 8, more.p, SALT - 8);
    s->has_plugins = (*caps & CAP_PLUGIN_AUTH) != 0;
    if (s->has_plugins)
        s->plugin = find_plugin(take_string(b));
}

static enum wr_check_next take_greeting(struct wr_check_talk *t, struct check_mysql *s,
                                        struct wr_scan *b)
{
    struct wr_str salt;
    uint32_t caps;

    (void)take_string(b); /* version */
    (void)wr_scan_skip(b, 4);
    salt = wr_scan_take(b, 8);
    (void)wr_scan_skip(b, 1);
    caps = wr_scan_u8(b);
    caps |= (uint32_t)wr_scan_u8(b) << 8;
    if (b->bad)
        return fail_malformed(t);
    memcpy(s->salt, salt.p, 8);
    take_late_greeting(b, s, &caps);
    if (b->bad || !(caps & CAP_PROTOCOL_41) || !(caps & CAP_SECURE))
        return wr_check_fail(t, "the server is older than MySQL 4.1");
    if (s->plugin == NULL) /* the server will ask for the one it wants */
        s->plugin = &plugins[0];
    if (t->can_secure)
        return request_ssl(t, s, caps);
    return send_login(t, s);
}

/* 0xfe: the server wants another way of logging in, and sends a new salt. */
static enum wr_check_next take_switch(struct wr_check_talk *t, struct check_mysql *s,
                                      struct wr_scan *b)
{
    struct wr_str name = take_string(b), salt = wr_scan_take(b, wr_scan_left(b));
    char buf[EVP_MAX_MD_SIZE];
    struct wr_text proof = wr_text_on(buf, sizeof(buf));
    const struct plugin *plugin = find_plugin(name);

    if (s->has_switched)
        return fail_malformed(t);
    s->has_switched = true;
    if (name.n == 0)
        return wr_check_fail(t, "the server asks for a password in the format of MySQL 4.0");
    if (plugin == NULL && t->conf->user.p != NULL) {
        wr_text_c(&t->why, "the server asks for ");
        wr_check_quote(&t->why, name);
        wr_text_c(&t->why, ", not mysql_native_password or caching_sha2_password");
        return WR_CHECK_FAIL;
    }
    if (plugin != NULL) {
        if (salt.n < SALT)
            return fail_malformed(t);
        memcpy(s->salt, salt.p, SALT);
        s->plugin = plugin;
        if (!scramble_password(t, s, &proof))
            return fail_digest(t, s);
    }
    put_packet(t, s, wr_text_view(&proof));
    return WR_CHECK_MORE;
}

/* 0x01: caching_sha2_password has the password in its cache (3), or wants all of it (4), which only
 * TLS hides from others. */
static enum wr_check_next take_more_data(struct wr_check_talk *t, struct check_mysql *s,
                                         struct wr_scan *b)
{
    uint8_t what = wr_scan_u8(b);
    struct wr_text p;

    if (b->bad || s->plugin->scramble != scramble_sha2 || (what != 3 && what != 4)
        || s->has_sent_all)
        return fail_malformed(t);
    if (what == 3)
        return WR_CHECK_MORE;
    if (!t->secured)
        return wr_check_fail(t, "caching_sha2_password asks for the whole password, which is sent "
                             "over TLS only: set proxy_ssl on, or log in as this user elsewhere");
    s->has_sent_all = true;
    p = wr_text_grow(t->pool, 256, 4096);
    wr_text_str(&p, t->conf->password);
    wr_text_char(&p, '\0');
    put_packet(t, s, wr_text_view(&p));
    return WR_CHECK_MORE;
}

static enum wr_check_next take_login(struct wr_check_talk *t, struct check_mysql *s, uint8_t type,
                                     struct wr_scan *b)
{
    switch (type) {
    case 0:
        put_command(t, s, 0x0e);
        s->step = MY_PING;
        return WR_CHECK_MORE;
    case 1: return take_more_data(t, s, b);
    case 0xfe: return take_switch(t, s, b);
    default: return fail_malformed(t);
    }
}

static enum wr_check_next take_packet(struct wr_check_talk *t, struct check_mysql *s,
                                      struct wr_str payload)
{
    struct wr_scan b = wr_scan_of(payload.p, payload.n);
    uint8_t type = wr_scan_u8(&b);

    if (b.bad)
        return fail_malformed(t);
    if (type == 0xff)
        return take_error(t, s, &b);
    switch (s->step) {
    case MY_GREETING:
        return type == PROTOCOL ? take_greeting(t, s, &b) : fail_malformed(t);
    case MY_LOGIN:
        return take_login(t, s, type, &b);
    case MY_PING:
        if (type != 0)
            break;
        put_command(t, s, 0x01);
        return wr_check_pass(t, "answers a ping");
    case MY_HANDSHAKE:
        break;
    }
    return fail_malformed(t);
}

/* Takes all packets that are complete. */
static enum wr_check_next take_packets(struct wr_check_talk *t, struct check_mysql *s,
                                       struct wr_str in, size_t *used)
{
    enum wr_check_next next = WR_CHECK_MORE;

    while (next == WR_CHECK_MORE) {
        struct wr_scan b = wr_scan_of(in.p + *used, in.n - *used);
        size_t n = wr_scan_u8(&b);
        struct wr_str payload;

        n |= (size_t)wr_scan_u8(&b) << 8;
        n |= (size_t)wr_scan_u8(&b) << 16;
        s->sequence = b.bad ? s->sequence : (uint8_t)(wr_scan_u8(&b) + 1);
        if (n > WR_CHECK_READ_MAX)
            return fail_malformed(t);
        payload = wr_scan_take(&b, n);
        if (b.bad)
            break;
        *used += 4 + n;
        next = take_packet(t, s, payload);
    }
    return next;
}

static enum wr_check_next begin_mysql(struct wr_check_talk *t)
{
    struct check_mysql *s = wr_check_state(t);

    WR_TYPED(s, CHECK_MYSQL);
    return WR_CHECK_MORE; /* the server begins */
}

static enum wr_check_next input_mysql(struct wr_check_talk *t, struct wr_str in,
                                      enum wr_check_end end, size_t *used)
{
    struct check_mysql *s = WR_CHECK(t->state, CHECK_MYSQL);
    enum wr_check_next next;

    if (s->step == MY_HANDSHAKE && t->secured)
        next = send_login(t, s);
    else
        next = take_packets(t, s, in, used);
    if ((next == WR_CHECK_MORE || next == WR_CHECK_TLS) && end != WR_CHECK_OPEN)
        return wr_check_fail_end(t, end, doing[s->step]);
    return next;
}

const struct wr_check_kind wr_check_mysql = {
    .name = "mysql",
    .layers = WR_L4,
    .params = WR_CHECK_USER,
    .state_size = sizeof(struct check_mysql),
    .upgrades = true,
    .needs_user = true,
    .begin = begin_mysql,
    .input = input_mysql,
};

/* server_params: what stands behind `server`, and in a line of a file of servers: an address, and
 * parameters, which are a table. Pure; threads call it. */
#include "upstream/upstream_impl.h"

struct wr_server wr_server_new(void)
{
    return (struct wr_server){ .weight = 1, .max_fails = 1, .fail_timeout_ms = 10000 };
}

const char *wr_server_address(struct wr_server *s, struct wr_str text, uint16_t default_port)
{
    struct wr_hostport hp;
    const char *why = wr_hostport_parse(text, s->service.n > 0 ? 1 : default_port, &hp);
    bool has_port = hp.host.n != text.n;

    s->text = text;
    s->host = hp.host;
    s->port = hp.port;
    s->addr = hp.addr;
    s->named = hp.addr.len == 0;
    if (why != NULL || s->service.n == 0)
        return why;
    if (!s->named)
        return "service requires a name";
    return has_port ? "service requires a name without a port" : NULL;
}

static bool param_num(struct wr_str v, uint64_t min, uint32_t *out)
{
    uint64_t n;

    if (!wr_str_u64(v, &n) || n < min || n > INT32_MAX)
        return false;
    *out = (uint32_t)n;
    return true;
}
static bool p_weight(struct wr_server *s, struct wr_str v) { return param_num(v, 1, &s->weight); }
static bool p_max_fails(struct wr_server *s, struct wr_str v)
{
    return param_num(v, 0, &s->max_fails);
}
static bool p_max_conns(struct wr_server *s, struct wr_str v)
{
    return param_num(v, 0, &s->max_conns);
}
static bool p_fail_timeout(struct wr_server *s, struct wr_str v)
{
    uint64_t sec;

    if (!wr_parse_sec(v, &sec))
        return false;
    s->fail_timeout_ms = sec * 1000;
    return true;
}
static bool p_service(struct wr_server *s, struct wr_str v)
{
    s->service = v;
    return v.n > 0;
}
static bool p_on_down(struct wr_server *s, struct wr_str v)
{
    return wr_on_down_read(v, &s->on_down);
}
static bool p_backup(struct wr_server *s, struct wr_str v)
{
    (void)v;
    return s->backup = true;
}
static bool p_down(struct wr_server *s, struct wr_str v)
{
    (void)v;
    return s->down = true;
}
static bool p_drain(struct wr_server *s, struct wr_str v)
{
    (void)v;
    return s->drain = true;
}
static bool p_slow_start(struct wr_server *s, struct wr_str v)
{
    return wr_parse_msec(v, &s->slow_start_ms) && s->slow_start_ms <= INT32_MAX;
}
static bool p_route(struct wr_server *s, struct wr_str v)
{
    s->route = v;
    return v.n > 0 && v.n < sizeof(((struct wr_peer_slot *)NULL)->route);
}
static bool p_resolve(struct wr_server *s, struct wr_str v) /* weir always resolves names again */
{
    (void)s;
    (void)v;
    return true;
}

static const struct {
    const char *name;
    bool value;
    bool (*set)(struct wr_server *s, struct wr_str v);
    const char *takes;           /* describes the value */
    uint32_t kind;               /* a bit by which it may be refused; 0: it never is */
} params[] = {
    { "weight", true, p_weight, "a number, 1 or more", 0 },
    { "max_fails", true, p_max_fails, "a number; 0: failures are not counted", 0 },
    { "max_conns", true, p_max_conns, "a number; 0: no limit", 0 },
    { "fail_timeout", true, p_fail_timeout, "a time of whole seconds: 30, 5m, 1d", 0 },
    { "service", true, p_service, "the name of an SRV record", WR_PARAMS_OF_NAMES },
    { "backup", false, p_backup, NULL, WR_PARAMS_OF_BACKUPS },
    { "down", false, p_down, NULL, 0 },
    { "resolve", false, p_resolve, NULL, WR_PARAMS_OF_NAMES },
    { "drain", false, p_drain, NULL, 0 },
    { "route", true, p_route, "a word of at most 63 bytes", WR_PARAMS_OF_ROUTES },
    { "on_down", true, p_on_down, "close or drain", 0 },
    { "slow_start", true, p_slow_start, "a time", 0 },
};

static const char *const refusals[] = {
    [WR_PARAMS_OF_NAMES] = "the parameters \"resolve\" and \"service\" are for names, which are not"
                           " resolved here: write them in upstream {}",
    [WR_PARAMS_OF_BACKUPS] = "balancing method does not support parameter \"backup\"",
    [WR_PARAMS_OF_ROUTES] = "the \"route\" parameter is not known in stream: only http has sticky"
                            " sessions",
};

enum wr_param_result wr_server_param(struct wr_server *s, struct wr_str arg, uint32_t refused,
                                     const char **why)
{
    struct wr_str v = arg;

    for (size_t k = 0; k < WR_COUNT(params); k++) {
        if (params[k].value ? !wr_param(arg, params[k].name, &v) : !wr_str_is(arg, params[k].name))
            continue;
        if ((params[k].kind & refused) != 0) {
            *why = refusals[params[k].kind];
            return WR_PARAM_REFUSED;
        }
        *why = params[k].takes;
        return params[k].set(s, v) ? WR_PARAM_SET : WR_PARAM_WRONG;
    }
    *why = NULL;
    return WR_PARAM_UNKNOWN;
}

const char *wr_server_param_near(struct wr_pool *pool, struct wr_str arg)
{
    struct wr_param_near near = wr_param_near(arg);

    for (size_t k = 0; k < WR_COUNT(params); k++)
        wr_param_consider(pool, &near, params[k].name, params[k].value);
    return near.hint;
}

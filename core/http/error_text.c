/* error_text: the built-in pages of statuses, in nginx's words. error_page calls it; the text is in
 * the exchange's pool. */
#include "http/http.h"

struct special {
    unsigned status;
    const char *title, *heading, *line; /* heading NULL: the title; line NULL: none */
};

/* Statuses whose title or heading is not just "404 Not Found". */
static const struct special specials[] = {
    { 302, "302 Found", NULL, NULL },
    { 401, "401 Authorization Required", NULL, NULL },
    { 494, "400 Request Header Or Cookie Too Large", "400 Bad Request",
      "Request Header Or Cookie Too Large" },
    { 495, "400 The SSL certificate error", "400 Bad Request", "The SSL certificate error" },
    { 496, "400 No required SSL certificate was sent", "400 Bad Request",
      "No required SSL certificate was sent" },
    { 497, "400 The plain HTTP request was sent to HTTPS port", "400 Bad Request",
      "The plain HTTP request was sent to HTTPS port" },
};

/* False: this status has no page. */
static bool find_special(struct wr_exchange *x, unsigned status, struct special *out)
{
    const char *reason;

    for (size_t i = 0; i < WR_COUNT(specials); i++)
        if (specials[i].status == status) {
            *out = specials[i];
            return true;
        }
    reason = wr_status_reason(status);
    if (reason == NULL || status < 301 || status == 304)
        return false;
    *out = (struct special){ .title = wr_pool_fmt(x->pool, "%u %s", status, reason).p };
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* True: a browser that replaces short pages by its own. */
static bool wants_padding(struct wr_exchange *x, unsigned status)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);
    struct wr_str agent = wr_fields_value(&wr_http_of(x)->req.fields, WR_F_USER_AGENT);
    struct wr_str version;

    if (!c->msie_padding || status < 400 || agent.n == 0)
        return false;
    if (wr_str_search(agent, WR_STR("Chrome/")) < agent.n)
        return true;
    version = wr_str_skip(agent, wr_str_search(agent, WR_STR("MSIE ")) + 5);
    return version.n > 0 && is_digit(version.p[0])
        && wr_str_search(agent, WR_STR("Opera")) == agent.n;
}

static struct wr_str server_text(struct wr_exchange *x)
{
    const struct wr_http_conf *c = wr_conf_of(x, &wr_module_http);

    switch (c->server_tokens) {
    case 0:
        return WR_STR("weir");
    case 2:
        return sizeof(WR_BUILD) > 1 ? WR_STR("weir/" WR_VERSION " (" WR_BUILD ")")
                                    : WR_STR("weir/" WR_VERSION);
    default:
        return WR_STR("weir/" WR_VERSION);
    }
}

#define PADDING "<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n"

struct wr_str wr_error_text(struct wr_exchange *x, unsigned status)
{
    struct wr_text t;
    struct special s;

    if (!find_special(x, status, &s))
        return wr_str_of("", 0);
    t = wr_text_grow(x->pool, 512, 4096);
    wr_text_fmt(&t, "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n"
                "<center><h1>%s</h1></center>\r\n", s.title,
                s.heading != NULL ? s.heading : s.title);
    if (s.line != NULL)
        wr_text_fmt(&t, "<center>%s</center>\r\n", s.line);
    wr_text_fmt(&t, "<hr><center>" WR_FMT "</center>\r\n</body>\r\n</html>\r\n",
                WR_ARG(server_text(x)));
    if (wants_padding(x, status))
        for (int i = 0; i < 6; i++)
            wr_text_c(&t, PADDING);
    return wr_text_view(&t);
}

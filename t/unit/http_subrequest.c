/* Subrequests, without a client and without a socket: the parts of the request they share and those
 * of their own, the ways they end, and how deep they nest. t/251_preface.t tests them in a running
 * weir. */
#include "lib/unit.h"

#include "lib/config_fake.h"

#include "http/http_impl.h"

extern struct wr_module wr_module_http_route, wr_module_error_page;
static const struct wr_http_speaker speaker = { .name = "none", .alpn = WR_STR_INIT("\4none") };
static struct wr_module spoken = { .name = "none", .layers = WR_L7, .speaker = &speaker };
struct wr_module *const wr_modules[] = { &wr_module_vars, &wr_module_core_vars,
                                         &wr_module_log_conf, &wr_module_thread_pool,
                                         &wr_module_listen, &wr_module_http,
                                         &wr_module_http_route, &wr_module_error_page, &spoken,
                                         NULL };

static struct wr_loop *loop;
static struct wr_conf *conf;
static unsigned overs;
static unsigned last_status;

static void note_over(struct wr_exchange *x)
{
    overs++;
    last_status = x->status;
}

static enum wr_go wait_run(struct wr_exchange *x)
{
    wr_timer_set(x->loop, &x->idle, 60000);
    return WR_WAIT;
}

static const struct wr_step step_wait = { "wait", "waiting", wait_run };

static struct wr_exchange *request(const char *fields)
{
    struct wr_exchange *x = wr_exchange_new(wr_session_nobody(&wr_layer_http),
                                            wr_conf_layer(conf, WR_L7)->children, &step_wait);
    struct wr_str text = wr_str_c(fields);
    struct wr_http *h = wr_http_of(x);

    h->req.method = WR_M_POST;
    h->req.method_text = WR_STR("POST");
    h->req.line = WR_STR("POST /a HTTP/1.1");
    h->req.target = h->req.uri = WR_STR("/a");
    h->req.framing = WR_BODY_LENGTH;
    h->req.length = 7;
    while (text.n > 0)
        wr_fields_add(x->pool, &h->req.fields, wr_str_cut(&text, ' '), WR_STR("v"));
    x->over = note_over;
    wr_exchange_wake(x);
    return x;
}

static struct wr_exchange *subrequest(struct wr_exchange *x)
{
    struct wr_exchange *child = wr_subrequest_new(x, WR_STR("/b"), WR_STR("c=d"));

    if (child == NULL)
        return NULL;
    child->over = note_over;
    wr_exchange_wake(child);
    return child;
}

static void setup(void)
{
    static bool begun;

    if (!begun) {
        wr_modules_init();
        wr_phases_init();
        wr_filters_init();
    }
    begun = true;
    wr_error_log_default = "/dev/null";
    conf = wr_conf_load_text("t.conf", WR_STR("http { server { } }"), WR_STR(""), "/p");
    ck_assert_uint_eq(conf->tree->errors, 0);
    loop = wr_loop_new(8);
    wr_sessions_use(loop, conf);
    overs = 0;
}

static void teardown(void)
{
    wr_loop_turn(loop, 0);
    wr_loop_free(loop);
    wr_conf_free(conf);
}

START_TEST(asks)
{
    struct wr_exchange *x, *child;
    const struct wr_http *h;

    setup();
    x = request("Host Range X-A If-None-Match Upgrade Content-Length Cookie");
    child = subrequest(x);
    h = wr_http_of(child);
    ck_view(h->req.method_text, "GET");
    ck_view(h->req.uri, "/b");
    ck_view(h->req.args, "c=d");
    ck_view(h->req.target, "/a");
    ck_assert_int_eq(h->req.framing, WR_BODY_NONE);
    ck_assert_uint_eq(h->req.fields.n, 3);
    ck_view(h->req.fields.at[0].name, "Host");
    ck_view(h->req.fields.at[1].name, "X-A");
    ck_view(h->req.fields.at[2].name, "Cookie");
    ck_assert_ptr_null(h->speaker);
    wr_fields_remove(&wr_http_of(child)->req.fields, WR_F_HOST); /* its own copy */
    ck_assert_ptr_nonnull(wr_fields_first(&wr_http_of(x)->req.fields, WR_F_HOST));
    ck_assert_uint_eq(wr_http_of(x)->req.length, 7);
    (void)wr_finish(x, 0);
    teardown();
}
END_TEST

/* No module answers: 404, with a built-in page that is swallowed, or collected. */
START_TEST(is_answered)
{
    for (int collected = 0; collected < 2; collected++) {
        struct wr_bufq text = { 0 };
        struct wr_exchange *x, *child;

        setup();
        x = request("Host");
        child = subrequest(x);
        if (collected == 1)
            wr_endpoint_collect(&child->client, &text, 4096);
        for (int i = 0; i < 9 && overs == 0; i++)
            wr_loop_turn(loop, 0);
        ck_assert_uint_eq(overs, 1);
        ck_assert_uint_eq(last_status, 404);
        ck_assert_int_eq(text.n > 0, collected == 1);
        ck_assert(wr_list_empty(&x->children));
        (void)wr_finish(x, 0);
        ck_assert_uint_eq(overs, 2);
        wr_bufq_clear(&text);
        teardown();
    }
}
END_TEST

/* The reply is longer than may be collected: `over` finds `aborted` set. */
static bool was_cut;

static void note_cut(struct wr_exchange *x)
{
    note_over(x);
    was_cut = wr_http_of(x)->aborted;
}

START_TEST(is_cut)
{
    struct wr_bufq text = { 0 };
    struct wr_exchange *x, *child;

    setup();
    x = request("Host");
    child = subrequest(x);
    child->over = note_cut;
    wr_endpoint_collect(&child->client, &text, 10);
    for (int i = 0; i < 9 && overs == 0; i++)
        wr_loop_turn(loop, 0);
    ck_assert_uint_eq(overs, 1);
    ck_assert(was_cut);
    ck_assert_uint_le(text.n, 10);
    (void)wr_finish(x, 0);
    wr_bufq_clear(&text);
    teardown();
}
END_TEST

/* The parent ends at each turn of its child. */
START_TEST(ends_with_its_parent)
{
    for (int at = 0; at < 6; at++) {
        struct wr_exchange *x;

        setup();
        x = request("Host");
        (void)subrequest(x);
        for (int i = 0; i < at; i++)
            wr_loop_turn(loop, 0);
        (void)wr_finish(x, 499);
        ck_assert_uint_eq(overs, 2);
        ck_assert_uint_eq(last_status, 499);
        teardown();
    }
}
END_TEST

START_TEST(nests)
{
    struct wr_exchange *x, *child, *deepest = NULL;
    unsigned depth = 0;

    setup();
    x = request("Host");
    for (child = x; (child = subrequest(child)) != NULL; depth++)
        deepest = child;
    ck_assert_uint_eq(depth, 50);
    ck_assert_ptr_eq(deepest->main, x);
    (void)wr_finish(x, 0);
    ck_assert_uint_eq(overs, 51);
    teardown();
}
END_TEST

UNIT_MAIN("http/subrequest", asks, is_answered, is_cut, ends_with_its_parent, nests)

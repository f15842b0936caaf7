/* The match language of health checks, and hostile replies to it: one byte for the layer, the lines
 * of a `match` block up to a zero, then what the server sends, in pieces whose size is the next
 * byte. Whatever comes, a check ends with a verdict when its bytes end, and never uses more bytes
 * than there are. */
#include "http/http.h"

#include "../../modules/shared/health/health_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT_MAX 2048

/* The configuration with this block; NULL: it is not valid. */
static struct wr_conf *load_match(bool http, struct wr_str lines)
{
    char text[TEXT_MAX + 256];
    struct wr_conf *conf;
    int n = snprintf(text, sizeof(text),
                     http ? "http { access_log off; match m { " WR_FMT "\n} server { listen 80;"
                            " location / { proxy_pass http://127.0.0.1:81;"
                            " health_check match=m; } } }"
                          : "stream { match m { " WR_FMT "\n} server { listen 80;"
                            " proxy_pass 127.0.0.1:81; health_check match=m; } }",
                     WR_ARG(lines));

    conf = wr_conf_load_text("fuzz", wr_str_of(text, (size_t)n), WR_STR(""), "/");
    if (conf->tree->errors == 0 && wr_health_of(conf)->checks.n == 1)
        return conf;
    wr_conf_free(conf);
    return NULL;
}

struct side {                    /* of the check */
    struct wr_check_talk t;
    const struct wr_check_kind *kind;
    char why[WR_CHECK_WHY_MAX];
    size_t at, n;                /* bytes that were given, and not used */
};

static enum wr_check_next call_kind(struct side *d, const char *in, enum wr_check_end end)
{
    size_t used = 0;
    enum wr_check_next next;
    char *own = malloc(d->n + 1); /* its end is where ASan looks */

    WR_ASSERT(own != NULL);
    memcpy(own, in + d->at, d->n);
    d->t.out.n = 0;
    next = d->kind->input(&d->t, wr_str_of(own, d->n), end, &used);
    free(own);
    WR_ASSERT(used <= d->n);
    WR_ASSERT(next != WR_CHECK_TLS && (end == WR_CHECK_OPEN || next != WR_CHECK_MORE));
    WR_ASSERT(next != WR_CHECK_FAIL || d->t.why.n > 0);
    d->at += used;
    d->n -= used;
    return next;
}

static void converse(const struct wr_check *c, const char *in, size_t n, size_t piece)
{
    struct side d = { .kind = c->kind };
    enum wr_check_next next;

    d.t = (struct wr_check_talk){ .conf = &c->conf, .pool = wr_pool_new((size_t)1 << 20),
                                  .why = wr_text_on(d.why, sizeof(d.why)) };
    d.t.out = wr_text_grow(d.t.pool, 64, 16384);
    d.t.state = wr_pool_zalloc(d.t.pool, c->kind->state_size + 1);
    next = c->kind->begin(&d.t);
    while (next == WR_CHECK_MORE && d.at + d.n < n) {
        d.n += wr_min(piece, n - d.at - d.n);
        next = call_kind(&d, in, WR_CHECK_OPEN);
    }
    if (next == WR_CHECK_MORE)
        (void)call_kind(&d, in, n % 2 != 0 ? WR_CHECK_CLOSED : WR_CHECK_FULL);
    wr_pool_free(d.t.pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str rest, lines;
    struct wr_conf *conf;
    size_t piece;

    if (size < 1 || size > WR_CHECK_READ_MAX)
        return 0;
    wr_modules_init();
    wr_clock_update();
    wr_error_log_default = "stderr";
    rest = wr_str_of((const char *)data + 1, size - 1);
    lines = wr_str_cut(&rest, '\0');
    if (lines.n > TEXT_MAX)
        return 0;
    conf = load_match(data[0] % 2 != 0, lines);
    if (conf == NULL)
        return 0;
    piece = rest.n > 0 ? (size_t)(unsigned char)rest.p[0] + 1 : 1;
    rest = wr_str_skip(rest, 1);
    converse(wr_health_of(conf)->checks.at[0], rest.n > 0 ? rest.p : "", rest.n, piece);
    wr_conf_free(conf);
    return 0;
}

/* split_clients: a variable whose value is chosen by the hash of a text; each value has a share of
 * the hashes: `split_clients $remote_addr $variant { 10% a; * b; }`. Both layers. The hash
 * (MurmurHash2) and the scale are nginx's, so a client stays in its share when a configuration
 * moves from nginx to weir. */
#include "text/text.h"
#include "split_scale.h"

struct share {
    uint32_t below;         /* hashes under it are in this share */
    bool rest;              /* "*" */
    struct wr_str value;
};
struct split {
    uint32_t magic;
    struct wr_template *key;
    WR_VEC(struct share) shares;
    uint32_t hundredths;    /* of a percent, assigned so far */
    uint32_t below;
};

bool wr_split_percent(struct wr_str s, uint32_t *out)
{
    struct wr_str fraction = s, whole;
    uint64_t a = 0, b = 0;

    if (s.n < 2 || s.p[s.n - 1] != '%')
        return false;
    fraction.n--;
    whole = wr_str_cut(&fraction, '.');
    if ((whole.n > 0 && !wr_str_u64(whole, &a)) || a > 1000 || fraction.n > 2)
        return false;
    if (fraction.n > 0 && !wr_str_u64(fraction, &b))
        return false;
    *out = (uint32_t)(a * 100 + b * (fraction.n == 1 ? 10 : 1));
    return *out > 0;
}

uint32_t wr_split_scale(uint32_t hundredths)
{
    return (uint32_t)((uint64_t)hundredths * UINT32_MAX / WR_SPLIT_WHOLE);
}

static bool split_get(struct wr_exchange *x, const struct wr_var *v, struct wr_str *out)
{
    const struct split *sp = WR_CHECK(v->object, SPLIT);
    uint32_t hash = wr_murmur2(wr_template_str(x, sp->key));

    *out = WR_STR("");
    for (uint32_t i = 0; i < sp->shares.n; i++) {
        if (sp->shares.at[i].rest || hash < sp->shares.at[i].below) {
            *out = sp->shares.at[i].value;
            break;
        }
    }
    return true;
}

static bool split_line(struct wr_cf *cf, struct split *sp)
{
    struct share share = { 0 };
    uint32_t hundredths;

    if (cf->node->block)
        return wr_cf_error(cf, 0, "unexpected \"{\"");
    if (cf->node->nwords != 2)
        return wr_cf_error(cf, 0, "invalid number of the split_clients parameters");
    share.rest = wr_str_is(wr_cf_arg(cf, 0), "*");
    share.value = wr_cf_arg(cf, 1);
    if (share.rest) {
        hundredths = WR_SPLIT_WHOLE - sp->hundredths;
    } else if (!wr_split_percent(wr_cf_arg(cf, 0), &hundredths)) {
        return wr_cf_error(cf, 0, "invalid percent value \"" WR_FMT "\"",
                           WR_ARG(wr_cf_arg(cf, 0)));
    }
    if (sp->hundredths + hundredths > WR_SPLIT_WHOLE)
        return wr_cf_error(cf, 0, "percent total is greater than 100%%");
    sp->hundredths += hundredths;
    sp->below += wr_split_scale(hundredths);
    share.below = sp->below;
    *wr_vec_push(cf->pool, &sp->shares) = share;
    return true;
}

static bool set_split(struct wr_cf *cf, void *conf)
{
    const struct wr_node *block = cf->node;
    struct split *sp = WR_NEW(cf->pool, struct split);
    struct wr_var *v;
    bool ok = true;

    (void)conf;
    sp->key = wr_template_new(cf, 1, wr_cf_arg(cf, 1));
    v = wr_var_define(cf, 2, split_get, WR_VAR_USER | WR_VAR_CACHED);
    if (sp->key == NULL || v == NULL)
        return false;
    WR_TYPED(sp, SPLIT);
    v->object = sp;
    for (const struct wr_node *line = block->children; line != NULL; line = line->next) {
        cf->node = line;
        ok = split_line(cf, sp) && ok;
    }
    cf->node = block;
    return ok;
}

static const struct wr_directive directives[] = {
    WR_CUSTOM("split_clients", WR_ANY | WR_LV_LAYER | WR_DEFINE | WR_MULTI, 2, 2, set_split, NULL,
              "defines a variable whose value is chosen by the hash of a text, in given shares"),
    { 0 }
};

struct wr_module wr_module_split_clients = {
    .name = "split_clients",
    .layers = WR_ANY,
    .directives = directives,
};

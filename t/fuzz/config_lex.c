/* Fuzz driver: the lexer, the tree and the printing of their findings. Opens no file. */
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct wr_node *block)
{
    const struct wr_node *n;
    uint32_t i;

    for (n = block->children; n != NULL; n = n->next) {
        WR_ASSERT(n->nwords > 0 && n->parent == block && (n->block || n->children == NULL));
        for (i = 0; i < n->nwords; i++)
            WR_ASSERT(n->words[i].text.p[n->words[i].text.n] == '\0' && n->words[i].line > 0 &&
                      n->words[i].column > 0);
        check(n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *out;
    struct wr_pool *pool = wr_pool_new(0);
    struct wr_tree *t = wr_tree_parse_only(pool, "fuzz", wr_str_of((const char *)data, size));

    if (out == NULL)
        out = fopen("/dev/null", "w");
    WR_ASSERT(out != NULL && (t->errors > 0) == (t->diags != NULL));
    check(t->root);
    wr_diag_print(t, out, NULL);
    wr_pool_free(pool);
    return 0;
}

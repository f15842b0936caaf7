/* check_password: the password of a check, from its file. The master reads it when it loads the
 * configuration, into memory that no core file gets; it is in no message. */
#include "health_impl.h"

#include <errno.h>

#define FILE_MAX 4096
#define PASSWORD_MAX 1000 /* the kinds put it into messages of their own, which are short */

bool wr_check_password_read(struct wr_cf *cf, uint32_t i, struct wr_str file, struct wr_str *out)
{
    const char *path = wr_cf_path(cf, file, true);
    struct wr_str text;

    wr_vault_pool(cf->pool);
    text = wr_file_read(cf->pool, path, FILE_MAX);
    if (text.p == NULL)
        return wr_cf_error(cf, i, "cannot read \"%s\" (%d: %s)", path, errno, strerror(errno));
    *out = wr_str_cut(&text, '\n');
    if (out->n > 0 && out->p[out->n - 1] == '\r')
        out->n--;
    if (out->n == 0)
        return wr_cf_error(cf, i, "the first line of \"%s\" is empty: it must be the password",
                           path);
    if (wr_str_find(*out, '\0') < out->n)
        return wr_cf_error(cf, i, "the password in \"%s\" has a zero byte", path);
    if (out->n > PASSWORD_MAX)
        return wr_cf_error(cf, i, "the password in \"%s\" is longer than %d bytes", path,
                           PASSWORD_MAX);
    wr_cf_warn_open(cf, i, path, "the password");
    return true;
}

/* known: looks up names this build does not have: directives and variables of nginx (words.c),
 * directives of third-party modules and those that nginx removed (elsewhere.c). Called by
 * suggest.c, help.c and, for variables, by core/text. */
#include "config/config_impl.h"

#include <fnmatch.h>

static int compare_name(const void *key, const void *element)
{
    const struct wr_str *name = key;
    const struct wr_nginx_word *w = element;

    return wr_str_cmp(*name, wr_str_c(w->name));
}

const struct wr_nginx_word *wr_known_directive(struct wr_str name)
{
    return bsearch(&name, wr_nginx_directives, wr_nginx_directives_count,
                   sizeof(wr_nginx_directives[0]), compare_name);
}

const struct wr_nginx_word *wr_known_variable(struct wr_str name)
{
    const struct wr_nginx_word *found =
        bsearch(&name, wr_nginx_variables, wr_nginx_variables_count, sizeof(wr_nginx_variables[0]),
                compare_name);

    for (uint32_t i = 0; i < wr_nginx_variables_count && found == NULL; i++) {
        struct wr_str family = wr_str_c(wr_nginx_variables[i].name);

        if (wr_str_ends(family, WR_STR("_")) && wr_str_starts(name, family))
            found = &wr_nginx_variables[i];
    }
    return found;
}

const char *wr_known_elsewhere(const char *name)
{
    for (const struct wr_other_word *w = wr_other_words; w->names != NULL; w++) {
        struct wr_str rest = wr_str_c(w->names);

        while (rest.n > 0) {
            struct wr_str pattern = wr_str_cut(&rest, ' ');
            char buf[64];
            struct wr_text t = wr_text_on(buf, sizeof(buf));
            const char *p;

            wr_text_str(&t, pattern);
            if (wr_text_cstr(&t, &p) && fnmatch(p, name, 0) == 0)
                return w->module;
        }
    }
    return NULL;
}

const struct wr_removed_word *wr_known_removed(struct wr_str name)
{
    for (const struct wr_removed_word *w = wr_removed_words; w->name != NULL; w++)
        if (wr_str_is(name, w->name))
            return w;
    return NULL;
}

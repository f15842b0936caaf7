/* check: the end of a process that finds a broken invariant or no memory. The macros of base.h and
 * the allocators call it; it owns nothing. Every path aborts: the master starts another worker. */
#include "base/base.h"

#include <errno.h>

void (*wr_assert_hook)(void);

/* The log and the hook contain asserts, too: only the first failure is reported. */
static WR_NORETURN void fail_with(const char *text)
{
    static bool failing;

    if (!failing) {
        failing = true;
        wr_say(WR_LOG_ALERT, 0, "%s", text);
        if (wr_assert_hook != NULL)
            wr_assert_hook();
    }
    abort();
}

void wr_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    char text[1024];

    (void)snprintf(text, sizeof(text), "assertion \"%s\" failed in %s() at %s:%d", cond, func, file,
                   line);
    fail_with(text);
}

static const char *type_name(uint32_t magic)
{
    switch (magic) {
#define X(id, name) case WR_TYPE_##id: return #id;
        WR_TYPE_LIST(X)
#undef X
    case 0: return "nothing or freed memory";
    default: return "an unknown type";
    }
}

void wr_wrong_type(const void *p, enum wr_type wanted)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "%s where %s is expected", type_name(*(const uint32_t *)p),
                   type_name(wanted));
    fail_with(text);
}

void wr_out_of_memory(size_t size)
{
    wr_say(WR_LOG_EMERG, ENOMEM, "cannot allocate %zu bytes", size);
    abort();
}

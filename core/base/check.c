/* check: how a process ends that found itself wrong or without memory. The macros of base.h and the
 * allocators call it; it owns nothing. Both roads abort: the master starts another worker. */
#include "base/base.h"

#include <errno.h>

void (*wr_assert_hook)(void);

void wr_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    static bool failing;

    /* The log and the hook have asserts of their own. */
    if (!failing) {
        failing = true;
        wr_say(WR_LOG_ALERT, 0, "assertion \"%s\" failed in %s() at %s:%d", cond, func, file, line);
        if (wr_assert_hook != NULL)
            wr_assert_hook();
    }
    abort();
}

void wr_out_of_memory(size_t size)
{
    wr_say(WR_LOG_EMERG, ENOMEM, "cannot allocate %zu bytes", size);
    abort();
}

/* check: the end of a process that finds a broken invariant or no memory. The macros of base.h and
 * the allocators call it; it owns nothing. Every path aborts: the master starts another worker. */
#include "base/base.h"

#include <errno.h>
#include <unistd.h>

static void write_to_stderr(bool is_bug, int err, const char *text)
{
    char line[1200];
    int n = snprintf(line, sizeof(line), "weir: [%s] %s%s%s\n", is_bug ? "alert" : "emerg", text,
                     err != 0 ? ": " : "", err != 0 ? strerror(err) : "");

    (void)!write(STDERR_FILENO, line, wr_min((size_t)n, sizeof(line) - 1));
}

void (*wr_assert_log)(bool is_bug, int err, const char *text) = write_to_stderr;
void (*wr_assert_hook)(void);

/* The log and the hook contain asserts, too: only the first failure is reported. */
static WR_NORETURN void fail_with(const char *text)
{
    static bool failing;

    if (!failing) {
        failing = true;
        wr_assert_log(true, 0, text);
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
    char text[64];

    (void)snprintf(text, sizeof(text), "cannot allocate %zu bytes", size);
    wr_assert_log(false, ENOMEM, text);
    abort();
}

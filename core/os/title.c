/* title: what ps shows of this process. main() prepares it, each process sets its own. It owns the
 * memory in which the kernel once put the arguments and the environment. */
#include "os/os.h"

#include <unistd.h>

static char *area;
static size_t area_size;

static char *copy(const char *s)
{
    size_t n = strlen(s) + 1;

    return memcpy(wr_malloc(n), s, n);
}

/* The area reaches on while one string begins where the one before it ended. */
static void claim(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strings[i] == area + area_size)
            area_size += strlen(strings[i]) + 1;
        strings[i] = copy(strings[i]);
    }
}

void wr_title_init(int argc, char **argv)
{
    size_t count = 0;
    char **moved;

    if (area != NULL || argc < 1)
        return;
    area = argv[0];
    claim(argv, (size_t)argc);
    while (environ != NULL && environ[count] != NULL)
        count++;
    /* The array stands in the same memory as its strings' neighbours, and putenv() may replace it. */
    moved = wr_calloc(count + 1, sizeof(char *));
    if (count > 0)
        memcpy(moved, environ, count * sizeof(char *));
    claim(moved, count);
    environ = moved;
}

void wr_title_set(const char *title)
{
    struct wr_text t;

    if (area_size < 2)
        return;
    t = wr_text_on(area, area_size - 1);
    wr_text_c(&t, "weir: ");
    wr_text_c(&t, title);
    memset(area + t.n, 0, area_size - t.n);
}

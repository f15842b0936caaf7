/* title: the name that ps shows for this process. main() prepares it, each process sets its own. It
 * owns the memory in which the kernel put the arguments and the environment, and the copies of
 * both. */
#include "os/os.h"

#include <unistd.h>

static char *area;
static size_t area_size;
static struct wr_pool *copies; /* never freed */

/* Copies the strings out of the area. The area grows over each string that begins where it ends. */
static void copy_strings(char **strings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct wr_str s = wr_str_c(strings[i]);

        if (strings[i] == area + area_size)
            area_size += s.n + 1;
        strings[i] = wr_pool_cstr(copies, s);
    }
}

void wr_title_init(int argc, char **argv)
{
    size_t count = 0;
    char **moved;

    if (area != NULL || argc < 1)
        return;
    copies = wr_pool_new(0);
    area = argv[0];
    copy_strings(argv, (size_t)argc);
    while (environ != NULL && environ[count] != NULL)
        count++;
    moved = WR_NEW_ARRAY(copies, char *, count + 1);
    if (count > 0)
        memcpy(moved, environ, count * sizeof(char *));
    copy_strings(moved, count);
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
    /* The kernel shows the whole area if its last byte is zero. */
    memset(area + t.n, 0, area_size - t.n);
}

/* open_path: see open_path.h. */
#include "open_path.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int failed(struct wr_open_error *e, int fd, const char *call)
{
    *e = (struct wr_open_error){ errno, call };
    if (fd != -1)
        (void)close(fd);
    return -1;
}

int wr_open_path(struct wr_exchange *x WR_UNUSED, const char *path, struct stat *st,
                 struct wr_open_error *e)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd == -1)
        return failed(e, -1, "open()");
    if (fstat(fd, st) == -1)
        return failed(e, fd, "fstat()");
    return fd;
}

bool wr_stat_path(struct wr_exchange *x WR_UNUSED, const char *path, struct stat *st,
                  struct wr_open_error *e)
{
    if (stat(path, st) == 0)
        return true;
    *e = (struct wr_open_error){ errno, "stat()" };
    return false;
}

unsigned wr_open_status(int err)
{
    switch (err) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
        return 404;
    case EACCES:
    case ELOOP:
        return 403;
    default:
        return 500;
    }
}

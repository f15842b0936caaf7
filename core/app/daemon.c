/* daemon: going to the background, and the pid file. Called by the master. The process that the
 * user started waits until weir serves: its exit code is 0 only then. */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int ready_fd = -1; /* a pipe; the first process waits for one byte from it */

static void wait_for_child(int fd) WR_NORETURN;

static void wait_for_child(int fd)
{
    char byte;
    ssize_t n;

    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    _exit(n == 1 ? 0 : 1);
}

static void detach_terminal(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setsid();
    if (fd < 0)
        return;
    (void)!dup2(fd, STDIN_FILENO);
    (void)!dup2(fd, STDOUT_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

bool wr_daemonize(void)
{
    int fd[2];
    pid_t pid;

    if (pipe2(fd, O_CLOEXEC) != 0) {
        wr_say(WR_LOG_EMERG, errno, "pipe() failed");
        return false;
    }
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        wr_say(WR_LOG_EMERG, errno, "fork() failed");
        return false;
    }
    if (pid > 0) {
        close(fd[1]);
        wait_for_child(fd[0]);
    }
    close(fd[0]);
    ready_fd = fd[1];
    detach_terminal();
    return true;
}

void wr_daemon_ready(void)
{
    if (ready_fd < 0)
        return;
    (void)!write(ready_fd, "", 1);
    close(ready_fd);
    ready_fd = -1;
}

void wr_daemon_forget(void)
{
    if (ready_fd >= 0)
        close(ready_fd);
    ready_fd = -1;
}

/* The kernel releases the lock however this process ends, and a process that gets its number later
 * does not have the lock. EACCES: the file may be ours in a folder that is not writable. */
int wr_pid_write(const char *path)
{
    char buf[24];
    int fd;

    snprintf(buf, sizeof(buf), "%d\n", (int)getpid());
    fd = wr_file_write_locked(path, wr_str_c(buf), 0644);
    if (fd < 0 && errno == EACCES)
        fd = wr_file_rewrite_locked(path, wr_str_c(buf));
    if (fd < 0)
        wr_say(WR_LOG_EMERG, errno, "open() \"%s\" failed", path);
    return fd;
}

bool wr_pid_read(const char *path, struct wr_pid_file *out)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* do not block on a FIFO */
    ssize_t n;
    uint64_t pid;

    *out = (struct wr_pid_file){ .pid = 0 };
    if (fd < 0)
        return false;
    n = read(fd, out->text, sizeof(out->text) - 1);
    out->text[wr_max(n, 0)] = '\0';
    out->text[strcspn(out->text, "\n")] = '\0';
    if (wr_str_u64(wr_str_trim(wr_str_c(out->text)), &pid) && pid > 0 && pid <= INT32_MAX)
        out->pid = (pid_t)pid;
    if (fcntl(fd, F_GETLK, &lock) != 0)
        out->is_held = out->pid > 0 && (kill(out->pid, 0) == 0 || errno == EPERM);
    else
        out->is_held = out->pid > 0 && lock.l_type != F_UNLCK && lock.l_pid == out->pid;
    close(fd);
    return true;
}

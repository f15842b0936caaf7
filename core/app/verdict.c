/* verdict: `weir -s WORD`, and the master's answer to `weir -s reload`. Called by main in the
 * process of `weir -s`, by master in the master.
 *
 * `weir -s reload` makes a pipe and sends the number of its write end with the signal (sigqueue).
 * The master opens that descriptor through /proc, acknowledges, and writes the verdict when the new
 * generation serves or is undone. Nothing is left behind, no further rights are needed than for the
 * signal, and kill -HUP works as before.
 *
 * On the pipe: 'A' (acknowledged), text for the user, a zero byte, and 'Y' or 'N'. */
#include "app/app.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASK_AGAIN_MS 1000
#define ACK_WAIT_MS 5000
#define TEXT_MAX 60000 /* fits into the pipe */

/* ---- the master's side ---- */

static void open_reply(struct wr_answer *r, const struct wr_ask *ask)
{
    char path[64];
    struct stat st;
    int fd;

    if (r->nfds == WR_COUNT(r->fd))
        return;
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)ask->pid, ask->fd);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return;
    if (fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode) || write(fd, "A", 1) != 1) {
        close(fd);
        return;
    }
    r->fd[r->nfds++] = fd;
}

void wr_answer_acknowledge(struct wr_answer *r)
{
    struct wr_ask ask;

    while (wr_signals_ask(&ask))
        open_reply(r, &ask);
}

void wr_answer_begin(struct wr_answer *r)
{
    *r = wr_master.next_answer;
    wr_master.next_answer = (struct wr_answer){ .nfds = 0 };
    wr_answer_acknowledge(r);
    r->text = open_memstream(&r->buf, &r->n);
    if (r->text == NULL)
        wr_out_of_memory(0);
}

void wr_answer_forget(struct wr_answer *r)
{
    for (uint32_t i = 0; i < r->nfds; i++)
        close(r->fd[i]);
    if (r->text != NULL)
        fclose(r->text);
    free(r->buf);
    *r = (struct wr_answer){ .nfds = 0 };
}

void wr_answer_end(struct wr_answer *r, bool ok)
{
    fflush(r->text);
    for (uint32_t i = 0; i < r->nfds; i++) {
        (void)!write(r->fd[i], r->buf, wr_min(r->n, (size_t)TEXT_MAX));
        (void)!write(r->fd[i], ok ? "\0Y" : "\0N", 2);
    }
    wr_answer_forget(r);
}

/* ---- weir -s ---- */

static bool send_request(pid_t pid, int fd)
{
    if (sigqueue(pid, SIGHUP, (union sigval){ .sival_int = WR_ASK_MAGIC | fd }) == 0)
        return true;
    wr_say(WR_LOG_ERROR, errno, "kill(%d, %d) failed", (int)pid, SIGHUP);
    return false;
}

struct received {
    bool heard, done, ok;
    bool zero;        /* the next byte is the verdict */
};

static void take_answer(struct received *a, const char *p, size_t n)
{
    for (size_t i = 0; i < n && !a->done; i++) {
        if (!a->heard)
            a->heard = true;
        else if (a->zero) {
            a->done = true;
            a->ok = p[i] == 'Y';
        } else if (p[i] == '\0')
            a->zero = true;
        else
            fputc(p[i], stderr);
    }
}

/* A signal sent while another one is pending may be lost: send it again until it is
 * acknowledged. */
static bool wait_for_answer(pid_t pid, int from, int to)
{
    struct pollfd p = { .fd = from, .events = POLLIN };
    struct received a = { .heard = false };
    unsigned waited = 0;
    char buf[4096];

    while (!a.done) {
        ssize_t n;

        if (poll(&p, 1, ASK_AGAIN_MS) <= 0) {
            waited += ASK_AGAIN_MS;
            if (kill(pid, 0) != 0 && errno == ESRCH) {
                wr_say(WR_LOG_ERROR, 0, "process %d ended without an answer", (int)pid);
                return false;
            }
            if (!a.heard && waited >= ACK_WAIT_MS) {
                wr_say(WR_LOG_ERROR, 0, "process %d received the signal but did not answer; its "
                       "error log shows the result", (int)pid);
                return false;
            }
            if (!a.heard && !send_request(pid, to))
                return false;
            continue;
        }
        n = read(from, buf, sizeof(buf));
        if (n > 0)
            take_answer(&a, buf, (size_t)n);
    }
    return a.ok;
}

static int ask_and_wait(pid_t pid)
{
    int fd[2];
    bool ok;

    if (pipe2(fd, O_CLOEXEC) != 0) {
        wr_say(WR_LOG_EMERG, errno, "pipe() failed");
        return 1;
    }
    /* Otherwise the master cannot open our /proc/PID/fd when the program file has capabilities. */
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    ok = send_request(pid, fd[1]) && wait_for_answer(pid, fd[0], fd[1]);
    close(fd[0]);
    close(fd[1]);
    return ok ? 0 : 1;
}

/* The path a main directive names. Looked up in the parsed file, before anything else is checked: a
 * configuration with errors elsewhere must not prevent stopping weir, nor the answer to a
 * reload. */
static const char *path_of(const struct wr_tree *t, const char *directive, const char *otherwise)
{
    for (const struct wr_node *n = t->root->children; n != NULL; n = n->next) {
        if (n->nwords >= 2 && wr_str_is(n->words[0].text, directive))
            return wr_pool_fmt(t->pool, "%s" WR_FMT,
                               n->words[1].text.n > 0 && n->words[1].text.p[0] == '/'
                                   ? "" : wr_paths.prefix, WR_ARG(n->words[1].text)).p;
    }
    return otherwise;
}

static int not_running(const char *path, const struct wr_pid_file *f)
{
    if (kill(f->pid, 0) != 0 && errno == ESRCH)
        wr_say(WR_LOG_ERROR, 0, "weir is not running: process %d, named in \"%s\", does not exist",
               (int)f->pid, path);
    else
        wr_say(WR_LOG_ERROR, 0, "weir is not running: process %d, named in \"%s\", did not write "
               "that file", (int)f->pid, path);
    return WR_EXIT_NOT_RUNNING;
}

/* Find the weir that wrote the pid file. Its number may belong to another process by now, which
 * must not get the signal. Returns 0 or the exit code. */
static int find_running(const char *path, pid_t *pid)
{
    struct wr_pid_file f;

    if (!wr_pid_read(path, &f)) {
        bool is_gone = errno == ENOENT;

        wr_say(WR_LOG_ERROR, errno, "%sopen() \"%s\" failed",
               is_gone ? "weir is not running: " : "", path);
        return is_gone ? WR_EXIT_NOT_RUNNING : 1;
    }
    if (f.pid == 0) {
        wr_say(WR_LOG_ERROR, 0, "invalid PID number \"%s\" in \"%s\"", f.text, path);
        return 1;
    }
    *pid = f.pid;
    return f.is_held ? 0 : not_running(path, &f);
}

static int signo_of(const char *word)
{
    return strcmp(word, "stop") == 0 ? SIGTERM : strcmp(word, "quit") == 0 ? SIGQUIT
        : strcmp(word, "reopen") == 0 ? SIGUSR1 : strcmp(word, "trace") == 0 ? WR_SIGTRACE
        : SIGHUP;
}

static int send_signal(pid_t pid, int signo, const struct wr_tree *t)
{
    if (signo == SIGHUP)
        return ask_and_wait(pid);
    if (kill(pid, signo) != 0) {
        wr_say(WR_LOG_ERROR, errno, "kill(%d, %d) failed", (int)pid, signo);
        return 1;
    }
    if (signo == WR_SIGTRACE)
        printf("weir: the workers write the last steps of every session to the error log, %s\n",
               path_of(t, "error_log", wr_paths.error_log));
    return 0;
}

int wr_signaller(const struct wr_options *o)
{
    struct wr_pool *pool = wr_pool_new(0);
    const struct wr_tree *t = wr_tree_load(pool, wr_paths.conf, wr_str_c(o->globals));
    pid_t pid = 0;
    int code = find_running(path_of(t, "pid", wr_paths.pid), &pid);

    if (code == 0)
        code = send_signal(pid, signo_of(o->signal), t);
    wr_pool_free(pool);
    return code;
}

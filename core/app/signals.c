/* signals: the handlers, which only set flags, and the master's sleep. Called by every process of
 * weir at its start, and by the master's loop. The master blocks its signals except while it
 * sleeps, so nothing interrupts its work; in children the handler wakes the event loop through the
 * doorbell. */
#include "app/app.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

struct wr_signals wr_signals;

#define ASKS 8

static struct wr_ask asks[ASKS];
static volatile sig_atomic_t nasks;

static void note_ask(const siginfo_t *info)
{
    int v = info->si_value.sival_int;

    if (info->si_code != SI_QUEUE || (v & ~0xffff) != WR_ASK_MAGIC || nasks == ASKS)
        return;
    asks[nasks].pid = info->si_pid;
    asks[nasks].fd = v & 0xffff;
    nasks++;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
    struct wr_signals *s = &wr_signals;
    int err = errno;

    (void)context;
    switch (signo) {
    case SIGHUP:
        s->hup = 1;
        s->hup_from = info->si_pid;
        note_ask(info);
        break;
    case SIGUSR1: s->usr1 = 1; s->usr1_from = info->si_pid; break;
    case SIGUSR2: s->usr2 = 1; s->usr2_from = info->si_pid; break;
    case SIGWINCH: /* without a sender: only the size of the terminal has changed */
        s->winch = info->si_pid != 0;
        s->winch_from = info->si_pid;
        break;
    case SIGQUIT: s->quit = 1; s->quit_from = info->si_pid; break;
    case SIGTERM: case SIGINT:
        s->term = 1;
        s->term_from = info->si_pid;
        s->term_signal = signo;
        break;
    case SIGCHLD: s->chld = 1; break;
    case WR_SIGBELL: break; /* the bits are in the slot */
    default: s->trace = 1; s->trace_from = info->si_pid; break; /* WR_SIGTRACE: not a constant */
    }
    wr_bell_self();
    errno = err;
}

bool wr_signals_ask(struct wr_ask *out)
{
    if (nasks == 0)
        return false;
    *out = asks[--nasks];
    return true;
}

/* Signals whose default would end the process, although no sender intends it. */
static const int meaningless[] = { SIGPIPE, SIGALRM, SIGIO };

void wr_signals_init(enum wr_kind kind)
{
    const int handled[] = { SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGQUIT, SIGTERM, SIGINT, SIGCHLD,
                            WR_SIGBELL, WR_SIGTRACE };
    struct sigaction a = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    struct sigaction ignore = { .sa_handler = SIG_IGN }, plain = { .sa_handler = SIG_DFL };
    sigset_t set;

    memset(&wr_signals, 0, sizeof(wr_signals));
    nasks = 0;
    sigemptyset(&set);
    sigfillset(&a.sa_mask);
    for (size_t i = 0; i < WR_COUNT(handled); i++) {
        int signo = handled[i];
        bool ours = kind == WR_PROC_MASTER || (signo != SIGUSR2 && signo != SIGCHLD &&
                                               (signo != SIGHUP || kind == WR_PROC_SINGLE));

        sigaction(signo, ours ? &a : signo == SIGCHLD ? &plain : &ignore, NULL);
        sigaddset(&set, signo);
    }
    for (size_t i = 0; i < WR_COUNT(meaningless); i++)
        sigaction(meaningless[i], &ignore, NULL);
    sigprocmask(kind == WR_PROC_MASTER ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

void wr_signals_wait(uint64_t ms)
{
    struct pollfd p = { .fd = wr_reports_fd(), .events = POLLIN };
    struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    sigset_t none;

    sigemptyset(&none);
    (void)ppoll(&p, 1, ms == UINT64_MAX ? NULL : &t, &none);
}

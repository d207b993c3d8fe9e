/* Clocks, timers, and counters that the kernel keeps. */

#include "state.h"

#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000

/* ---- clocks: those that never run backwards */

static const struct {
    clockid_t id;
    const char *name;
} running[] = {{CLOCK_MONOTONIC, "MONOTONIC"}, {CLOCK_MONOTONIC_RAW, "MONOTONIC_RAW"}, {CLOCK_BOOTTIME, "BOOTTIME"}};

enum { CLOCKS = sizeof running / sizeof *running };

static void read_clocks(u64 n)
{
    static struct timespec latest[CLOCKS];
    struct timespec found;

    (void)n;
    for (int i = 0; i < CLOCKS; i++) {
        if (clock_gettime(running[i].id, &found) < 0)
            failed("clock_gettime %s", running[i].name);
        if (found.tv_sec < latest[i].tv_sec ||
            (found.tv_sec == latest[i].tv_sec && found.tv_nsec < latest[i].tv_nsec))
            damaged("the clock %s has run backwards from %lld.%09ld to %lld.%09ld s", running[i].name,
                    (long long)latest[i].tv_sec, latest[i].tv_nsec, (long long)found.tv_sec, found.tv_nsec);
        latest[i] = found;
    }
}

const struct kind clocks = {"clocks", NULL, read_clocks, read_clocks, NULL};

/* ---- timers: a POSIX timer and an interval timer go on to expire */

enum { INTERVAL_MS = 20, MOMENT_MS = 5 };

static volatile sig_atomic_t of_timer, of_interval;

static void on_timer(int number)
{
    if (number == SIGALRM)
        of_interval++;
    else
        of_timer++;
}

static void start_timers(void)
{
    const struct itimerspec every = {{0, INTERVAL_MS * MS}, {0, INTERVAL_MS * MS}};
    const struct itimerval interval = {{0, INTERVAL_MS * 1000}, {0, INTERVAL_MS * 1000}};
    const struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    timer_t timer;

    if (sigaction(SIGALRM, &action, NULL) < 0 || sigaction(SIGRTMIN + 3, &action, NULL) < 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &every, NULL) < 0)
        failed("start a POSIX timer");
    if (setitimer(ITIMER_REAL, &interval, NULL) < 0)
        failed("start an interval timer");
}

static void do_nothing(u64 n)
{
    (void)n;
}

static void await_expirations(u64 n)
{
    const sig_atomic_t timer = of_timer, interval = of_interval;
    const struct timespec moment = {0, MOMENT_MS * MS}; /* shorter than the time between two signals */

    (void)n;
    for (int moments = 0; moments < PATIENCE_MS / MOMENT_MS && (of_timer == timer || of_interval == interval);)
        moments += clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL) == 0;
    if (of_timer == timer)
        damaged("the POSIX timer does not expire any more");
    if (of_interval == interval)
        damaged("the interval timer does not expire any more");
}

const struct kind timers = {"timers", start_timers, do_nothing, await_expirations, NULL};

/* ---- timerfd: goes on to expire, too; so often that it always has when a checkpoint comes */

enum { SHORT_MS = 1 };

static int timer_file;

static void start_timerfd(void)
{
    const struct itimerspec every = {{0, SHORT_MS * MS}, {0, SHORT_MS * MS}};

    timer_file = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer_file < 0 || timerfd_settime(timer_file, 0, &every, NULL) < 0)
        failed("start a timerfd");
}

static void take_expirations(u64 n)
{
    u64 expired;

    (void)n;
    if (read(timer_file, &expired, sizeof expired) < 0 && errno != EAGAIN)
        failed("read the timerfd");
}

static void await_timerfd(u64 n)
{
    take_expirations(n);
    if (!is_readable(timer_file))
        damaged("the timerfd does not expire any more");
}

const struct kind timerfd = {"timerfd", start_timerfd, take_expirations, await_timerfd, NULL};

/* ---- events: an eventfd that each tick adds one to, in the set of an epoll instance */

enum { TAKEN_EVERY = 16, MARK = 0x57111f4a };

static int event_file, set;

static void open_events(void)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = MARK};

    event_file = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    set = epoll_create1(EPOLL_CLOEXEC);
    if (event_file < 0 || set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, event_file, &wanted) < 0)
        failed("open an eventfd in an epoll instance");
}

static u64 take_events(void)
{
    u64 found = 0;

    if (read(event_file, &found, sizeof found) < 0 && errno != EAGAIN)
        failed("read the eventfd");
    return found;
}

static void add_events(u64 count)
{
    if (count && write(event_file, &count, sizeof count) != sizeof count)
        failed("write the eventfd");
}

static void add_event(u64 n)
{
    add_events(1);
    if (n % TAKEN_EVERY == 0 && take_events() != TAKEN_EVERY)
        damaged("the eventfd has not the %d events of the latest ticks", TAKEN_EVERY);
}

static void look_at_events(u64 n)
{
    struct epoll_event found = {0};
    const int ready = epoll_wait(set, &found, 1, 0);
    const u64 wanted = n % TAKEN_EVERY, has = take_events();

    add_events(has);
    if (has != wanted)
        damaged("the eventfd has %llu events instead of %llu", (unsigned long long)has, (unsigned long long)wanted);
    if (ready != (wanted > 0) || (ready && found.data.u64 != MARK))
        damaged("epoll does not tell that the eventfd has %llu events", (unsigned long long)has);
}

const struct kind events = {"events", open_events, add_event, look_at_events, NULL};

/* ---- signals: numbered real-time signals that wait, and are read by a signalfd some ticks later */

static int signal_file;
static int tells_value; /* gVisor's signalfd does not */
static u64 awaited = 1;

static void send_signal(u64 n)
{
    if (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_ptr = (void *)(uintptr_t)n}) < 0)
        failed("sigqueue %llu", (unsigned long long)n);
}

static int await_signal(void)
{
    struct signalfd_siginfo found;

    if (!is_readable(signal_file)) {
        damaged("signal %llu does not arrive", (unsigned long long)awaited);
        return 0;
    }
    if (read(signal_file, &found, sizeof found) != sizeof found)
        failed("read the signalfd");
    if (tells_value && found.ssi_ptr != awaited)
        damaged("signal %llu arrives instead of %llu", (unsigned long long)found.ssi_ptr, (unsigned long long)awaited);
    awaited = tells_value ? found.ssi_ptr + 1 : awaited + 1;
    return 1;
}

static void open_signals(void)
{
    struct signalfd_siginfo found;
    sigset_t wanted;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGRTMIN + 1);
    if (sigprocmask(SIG_BLOCK, &wanted, NULL) < 0)
        failed("block a signal");
    signal_file = signalfd(-1, &wanted, SFD_CLOEXEC);
    if (signal_file < 0)
        failed("open a signalfd");
    send_signal(1);
    tells_value = read(signal_file, &found, sizeof found) == sizeof found && found.ssi_ptr == 1;
}

static void queue_signal(u64 n)
{
    send_signal(n);
    while (awaited + IN_FLIGHT <= n && await_signal())
        ;
}

static void look_at_signals(u64 n)
{
    const u64 first = awaited;

    while (awaited <= n && await_signal())
        ;
    awaited = first;
    for (u64 again = first; again <= n; again++)
        send_signal(again);
}

const struct kind signals = {"signals", open_signals, queue_signal, look_at_signals, NULL};

/*
 * ---- interface: the loopback interface is up
 *
 * Any socket can ask for it. One of the unix family does, for a moment: not every CRIU can dump an inet socket on every
 * kernel. gVisor does not answer it.
 */

static int is_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    const int any = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int answers;

    if (any < 0)
        failed("open a unix socket");
    answers = ioctl(any, SIOCGIFFLAGS, &request) == 0;
    close(any);
    return !answers || request.ifr_flags & IFF_UP;
}

/* Waits for a moment for a network that is being restored. */
static void await_interface(u64 n)
{
    const struct timespec moment = {0, MOMENT_MS * MS};

    (void)n;
    for (int moments = 0; !is_up(); moments++) {
        errno = 0;
        if (moments == PATIENCE_MS / MOMENT_MS)
            failed("the loopback interface is down");
        nanosleep(&moment, NULL);
    }
}

const struct kind interface = {"interface", NULL, await_interface, NULL, NULL};

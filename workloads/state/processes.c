/* Threads, and processes that come and go. */

#include "state.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- threads: two threads, each with a counter that only grows together with that of the other */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static u64 target, own[2];

static void *follow(void *number)
{
    u64 *mine = number;

    pthread_mutex_lock(&mutex);
    for (;;) {
        while (*mine == target)
            pthread_cond_wait(&moved, &mutex);
        ++*mine;
        pthread_cond_broadcast(&moved);
    }
    return NULL;
}

static void start_threads(void)
{
    pthread_t thread;

    for (int i = 0; i < 2; i++) {
        errno = pthread_create(&thread, NULL, follow, &own[i]);
        if (errno)
            failed("pthread_create");
    }
}

static void await_threads(u64 n)
{
    pthread_mutex_lock(&mutex);
    target = n;
    pthread_cond_broadcast(&moved);
    while (own[0] < n || own[1] < n)
        pthread_cond_wait(&moved, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void look_at_threads(u64 n)
{
    pthread_mutex_lock(&mutex);
    if (own[0] != n || own[1] != n)
        damaged("the threads are at %llu and %llu instead of %llu", (unsigned long long)own[0],
                (unsigned long long)own[1], (unsigned long long)n);
    pthread_mutex_unlock(&mutex);
}

const struct kind threads = {"threads", start_threads, await_threads, look_at_threads, NULL};

/* ---- churn: a process that executes a program at each tick, and one that lives from a tick to the next */

static pid_t living;

static void end_living(void)
{
    int status;

    if (kill(living, SIGKILL) < 0 || waitpid(living, &status, 0) != living)
        failed("end process %d of the tick before", living);
}

static void come_and_go(u64 n)
{
    char code[8];
    int status;
    pid_t pid;

    snprintf(code, sizeof code, "%d", (int)(n % 100));
    pid = forked();
    if (pid == 0) {
        execl(IMAGE "drive", IMAGE "drive", "exit", code, NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        failed("wait for process %d", pid);
    if (WEXITSTATUS(status) != (int)(n % 100))
        damaged("a process that executed a program ended with %d instead of %d", WEXITSTATUS(status), (int)(n % 100));
    if (living)
        end_living();
    living = forked();
    if (living == 0)
        for (;;)
            pause();
}

static void look_at_living(u64 n)
{
    (void)n;
    if (living && kill(living, 0) < 0)
        damaged("process %d is gone", living);
}

const struct kind churn = {"churn", NULL, come_and_go, look_at_living, NULL};

/* ---- zombies: processes that have ended, and are waited for some ticks later */

enum { ZOMBIES = 3 };

static pid_t ended[ZOMBIES];

static int code_of(u64 n)
{
    return (int)(n % 100);
}

static void leave_zombie(u64 n)
{
    pid_t *slot = &ended[n % ZOMBIES];
    siginfo_t found;
    int status = 0;

    if (*slot) {
        if (waitpid(*slot, &status, 0) != *slot)
            failed("wait for process %d, which has ended", *slot);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != code_of(n - ZOMBIES))
            damaged("a zombie has status %d instead of exit code %d", status, code_of(n - ZOMBIES));
    }
    *slot = forked();
    if (*slot == 0)
        _exit(code_of(n));
    if (waitid(P_PID, (id_t)*slot, &found, WEXITED | WNOWAIT) < 0)
        failed("wait for the end of process %d", *slot);
}

static void look_at_zombies(u64 n)
{
    for (u64 i = 0; i < ZOMBIES && i < n; i++) {
        siginfo_t found = {0};
        const pid_t pid = ended[(n - i) % ZOMBIES];

        if (waitid(P_PID, (id_t)pid, &found, WEXITED | WNOHANG | WNOWAIT) < 0 || found.si_pid != pid)
            damaged("the zombie %d is gone", pid);
        else if (found.si_code != CLD_EXITED || found.si_status != code_of(n - i))
            damaged("the zombie %d has exit code %d instead of %d", pid, found.si_status, code_of(n - i));
    }
}

const struct kind zombies = {"zombies", NULL, leave_zombie, look_at_zombies, NULL};

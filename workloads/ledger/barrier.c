#include "barrier.h"

#include "surfaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_NS = 20000 };

struct barrier barrier;
static volatile u64 *completed;

int join_barrier(void)
{
    const size_t size = PARTIES_MAX * sizeof *completed;
    const int fd = open(barrier.path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void *mapped = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        return errno;
    close(fd);
    completed = mapped;
    complete(0);
    return 0;
}

static int others_are_behind(u64 n)
{
    for (u64 i = 0; i < barrier.parties; i++)
        if (i != barrier.own && completed[i] && completed[i] < n)
            return 1;
    return 0;
}

void await_others(u64 n)
{
    const struct timespec moment = {0, LOOK_NS};

    while (barrier.path && !stopping && others_are_behind(n))
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
}

int lags_behind(u64 n)
{
    for (u64 i = 0; barrier.path && i < barrier.parties; i++)
        if (completed[i] > n + 2) /* in step, another one has completed tick n + 1 at most */
            return 1;
    return 0;
}

void complete(u64 n)
{
    if (barrier.path)
        completed[barrier.own] = n + 1;
}

void leave_barrier(void)
{
    if (barrier.path)
        completed[barrier.own] = 0;
}

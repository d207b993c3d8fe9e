/*
 * state is an application of many kinds: as `drive` it keeps the counter in the kinds of state that the file
 * /application/kinds names, and as `verify` it reads what they have in files. ../ledger/application.h defines what both
 * say.
 */

#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { KINDS_MAX = 16, ANSWER_MAX = 200, SLICE_MS = 5 };

static const struct kind *const all[] = {
    &journal, &mapped, &renamed, &tree, &links, &sparse, &attributes, &opaque, &ghost, &large_ghost, &remapped,
    &locks, &pipes, &unix_sockets, &tcp, &datagram, &threads, &churn, &zombies, &clocks, &timers, &timerfd, &events,
    &signals, &interface, &bulk,
};
static const struct kind *kinds[KINDS_MAX];
static int kind_count;
static char damage[ANSWER_MAX];
static const char *now = "it"; /* the kind that is at work */

void damaged(const char *format, ...)
{
    va_list words;
    int length;

    if (*damage)
        return; /* the first one counts */
    length = snprintf(damage, sizeof damage, "%s: ", now);
    va_start(words, format);
    vsnprintf(damage + length, sizeof damage - (size_t)length, format, words);
    va_end(words);
}

void failed(const char *format, ...)
{
    const int error = errno;
    char why[ANSWER_MAX], request[64];
    va_list words;

    va_start(words, format);
    vsnprintf(why, sizeof why, format, words);
    va_end(words);
    do
        printf("failed %.20s: %.100s%s%.60s\n", now, why, error ? ": " : "", error ? strerror(error) : "");
    while (fgets(request, sizeof request, stdin));
    exit(1);
}

int opened(const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC, 0644);

    if (fd < 0)
        failed("open %s", path);
    return fd;
}

void write_number(int fd, u64 n, off_t at)
{
    char line[DIGITS + 2];

    snprintf(line, sizeof line, "%0*llu\n", DIGITS, (unsigned long long)n);
    if (pwrite(fd, line, DIGITS + 1, at) != DIGITS + 1)
        failed("write %llu", (unsigned long long)n);
}

int read_number(int fd, off_t at, u64 *n)
{
    char line[DIGITS + 2] = "", *end;

    if (pread(fd, line, DIGITS + 1, at) != DIGITS + 1)
        return 0;
    *n = strtoull(line, &end, 10);
    return end == line + DIGITS && *end == '\n';
}

u64 number_of(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    u64 n = 0;

    if (fd < 0) {
        damaged("%s cannot be opened: %s", path, strerror(errno));
        return 0;
    }
    if (!read_number(fd, 0, &n))
        damaged("%s has no number", path);
    close(fd);
    return n;
}

pid_t forked(void)
{
    const pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        failed("fork");
    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
        _exit(1);
    return pid;
}

int is_readable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};

    for (int slices = 0, ready; slices < PATIENCE_MS / SLICE_MS; slices += ready == 0) /* a signal interrupts a slice */
        if ((ready = poll(&wanted, 1, SLICE_MS)) > 0)
            return 1;
    return poll(&wanted, 1, 0) > 0;
}

static void choose_kinds(void)
{
    FILE *file = fopen(IMAGE "kinds", "re");
    char name[64];

    if (!file)
        failed("open " IMAGE "kinds");
    while (fscanf(file, "%63s", name) == 1) {
        size_t number = 0;

        while (number < sizeof all / sizeof *all && strcmp(all[number]->name, name))
            number++;
        errno = 0;
        if (number == sizeof all / sizeof *all || kind_count == KINDS_MAX)
            failed("%s is no kind of state, or is one too many", name);
        kinds[kind_count++] = all[number];
    }
    fclose(file);
}

/*
 * Says what counter the files have. The kinds were written one after the other, so that a later one may be one tick
 * behind; `last`: the tick after which nothing was written, 0: it is not known.
 */
static void tell(u64 last)
{
    u64 newest = 0, before = UINT64_MAX;

    for (int i = 0; i < kind_count; i++) {
        now = kinds[i]->name;
        if (kinds[i]->read) {
            const u64 found = kinds[i]->read();

            if (before != UINT64_MAX && (found > before || found + 1 < newest))
                damaged("it has tick %llu, and what is written before it %llu", (unsigned long long)found,
                        (unsigned long long)before);
            before = found;
            newest = found > newest ? found : newest;
        }
        if (last && kinds[i]->look && !*damage) /* what is damaged once may take long to be found again */
            kinds[i]->look(last);
    }
    if (*damage)
        printf("damaged %s\n", damage);
    else
        printf("disk %llu\n", (unsigned long long)newest);
}

int main(int argc, char **argv)
{
    unsigned long long n = 0, wanted;
    char request[64];

    if (argc == 3 && strcmp(argv[1], "exit") == 0) /* a process of `churn` */
        return atoi(argv[2]);
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    choose_kinds();
    if (argc > 0 && strcmp(strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], "verify") == 0) {
        tell(0);
        return 0;
    }
    for (int i = 0; i < kind_count; i++) {
        now = kinds[i]->name;
        if (kinds[i]->begin)
            kinds[i]->begin();
    }
    while (fgets(request, sizeof request, stdin)) {
        if (sscanf(request, "tick %llu", &wanted) != 1) {
            tell(n);
            continue;
        }
        n = wanted;
        for (int i = 0; i < kind_count; i++) {
            now = kinds[i]->name;
            kinds[i]->tick(n);
        }
        printf("ok %llu\n", n);
    }
    return 0;
}

/*
 * single-file keeps one counter in memory and in one file, like Podman's own test of a live checkpoint (podman#28963).
 * It is for comparison, and not part of the matrix.
 *
 * Every 0.1 s: read the file (anything but digits counts as 0); if it is ahead of memory, write a line to another file;
 * add one to the counter, and overwrite the file with it. It ends on SIGTERM.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char counter[] = "/counter", inconsistent[] = "/inconsistent";

static void on_term(int number)
{
    (void)number;
    _exit(0);
}

static void write_counter(unsigned long n)
{
    char text[32];
    const int length = snprintf(text, sizeof text, "%lu\n", n);
    const int fd = open(counter, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, text, (size_t)length) != length)
        _exit(1);
    close(fd);
}

static unsigned long read_counter(void)
{
    char text[32] = "";
    const int fd = open(counter, O_RDONLY);
    const ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (got > 0)
        text[strcspn(text, "\n")] = 0;
    return got > 0 && *text && text[strspn(text, "0123456789")] == 0 ? strtoul(text, NULL, 10) : 0;
}

int main(void)
{
    const struct timespec tenth = {0, 100000000};
    unsigned long n = 0;

    signal(SIGTERM, on_term);
    write_counter(n);
    for (;;) {
        const unsigned long on_disk = read_counter();
        if (on_disk > n) {
            const int fd = open(inconsistent, O_WRONLY | O_CREAT | O_APPEND, 0644);
            dprintf(fd, "disk=%lu mem=%lu\n", on_disk, n);
            close(fd);
        }
        write_counter(++n);
        nanosleep(&tenth, NULL);
    }
}

/* Files of their own: appended, mapped, renamed, sparse. */

#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAPPED DATA "mapped"
#define RENAMED DATA "renamed"
#define SPARSE DATA "sparse"

enum { MAPPED_WORDS = 1024, SPARSE_SLOTS = 8, SPARSE_STEP = 1 << 20 };

/* ---- journal: each tick appends a line; the lines are 1, 2, 3 and so on */

#define JOURNAL DATA "journal"

static void append(u64 n)
{
    static int file = -1;
    char line[DIGITS + 2];

    if (file < 0)
        file = opened(JOURNAL, O_WRONLY | O_APPEND | O_CREAT);
    snprintf(line, sizeof line, "%0*llu\n", DIGITS, (unsigned long long)n);
    if (write(file, line, DIGITS + 1) != DIGITS + 1)
        failed("write to " JOURNAL);
}

static u64 read_journal(void)
{
    const int file = open(JOURNAL, O_RDONLY | O_CLOEXEC);
    u64 last = 0, n = 0;
    off_t at = 0, size;

    if (file < 0) {
        damaged("there is no journal: %s", strerror(errno));
        return 0;
    }
    for (size = lseek(file, 0, SEEK_END); at < size && read_number(file, at, &n) && n == last + 1; at += DIGITS + 1)
        last = n;
    if (at < size)
        damaged("line %llu follows line %llu", (unsigned long long)n, (unsigned long long)last);
    close(file);
    return last;
}

const struct kind journal = {"journal", NULL, append, NULL, read_journal};

/* ---- mapped: first and last word of a page that a shared mapping of a file has */

static volatile u64 *page;

static void map_file(void)
{
    const int file = opened(MAPPED, O_RDWR | O_CREAT);
    void *mapping;

    if (ftruncate(file, MAPPED_WORDS * sizeof *page) < 0)
        failed("ftruncate " MAPPED);
    mapping = mmap(NULL, MAPPED_WORDS * sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapping == MAP_FAILED)
        failed("mmap " MAPPED);
    page = mapping;
    close(file);
}

static void write_mapped(u64 n)
{
    page[0] = n;
    page[MAPPED_WORDS - 1] = n;
}

static u64 read_mapped(void)
{
    const int file = open(MAPPED, O_RDONLY | O_CLOEXEC);
    u64 found[MAPPED_WORDS] = {0};

    if (file < 0 || read(file, found, sizeof found) != sizeof found)
        damaged(MAPPED " is not there, or shorter than it was");
    if (file >= 0)
        close(file);
    if (found[0] - found[MAPPED_WORDS - 1] > 1)
        damaged("its first word has tick %llu, and its last one %llu", (unsigned long long)found[0],
                (unsigned long long)found[MAPPED_WORDS - 1]);
    return found[0];
}

static void look_at_mapping(u64 n)
{
    if (page[0] != n || page[MAPPED_WORDS - 1] != n)
        damaged("the mapping has tick %llu instead of %llu", (unsigned long long)page[0], (unsigned long long)n);
}

const struct kind mapped = {"mapped", map_file, write_mapped, look_at_mapping, read_mapped};

/* ---- renamed: a new file at each tick, which is made durable and then renamed over the old one */

static void replace(u64 n)
{
    const int file = opened(RENAMED ".new", O_WRONLY | O_CREAT | O_TRUNC);

    write_number(file, n, 0);
    if (fsync(file) < 0 || close(file) < 0 || rename(RENAMED ".new", RENAMED) < 0)
        failed("replace " RENAMED);
}

static u64 read_renamed(void)
{
    const u64 n = number_of(RENAMED);
    const int file = open(RENAMED ".new", O_RDONLY | O_CLOEXEC);
    u64 next = n + 1;

    if (file >= 0) {
        if (read_number(file, 0, &next) && next != n + 1)
            damaged("tick %llu waits to be renamed over tick %llu", (unsigned long long)next, (unsigned long long)n);
        close(file);
    }
    return n;
}

const struct kind renamed = {"renamed", NULL, replace, NULL, read_renamed};

/* ---- sparse: a few lines with a mebibyte of nothing between each two */

static void write_sparse(u64 n)
{
    static int file = -1;

    if (file < 0)
        file = opened(SPARSE, O_RDWR | O_CREAT);
    write_number(file, n, (off_t)(n % SPARSE_SLOTS) * SPARSE_STEP);
}

static u64 read_sparse(void)
{
    const int file = open(SPARSE, O_RDONLY | O_CLOEXEC);
    u64 newest = 0, found[SPARSE_SLOTS] = {0};
    char gap = 0;

    if (file < 0) {
        damaged("there is no " SPARSE ": %s", strerror(errno));
        return 0;
    }
    for (int slot = 0; slot < SPARSE_SLOTS; slot++) {
        read_number(file, (off_t)slot * SPARSE_STEP, &found[slot]);
        newest = found[slot] > newest ? found[slot] : newest;
        if (pread(file, &gap, 1, (off_t)slot * SPARSE_STEP + SPARSE_STEP / 2) > 0 && gap)
            damaged("there is something where nothing was written");
    }
    close(file);
    for (u64 n = newest > SPARSE_SLOTS ? newest - SPARSE_SLOTS + 1 : 1; n <= newest; n++)
        if (found[n % SPARSE_SLOTS] != n)
            damaged("where tick %llu was written, there is %llu", (unsigned long long)n,
                    (unsigned long long)found[n % SPARSE_SLOTS]);
    return newest;
}

const struct kind sparse = {"sparse", NULL, write_sparse, NULL, read_sparse};

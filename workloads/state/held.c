/* What an open descriptor keeps: files without a name, and locks. */

#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { SMALL = 4096, LARGE = 2 << 20 /* more than CRIU's ghost-limit by default, 1 MiB */ };

/* ---- ghost: a file that is deleted while it is open, below and above CRIU's limit */

static int make_ghost(const char *path, off_t size)
{
    const int file = opened(path, O_RDWR | O_CREAT | O_EXCL);

    for (off_t at = 0; at < size; at += SMALL) /* a hole would not count */
        write_number(file, 0, at);
    if (unlink(path) < 0)
        failed("unlink %s", path);
    return file;
}

static void look_at_ghost(int file, off_t size, u64 n)
{
    u64 first = 0, last = 0;

    if (!read_number(file, 0, &first) || !read_number(file, size - SMALL, &last) || first != n || last != n)
        damaged("the deleted file has ticks %llu and %llu instead of %llu", (unsigned long long)first,
                (unsigned long long)last, (unsigned long long)n);
}

static int small_file, large_file;

static void make_small(void)
{
    small_file = make_ghost(DATA "ghost", 2 * SMALL);
}

static void write_small(u64 n)
{
    write_number(small_file, n, 0);
    write_number(small_file, n, SMALL);
}

static void look_at_small(u64 n)
{
    look_at_ghost(small_file, 2 * SMALL, n);
}

const struct kind ghost = {"ghost", make_small, write_small, look_at_small, NULL};

static void make_large(void)
{
    large_file = make_ghost(DATA "large-ghost", LARGE);
}

static void write_large(u64 n)
{
    write_number(large_file, n, 0);
    write_number(large_file, n, LARGE - SMALL);
}

static void look_at_large(u64 n)
{
    look_at_ghost(large_file, LARGE, n);
}

const struct kind large_ghost = {"large-ghost", make_large, write_large, look_at_large, NULL};

/* ---- remapped: a file that is open by a name that is deleted, and has another one */

#define KEPT DATA "remapped-kept"

static int remapped_file;

static void make_remapped(void)
{
    remapped_file = opened(DATA "remapped", O_RDWR | O_CREAT | O_EXCL);
    if (link(DATA "remapped", KEPT) < 0 || unlink(DATA "remapped") < 0)
        failed("give " KEPT " another name");
}

static void write_remapped(u64 n)
{
    write_number(remapped_file, n, 0);
}

static u64 read_remapped(void)
{
    return number_of(KEPT);
}

static void look_at_remapped(u64 n)
{
    u64 found = 0;

    if (!read_number(remapped_file, 0, &found) || found != n)
        damaged("the open file has tick %llu instead of %llu", (unsigned long long)found, (unsigned long long)n);
}

const struct kind remapped = {"remapped", make_remapped, write_remapped, look_at_remapped, read_remapped};

/* ---- locks: a flock(2) of a whole file, and a fcntl(2) lock of a byte that moves */

#define FLOCKED DATA "flocked"
#define RECORD_LOCKED DATA "record-locked"

static int flocked_file, locked_file;

static void lock_byte(u64 at, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(at % 4096), .l_len = 1};

    if (fcntl(locked_file, F_SETLK, &lock) < 0)
        failed("fcntl(F_SETLK) " RECORD_LOCKED);
}

static void take_locks(void)
{
    flocked_file = opened(FLOCKED, O_RDWR | O_CREAT);
    locked_file = opened(RECORD_LOCKED, O_RDWR | O_CREAT);
    if (flock(flocked_file, LOCK_EX) < 0)
        failed("flock " FLOCKED);
    lock_byte(0, F_WRLCK);
}

static void move_lock(u64 n)
{
    lock_byte(n, F_WRLCK);
    lock_byte(n - 1, F_UNLCK);
}

static void look_at_locks(u64 n)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)(n % 4096), .l_len = 1};
    const int another = opened(FLOCKED, O_RDWR), fresh = opened(RECORD_LOCKED, O_RDWR);
    const int is_lost = flock(another, LOCK_EX | LOCK_NB) == 0;

    close(another);
    if (is_lost)
        damaged("the flock(2) of " FLOCKED " is lost");
    if (fcntl(fresh, F_OFD_GETLK, &lock) < 0)
        failed("fcntl(F_OFD_GETLK) " RECORD_LOCKED);
    if (lock.l_type == F_UNLCK)
        damaged("the fcntl(2) lock of byte %llu of " RECORD_LOCKED " is lost", (unsigned long long)(n % 4096));
    close(fresh); /* gives up the process's lock: POSIX wants it so */
    lock_byte(n, F_WRLCK);
}

const struct kind locks = {"locks", take_locks, move_lock, look_at_locks, NULL};

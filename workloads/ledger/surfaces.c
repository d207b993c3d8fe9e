#define _GNU_SOURCE
#include "surfaces.h"

#include "messages.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_TICKS = 1024 };

static const char *const kind_names[] = {"ring", "deleted", "stdout", "appended", "sentinel", "application", "pages"};

struct surface surfaces[SURFACES_MAX];
int surface_count;
volatile sig_atomic_t stopping;

static _Noreturn void fail(const char *call, const struct surface *surface, int error)
{
    begin_message("failed", clock_ns());
    put_field("errno", (u64)error);
    put(",\"what\":\"");
    put(call);
    put(" ");
    put(surface->name);
    put("\"");
    send_message();
    end_with_error(call, surface->path, error);
}

/* ---- reading and writing ---- */

u64 slots_of(const struct surface *surface)
{
    return surface->kind == PAGES ? surface->pages.count : memory.ring;
}

/* Slots beyond the end of a shortened file read as empty. */
void read_slots(const struct surface *surface, u64 slot, u64 count, struct record *records)
{
    size_t size = count * sizeof *records;
    const int fd = surface->kind == APPENDED ? surface->reader : surface->fd;
    ssize_t got;

    if (surface->kind == PAGES) {
        read_pages(&surface->pages, slot, count, records);
        return;
    }
    got = pread(fd, records, size, (off_t)(slot * sizeof *records));
    if (got < 0)
        fail("pread", surface, errno);
    memset((char *)records + got, 0, size - (size_t)got);
}

/* Not through the descriptor that appends, nor through one that stays open: see surfaces.h. */
void begin_reading(struct surface *surface)
{
    surface->reader = open(surface->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (surface->reader < 0 && errno != ENOENT)
        fail("open", surface, errno);
}

void end_reading(struct surface *surface)
{
    if (surface->reader >= 0)
        close(surface->reader);
}

static u64 bytes_of(const struct surface *surface, int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        fail("fstat", surface, errno);
    return (u64)status.st_size;
}

u64 size_of(const struct surface *surface)
{
    return surface->reader < 0 ? 0 : bytes_of(surface, surface->reader);
}

static void append_record(const struct surface *surface, const struct record *record)
{
    const ssize_t written = write(surface->fd, record, sizeof *record);

    if (written != sizeof *record)
        fail("write", surface, written < 0 ? errno : ENOSPC);
}

static void write_record(const struct surface *surface, const struct record *record)
{
    const off_t place = (off_t)(record->n % memory.ring * sizeof *record);
    const ssize_t written = pwrite(surface->fd, record, sizeof *record, place);

    if (written != sizeof *record)
        fail("pwrite", surface, written < 0 ? errno : ENOSPC);
}

/* A terminal may take a line in several write(2); a checkpoint may happen between them. */
static void print_line(const struct surface *surface, u64 n)
{
    const char *from = text;

    if (n % surface->every)
        return;
    used = 0;
    put("stillframe ");
    put_hexadecimal(memory.nonce);
    put(" ");
    put_number(n);
    put(" ");
    put_hexadecimal(mix64(mix64(n) ^ memory.nonce));
    while (used < LINE_BYTES - 1)
        put(".");
    put("\n");
    while (from < text + used) {
        const ssize_t written = write(surface->fd, from, (size_t)(text + used - from));

        if (written < 0 && errno != EINTR)
            fail("write", surface, errno);
        if (written < 0 && stopping)
            return; /* the output has no reader, and the program must end */
        if (written > 0)
            from += written;
    }
}

void write_tick(struct surface *surface, u64 n)
{
    if (surface->kind == RING)
        write_record(surface, &memory.slot[n & 1]);
    else if (surface->kind == STDOUT)
        print_line(surface, n);
    else if (surface->kind == APPENDED)
        append_record(surface, &memory.slot[n & 1]);
    else if (surface->kind == APPLICATION)
        confirm_tick(&surface->application, n);
    else if (surface->kind == PAGES)
        write_page(&surface->pages, &memory.slot[n & 1]);
}

static int is_absent(const struct surface *surface)
{
    struct stat status;

    if (lstat(surface->path, &status) == 0)
        return 0;
    if (errno != ENOENT)
        fail("lstat", surface, errno);
    return 1;
}

static int is_as_written(const struct surface *surface)
{
    const int fd = open(surface->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct record found[2];
    ssize_t got;

    if (fd < 0)
        return 0;
    got = read(fd, found, sizeof found);
    close(fd);
    return got == sizeof found[0] && holds(&found[0], 0);
}

int is_sound(const struct surface *surface)
{
    return surface->kind == DELETED ? is_absent(surface) : is_as_written(surface);
}

/*
 * A restored process was usually stopped inside a write and first finishes it, so that slot n-1 holds n-1 even where
 * the surface has lost what came before: only slot n-2 shows it.
 */
int fits(const struct surface *surface, u64 n)
{
    const u64 ring = slots_of(surface), first = (n + ring - 2) % ring, whole = ring - first < 3 ? ring - first : 3;
    struct record near[3];

    if (surface->kind == STDOUT || surface->kind == APPLICATION)
        return 1;
    if (surface->kind == DELETED || surface->kind == SENTINEL)
        return surface->spoiled || (!memory.period_ns && n % LOOK_TICKS) || is_sound(surface);
    if (surface->kind == APPENDED)
        return bytes_of(surface, surface->fd) == (n - 1) * sizeof(struct record);
    read_slots(surface, first, whole, near);
    if (whole < 3)
        read_slots(surface, 0, 3 - whole, near + whole);
    return (n <= 2 || holds(&near[0], n - 2)) && (n <= 1 || holds(&near[1], n - 1)) &&
           (n > ring ? holds(&near[2], n - ring) : is_empty(&near[2]));
}

/* ---- opening ---- */

/* Returns the file's real path, or the given path if there is no /proc. */
static const char *path_of(const struct surface *surface, int fd)
{
    static char path[PATH_MAX + 1];
    ssize_t length;

    used = 0;
    put("/proc/self/fd/");
    put_number((u64)fd);
    text[used] = 0;
    length = readlink(text, path, PATH_MAX);
    if (length <= 0 || path[0] != '/')
        return surface->path;
    path[length] = 0;
    return path;
}

static void open_ring(struct surface *surface)
{
    const off_t size = (off_t)(memory.ring * sizeof(struct record));
    struct stat status;

    surface->fd = open(surface->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (surface->fd < 0)
        fail("open", surface, errno);
    if (fstat(surface->fd, &status) < 0)
        fail("fstat", surface, errno);
    if (status.st_size < size && ftruncate(surface->fd, size) < 0)
        fail("ftruncate", surface, errno);
    describe(path_of(surface, surface->fd));
}

static void open_appended(struct surface *surface)
{
    surface->fd = open(surface->path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (surface->fd < 0)
        fail("open", surface, errno);
    describe(path_of(surface, surface->fd));
}

static void write_sentinel(struct surface *surface)
{
    surface->fd = open(surface->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (surface->fd < 0)
        fail("open", surface, errno);
    append_record(surface, &memory.slot[0]);
    describe(path_of(surface, surface->fd));
    close(surface->fd);
}

static void delete_file(const struct surface *surface)
{
    const int fd = open(surface->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        describe(path_of(surface, fd));
        close(fd);
    }
    if (unlink(surface->path) < 0)
        fail("unlink", surface, errno);
}

static void open_application(struct surface *surface)
{
    const int error = start_application(&surface->application, surface->path);

    describe(surface->path);
    if (error)
        fail("start the program drive of", surface, error);
}

/* Describes them as SORT:COUNT:ADDRESS, the address in 16 hexadecimal digits. */
static void take_pages(struct surface *surface)
{
    const int error = open_pages(&surface->pages, surface->path);

    if (error)
        fail("take pages for", surface, error);
    used = 0;
    put(surface->path);
    put(":");
    put_number(surface->pages.count);
    put(":");
    put_hexadecimal((u64)(uintptr_t)surface->pages.start);
    text[used] = 0;
    describe(text);
}

void open_surface(struct surface *surface)
{
    describe(kind_names[surface->kind]);
    describe(surface->name);
    if (surface->kind == RING)
        open_ring(surface);
    else if (surface->kind == APPENDED)
        open_appended(surface);
    else if (surface->kind == SENTINEL)
        write_sentinel(surface);
    else if (surface->kind == DELETED)
        delete_file(surface);
    else if (surface->kind == APPLICATION)
        open_application(surface);
    else if (surface->kind == PAGES)
        take_pages(surface);
    else
        describe(surface->path);
    used = 0;
    if (surface->kind == RING || surface->kind == APPENDED || surface->kind == STDOUT)
        put_number((u64)surface->fd);
    text[used] = 0;
    describe(text);
}

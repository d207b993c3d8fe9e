#define _GNU_SOURCE
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HUGE_PAGE = 2 << 20 };
enum sort { ANONYMOUS, SHARED, MEMFD, OF_FILE, HEAP, STACK, HUGE };

static const char *const sort_names[] = {"anonymous", "shared", "memfd", "file", "heap", "stack", "huge"};

unsigned char *stack_end;

static int sort_of(const char *sort)
{
    for (int i = 0; i < (int)(sizeof sort_names / sizeof *sort_names); i++)
        if (strcmp(sort, sort_names[i]) == 0)
            return i;
    return -1;
}

int is_sort(const char *sort)
{
    return sort_of(sort) >= 0;
}

u64 pages_on_stack(const char *sort, u64 count)
{
    return sort_of(sort) == STACK ? count : 0;
}

static unsigned char *map(size_t size, int flags, int fd)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
}

static unsigned char *map_memfd(size_t size)
{
    const int fd = memfd_create("stillframe", MFD_CLOEXEC);
    unsigned char *start = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        start = map(size, MAP_SHARED, fd);
    return start; /* the descriptor stays open */
}

static unsigned char *map_program(size_t size)
{
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat status;
    unsigned char *start;

    if (fd < 0 || fstat(fd, &status) < 0)
        return MAP_FAILED;
    errno = EFBIG;
    start = (size_t)status.st_size < size ? MAP_FAILED : map(size, MAP_PRIVATE, fd);
    close(fd);
    return start;
}

static unsigned char *extend_heap(size_t size)
{
    const uintptr_t end = (uintptr_t)sbrk(0);
    const size_t padding = (PAGE - end % PAGE) % PAGE;

    return sbrk((intptr_t)(padding + size)) == (void *)-1 ? MAP_FAILED : (unsigned char *)(end + padding);
}

static unsigned char *map_huge(size_t size)
{
    unsigned char *start = map(size + 2 * HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

    if (start == MAP_FAILED)
        return start;
    start += (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
    madvise(start, size + HUGE_PAGE, MADV_HUGEPAGE); /* a kernel without them gives ordinary pages */
    return start;
}

static unsigned char *take(enum sort sort, size_t size)
{
    switch (sort) {
    case SHARED:
        return map(size, MAP_SHARED | MAP_ANONYMOUS, -1);
    case MEMFD:
        return map_memfd(size);
    case OF_FILE:
        return map_program(size);
    case HEAP:
        return extend_heap(size);
    case STACK:
        return (stack_end += size) - size;
    case HUGE:
        return map_huge(size);
    default:
        return map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    }
}

int open_pages(struct pages *pages, const char *sort)
{
    pages->start = take((enum sort)sort_of(sort), pages->count * PAGE);
    if (pages->start == MAP_FAILED)
        return errno;
    memset(pages->start, 0, pages->count * PAGE); /* the program's own file is not empty */
    return 0;
}

void read_pages(const struct pages *pages, u64 slot, u64 count, struct record *records)
{
    for (u64 i = 0; i < count; i++)
        memcpy(&records[i], pages->start + (slot + i) * PAGE, sizeof *records);
}

void write_page(const struct pages *pages, const struct record *record)
{
    memcpy(pages->start + record->n % pages->count * PAGE, record, sizeof *record);
}

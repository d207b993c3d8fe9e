/*
 * Bulk: memory that is written all over, and a file, of as many mebibytes as the two numbers in /application/bulk say.
 * How long a checkpoint holds the container still depends on them.
 */

#include "state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define BULK DATA "bulk"

enum { MEBIBYTE = 1 << 20, PAGE = 4096 };

static unsigned char *bytes;
static size_t pages;

/* Writes what neither a sparse file nor compression saves. */
static void fill(u64 *words, size_t count)
{
    static u64 noise = 0x9e3779b97f4a7c15;

    for (size_t i = 0; i < count; i++) {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        words[i] = noise;
    }
}

static void take_bulk(void)
{
    static u64 block[MEBIBYTE / sizeof(u64)];
    FILE *said = fopen(IMAGE "bulk", "re");
    size_t memory = 0, files = 0;
    int file;

    if (!said || fscanf(said, "%zu %zu", &memory, &files) != 2)
        failed("read " IMAGE "bulk");
    fclose(said);
    pages = memory * MEBIBYTE / PAGE;
    if (memory) {
        bytes = mmap(NULL, memory * MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED)
            failed("take %zu MiB of memory", memory);
        fill((u64 *)bytes, memory * MEBIBYTE / sizeof(u64));
    }
    file = opened(BULK, O_WRONLY | O_CREAT | O_TRUNC);
    for (size_t i = 0; i < files; i++) {
        fill(block, MEBIBYTE / sizeof(u64));
        if (write(file, block, sizeof block) != sizeof block)
            failed("write " BULK);
    }
    close(file);
}

static void touch(u64 n)
{
    if (pages)
        bytes[n % pages * PAGE]++;
}

const struct kind bulk = {"bulk", take_bulk, touch, NULL, NULL};

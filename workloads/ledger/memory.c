#include "memory.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

struct memory memory __attribute__((aligned(4096), used)) = {.version = 3, .ring = 65536};

u64 clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

void remember(u64 n, u64 wall_ns)
{
    struct record *record = &memory.slot[n & 1];

    *record = (struct record){.n = n, .wall_ns = wall_ns, .nonce = memory.nonce};
    record->check = check_of(record);
    __atomic_store_n(&memory.n, n, __ATOMIC_RELEASE);
}

void describe(const char *words)
{
    do {
        if (memory.description_size == sizeof memory.description)
            end_with_error("the description of all surfaces", words, ENAMETOOLONG);
        memory.description[memory.description_size++] = (unsigned char)*words;
        memory.description_check = mix64(memory.description_check ^ (unsigned char)*words);
    } while (*words++);
}

void begin_memory(u64 now_ns)
{
    while (memory.nonce == 0)
        if (getrandom(&memory.nonce, sizeof memory.nonce, 0) < 0 && errno != EINTR)
            end_with_error("getrandom", "the nonce", errno);
    remember(0, now_ns);
}

void sign_memory(void)
{
    static const volatile unsigned char veil = 0x20; /* volatile: otherwise the compiler stores the text */

    for (int i = 0; i < 16; i++)
        memory.magic[i] = (char)("stillframeledger"[i] ^ veil);
}

/*
 * The counter in memory, and the record that each tick writes to a surface.
 *
 * Record, 32 bytes, all numbers little endian, in slot n mod K of a surface; 32 zero bytes are an empty slot:
 *     0  u64 n          8  u64 wall_ns (CLOCK_REALTIME)          16  u64 nonce          24  u64 check
 *     check = mix64(mix64(mix64(n) ^ wall_ns) ^ nonce); mix64 is bijective, so a change of one field always shows.
 *
 * Memory, at the start of a page; an offline reader finds it in a checkpoint's pages by its magic:
 *     0  char magic[16]  "STILLFRAMELEDGER", assembled at run time, so that it occurs only here
 *    16  u32 version     3; version 1 ended at 104, lines of version 2 on standard output had no dots
 *    20  u32 ring        K
 *    24  u64 nonce       drawn at start, never 0
 *    32  u64 n           the counter; record n is complete before one store makes the counter n
 *    40  record slot[2]  record n is slot[n & 1]; tick 0 is the start
 *   104  u64 period_ns   pause between two ticks
 *   112  u64 size        bytes of the description
 *   120  u64 check       of the description: starts at 0, check = mix64(check ^ byte) for each byte
 *   128  description     four texts for each surface, in writing order, each with a 0 byte at its end:
 *                        kind        `ring`, `deleted`, `stdout`, `appended`, `sentinel`, `application` or `pages`
 *                        name
 *                        path        in the container, without symbolic links if there is a /proc; for `stdout` the N
 *                                    of every Nth tick; for `pages` SORT:COUNT:ADDRESS, the address in hexadecimal
 *                        descriptor  number of the open descriptor of `ring`, `stdout` and `appended`, else empty
 * A process that is stopped between any two instructions therefore holds a valid pair of counter and record. It also
 * describes itself: the magic is written last.
 *
 * No stdio and no malloc: a checkpoint of this program holds only the memory that these files declare.
 */

#ifndef LEDGER_MEMORY_H
#define LEDGER_MEMORY_H

#include "text.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little endian");

enum { RING_MIN = 4, RING_MAX = 1 << 20, DESCRIPTION_MAX = 4 * 4096 - 128 };

#define MS 1000000

struct record {
    u64 n, wall_ns, nonce, check;
};

struct memory {
    char magic[16];
    uint32_t version, ring;
    u64 nonce, n;
    struct record slot[2];
    u64 period_ns, description_size, description_check;
    unsigned char description[DESCRIPTION_MAX];
};

_Static_assert(offsetof(struct memory, slot) == 40 && offsetof(struct memory, description) == 128, "layout as above");

extern struct memory memory;

u64 clock_ns(void);
void begin_memory(u64 now_ns); /* draws the nonce, and remembers tick 0 */
void sign_memory(void);        /* writes the magic, once everything else is there */
void describe(const char *words);
void remember(u64 n, u64 wall_ns);

static inline u64 mix64(u64 x) /* the finalizer of splitmix64 */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static inline u64 check_of(const struct record *record)
{
    return mix64(mix64(mix64(record->n) ^ record->wall_ns) ^ record->nonce);
}

static inline int is_empty(const struct record *record)
{
    return !(record->n | record->wall_ns | record->nonce | record->check);
}

static inline int holds(const struct record *record, u64 n)
{
    return record->n == n && record->nonce == memory.nonce && record->check == check_of(record);
}

#endif

/*
 * Surfaces: where the counter is kept besides memory.
 *
 * A ring is a file of K records. A deleted surface has no ring: it is a file that the image brings and the program
 * deletes at its start. Absent, it holds whatever memory holds; a file that is there again is behind by everything,
 * and holds nothing.
 *
 * Standard output as a surface has no ring either: record n is a line there, at every tick or at every Nth. The
 * program cannot read it again, so it says nothing about it; whoever keeps the log can.
 *
 *     stillframe NONCE N CHECK        NONCE and CHECK: 16 hexadecimal digits; CHECK is mix64(mix64(N) ^ NONCE)
 */

#ifndef LEDGER_SURFACES_H
#define LEDGER_SURFACES_H

#include "memory.h"

#include <signal.h>

enum { SURFACES_MAX = 16 };

enum kind { RING, DELETED, STDOUT };

struct surface {
    const char *name, *path; /* of STDOUT the path is the number in `every`, in digits */
    enum kind kind;
    int fd;       /* of a deleted one there is none */
    int returned; /* deleted, but there again, and that was reported */
    u64 every;    /* of STDOUT: a line at each tick that this divides */
};

extern struct surface surfaces[SURFACES_MAX];
extern int surface_count;
extern volatile sig_atomic_t stopping; /* it is asked to end */

void open_surface(struct surface *surface);
void read_slots(const struct surface *surface, u64 slot, u64 count, struct record *records);
void write_tick(const struct surface *surface, u64 n);
int fits(const struct surface *surface, u64 n); /* whether it holds what it has to, before record n is written */
int is_absent(const struct surface *surface);

#endif

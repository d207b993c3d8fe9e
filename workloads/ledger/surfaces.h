/*
 * Surfaces: where the counter is kept besides memory.
 *
 * A ring is a file of K records. A deleted surface has no ring: it is a file of the image that the program deletes at
 * its start. While the file is absent, the surface counts as equal to memory. If the file is back, the surface counts
 * as empty. A sentinel is the opposite: a file that the program writes at its start, record 0, and never again. While
 * it is as it was written, it counts as equal to memory, and else as empty.
 *
 * An appended surface grows: tick n appends record n, through a descriptor that only appends. CRIU does not compare
 * the size of a file that is open for writing alone, so that a file which has grown since is not refused at a restore.
 *
 * An application keeps the counter in files of its own; its path is the folder of its programs.
 *
 * Pages of memory are a ring of their own size, with a record in each page.
 *
 * Standard output as a surface has no ring either: record n is a line, at every tick or at every Nth tick. The
 * program cannot read it again, so it says nothing about it; the keeper of the log can.
 *
 *     stillframe NONCE N CHECK....    NONCE and CHECK: 16 hexadecimal digits; CHECK is mix64(mix64(N) ^ NONCE)
 *
 * Dots fill each line up to LINE_BYTES with its end, so that few lines fill a pipe and its reader. A pipe takes such a
 * line as a whole or not at all (PIPE_BUF).
 */

#ifndef LEDGER_SURFACES_H
#define LEDGER_SURFACES_H

#include "application.h"
#include "memory.h"
#include "pages.h"

#include <signal.h>

enum { SURFACES_MAX = 16, LINE_BYTES = 256 };

enum kind { RING, DELETED, STDOUT, APPENDED, SENTINEL, APPLICATION, PAGES };

struct surface {
    const char *name, *path; /* the path of STDOUT is `every` in digits, that of PAGES their sort */
    enum kind kind;
    int fd;       /* of RING, STDOUT and APPENDED */
    int reader;   /* for APPENDED, while it is scanned: it has been opened for that; -1: the file is absent */
    int spoiled;  /* the deleted file is back, or the sentinel is not as it was written; that was reported */
    u64 every;    /* for STDOUT: a line at every tick that this number divides */
    struct application application;
    struct pages pages;
};

extern struct surface surfaces[SURFACES_MAX];
extern int surface_count;
extern volatile sig_atomic_t stopping; /* it is asked to end */

void open_surface(struct surface *surface);
void begin_reading(struct surface *surface);
void end_reading(struct surface *surface);
u64 slots_of(const struct surface *surface); /* records that it has room for */
u64 size_of(const struct surface *surface); /* in bytes, of an appended surface that is read */
void read_slots(const struct surface *surface, u64 slot, u64 count, struct record *records);
void write_tick(struct surface *surface, u64 n); /* of an application, it may set application_failure */
int fits(const struct surface *surface, u64 n); /* whether it holds what it has to, before record n is written */
int is_sound(const struct surface *surface); /* whether a deleted file is absent, or a sentinel as it was written */

#endif

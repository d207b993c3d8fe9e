/*
 * A kind of state keeps the counter of an application in one place of its own, in files or in the kernel.
 *
 * At tick n each kind of the workload makes n its counter, in the order in which they are named. What a kind finds wrong
 * it says by damaged(), and goes on; by failed(), if it cannot go on.
 */

#ifndef STATE_H
#define STATE_H

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef uint64_t u64;

#define DATA "/data/"
#define IMAGE "/application/"

enum { DIGITS = 20, IN_FLIGHT = 8, PATIENCE_MS = 2000 };

struct kind {
    const char *name;
    void (*begin)(void);  /* before the first tick; 0: nothing is to be done */
    void (*tick)(u64 n);  /* n becomes its counter */
    void (*look)(u64 n);  /* whether the kernel has what it must have after tick n; 0: it keeps all in files */
    u64 (*read)(void);    /* the counter of its files, without what the process knows; 0: it has none */
};

extern const struct kind journal, mapped, renamed, tree, links, sparse, attributes, opaque;      /* files.c, folders.c */
extern const struct kind ghost, large_ghost, remapped, locks;                                    /* held.c */
extern const struct kind pipes, unix_sockets, tcp, datagram;                                     /* channels.c */
extern const struct kind threads, churn, zombies;                                                /* processes.c */
extern const struct kind bulk;                                                             /* bulk.c */
extern const struct kind clocks, timers, timerfd, events, signals, interface;                     /* kernel.c */

__attribute__((format(printf, 1, 2))) void damaged(const char *format, ...);
__attribute__((format(printf, 1, 2))) _Noreturn void failed(const char *format, ...); /* adds what errno says, if any */

/* Numbers as text of DIGITS digits and an end of line: all or nothing. */
void write_number(int fd, u64 n, off_t at);
int read_number(int fd, off_t at, u64 *n); /* whether there is one */
u64 number_of(const char *path);           /* of a file that has one number alone; damaged() if it has none */
int opened(const char *path, int flags);   /* or failed() */
pid_t forked(void);                        /* a child ends with its parent */
int is_readable(int fd);                   /* waits for it; time in which the process stands still does not count */

#endif

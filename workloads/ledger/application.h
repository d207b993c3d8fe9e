/*
 * Applications: any two programs in a folder that speak lines, one of which keeps the counter in files of its own.
 *
 *     drive     is started once; a line on its standard input is a request, and it answers each with one line:
 *                   tick N    it makes N its counter, durably: `ok N`
 *                   read      it says what counter its files have: `disk N`
 *               It starts what it needs before its first answer, and ends, with all that it has started, when its input
 *               ends.
 *     verify    is started afresh where drive has ended, or never ran, and has the files that it left: it prints `disk N`
 *               of them, and ends.
 *
 * Instead of `disk N` both may say `damaged WHY`, and drive may say `failed WHY` to any request: it cannot go on. An
 * answer has at most ANSWER_MAX bytes. It is waited for in slices, so that time in which the process stands still does
 * not count.
 */

#ifndef LEDGER_APPLICATION_H
#define LEDGER_APPLICATION_H

#include "text.h"

#include <sys/types.h>

enum { ANSWER_MAX = 200 };

struct application {
    const char *folder;
    pid_t pid;      /* of drive; 0: it has ended */
    int to, from;   /* its standard input and output */
    u64 ticks;      /* that it has confirmed */
    int deaf;       /* it has ended, or its last answer is missing: nothing can be asked any more */
    int over;       /* it was asked to end: verify speaks for its files */
};

extern char application_failure[2 * ANSWER_MAX + 100]; /* what went wrong, as a sentence; empty: nothing */

int start_application(struct application *application, const char *folder); /* 0, or the errno of a failure */
void confirm_tick(struct application *application, u64 n);                   /* may set application_failure */
void end_application(struct application *application, int patient);           /* if patient, it may set it, too */

struct answer {
    int known;     /* it said something that one can compare */
    u64 disk;      /* the counter of its files, 0: none */
    char damaged[ANSWER_MAX + 1]; /* why its files are damaged; empty: they are not */
};

struct answer read_application(struct application *application); /* may set application_failure */

#endif

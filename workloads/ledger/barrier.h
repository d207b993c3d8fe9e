/*
 * A barrier between ledgers in several containers: tick n begins when each of the others has completed tick n - 1.
 *
 * They meet over a file that all of them map: one u64 for each, which is the ledger's last complete tick plus 1, or 0
 * while it does not take part. A ledger that joins later has to catch up, without its pauses; until then the others
 * wait for it.
 */

#ifndef LEDGER_BARRIER_H
#define LEDGER_BARRIER_H

#include "text.h"

enum { PARTIES_MAX = 16 };

struct barrier {
    const char *path; /* 0: there is none */
    u64 own, parties;
};

extern struct barrier barrier;

int join_barrier(void); /* 0, or the errno of a failure */
void await_others(u64 n);
int lags_behind(u64 n); /* whether another one is beyond the tick after n, which this one has completed */
void complete(u64 n);
void leave_barrier(void);

#endif

/*
 * Readings: what memory and all surfaces held when the process last stood still.
 *
 * After a pause, before anything else is written, and at the first slot that is not what it has to be, all surfaces
 * are scanned and reported. A deleted surface is looked for at every scan, and between two of them at every tick that
 * follows a sleep or at every 1024th. A scan that took so long that a checkpoint may lie within it is repeated at the
 * next tick; how long it took is in the message.
 */

#ifndef LEDGER_READINGS_H
#define LEDGER_READINGS_H

#include "text.h"

extern u64 pause_ns;    /* a longer time between two ticks is a gap */
extern u64 last_ns;     /* the latest tick, or the end of the latest scan */
extern int scan_again;  /* the latest scan took so long that it may contain a checkpoint */
extern u64 muted_until; /* until this tick, slots are not checked: the damage was reported and remains */

void report(const char *reason);

#endif

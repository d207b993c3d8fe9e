/* Beats: messages that tell that the counter moves, and the longest time between two ticks since the beat before. */

#ifndef LEDGER_BEATS_H
#define LEDGER_BEATS_H

#include "text.h"

void begin_beats(u64 now_ns);
void count_gap(u64 gap_ns);
void beat_when_due(u64 now_ns);

#endif

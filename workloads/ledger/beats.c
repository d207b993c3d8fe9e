#include "beats.h"

#include "memory.h"
#include "messages.h"

#define BEAT_NS (100 * MS)

static u64 longest_gap_ns; /* since the latest beat */
static u64 beat_origin_ns, beat_after_ns;

void begin_beats(u64 now_ns)
{
    beat_origin_ns = now_ns;
    beat_after_ns = 1 * MS;
}

void count_gap(u64 gap_ns)
{
    if (gap_ns > longest_gap_ns)
        longest_gap_ns = gap_ns;
}

void beat_when_due(u64 now_ns)
{
    if (now_ns < beat_origin_ns + beat_after_ns)
        return;
    begin_message("beat", clock_ns());
    put_field("n_wall_ns", memory.slot[memory.n & 1].wall_ns);
    put_field("gap_ns", longest_gap_ns);
    send_message();
    longest_gap_ns = 0;
    /* at 1, 2, 4 ... 64 ms, so that the counter soon shows a move, then every 100 ms */
    beat_after_ns = beat_after_ns < 64 * MS ? 2 * beat_after_ns : (beat_after_ns / BEAT_NS + 1) * BEAT_NS;
}

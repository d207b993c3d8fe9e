#include "readings.h"

#include "beats.h"
#include "memory.h"
#include "messages.h"
#include "surfaces.h"

#include <string.h>

enum { SCAN_SLOTS = 2048, SCAN_ATTEMPTS = 3, SCAN_SLOT_NS = 100 /* several times the time of one slot */ };

struct finding {
    u64 newest, newest_wall_ns; /* 0: none */
    u64 torn, foreign, holes, backwards, repeated;
    u64 scanned; /* slots, or records of an appended surface; of an application, what takes as long */
    int unknown; /* an application does not say it */
    char damaged[ANSWER_MAX + 1]; /* why an application's files are damaged; empty: they are not */
};

u64 pause_ns = 10 * MS;
u64 last_ns;
int scan_again;
u64 muted_until;

static struct record block[SCAN_SLOTS];
static u64 block_start; /* first slot in block; RING_MAX: block is empty */

static const struct record *slot_at(const struct surface *surface, u64 slot)
{
    const u64 start = slot - slot % SCAN_SLOTS, left = slots_of(surface) - start;

    if (start != block_start)
        read_slots(surface, start, left < SCAN_SLOTS ? left : SCAN_SLOTS, block);
    block_start = start;
    return &block[slot - start];
}

/*
 * Returns the newest record that the surface held when the process stood still. Record c, the counter in memory, may
 * have been written after the process was resumed: it counts only if record c-1 is there too.
 */
static struct record newest_of(const struct surface *surface, struct finding *finding)
{
    const u64 c = memory.n, slots = slots_of(surface);
    struct record below = {0}, at = {0}, above = {0};

    for (u64 slot = 0; slot < slots; slot++) {
        const struct record *record = slot_at(surface, slot);

        if (is_empty(record))
            continue;
        if (record->check != check_of(record))
            finding->torn++;
        else if (record->nonce != memory.nonce || record->n == 0 || record->n % slots != slot)
            finding->foreign++;
        else if (record->n == c)
            at = *record;
        else if (record->n < c && record->n > below.n)
            below = *record;
        else if (record->n > c && record->n > above.n)
            above = *record;
    }
    if (above.n)
        return above;
    return at.n && below.n + 1 >= c ? at : below;
}

static struct finding look_for(struct surface *surface)
{
    const struct record *record = &memory.slot[memory.n & 1];

    surface->spoiled = !is_sound(surface);
    if (surface->spoiled)
        return (struct finding){0};
    return (struct finding){.newest = record->n, .newest_wall_ns = record->wall_ns};
}

static struct finding scan(const struct surface *surface)
{
    const u64 slots = slots_of(surface);
    struct finding finding = {.scanned = slots};
    block_start = RING_MAX;
    const struct record newest = newest_of(surface, &finding);
    const u64 expected = newest.n < slots ? newest.n : slots;
    u64 slot = (newest.n + slots - expected) % slots, before_ns = 0;

    finding.newest = newest.n;
    finding.newest_wall_ns = newest.wall_ns;
    for (u64 left = expected; left-- > 0;) {
        slot = slot + 1 < slots ? slot + 1 : 0;
        const struct record *record = slot_at(surface, slot);

        if (holds(record, newest.n - left)) {
            finding.backwards += record->wall_ns < before_ns;
            before_ns = record->wall_ns;
        } else {
            /* record c, written after the resume, may have replaced an older record */
            finding.holes += !holds(record, memory.n);
            before_ns = 0;
        }
    }
    return finding;
}

/*
 * Scans what was appended. The last record may be record c, the counter in memory, written after the process was
 * resumed: it counts only if it follows the one before it, or was there before.
 */
static struct finding scan_appended(struct surface *surface)
{
    struct finding finding = {0}, before = {0};
    struct record record = {0};
    u64 size, count;

    begin_reading(surface);
    size = size_of(surface);
    count = size / sizeof record;
    for (u64 i = 0; i < count; i++) {
        if (i % SCAN_SLOTS == 0)
            read_slots(surface, i, count - i < SCAN_SLOTS ? count - i : SCAN_SLOTS, block);
        record = block[i % SCAN_SLOTS];
        before = finding;
        if (record.check != check_of(&record) || is_empty(&record)) {
            finding.torn++;
        } else if (record.nonce != memory.nonce || record.n == 0) {
            finding.foreign++;
        } else if (record.n <= finding.newest) {
            finding.repeated++;
        } else {
            finding.holes += record.n - finding.newest - 1;
            finding.backwards += record.wall_ns < finding.newest_wall_ns;
            finding.newest = record.n;
            finding.newest_wall_ns = record.wall_ns;
        }
    }
    end_reading(surface);
    if (count && holds(&record, memory.n) && before.newest != memory.n && before.newest + 1 != memory.n)
        finding = before;
    finding.scanned = count;
    finding.torn += size % sizeof record != 0;
    return finding;
}

static struct finding ask_for(struct surface *surface)
{
    const struct answer answer = read_application(&surface->application);
    const struct record *record = &memory.slot[answer.disk & 1];
    struct finding finding = {.newest = answer.disk, .unknown = !answer.known};

    finding.newest_wall_ns = record->n == answer.disk ? record->wall_ns : 0;
    finding.scanned = (surface->application.over ? 60000 : 1000) * (u64)MS / SCAN_SLOT_NS;
    strcpy(finding.damaged, answer.damaged);
    return finding;
}

static struct finding find(struct surface *surface)
{
    if (surface->kind == APPLICATION)
        return ask_for(surface);
    if (surface->kind == RING || surface->kind == PAGES)
        return scan(surface);
    if (surface->kind == APPENDED)
        return scan_appended(surface);
    return surface->kind == STDOUT ? (struct finding){0} : look_for(surface);
}

static int is_wrong(const struct finding *finding)
{
    return finding->newest > memory.n || finding->newest + 1 < memory.n || finding->torn || finding->foreign ||
           finding->holes || finding->repeated || *finding->damaged;
}

static void put_finding(const struct surface *surface, const struct finding *finding)
{
    put("{\"surface\":\"");
    put(surface->name);
    put("\"");
    put_field_or_null("newest", finding->newest);
    put_field_or_null("newest_wall_ns", finding->newest_wall_ns);
    put_field("torn", finding->torn);
    put_field("foreign", finding->foreign);
    put_field("holes", finding->holes);
    put_field("backwards", finding->backwards);
    put_field("repeated", finding->repeated);
    put_field("lag", surface->kind != DELETED && surface->kind != SENTINEL);
    if (*finding->damaged)
        put_text("damaged", finding->damaged);
    put("}");
}

void report(const char *reason)
{
    const u64 found_ns = clock_ns();
    u64 gap_ns = found_ns > last_ns ? found_ns - last_ns : 0, begun_ns, took_ns, limit_ns;
    struct finding findings[SURFACES_MAX];
    int attempts = 0;

    do { /* a checkpoint may have interrupted a scan that took too long; the scan is then of two instants */
        begun_ns = clock_ns();
        limit_ns = pause_ns;
        for (int i = 0; i < surface_count; i++) {
            findings[i] = find(&surfaces[i]);
            limit_ns += findings[i].scanned * SCAN_SLOT_NS;
        }
        last_ns = clock_ns();
        took_ns = last_ns - begun_ns;
        if (took_ns > limit_ns && last_ns > begun_ns && took_ns > gap_ns)
            gap_ns = took_ns;
    } while (took_ns > limit_ns && ++attempts < SCAN_ATTEMPTS);

    begin_message("reading", last_ns);
    put_text("reason", reason);
    put_field("n_wall_ns", memory.slot[memory.n & 1].wall_ns);
    put_field("gap_ns", gap_ns);
    put_field("scan_ns", took_ns);
    put(",\"surfaces\":[");
    for (int i = 0, told = 0; i < surface_count; i++) {
        if (surfaces[i].kind == STDOUT || findings[i].unknown)
            continue;
        put(told++ ? "," : "");
        put_finding(&surfaces[i], &findings[i]);
        if (is_wrong(&findings[i]))
            muted_until = memory.n + memory.ring;
    }
    put("]");
    send_message();

    scan_again = took_ns > limit_ns;
    count_gap(gap_ns);
    begin_beats(last_ns);
}

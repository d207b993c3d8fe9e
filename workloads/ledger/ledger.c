/*
 * ledger keeps one counter in memory and in a ring of records on every surface, and reports when they differ.
 *
 * Tick n: the counter in memory becomes n, then record n is written to each surface in the given order. At any instant
 * each surface therefore holds n or n-1.
 *
 *     text        a buffer for text, and errors that end the program
 *     memory      the counter in memory, a record, and the description that an offline reader finds
 *     messages    what the program tells whoever watches it
 *     application two programs of anybody's that keep the counter, too
 *     pages       memory that the counter is in
 *     surfaces    files that the counter is in, standard output, and applications
 *     beats       messages that the counter moves
 *     readings    scans of all surfaces, after a pause or where one is wrong
 *     barrier     ticks together with the ledgers of other containers
 *     options     the command line
 *
 * Each of these files uses only those above it. This one has the loop.
 */

#include "barrier.h"
#include "beats.h"
#include "memory.h"
#include "messages.h"
#include "options.h"
#include "readings.h"
#include "surfaces.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#define APPLICATION_PAUSE_NS (60 * MS) /* it writes a tick durably, which takes long on some disks */

/*
 * Says it at once, and goes on living until it is asked to end: an engine whose container has ended before the engine
 * is done with its restore would tell of a failure of its own.
 */
static void end_if_application_failed(const char *by)
{
    const struct timespec moment = {0, 50 * MS};

    if (!*application_failure)
        return;
    begin_message("failed", clock_ns());
    put_text("what", application_failure);
    put_text("by", by);
    send_message();
    used = 0;
    put("ledger: ");
    put(application_failure);
    put("\n");
    say();
    while (!stopping)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
    begin_message("stop", clock_ns());
    send_message();
    _exit(1);
}

static void tick(u64 n)
{
    u64 now_ns;

    await_others(n);
    now_ns = clock_ns();

    /* if the clock goes back, as after a restore on another machine, the difference is huge and also counts as a gap */
    if (now_ns - last_ns > pause_ns || scan_again) {
        report("gap");
        end_if_application_failed("application");
        now_ns = last_ns;
    }
    count_gap(now_ns - last_ns);
    last_ns = now_ns;
    remember(n, now_ns);
    for (int i = 0; i < surface_count; i++) {
        if (n > muted_until && !fits(&surfaces[i], n))
            report("discrepancy");
        write_tick(&surfaces[i], n);
        if (*application_failure)
            report("failed"); /* what there was; it may still be able to read */
        end_if_application_failed("application");
    }
    complete(n);
    beat_when_due(now_ns);
    if (memory.period_ns && !lags_behind(n)) {
        const struct timespec period = {(time_t)(memory.period_ns / 1000000000), (long)(memory.period_ns % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
    }
}

static void send_start(u64 now_ns)
{
    begin_message("start", now_ns);
    put_field("pid", (u64)getpid());
    put_field("ring", memory.ring);
    put_field("period_us", memory.period_ns / 1000);
    put(",\"surfaces\":[");
    for (int i = 0; i < surface_count; i++) {
        put(i ? ",\"" : "\"");
        put(surfaces[i].name);
        put("\"");
    }
    put("]");
    send_message();
}

static void on_signal(int number)
{
    stopping = number;
}

/* Ends the applications; asked by SIGUSR1, tells what their files have then, according to a fresh one. */
static void end_applications(void)
{
    for (int i = 0; i < surface_count; i++)
        if (surfaces[i].kind == APPLICATION)
            end_application(&surfaces[i].application, stopping == SIGUSR1);
    if (stopping == SIGUSR1)
        report("afterwards");
    end_if_application_failed("ending");
}

static u64 stack_pages(void)
{
    u64 count = 0;

    for (int i = 0; i < surface_count; i++)
        if (surfaces[i].kind == PAGES)
            count += pages_on_stack(surfaces[i].path, surfaces[i].pages.count);
    return count;
}

static unsigned char *on_page(void *begin)
{
    return (unsigned char *)(((uintptr_t)begin + PAGE - 1) / PAGE * PAGE);
}

int main(int argc, char **argv)
{
    const struct sigaction stop = {.sa_handler = on_signal};

    (void)argc;
    read_arguments(argv);
    if (3 * memory.period_ns > pause_ns)
        pause_ns = 3 * memory.period_ns;
    for (int i = 0; i < surface_count; i++)
        if (surfaces[i].kind == APPLICATION && pause_ns < APPLICATION_PAUSE_NS)
            pause_ns = APPLICATION_PAUSE_NS;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGUSR1, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    begin_memory(clock_ns());
    stack_end = on_page(__builtin_alloca((size_t)(stack_pages() + 1) * PAGE));
    for (int i = 0; i < surface_count; i++)
        open_surface(&surfaces[i]);
    sign_memory();
    if (barrier.path) {
        const int error = join_barrier();

        if (error)
            end_with_error("barrier", barrier.path, error);
    }

    last_ns = clock_ns();
    send_start(last_ns);
    begin_beats(last_ns);
    for (u64 n = 1; !stopping; n++)
        tick(n);
    leave_barrier();
    end_applications();
    begin_message("stop", clock_ns());
    send_message();
    return 0;
}

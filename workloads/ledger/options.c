#include "options.h"

#include "barrier.h"
#include "memory.h"
#include "messages.h"
#include "surfaces.h"

#include <string.h>
#include <unistd.h>

enum { NAME_LENGTH_MAX = 32, PERIOD_US_MAX = 10000000, PRINT_MAX = 1000000 };

static const char usage[] =
    "usage: ledger [--period-us N] [--ring K] --report DIR --surface NAME=PATH [--surface NAME=PATH ...]\n"
    "              [--deleted NAME=PATH ...] [--append NAME=PATH ...] [--sentinel NAME=PATH ...]\n"
    "              [--application NAME=DIR] [--pages NAME=SORT:N ...] [--print NAME=N] [--barrier I/N=PATH]\n"
    "              [--canary WORD]\n"
    "\n"
    "Keeps the same counter in memory and in a ring of records in each PATH, ticks it, and reports when memory\n"
    "and files are not of one instant, for example after a restore from an inconsistent checkpoint.\n"
    "\n"
    "  --period-us N         microseconds of sleep between ticks, 0 to 10000000; default 0: as fast as possible\n"
    "  --ring K              records in each file, 4 to 1048576, 32 bytes each; default 65536\n"
    "  --report DIR          existing folder for messages: `readlink DIR/*` prints them, one JSON object each\n"
    "  --surface NAME=PATH   file that carries the counter, made if missing; up to 16, written in the given order;\n"
    "                        NAME has at most 32 characters of a-z, 0-9 and -\n"
    "  --deleted NAME=PATH   existing file that the program deletes; it must not come back\n"
    "  --append NAME=PATH    file that gets a record at every tick, and grows\n"
    "  --sentinel NAME=PATH  file that is written at the start, and must stay as it is\n"
    "  --application NAME=DIR\n"
    "                        program DIR/drive, which keeps the counter in files of its own and answers lines: `tick N`\n"
    "                        by `ok N`, `read` by `disk N` or `damaged WHY`, each by `failed WHY` if it cannot; and\n"
    "                        DIR/verify, which answers as to `read`, of the files that drive has left\n"
    "  --pages NAME=SORT:N   N pages of memory with a record each, 4 to 262144; SORT: anonymous, shared, memfd, file (of\n"
    "                        the program), heap, stack (up to 1024 in all) or huge\n"
    "  --print NAME=N        print a line on standard output at every Nth tick; N is 1 to 1000000\n"
    "  --barrier I/N=PATH    tick together with the other ones of N ledgers, which share the file PATH; this is number\n"
    "                        I, from 0; N is 2 to 16\n"
    "  --canary WORD         nothing: a word that somebody looks for later, in checkpoints of the program\n"
    "\n"
    "Ends on SIGTERM or SIGINT; on SIGUSR1 it ends the applications first, and reads their files.\n"
    "Exit code 0: stopped; 1: a file, the folder or an application failed; 2: a wrong argument.\n"
    "\n"
    "Example: mkdir /tmp/report && ledger --period-us 1000 --report /tmp/report --surface disk=/tmp/disk.ring\n";

static _Noreturn void refuse(const char *option, const char *why, const char *value)
{
    used = 0;
    put("ledger: ");
    put(option);
    put(why);
    put(value);
    put("; see ledger --help\n");
    say();
    _exit(2);
}

static u64 number_in(const char *option, const char *value, u64 least, u64 most, const char *why)
{
    u64 number = 0;
    const char *digit = value;

    for (; *digit >= '0' && *digit <= '9' && number <= most; digit++)
        number = 10 * number + (u64)(*digit - '0');
    if (*digit || digit == value || number < least || number > most)
        refuse(option, why, value);
    return number;
}

static void add_surface(const char *option, char *value, enum kind kind)
{
    const size_t length = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (length == 0 || length > NAME_LENGTH_MAX || value[length] != '=' || !value[length + 1])
        refuse(option, " takes NAME=PATH, not ", value);
    if (surface_count == SURFACES_MAX)
        refuse(option, " exceeds the limit of 16 surfaces: ", value);
    value[length] = 0;
    for (int i = 0; i < surface_count; i++)
        if (strcmp(surfaces[i].name, value) == 0)
            refuse(option, " gives a second surface the name ", value);
    surfaces[surface_count] = (struct surface){.name = value, .path = value + length + 1, .kind = kind};
    if (kind == STDOUT) {
        surfaces[surface_count].fd = STDOUT_FILENO;
        surfaces[surface_count].every =
            number_in(option, value + length + 1, 1, PRINT_MAX, " takes NAME=N with N from 1 to 1000000, not ");
    }
    surface_count++;
}

static void add_pages(const char *option, char *value)
{
    static u64 on_stack;
    static const char why[] = " takes NAME=SORT:N with N from 4 to 262144, not ";
    struct surface *surface = &surfaces[surface_count];
    char *colon = strrchr(value, ':');

    if (!colon)
        refuse(option, why, value);
    *colon = 0;
    add_surface(option, value, PAGES);
    if (!is_sort(surface->path))
        refuse(option, " does not know this sort of pages: ", surface->path);
    surface->pages.count = number_in(option, colon + 1, RING_MIN, PAGES_MAX, why);
    on_stack += pages_on_stack(surface->path, surface->pages.count);
    if (on_stack > STACK_PAGES_MAX)
        refuse(option, " takes at most 1024 pages on the stack, not ", colon + 1);
}

static void use_barrier(const char *option, char *value)
{
    static const char why[] = " takes I/N=PATH with I below N and N from 2 to 16, not ";
    char *slash = strchr(value, '/'), *equals = slash ? strchr(slash, '=') : NULL;

    if (!equals || !equals[1])
        refuse(option, why, value);
    *slash = *equals = 0;
    barrier.parties = number_in(option, slash + 1, 2, PARTIES_MAX, why);
    barrier.own = number_in(option, value, 0, barrier.parties - 1, why);
    barrier.path = equals + 1;
}

static int use_folder(const char *folder)
{
    if (!*folder || !set_report(folder))
        refuse("--report", " takes a folder, not ", *folder ? "a path that is too long" : "an empty path");
    return 1;
}

void read_arguments(char **argument)
{
    int reports = 0;

    for (argument++; *argument; argument += 2) {
        char *option = *argument, *value = argument[1] ? argument[1] : "";

        if (strcmp(option, "--help") == 0)
            _exit(write(STDOUT_FILENO, usage, sizeof usage - 1) < 0);
        if (strcmp(option, "--period-us") == 0)
            memory.period_ns = 1000 * number_in(option, value, 0, PERIOD_US_MAX, " takes 0 to 10000000, not ");
        else if (strcmp(option, "--ring") == 0)
            memory.ring = (uint32_t)number_in(option, value, RING_MIN, RING_MAX, " takes 4 to 1048576, not ");
        else if (strcmp(option, "--report") == 0)
            reports = use_folder(value);
        else if (strcmp(option, "--surface") == 0)
            add_surface(option, value, RING);
        else if (strcmp(option, "--deleted") == 0)
            add_surface(option, value, DELETED);
        else if (strcmp(option, "--append") == 0)
            add_surface(option, value, APPENDED);
        else if (strcmp(option, "--sentinel") == 0)
            add_surface(option, value, SENTINEL);
        else if (strcmp(option, "--application") == 0)
            add_surface(option, value, APPLICATION);
        else if (strcmp(option, "--pages") == 0)
            add_pages(option, value);
        else if (strcmp(option, "--print") == 0)
            add_surface(option, value, STDOUT);
        else if (strcmp(option, "--barrier") == 0)
            use_barrier(option, value);
        else if (strcmp(option, "--canary") == 0)
            (void)value; /* it is in the memory of this process now */
        else
            refuse("unknown option ", option, "");
        if (!argument[1])
            refuse(option, " needs a value", "");
    }
    if (!reports)
        refuse("--report", " is missing", "");
    if (!surface_count)
        refuse("--surface", " is missing", "");
}

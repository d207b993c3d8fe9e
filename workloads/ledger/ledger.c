/*
 * ledger keeps one counter in memory and in a ring of records on every surface, and reports when they differ.
 *
 * Tick n: the counter in memory becomes n, then record n is written to each surface in the given order. At any instant
 * each surface therefore holds n or n-1.
 *
 * A deleted surface has no ring: it is a file of the image that the program deletes at its start. While the file is
 * absent, the surface counts as equal to memory. If the file is back, the surface counts as empty.
 *
 * Standard output as a surface has no ring either: record n is a line, at every tick or at every Nth tick. The program
 * cannot read its output, so its readings leave this surface out; a reader of the engine's log checks it.
 *
 *     stillframe NONCE N CHECK        NONCE and CHECK: 16 hexadecimal digits; CHECK is mix64(mix64(N) ^ NONCE)
 *
 * Record, 32 bytes, all numbers little endian, in slot n mod K of a surface; 32 zero bytes are an empty slot:
 *     0  u64 n          8  u64 wall_ns (CLOCK_REALTIME)          16  u64 nonce          24  u64 check
 *     check = mix64(mix64(mix64(n) ^ wall_ns) ^ nonce); mix64 is bijective, so a change of one field always shows.
 *
 * Memory, at the start of a page; an offline reader finds it in a checkpoint's pages by its magic:
 *     0  char magic[16]  "STILLFRAMELEDGER", assembled at run time, so that it occurs only here
 *    16  u32 version     2; version 1 ended at 104
 *    20  u32 ring        K
 *    24  u64 nonce       drawn at start, never 0
 *    32  u64 n           the counter; record n is complete before one store makes the counter n
 *    40  record slot[2]  record n is slot[n & 1]; tick 0 is the start
 *   104  u64 period_ns   pause between two ticks
 *   112  u64 size        bytes of the description
 *   120  u64 check       of the description: starts at 0, check = mix64(check ^ byte) for each byte
 *   128  description     four texts for each surface, in writing order, each with a 0 byte at its end:
 *                        kind        `ring`, `deleted` or `stdout`
 *                        name
 *                        path        in the container, without symbolic links if there is a /proc; for `stdout` the N
 *                                    of every Nth tick
 *                        descriptor  number of the open descriptor; empty for `deleted`
 * A process that is stopped between any two instructions therefore holds a valid pair of counter and record. It also
 * describes itself: the magic is written last.
 *
 * Messages: a message is a symbolic link in the report folder, named by a 12-digit sequence number; its target is one
 * JSON object. symlink(2) is atomic, and leaves no open descriptor for a checkpoint. A restored process continues its
 * sequence numbers, and skips the names that exist.
 *
 * Reading: all surfaces are scanned after a pause, before anything is written, and at the first slot with a wrong
 * record. The message has the content of the surfaces when the process last stood still. The program looks for a
 * deleted file at every scan, and between scans at every tick after a sleep, or else at every 1024th tick. A scan that
 * took so long that it may contain a checkpoint is repeated at the next tick; its duration is in the message.
 *
 * No stdio and no malloc: a checkpoint of this program holds only the memory that is declared here.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little endian");

typedef uint64_t u64;

enum { SURFACES_MAX = 16, NAME_LENGTH_MAX = 32, RING_MIN = 4, RING_MAX = 1 << 20, PERIOD_US_MAX = 10000000 };
enum { PRINT_MAX = 1000000 };
enum { DESCRIPTION_MAX = 4 * 4096 - 128 };
enum { LOOK_TICKS = 1024 };
enum { SCAN_SLOTS = 2048, SCAN_ATTEMPTS = 3, SCAN_SLOT_NS = 100 /* several times the time of one slot */ };

#define MS 1000000
#define BEAT_NS (100 * MS)

static const char usage[] =
    "usage: ledger [--period-us N] [--ring K] --report DIR --surface NAME=PATH [--surface NAME=PATH ...]\n"
    "              [--deleted NAME=PATH ...] [--print NAME=N]\n"
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
    "  --print NAME=N        print a line on standard output at every Nth tick; N is 1 to 1000000\n"
    "\n"
    "Ends on SIGTERM or SIGINT. Exit code 0: stopped; 1: a file or the folder failed; 2: a wrong argument.\n"
    "\n"
    "Example: mkdir /tmp/report && ledger --period-us 1000 --report /tmp/report --surface disk=/tmp/disk.ring\n";

struct record {
    u64 n, wall_ns, nonce, check;
};

static struct {
    char magic[16];
    uint32_t version, ring;
    u64 nonce, n;
    struct record slot[2];
    u64 period_ns, description_size, description_check;
    unsigned char description[DESCRIPTION_MAX];
} memory __attribute__((aligned(4096), used)) = {.version = 2, .ring = 65536};

enum kind { RING, DELETED, STDOUT };

static const char *const kind_names[] = {"ring", "deleted", "stdout"};

struct surface {
    const char *name, *path; /* the path of STDOUT is `every` in digits */
    enum kind kind;
    int fd;       /* unused for DELETED */
    int returned; /* the deleted file is back, and that was reported */
    u64 every;    /* for STDOUT: a line at every tick that this number divides */
};

static struct surface surfaces[SURFACES_MAX];
static int surface_count;

static u64 pause_ns = 10 * MS; /* a longer time between two ticks is a gap */
static u64 last_ns;            /* the latest tick, or the end of the latest scan */
static u64 longest_gap_ns;     /* since the latest beat */
static int scan_again;         /* the latest scan took so long that it may contain a checkpoint */
static u64 beat_origin_ns, beat_after_ns;
static u64 muted_until; /* until this tick, slots are not checked: the damage was reported and remains */
static volatile sig_atomic_t stopping;

/* ---- messages ---- */

static char text[4001];
static size_t used;
static char message_path[PATH_MAX];
static char *message_name; /* points to the sequence number in message_path */
static u64 sequence;

static void put(const char *words)
{
    while (*words && used < sizeof text - 1)
        text[used++] = *words++;
}

static void put_digits(u64 value, unsigned base, int width)
{
    char digits[21];
    char *first = digits + sizeof digits - 1;

    *first = 0;
    do {
        *--first = "0123456789abcdef"[value % base];
        value /= base;
    } while (--width > 0 || value);
    put(first);
}

static void put_name(const char *name)
{
    put(",\"");
    put(name);
    put("\":");
}

static void put_field(const char *name, u64 value)
{
    put_name(name);
    put_digits(value, 10, 1);
}

static void put_field_or_null(const char *name, u64 value)
{
    if (value) {
        put_field(name, value);
    } else {
        put_name(name);
        put("null");
    }
}

static u64 clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (u64)now.tv_sec * 1000000000 + (u64)now.tv_nsec;
}

static void begin_message(const char *event, u64 wall_ns)
{
    used = 0;
    put("{\"event\":\"");
    put(event);
    put("\",\"nonce\":\"");
    put_digits(memory.nonce, 16, 16);
    put("\"");
    put_field("n", memory.n);
    put_field("wall_ns", wall_ns);
}

static void say(void)
{
    if (write(STDERR_FILENO, text, used) < 0)
        return; /* stderr is closed; the exit code is enough */
}

static _Noreturn void end_with_error(const char *what, const char *path, int error)
{
    used = 0;
    put("ledger: ");
    put(what);
    put(" failed on ");
    put(path);
    put(": ");
    put(strerror(error));
    put("\n");
    say();
    _exit(1);
}

static void send_message(void)
{
    put("}");
    text[used] = 0;
    for (;; sequence++) {
        u64 rest = sequence;
        for (char *digit = message_name + 12; digit-- > message_name; rest /= 10)
            *digit = (char)('0' + rest % 10);
        if (symlink(text, message_path) == 0)
            break;
        if (errno != EEXIST)
            end_with_error("symlink", message_path, errno);
    }
    sequence++;
}

static _Noreturn void fail(const char *call, const struct surface *surface, int error)
{
    begin_message("failed", clock_ns());
    put_field("errno", (u64)error);
    put(",\"what\":\"");
    put(call);
    put(" ");
    put(surface->name);
    put("\"");
    send_message();
    end_with_error(call, surface->path, error);
}

/* ---- records ---- */

static u64 mix64(u64 x) /* the finalizer of splitmix64 */
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static u64 check_of(const struct record *record)
{
    return mix64(mix64(mix64(record->n) ^ record->wall_ns) ^ record->nonce);
}

static int is_empty(const struct record *record)
{
    return !(record->n | record->wall_ns | record->nonce | record->check);
}

static int holds(const struct record *record, u64 n)
{
    return record->n == n && record->nonce == memory.nonce && record->check == check_of(record);
}

static void remember(u64 n, u64 wall_ns)
{
    struct record *record = &memory.slot[n & 1];

    *record = (struct record){.n = n, .wall_ns = wall_ns, .nonce = memory.nonce};
    record->check = check_of(record);
    __atomic_store_n(&memory.n, n, __ATOMIC_RELEASE);
}

/* Slots beyond the end of a shortened file read as empty. */
static void read_slots(const struct surface *surface, u64 slot, u64 count, struct record *records)
{
    size_t size = count * sizeof *records;
    ssize_t got = pread(surface->fd, records, size, (off_t)(slot * sizeof *records));

    if (got < 0)
        fail("pread", surface, errno);
    memset((char *)records + got, 0, size - (size_t)got);
}

static void write_record(const struct surface *surface, const struct record *record)
{
    const off_t place = (off_t)(record->n % memory.ring * sizeof *record);
    const ssize_t written = pwrite(surface->fd, record, sizeof *record, place);

    if (written != sizeof *record)
        fail("pwrite", surface, written < 0 ? errno : ENOSPC);
}

/* A terminal may take a line in several write(2); a checkpoint may happen between them. */
static void print_line(const struct surface *surface, u64 n)
{
    const char *from = text;

    if (n % surface->every)
        return;
    used = 0;
    put("stillframe ");
    put_digits(memory.nonce, 16, 16);
    put(" ");
    put_digits(n, 10, 1);
    put(" ");
    put_digits(mix64(mix64(n) ^ memory.nonce), 16, 16);
    put("\n");
    while (from < text + used) {
        const ssize_t written = write(surface->fd, from, (size_t)(text + used - from));

        if (written < 0 && errno != EINTR)
            fail("write", surface, errno);
        if (written < 0 && stopping)
            return; /* the output has no reader, and the program must end */
        if (written > 0)
            from += written;
    }
}

static void write_tick(const struct surface *surface, u64 n)
{
    if (surface->kind == RING)
        write_record(surface, &memory.slot[n & 1]);
    else if (surface->kind == STDOUT)
        print_line(surface, n);
}

static int is_absent(const struct surface *surface)
{
    struct stat status;

    if (lstat(surface->path, &status) == 0)
        return 0;
    if (errno != ENOENT)
        fail("lstat", surface, errno);
    return 1;
}

/*
 * Called before record n is written. A restored process was usually stopped inside a write, and first finishes it.
 * Slot n-1 then holds n-1 even if the surface has lost the records before: only slot n-2 shows the loss.
 */
static int fits(const struct surface *surface, u64 n)
{
    const u64 ring = memory.ring, first = (n + ring - 2) % ring, whole = ring - first < 3 ? ring - first : 3;
    struct record near[3];

    if (surface->kind == STDOUT)
        return 1;
    if (surface->kind == DELETED)
        return surface->returned || (!memory.period_ns && n % LOOK_TICKS) || is_absent(surface);
    read_slots(surface, first, whole, near);
    if (whole < 3)
        read_slots(surface, 0, 3 - whole, near + whole);
    return (n <= 2 || holds(&near[0], n - 2)) && (n <= 1 || holds(&near[1], n - 1)) &&
           (n > ring ? holds(&near[2], n - ring) : is_empty(&near[2]));
}

/* ---- scan ---- */

struct finding {
    u64 newest, newest_wall_ns; /* 0: none */
    u64 torn, foreign, holes, backwards;
};

static struct record block[SCAN_SLOTS];
static u64 block_start; /* first slot in block; RING_MAX: block is empty */

static const struct record *slot_at(const struct surface *surface, u64 slot)
{
    const u64 start = slot - slot % SCAN_SLOTS, left = memory.ring - start;

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
    const u64 c = memory.n;
    struct record below = {0}, at = {0}, above = {0};

    for (u64 slot = 0; slot < memory.ring; slot++) {
        const struct record *record = slot_at(surface, slot);

        if (is_empty(record))
            continue;
        if (record->check != check_of(record))
            finding->torn++;
        else if (record->nonce != memory.nonce || record->n == 0 || record->n % memory.ring != slot)
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

    surface->returned = !is_absent(surface);
    if (surface->returned)
        return (struct finding){0};
    return (struct finding){.newest = record->n, .newest_wall_ns = record->wall_ns};
}

static struct finding scan(const struct surface *surface)
{
    struct finding finding = {0};
    block_start = RING_MAX;
    const struct record newest = newest_of(surface, &finding);
    const u64 expected = newest.n < memory.ring ? newest.n : memory.ring;
    u64 slot = (newest.n + memory.ring - expected) % memory.ring, before_ns = 0;

    finding.newest = newest.n;
    finding.newest_wall_ns = newest.wall_ns;
    for (u64 left = expected; left-- > 0;) {
        slot = slot + 1 < memory.ring ? slot + 1 : 0;
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

static int is_wrong(const struct finding *finding)
{
    return finding->newest > memory.n || finding->newest + 1 < memory.n || finding->torn || finding->foreign ||
           finding->holes;
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
    put("}");
}

static void count_gap(u64 gap_ns)
{
    if (gap_ns > longest_gap_ns)
        longest_gap_ns = gap_ns;
}

static void begin_beats(u64 now_ns)
{
    beat_origin_ns = now_ns;
    beat_after_ns = 1 * MS;
}

static void report(const char *reason)
{
    const u64 found_ns = clock_ns(), limit_ns = pause_ns + (u64)surface_count * memory.ring * SCAN_SLOT_NS;
    u64 gap_ns = found_ns > last_ns ? found_ns - last_ns : 0, begun_ns, took_ns;
    struct finding findings[SURFACES_MAX];
    int attempts = 0;

    do { /* a checkpoint may have interrupted a scan that took too long; the scan is then of two instants */
        begun_ns = clock_ns();
        for (int i = 0; i < surface_count; i++)
            findings[i] = surfaces[i].kind == DELETED ? look_for(&surfaces[i])
                          : surfaces[i].kind == RING  ? scan(&surfaces[i])
                                                      : (struct finding){0};
        last_ns = clock_ns();
        took_ns = last_ns - begun_ns;
        if (took_ns > limit_ns && last_ns > begun_ns && took_ns > gap_ns)
            gap_ns = took_ns;
    } while (took_ns > limit_ns && ++attempts < SCAN_ATTEMPTS);

    begin_message("reading", last_ns);
    put(",\"reason\":\"");
    put(reason);
    put("\"");
    put_field("n_wall_ns", memory.slot[memory.n & 1].wall_ns);
    put_field("gap_ns", gap_ns);
    put_field("scan_ns", took_ns);
    put(",\"surfaces\":[");
    for (int i = 0, told = 0; i < surface_count; i++) {
        if (surfaces[i].kind == STDOUT)
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

/* ---- life ---- */

static void beat_when_due(u64 now_ns)
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

static void tick(u64 n)
{
    u64 now_ns = clock_ns();

    /* if the clock goes back, as after a restore on another machine, the difference is huge and also counts as a gap */
    if (now_ns - last_ns > pause_ns || scan_again) {
        report("gap");
        now_ns = last_ns;
    }
    count_gap(now_ns - last_ns);
    last_ns = now_ns;
    remember(n, now_ns);
    for (int i = 0; i < surface_count; i++) {
        if (n > muted_until && !fits(&surfaces[i], n))
            report("discrepancy");
        write_tick(&surfaces[i], n);
    }
    beat_when_due(now_ns);
    if (memory.period_ns) {
        const struct timespec period = {(time_t)(memory.period_ns / 1000000000), (long)(memory.period_ns % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &period, NULL);
    }
}

static void describe(const char *words)
{
    do {
        if (memory.description_size == sizeof memory.description)
            end_with_error("the description of all surfaces", words, ENAMETOOLONG);
        memory.description[memory.description_size++] = (unsigned char)*words;
        memory.description_check = mix64(memory.description_check ^ (unsigned char)*words);
    } while (*words++);
}

/* Returns the file's real path, or the given path if there is no /proc. */
static const char *path_of(const struct surface *surface, int fd)
{
    static char path[PATH_MAX + 1];
    ssize_t length;

    used = 0;
    put("/proc/self/fd/");
    put_digits((u64)fd, 10, 1);
    text[used] = 0;
    length = readlink(text, path, PATH_MAX);
    if (length <= 0 || path[0] != '/')
        return surface->path;
    path[length] = 0;
    return path;
}

static void open_ring(struct surface *surface)
{
    const off_t size = (off_t)(memory.ring * sizeof(struct record));
    struct stat status;

    surface->fd = open(surface->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (surface->fd < 0)
        fail("open", surface, errno);
    if (fstat(surface->fd, &status) < 0)
        fail("fstat", surface, errno);
    if (status.st_size < size && ftruncate(surface->fd, size) < 0)
        fail("ftruncate", surface, errno);
    describe(path_of(surface, surface->fd));
}

static void delete_file(const struct surface *surface)
{
    const int fd = open(surface->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        describe(path_of(surface, fd));
        close(fd);
    }
    if (unlink(surface->path) < 0)
        fail("unlink", surface, errno);
}

static void open_surface(struct surface *surface)
{
    describe(kind_names[surface->kind]);
    describe(surface->name);
    if (surface->kind == RING)
        open_ring(surface);
    else if (surface->kind == DELETED)
        delete_file(surface);
    else
        describe(surface->path);
    used = 0;
    if (surface->kind != DELETED)
        put_digits((u64)surface->fd, 10, 1);
    text[used] = 0;
    describe(text);
}

static void begin_memory(u64 now_ns)
{
    while (memory.nonce == 0)
        if (getrandom(&memory.nonce, sizeof memory.nonce, 0) < 0 && errno != EINTR)
            end_with_error("getrandom", "the nonce", errno);
    remember(0, now_ns);
}

static void sign_memory(void)
{
    static const volatile unsigned char veil = 0x20; /* volatile: otherwise the compiler stores the text */

    for (int i = 0; i < 16; i++)
        memory.magic[i] = (char)("stillframeledger"[i] ^ veil);
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
    (void)number;
    stopping = 1;
}

/* ---- arguments ---- */

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

static void set_report(const char *folder)
{
    const size_t length = strlen(folder);

    if (length == 0 || length + sizeof "/000000000000" > sizeof message_path)
        refuse("--report", " takes a folder, not ", length ? "a path that is too long" : "an empty path");
    memcpy(message_path, folder, length);
    message_path[length] = '/';
    message_name = message_path + length + 1;
}

static void read_arguments(char **argument)
{
    for (argument++; *argument; argument += 2) {
        char *option = *argument, *value = argument[1] ? argument[1] : "";

        if (strcmp(option, "--help") == 0)
            _exit(write(STDOUT_FILENO, usage, sizeof usage - 1) < 0);
        if (strcmp(option, "--period-us") == 0)
            memory.period_ns = 1000 * number_in(option, value, 0, PERIOD_US_MAX, " takes 0 to 10000000, not ");
        else if (strcmp(option, "--ring") == 0)
            memory.ring = (uint32_t)number_in(option, value, RING_MIN, RING_MAX, " takes 4 to 1048576, not ");
        else if (strcmp(option, "--report") == 0)
            set_report(value);
        else if (strcmp(option, "--surface") == 0)
            add_surface(option, value, RING);
        else if (strcmp(option, "--deleted") == 0)
            add_surface(option, value, DELETED);
        else if (strcmp(option, "--print") == 0)
            add_surface(option, value, STDOUT);
        else
            refuse("unknown option ", option, "");
        if (!argument[1])
            refuse(option, " needs a value", "");
    }
    if (!message_name)
        refuse("--report", " is missing", "");
    if (!surface_count)
        refuse("--surface", " is missing", "");
}

int main(int argc, char **argv)
{
    const struct sigaction stop = {.sa_handler = on_signal};

    (void)argc;
    read_arguments(argv);
    if (3 * memory.period_ns > pause_ns)
        pause_ns = 3 * memory.period_ns;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    begin_memory(clock_ns());
    for (int i = 0; i < surface_count; i++)
        open_surface(&surfaces[i]);
    sign_memory();

    last_ns = clock_ns();
    send_start(last_ns);
    begin_beats(last_ns);
    for (u64 n = 1; !stopping; n++)
        tick(n);
    begin_message("stop", clock_ns());
    send_message();
    return 0;
}

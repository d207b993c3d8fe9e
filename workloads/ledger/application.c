#define _GNU_SOURCE
#include "application.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SLICE_MS
#define SLICE_MS 100
#endif
enum { FIRST_SLICES = 250, SLICES = 100, VERIFY_SLICES = 300, END_SLICES = 100, HASTY_SLICES = 20 };

char application_failure[2 * ANSWER_MAX + 100];

/* ---- what went wrong ---- */

static void blame(const char *what, const char *more, const char *request, const char *end)
{
    const char *const parts[] = {what, more, request, end};
    size_t length = 0;

    if (*application_failure)
        return; /* the first fault counts */
    for (int i = 0; i < 4; i++)
        for (const char *c = parts[i]; *c && length < sizeof application_failure - 1; c++)
            application_failure[length++] = *c;
    application_failure[length] = 0;
}

/* ---- processes ---- */

static int spawn(const char *folder, const char *name, int input, int output, pid_t *pid)
{
    static char path[PATH_MAX];
    char *const argv[] = {path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t ours;
    int error;

    if (strlen(folder) + strlen(name) + 2 > sizeof path)
        return ENAMETOOLONG;
    strcpy(stpcpy(stpcpy(path, folder), "/"), name);
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &ours);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    error = posix_spawn(pid, path, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

int start_application(struct application *application, const char *folder)
{
    int requests[2], answers[2], error;

    application->folder = folder;
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(requests, O_CLOEXEC) < 0 || pipe2(answers, O_CLOEXEC) < 0)
        return errno;
    error = spawn(folder, "drive", requests[0], answers[1], &application->pid);
    close(requests[0]);
    close(answers[1]);
    application->to = requests[1];
    application->from = answers[0];
    return error;
}

/* Takes leave of children that have ended, among them those that others have left to the first process. */
static int has_children(struct application *application)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        if (pid == application->pid)
            application->pid = 0;
    return pid == 0;
}

static void pass_slice(void)
{
    const struct timespec slice = {0, SLICE_MS * 1000000};

    clock_nanosleep(CLOCK_MONOTONIC, 0, &slice, NULL);
}

/* Waits until all children have ended: as the first process, this one gets those that others leave. */
void end_application(struct application *application, int patient)
{
    int left = patient ? END_SLICES : HASTY_SLICES;

    application->deaf = application->over = 1;
    close(application->to);
    for (; left-- && has_children(application);)
        pass_slice();
    close(application->from);
    if (patient && has_children(application))
        blame("drive has not ended, with all that it has started, in 10 s after the end of its input", "", "", "");
}

/* ---- lines ---- */

/* Reads one line without its end: 1, or 0 if the output ends or is too long, or nothing comes for so many slices. */
static int read_line(int from, char *line, int slices, const char **fault)
{
    size_t length = 0;

    *fault = " did not answer within its time";
    for (int i = 0; i < slices;) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        char c;

        if (poll(&ready, 1, SLICE_MS) <= 0) {
            i++;
            continue;
        }
        if (read(from, &c, 1) <= 0) {
            *fault = " has ended";
            return 0;
        }
        line[length] = 0;
        if (c == '\n')
            return 1;
        if (length == ANSWER_MAX) {
            *fault = " answered with a line that is too long";
            return 0;
        }
        line[length++] = c;
        line[length] = 0;
    }
    return 0;
}

/* Returns whether a text is `word` and a number, which are separated by one space. */
static int says(const char *line, const char *word, u64 *number)
{
    const size_t length = strlen(word);
    int digits = 0;

    if (strncmp(line, word, length) != 0 || line[length] != ' ')
        return 0;
    *number = 0;
    for (line += length + 1; *line >= '0' && *line <= '9' && digits < 19; line++, digits++)
        *number = 10 * *number + (u64)(*line - '0');
    return digits && !*line;
}

static const char *after(const char *line, const char *word)
{
    const size_t length = strlen(word);

    return strncmp(line, word, length) == 0 && (line[length] == ' ' || !line[length])
               ? line + length + (line[length] == ' ')
               : NULL;
}

/* Sends a request and waits for its answer: 1, or 0 with application_failure. */
static int ask(struct application *application, const char *request, size_t length, char *answer)
{
    const char *fault = " has ended", *why;
    char told[64];

    if (application->deaf)
        return 0;
    memcpy(told, request, length - 1);
    told[length - 1] = 0;
    has_children(application);
    if (write(application->to, request, length) != (ssize_t)length ||
        !read_line(application->from, answer, application->ticks ? SLICES : FIRST_SLICES, &fault)) {
        application->deaf = 1;
        blame("drive", fault, ", asked to ", told);
        return 0;
    }
    why = after(answer, "failed");
    if (why)
        blame("drive cannot ", told, ": ", *why ? why : "it does not say why");
    return !why;
}

void confirm_tick(struct application *application, u64 n)
{
    char request[32] = "tick ", answer[ANSWER_MAX + 1] = "", digits[21];
    char *first = digits + sizeof digits - 1;
    u64 rest = n, confirmed;

    *first = 0;
    do
        *--first = (char)('0' + rest % 10);
    while (rest /= 10);
    stpcpy(stpcpy(request + 5, first), "\n");
    if (!ask(application, request, strlen(request), answer))
        return;
    if (says(answer, "ok", &confirmed) && confirmed == n)
        application->ticks = n;
    else
        blame("drive, asked to tick ", first, ", answered ", answer);
}

/* ---- what its files have ---- */

static struct answer answer_of(const char *program, const char *line)
{
    struct answer answer = {0};
    const char *why = after(line, "damaged");

    if (says(line, "disk", &answer.disk)) {
        answer.known = 1;
    } else if (why) {
        answer.known = 1;
        strncpy(answer.damaged, *why ? why : "it does not say why", ANSWER_MAX);
    } else {
        blame(program, " says neither `disk N` nor `damaged WHY`, but ", *line ? line : "nothing", "");
    }
    return answer;
}

static struct answer verify(struct application *application)
{
    char line[ANSWER_MAX + 1] = "";
    const char *fault;
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int output[2], error, read;
    struct answer answer = {0};
    pid_t pid = 0;

    if (nothing < 0 || pipe2(output, O_CLOEXEC) < 0) {
        blame("verify cannot be started: ", strerror(errno), "", "");
        return answer;
    }
    error = spawn(application->folder, "verify", nothing, output[1], &pid);
    close(nothing);
    close(output[1]);
    if (error) {
        blame("verify cannot be started: ", strerror(error), "", "");
    } else {
        read = read_line(output[0], line, VERIFY_SLICES, &fault);
        if (read)
            answer = answer_of("verify", line);
        else
            blame("verify", fault, "", "");
    }
    close(output[0]);
    for (int i = 0; !error && i < END_SLICES && has_children(application); i++)
        pass_slice();
    return answer;
}

struct answer read_application(struct application *application)
{
    static const char request[] = "read\n";
    char answer[ANSWER_MAX + 1] = "";

    if (application->over)
        return verify(application);
    if (!ask(application, request, sizeof request - 1, answer))
        return (struct answer){0};
    return answer_of("drive", answer);
}

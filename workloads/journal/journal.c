/*
 * journal is the smallest application: as `drive` it appends a line for each tick to a file, and as `verify` it reads
 * that file. ../ledger/application.h defines what both say.
 *
 * A line has 20 digits and its end; the lines are 1, 2, 3 and so on. One write(2) appends a line, so that a process that
 * is stopped between any two instructions has a file of whole lines.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL "/data/journal"

enum { DIGITS = 20 };

/* Says what the journal has; reads it afresh. */
static void tell(void)
{
    unsigned long long last = 0, n;
    FILE *file = fopen(JOURNAL, "re");
    char line[DIGITS + 2];

    if (!file) {
        printf("damaged there is no journal: %s\n", strerror(errno));
        return;
    }
    while (fgets(line, sizeof line, file)) {
        n = strtoull(line, NULL, 10);
        if (strlen(line) != DIGITS + 1 || n != last + 1) {
            printf("damaged line %llu follows line %llu\n", n, last);
            fclose(file);
            return;
        }
        last = n;
    }
    fclose(file);
    printf("disk %llu\n", last);
}

static void append(unsigned long long n)
{
    static int journal = -1;
    char line[DIGITS + 2];

    if (journal < 0)
        journal = open(JOURNAL, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    snprintf(line, sizeof line, "%0*llu\n", DIGITS, n);
    if (journal < 0 || write(journal, line, DIGITS + 1) != DIGITS + 1)
        printf("failed %s\n", strerror(errno));
    else
        printf("ok %llu\n", n);
}

int main(int argc, char **argv)
{
    char request[64];
    unsigned long long n;

    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    if (argc > 0 && strcmp(strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0], "verify") == 0) {
        tell();
        return 0;
    }
    while (fgets(request, sizeof request, stdin)) {
        if (sscanf(request, "tick %llu", &n) == 1)
            append(n);
        else
            tell();
    }
    return 0;
}

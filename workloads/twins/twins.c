/*
 * twins starts two ledgers in one container: it becomes the first ledger, and starts a second one, whose only surface
 * is /data/other.ring. A checkpoint then holds two workloads.
 *
 * Its arguments are those of ledger. The second ledger writes its messages to /second in the container, which has no
 * reader.
 */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char *ring = "65536", *period = "0";

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--ring") == 0)
            ring = argv[i + 1];
        if (strcmp(argv[i], "--period-us") == 0)
            period = argv[i + 1];
    }
    mkdir("/second", 0755); /* if that fails, the second ledger reports it and ends */
    switch (fork()) {
    case -1:
        perror("twins: fork");
        return 1;
    case 0:
        execl("/ledger", "ledger", "--period-us", period, "--ring", ring, "--report", "/second", "--surface",
              "other=/data/other.ring", (char *)NULL);
        break;
    default:
        execv("/ledger", argv);
    }
    perror("twins: /ledger");
    return 1;
}

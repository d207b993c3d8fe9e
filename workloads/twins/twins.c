/*
 * twins starts two ledgers in one container: the one that it was asked for, which takes its place, and a second one
 * beside it, whose only surface is /data/other.ring. What a checkpoint holds is then of two workloads.
 *
 * Its arguments are those of ledger. The second ledger has its messages in a folder of the container, /second, where
 * nobody listens.
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
    mkdir("/second", 0755); /* where it cannot be made, the second ledger says so and ends */
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

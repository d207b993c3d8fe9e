/* Names, folders, and what a file system keeps beside the content of files. */

#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- tree: a small file at each tick, in a folder of eight; the folders before the last eight are removed */

#define TREE DATA "tree"

enum { IN_FOLDER = 8, FOLDERS = 8, KEPT = 32 };

static const char *in_tree(u64 n, int is_file)
{
    static char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, TREE "/%llu", (unsigned long long)(n / IN_FOLDER));

    if (is_file)
        snprintf(path + length, sizeof path - (size_t)length, "/%llu", (unsigned long long)n);
    return path;
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        failed("mkdir %s", path);
}

static void plant(void)
{
    make_folder(TREE);
}

static void grow(u64 n)
{
    const u64 first = n - n % IN_FOLDER;
    int file;

    make_folder(in_tree(n, 0));
    file = opened(in_tree(n, 1), O_WRONLY | O_CREAT | O_TRUNC);
    write_number(file, n, 0);
    close(file);
    if (n != first || n < FOLDERS * IN_FOLDER)
        return;
    for (u64 old = n - FOLDERS * IN_FOLDER, i = 0; i < IN_FOLDER; i++)
        if (unlink(in_tree(old + i, 1)) < 0 && errno != ENOENT)
            failed("unlink %s", in_tree(old + i, 1));
    if (rmdir(in_tree(n - FOLDERS * IN_FOLDER, 0)) < 0 && errno != ENOENT)
        failed("rmdir %s", in_tree(n - FOLDERS * IN_FOLDER, 0));
}

/* Each of the latest files is there, and has its own number; the very last one may not have it yet. */
static u64 read_tree(void)
{
    DIR *folder = opendir(TREE);
    u64 newest = 0, last;

    if (!folder) {
        damaged("there is no " TREE ": %s", strerror(errno));
        return 0;
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (strtoull(entry->d_name, NULL, 10) > newest)
            newest = strtoull(entry->d_name, NULL, 10);
    closedir(folder);
    for (last = (newest + 1) * IN_FOLDER - 1; last && access(in_tree(last, 1), F_OK) < 0;)
        last--;
    if (last && access(in_tree(last, 1), R_OK) == 0) {
        const int file = open(in_tree(last, 1), O_RDONLY | O_CLOEXEC);
        u64 n;

        last -= !read_number(file, 0, &n);
        close(file);
    }
    for (u64 n = last > KEPT ? last - KEPT : 1; n <= last; n++)
        if (number_of(in_tree(n, 1)) != n)
            damaged("%s does not have its own number", in_tree(n, 1));
    return last;
}

const struct kind tree = {"tree", plant, grow, NULL, read_tree};

/* ---- links: two names of one file, and a symbolic link that is replaced at each tick */

#define ONE DATA "one"
#define TWO DATA "two"
#define LATEST DATA "latest"

static void make_links(void)
{
    const int file = opened(ONE, O_WRONLY | O_CREAT | O_EXCL);

    write_number(file, 0, 0);
    close(file);
    if (link(ONE, TWO) < 0)
        failed("link " TWO);
}

static void relink(u64 n)
{
    const int file = opened(n % 2 ? ONE : TWO, O_WRONLY);
    char target[DIGITS + 8];

    write_number(file, n, 0);
    close(file);
    snprintf(target, sizeof target, "tick-%llu", (unsigned long long)n);
    if ((unlink(LATEST ".new") < 0 && errno != ENOENT) || symlink(target, LATEST ".new") < 0 || rename(LATEST ".new", LATEST) < 0)
        failed("replace " LATEST);
}

static u64 read_links(void)
{
    const u64 n = number_of(ONE);
    struct stat one = {0}, two = {0};
    char target[64] = "";
    u64 linked = 0;

    if (stat(ONE, &one) < 0 || stat(TWO, &two) < 0 || one.st_ino != two.st_ino || one.st_nlink != 2)
        damaged(ONE " and " TWO " are not two names of one file any more");
    if (number_of(TWO) != n)
        damaged(TWO " has not the number of " ONE);
    if (readlink(LATEST, target, sizeof target - 1) > 5)
        linked = strtoull(target + 5, NULL, 10);
    if (n - linked > 1)
        damaged("the symbolic link leads to tick %llu, and the file has %llu", (unsigned long long)linked,
                (unsigned long long)n);
    return n;
}

const struct kind links = {"links", make_links, relink, NULL, read_links};

/* ---- attributes: an extended attribute, the mode and the owner of a file */

#define ATTRIBUTES DATA "attributes"
#define ATTRIBUTE "user.stillframe"

static mode_t mode_of(u64 n)
{
    return 0600 | (n % 2 ? 0044 : 0) | (n % 3 ? 0011 : 0) | (n % 5 ? S_ISUID : 0);
}

static uid_t owner_of(u64 n)
{
    return 1000 + (uid_t)(n % 1000);
}

static void set_attributes(u64 n)
{
    char value[DIGITS + 1];

    snprintf(value, sizeof value, "%llu", (unsigned long long)n);
    if (setxattr(ATTRIBUTES, ATTRIBUTE, value, strlen(value), 0) < 0)
        failed("setxattr " ATTRIBUTES);
    if (chown(ATTRIBUTES, owner_of(n), owner_of(n)) < 0 || chmod(ATTRIBUTES, mode_of(n)) < 0) /* chown changes a mode */
        failed("change owner and mode of " ATTRIBUTES);
}

static void make_attributes(void)
{
    close(opened(ATTRIBUTES, O_WRONLY | O_CREAT | O_EXCL));
    set_attributes(0);
}

static u64 read_attributes(void)
{
    char value[DIGITS + 1] = "";
    struct stat found;
    u64 n;

    if (stat(ATTRIBUTES, &found) < 0) {
        damaged("there is no " ATTRIBUTES ": %s", strerror(errno));
        return 0;
    }
    if (getxattr(ATTRIBUTES, ATTRIBUTE, value, DIGITS) <= 0) {
        damaged("the extended attribute " ATTRIBUTE " is lost");
        return 0;
    }
    n = strtoull(value, NULL, 10);
    const u64 before = n ? n - 1 : 0; /* of each attribute that may not have been written yet */
    const mode_t mode = found.st_mode & 07777;

    if ((found.st_uid != owner_of(n) && found.st_uid != owner_of(before)) || found.st_gid != found.st_uid)
        damaged("owner and group are %u and %u, and not those of tick %llu", found.st_uid, found.st_gid,
                (unsigned long long)n);
    if (mode != mode_of(n) && mode != mode_of(before) && mode != (mode_of(before) & ~(mode_t)S_ISUID))
        damaged("the mode is %o, and not that of tick %llu, %o", mode, (unsigned long long)n, mode_of(n));
    return n;
}

const struct kind attributes = {"attributes", make_attributes, set_attributes, NULL, read_attributes};

/* ---- opaque: a folder of the image that is removed and made again, so that nothing of the image is in it */

#define OPAQUE IMAGE "opaque"
#define OF_IMAGE OPAQUE "/of-the-image"
#define OWN OPAQUE "/own"

static void make_opaque(void)
{
    if (unlink(OF_IMAGE) < 0 || rmdir(OPAQUE) < 0 || mkdir(OPAQUE, 0755) < 0)
        failed("make " OPAQUE " again");
}

static void write_opaque(u64 n)
{
    const int file = opened(OWN, O_WRONLY | O_CREAT);

    write_number(file, n, 0);
    close(file);
}

static u64 read_opaque(void)
{
    if (access(OF_IMAGE, F_OK) == 0)
        damaged(OF_IMAGE " is back, which was removed with its folder");
    return number_of(OWN);
}

const struct kind opaque = {"opaque", make_opaque, write_opaque, NULL, read_opaque};

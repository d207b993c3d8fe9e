#include "text.h"

#include <string.h>
#include <unistd.h>

char text[4001];
size_t used;

void put(const char *words)
{
    while (*words && used < sizeof text - 1)
        text[used++] = *words++;
}

/* Inline, so that it divides by a constant: there are dozens of digits in each line on standard output. */
static inline void put_digits(u64 value, unsigned base, int width)
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

void put_number(u64 value)
{
    put_digits(value, 10, 1);
}

void put_hexadecimal(u64 value)
{
    put_digits(value, 16, 16);
}

void say(void)
{
    if (write(STDERR_FILENO, text, used) < 0)
        return; /* stderr is closed; the exit code is enough */
}

_Noreturn void end_with_error(const char *what, const char *path, int error)
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

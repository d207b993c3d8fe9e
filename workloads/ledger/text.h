/* A buffer for text, and errors that end the program. */

#ifndef LEDGER_TEXT_H
#define LEDGER_TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;

extern char text[4001];
extern size_t used; /* bytes of text; 0 begins a new one */

void put(const char *words);
void put_number(u64 value);
void put_hexadecimal(u64 value); /* 16 digits */
void say(void);
_Noreturn void end_with_error(const char *what, const char *path, int error);

#endif

/*
 * Memory as a surface: pages with one record each, record n in page n mod N, at the begin of the page.
 *
 * A checkpoint that leaves out a page, or takes it from an earlier one, keeps the counter, which is in a page of its own.
 * The pages are of one sort:
 *     anonymous   a private mapping
 *     shared      a shared mapping without a file
 *     memfd       a shared mapping of a memfd
 *     file        a private mapping of the program's own file
 *     heap        behind the program's break
 *     stack       of the program
 *     huge        a private mapping that asks for transparent huge pages
 */

#ifndef LEDGER_PAGES_H
#define LEDGER_PAGES_H

#include "memory.h"

enum { PAGE = 4096, PAGES_MAX = 1 << 18, STACK_PAGES_MAX = 1024 };

struct pages {
    unsigned char *start;
    u64 count;
};

extern unsigned char *stack_end; /* where pages on the stack begin; each use moves it by their size */

int is_sort(const char *sort);
u64 pages_on_stack(const char *sort, u64 count);                /* 0 for another sort */
int open_pages(struct pages *pages, const char *sort);           /* 0, or the errno of a failure */
void read_pages(const struct pages *pages, u64 slot, u64 count, struct record *records);
void write_page(const struct pages *pages, const struct record *record);

#endif

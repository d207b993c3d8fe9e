/* The command line: what it says goes to memory, to the surfaces and to the report folder. */

#ifndef LEDGER_OPTIONS_H
#define LEDGER_OPTIONS_H

void read_arguments(char **argument);

#endif

/*
 * Messages to the observer of the program.
 *
 * A message is a symbolic link in the report folder, named by a 12-digit sequence number; its target is one JSON
 * object. symlink(2) is atomic, and needs no descriptor that a checkpoint could catch open. A restored process
 * continues its sequence numbers, and skips the names that exist.
 */

#ifndef LEDGER_MESSAGES_H
#define LEDGER_MESSAGES_H

#include "text.h"

int set_report(const char *folder); /* 0: its path is too long */
void begin_message(const char *event, u64 wall_ns);
void put_field(const char *name, u64 value);
void put_field_or_null(const char *name, u64 value);
void put_text(const char *name, const char *words); /* what is not printable ASCII becomes a question mark */
void send_message(void);

#endif

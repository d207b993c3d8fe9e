#include "messages.h"

#include "memory.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static char message_path[PATH_MAX];
static char *message_name; /* points to the sequence number in message_path */
static u64 sequence;

int set_report(const char *folder)
{
    const size_t length = strlen(folder);

    if (length + sizeof "/000000000000" > sizeof message_path)
        return 0;
    memcpy(message_path, folder, length);
    message_path[length] = '/';
    message_name = message_path + length + 1;
    return 1;
}

void begin_message(const char *event, u64 wall_ns)
{
    used = 0;
    put("{\"event\":\"");
    put(event);
    put("\",\"nonce\":\"");
    put_hexadecimal(memory.nonce);
    put("\"");
    put_field("n", memory.n);
    put_field("wall_ns", wall_ns);
}

static void put_name(const char *name)
{
    put(",\"");
    put(name);
    put("\":");
}

void put_field(const char *name, u64 value)
{
    put_name(name);
    put_number(value);
}

void put_field_or_null(const char *name, u64 value)
{
    if (value) {
        put_field(name, value);
    } else {
        put_name(name);
        put("null");
    }
}

void put_text(const char *name, const char *words)
{
    char character[] = "\\?";

    put_name(name);
    put("\"");
    for (; *words; words++) {
        character[1] = *words >= ' ' && *words <= '~' ? *words : '?';
        put(character + (*words != '"' && *words != '\\'));
    }
    put("\"");
}

void send_message(void)
{
    put("}");
    text[used] = 0;
    for (;; sequence++) {
        u64 rest = sequence;
        for (char *digit = message_name + 12; digit-- > message_name; rest /= 10)
            *digit = (char)('0' + rest % 10);
        if (symlink(text, message_path) == 0)
            break;
        if (errno != EEXIST)
            end_with_error("symlink", message_path, errno);
    }
    sequence++;
}

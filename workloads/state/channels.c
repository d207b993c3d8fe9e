/*
 * Channels: numbered messages to a second process and back, of which the latest IN_FLIGHT are always on their way.
 *
 * The second process reads one message and writes it back. When the channel is looked at, all messages on their way are
 * read, and sent once more.
 */

#include "state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOMENT_MS = 20 };

struct channel {
    int to, from;
    u64 awaited; /* the next message that comes back */
};

static void send_message(const struct channel *channel, u64 n)
{
    if (write(channel->to, &n, sizeof n) != sizeof n)
        failed("write message %llu", (unsigned long long)n);
}

/* Returns whether it has arrived. */
static int await_message(struct channel *channel)
{
    u64 n;

    if (!is_readable(channel->from)) {
        damaged("message %llu does not arrive", (unsigned long long)channel->awaited);
        return 0;
    }
    if (read(channel->from, &n, sizeof n) != sizeof n)
        failed("read message %llu", (unsigned long long)channel->awaited);
    if (n != channel->awaited)
        damaged("message %llu arrives instead of %llu", (unsigned long long)n, (unsigned long long)channel->awaited);
    channel->awaited = n + 1;
    return 1;
}

static void exchange(struct channel *channel, u64 n)
{
    send_message(channel, n);
    while (channel->awaited + IN_FLIGHT <= n && await_message(channel))
        ;
}

static void look_through(struct channel *channel, u64 n)
{
    const u64 first = channel->awaited;

    while (channel->awaited <= n && await_message(channel))
        ;
    channel->awaited = first;
    for (u64 again = first; again <= n; again++)
        send_message(channel, again);
}

/* Starts the process at the other end, which reads from `in` and writes to `out`; closes both here. */
static void start_other_end(struct channel *channel, int in, int out)
{
    u64 n;

    if (forked() == 0) {
        close(channel->to);
        close(channel->from);
        while (read(in, &n, sizeof n) == sizeof n && write(out, &n, sizeof n) == sizeof n)
            ;
        _exit(0);
    }
    close(in);
    if (out != in)
        close(out);
    channel->awaited = 1;
}

/* ---- pipes */

static struct channel by_pipes, by_unix, by_tcp;

static void open_pipes(void)
{
    int there[2], back[2];

    if (pipe(there) < 0 || pipe(back) < 0)
        failed("pipe");
    by_pipes = (struct channel){.to = there[1], .from = back[0]};
    start_other_end(&by_pipes, there[0], back[1]);
}

static void tick_pipes(u64 n)
{
    exchange(&by_pipes, n);
}

static void look_at_pipes(u64 n)
{
    look_through(&by_pipes, n);
}

const struct kind pipes = {"pipes", open_pipes, tick_pipes, look_at_pipes, NULL};

/* ---- unix sockets */

static void open_unix(void)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        failed("socketpair");
    by_unix = (struct channel){.to = ends[0], .from = ends[0]};
    start_other_end(&by_unix, ends[1], ends[1]);
}

static void tick_unix(u64 n)
{
    exchange(&by_unix, n);
}

static void look_at_unix(u64 n)
{
    look_through(&by_unix, n);
}

const struct kind unix_sockets = {"unix-sockets", open_unix, tick_unix, look_at_unix, NULL};

/* ---- TCP and UDP over the loopback interface */

static struct sockaddr_in itself(in_port_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void open_tcp(void)
{
    const struct sockaddr_in address = itself(7001);
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), own = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    int other;

    if (listening < 0 || own < 0 || bind(listening, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listening, 1) < 0 || connect(own, (const struct sockaddr *)&address, sizeof address) < 0)
        failed("connect to itself by TCP");
    other = accept(listening, NULL, NULL);
    if (other < 0 || setsockopt(own, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0 ||
        setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) < 0)
        failed("accept itself by TCP");
    close(listening);
    by_tcp = (struct channel){.to = own, .from = own};
    start_other_end(&by_tcp, other, other);
}

static void tick_tcp(u64 n)
{
    exchange(&by_tcp, n);
}

static void look_at_tcp(u64 n)
{
    look_through(&by_tcp, n);
}

const struct kind tcp = {"tcp", open_tcp, tick_tcp, look_at_tcp, NULL};

static int udp;

static void open_udp(void)
{
    const struct sockaddr_in address = itself(7000);

    udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (udp < 0 || bind(udp, (const struct sockaddr *)&address, sizeof address) < 0)
        failed("bind a UDP socket to the loopback interface");
}

/* Waits for a moment for a network that is being restored. */
static void send_datagram(u64 n)
{
    const struct sockaddr_in address = itself(7000);
    const struct timespec moment = {0, MOMENT_MS * 1000000};

    for (int moments = 0; sendto(udp, &n, sizeof n, 0, (const struct sockaddr *)&address, sizeof address) < 0;) {
        if (errno != ENETUNREACH || ++moments == PATIENCE_MS / MOMENT_MS)
            failed("send datagram %llu to itself", (unsigned long long)n);
        nanosleep(&moment, NULL);
    }
}

/* CRIU does not keep datagrams that wait in a socket, as a network may lose them: each is sent up to twice. */
static void tick_udp(u64 n)
{
    u64 found = 0;

    for (int attempt = 0; attempt < 2; attempt++) {
        send_datagram(n);
        while (is_readable(udp))
            if (recv(udp, &found, sizeof found, 0) == sizeof found && found == n)
                return;
    }
    errno = 0;
    failed("datagram %llu to itself does not arrive", (unsigned long long)n);
}

const struct kind datagram = {"datagram", open_udp, tick_udp, NULL, NULL};

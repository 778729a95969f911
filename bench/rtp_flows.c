/*
 * Many two-way G.711 conversations from two sockets, begun and ended while it runs; built by bench/acd_media.py.
 *
 *     rtp_flows FD_CALLERS FD_AGENTS < commands
 *
 * Commands, one a line:  "+ side id port"  begin to send to this port of 127.0.0.1 (again: another port)
 *                        "- side id"       stop
 *                        "?"               print "flows sent received_0 received_1" (since the start)
 * side: 0 callers, 1 agents; id: 0..MAX_FLOWS-1. All conversations of a side share one socket, as their cost is not what
 * is measured. A packet of 172 octets leaves each flow every 20 ms; flows are spread over 20 slots of 1 ms.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FLOWS = 4000, SLOTS = 20, BATCH = 64, PACKET = 172, PERIOD_NS = 1000000 };

struct flow {
    struct sockaddr_in target;
    uint16_t sequence;
    uint32_t source;
    int live;
};

static struct flow flows[2][MAX_FLOWS];
static int highest[2];
static unsigned long sent, received[2];

static void
begin(int side, int id, int port)
{
    struct flow *flow = &flows[side][id];

    if (!flow->live)
        flow->source += 0x10001u * (unsigned)(id + 1) + (unsigned)side;
    flow->target.sin_family = AF_INET;
    flow->target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    flow->target.sin_port = htons((uint16_t)port);
    flow->live = 1;
    if (id >= highest[side])
        highest[side] = id + 1;
}

static void
obey(char *line)
{
    int side, id, port, count = 0;

    if (sscanf(line, "+ %d %d %d", &side, &id, &port) == 3 && side >= 0 && side < 2 && id >= 0 && id < MAX_FLOWS)
        begin(side, id, port);
    else if (sscanf(line, "- %d %d", &side, &id) == 2 && side >= 0 && side < 2 && id >= 0 && id < MAX_FLOWS)
        flows[side][id].live = 0;
    else if (line[0] == '?') {
        for (side = 0; side < 2; side++)
            for (id = 0; id < highest[side]; id++)
                count += flows[side][id].live;
        printf("%d %lu %lu %lu\n", count, sent, received[0], received[1]);
        fflush(stdout);
    }
}

/* Returns 0 at the end of the input. */
static int
read_commands(void)
{
    static char buffer[65536];
    static size_t used;
    char *line = buffer, *end;
    ssize_t got = read(0, buffer + used, sizeof(buffer) - used - 1);

    if (got == 0)
        return 0;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    used += (size_t)got;
    buffer[used] = 0;
    while ((end = strchr(line, '\n')) != NULL) {
        *end = 0;
        obey(line);
        line = end + 1;
    }
    used -= (size_t)(line - buffer);
    memmove(buffer, line, used);
    return 1;
}

static void
drain(int fd, int side)
{
    static char buffer[BATCH][2048];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    int count, i;

    for (i = 0; i < BATCH; i++) {
        parts[i].iov_base = buffer[i];
        parts[i].iov_len = sizeof(buffer[i]);
        memset(&messages[i], 0, sizeof(messages[i]));
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while ((count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL)) > 0)
        received[side] += (unsigned long)count;
}

static void
send_slot(int fd, int side, int slot)
{
    static unsigned char packets[MAX_FLOWS / SLOTS + 1][PACKET];
    static struct iovec parts[MAX_FLOWS / SLOTS + 1];
    static struct mmsghdr messages[MAX_FLOWS / SLOTS + 1];
    int id, count = 0, done = 0, step;

    for (id = slot; id < highest[side]; id += SLOTS) {
        struct flow *flow = &flows[side][id];
        unsigned char *packet = packets[count];
        uint16_t number = htons(flow->sequence);
        uint32_t stamp = htonl(flow->sequence * 160u), source = htonl(flow->source);

        if (!flow->live)
            continue;
        flow->sequence++;
        packet[0] = 0x80;
        packet[1] = 8;
        memcpy(packet + 2, &number, 2);
        memcpy(packet + 4, &stamp, 4);
        memcpy(packet + 8, &source, 4);
        memset(packet + 12, 0xd5, PACKET - 12);
        parts[count].iov_base = packet;
        parts[count].iov_len = PACKET;
        memset(&messages[count], 0, sizeof(messages[count]));
        messages[count].msg_hdr.msg_name = &flow->target;
        messages[count].msg_hdr.msg_namelen = sizeof(flow->target);
        messages[count].msg_hdr.msg_iov = &parts[count];
        messages[count].msg_hdr.msg_iovlen = 1;
        count++;
    }
    while (done < count) {
        step = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        if (step < 0 && errno != EINTR)
            break;
        if (step > 0)
            done += step;
    }
    sent += (unsigned long)done;
}

int
main(int argc, char **argv)
{
    struct timespec next;
    unsigned tick = 0;
    int fd[2];

    if (argc != 3)
        return 2;
    fd[0] = atoi(argv[1]);
    fd[1] = atoi(argv[2]);
    fcntl(0, F_SETFL, O_NONBLOCK);
    clock_gettime(CLOCK_MONOTONIC, &next);
    while (read_commands()) {
        send_slot(fd[0], 0, (int)(tick % SLOTS));
        send_slot(fd[1], 1, (int)(tick % SLOTS));
        drain(fd[0], 0);
        drain(fd[1], 1);
        tick++;
        next.tv_nsec += PERIOD_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
            ;
    }
    return 0;
}

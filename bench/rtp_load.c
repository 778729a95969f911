/*
 * Two-way G.711 calls through a media relay, paced and counted; built by bench/rtp.py.
 *
 *     rtp_load SECONDS FD_A FD_B < pairs
 *
 * Each line of the input is one call: the relay's port for side A and its port for side B. All calls share two sockets (inherited
 * descriptors FD_A and FD_B, bound to loopback), as their cost is not what is measured. A packet of 172 octets leaves
 * each side every 20 ms; calls are spread over 20 slots of 1 ms. Prints: sent received.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { MAX_CALLS = 2000, SLOTS = 20, BATCH = 64, PACKET = 172, PERIOD_NS = 1000000 };

static struct sockaddr_in target[2][MAX_CALLS];
static uint16_t sequence[MAX_CALLS];
static unsigned long sent, received;

static void
fill(unsigned char *packet, int side, int call)
{
    uint16_t number = htons(sequence[call]);
    uint32_t stamp = htonl(sequence[call] * 160u), source = htonl(1000u * (side + 1) + call);

    packet[0] = 0x80;
    packet[1] = 8;
    memcpy(packet + 2, &number, 2);
    memcpy(packet + 4, &stamp, 4);
    memcpy(packet + 8, &source, 4);
    memset(packet + 12, 0xd5, PACKET - 12);
}

static void
drain(int fd)
{
    static char buffer[BATCH][2048];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    int count, i;

    for (i = 0; i < BATCH; i++) {
        parts[i].iov_base = buffer[i];
        parts[i].iov_len = sizeof(buffer[i]);
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while ((count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL)) > 0)
        received += count;
}

static void
send_slot(int fd, int side, int slot, int calls)
{
    static unsigned char packets[MAX_CALLS / SLOTS + 1][PACKET];
    static struct iovec parts[MAX_CALLS / SLOTS + 1];
    static struct mmsghdr messages[MAX_CALLS / SLOTS + 1];
    int call, count = 0, done = 0, step;

    for (call = slot; call < calls; call += SLOTS) {
        fill(packets[count], side, call);
        parts[count].iov_base = packets[count];
        parts[count].iov_len = PACKET;
        memset(&messages[count], 0, sizeof(messages[count]));
        messages[count].msg_hdr.msg_name = &target[side][call];
        messages[count].msg_hdr.msg_namelen = sizeof(target[side][call]);
        messages[count].msg_hdr.msg_iov = &parts[count];
        messages[count].msg_hdr.msg_iovlen = 1;
        count++;
    }
    while (done < count) {
        step = sendmmsg(fd, messages + done, count - done, 0);
        if (step < 0 && errno != EINTR)
            break;
        if (step > 0)
            done += step;
    }
    sent += done;
}

int
main(int argc, char **argv)
{
    int calls = 0, tick, ticks, side, call, fd[2], a, b;
    struct timespec next;

    if (argc != 4)
        return 2;
    ticks = atoi(argv[1]) * 1000;
    fd[0] = atoi(argv[2]);
    fd[1] = atoi(argv[3]);
    while (calls < MAX_CALLS && scanf("%d %d", &a, &b) == 2) {
        for (side = 0; side < 2; side++) {
            target[side][calls].sin_family = AF_INET;
            target[side][calls].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            target[side][calls].sin_port = htons(side == 0 ? a : b);
        }
        calls++;
    }
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (tick = 0; tick < ticks; tick++) {
        send_slot(fd[0], 0, tick % SLOTS, calls);
        send_slot(fd[1], 1, tick % SLOTS, calls);
        for (call = tick % SLOTS; call < calls; call += SLOTS)
            sequence[call]++;
        drain(fd[0]);
        drain(fd[1]);
        next.tv_nsec += PERIOD_NS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL) == EINTR)
            ;
    }
    drain(fd[0]);
    drain(fd[1]);
    printf("%lu %lu\n", sent, received);
    return 0;
}

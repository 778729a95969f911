/*
 * The least that a relay in userspace can do: one recv and one sendto for each packet; built by bench/rtp.py.
 *
 *     rtp_plain CALLS PORT_A PORT_B
 *
 * Prints "a b" for each call, the ports to which side A and side B send; what comes at a goes to PORT_B from b, and the
 * other way round. Ends when its input is closed. It knows no session, looks at no packet and counts nothing: the
 * yardstick for what of a relay's cost is the kernel's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CALLS = 2000, EVENTS = 64, DATAGRAM = 2048 };

static int sock[2 * MAX_CALLS];
static struct sockaddr_in target[2];

static int
bound_port(int fd)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(own);

    if (bind(fd, (struct sockaddr *)&own, sizeof(own)) < 0 || getsockname(fd, (struct sockaddr *)&own, &size) < 0)
        exit(1);
    return ntohs(own.sin_port);
}

static void
forward(int index)
{
    static char packet[DATAGRAM];
    ssize_t size;

    while ((size = recv(sock[index], packet, sizeof(packet), MSG_DONTWAIT)) > 0)
        sendto(sock[index ^ 1], packet, size, 0, (struct sockaddr *)&target[(index & 1) ^ 1], sizeof(target[0]));
}

int
main(int argc, char **argv)
{
    int queue = epoll_create1(0), calls, count, side, i;
    struct epoll_event events[EVENTS], event = {.events = EPOLLIN};

    if (argc != 4 || (calls = atoi(argv[1])) > MAX_CALLS)
        return 2;
    for (side = 0; side < 2; side++) {
        target[side].sin_family = AF_INET;
        target[side].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        target[side].sin_port = htons(atoi(argv[2 + side]));
    }
    for (i = 0; i < 2 * calls; i++) {
        sock[i] = socket(AF_INET, SOCK_DGRAM, 0);
        printf("%d%c", bound_port(sock[i]), i & 1 ? '\n' : ' ');
        event.data.fd = i;
        epoll_ctl(queue, EPOLL_CTL_ADD, sock[i], &event);
    }
    fflush(stdout);
    event.data.fd = -1;
    epoll_ctl(queue, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    for (;;) {
        count = epoll_wait(queue, events, EVENTS, -1);
        for (i = 0; i < count; i++) {
            if (events[i].data.fd < 0)
                return 0;
            forward(events[i].data.fd);
        }
    }
}

/* A small client of the GigE Vision control protocol (GVCP, GigE Vision 2.0 sections 14 to 16).
 *
 * Aravis finds cameras too, but keeps back the user defined name, the version and who has control,
 * and its register access waits 2.5 s for a dead camera. This asks what we need and no more.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

#define GVCP_PORT 3956
#define COMMAND_DISCOVERY 0x0002
#define ACK_DISCOVERY 0x0003
#define COMMAND_READREG 0x0080
#define ACK_READREG 0x0081
#define STATUS_ACCESS_DENIED 0x8006
#define REGISTER_CONTROL 0x0A00 /* control channel privilege: bits 0 and 1 say who has it */
#define DISCOVERY_ACK_SIZE 0xF8

int64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void put16(uint8_t *at, unsigned value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

static void put_header(uint8_t *packet, unsigned flags, unsigned command, unsigned length, unsigned request) {
    packet[0] = 0x42;
    packet[1] = (uint8_t)flags;
    put16(packet + 2, command);
    put16(packet + 4, length);
    put16(packet + 6, request);
}

static void copy_text(char *to, size_t capacity, const uint8_t *from, size_t length) {
    size_t used = 0;
    for (size_t i = 0; i < length && from[i] && used + 1 < capacity; i++)
        if (from[i] >= 0x20) to[used++] = (char)from[i];
    while (used && to[used - 1] == ' ') used--;
    to[used] = 0;
}

static void parse(const uint8_t *data, struct in_addr local, Found *found) {
    memset(found, 0, sizeof *found);
    snprintf(found->mac, sizeof found->mac, "%02x:%02x:%02x:%02x:%02x:%02x", data[10], data[11], data[12],
             data[13], data[14], data[15]);
    memcpy(&found->address, data + 0x24, 4);
    copy_text(found->vendor, sizeof found->vendor, data + 0x48, 32);
    copy_text(found->model, sizeof found->model, data + 0x68, 32);
    copy_text(found->version, sizeof found->version, data + 0x88, 32);
    copy_text(found->serial, sizeof found->serial, data + 0xD8, 16);
    copy_text(found->user_name, sizeof found->user_name, data + 0xE8, 16);
    /* Some cameras leave the serial number empty; the MAC address is as good a name. */
    if (!found->serial[0]) snprintf(found->serial, sizeof found->serial, "%.16s", found->mac);
    found->local = local;
    snprintf(found->id, sizeof found->id, "%s-%s-%s", found->vendor, found->model, found->serial);
    for (char *c = found->id; *c; c++)
        if (*c <= ' ' || *c == '/' || *c == '"' || *c == '\\') *c = '_';
}

static void send_to(int fd, in_addr_t address, const uint8_t *packet, size_t size) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(GVCP_PORT), .sin_addr.s_addr = address};
    sendto(fd, packet, size, 0, (struct sockaddr *)&to, sizeof to);
}

/* Fills `found` with the cameras that answer in `wait_ms`; returns how many. One that is asked by
 * its address ends the wait. */
int gvcp_discover(const InterfaceEntry *entry, int wait_ms, Found *found, int capacity) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), yes = 1, count = 0;
    if (fd < 0) return 0;
    struct sockaddr_in mine = {.sin_family = AF_INET, .sin_addr = entry->local};
    if (entry->broadcast) {
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes);
        /* Otherwise 255.255.255.255 leaves by the default route, whatever the address we are bound to. */
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, entry->id, (socklen_t)strlen(entry->id) + 1);
    }
    if (bind(fd, (struct sockaddr *)&mine, sizeof mine) != 0) {
        close(fd);
        return 0;
    }
    uint8_t command[8];
    put_header(command, 0x01, COMMAND_DISCOVERY, 0, 0xFFFF);
    int64_t end = monotonic_ns() + (int64_t)wait_ms * 1000000, next_send = 0;
    for (;;) {
        int64_t now = monotonic_ns();
        if (now >= end || (count && !entry->broadcast)) break;
        if (now >= next_send) { /* twice or more: discovery packets get lost like any other */
            send_to(fd, entry->target.s_addr, command, sizeof command);
            if (entry->broadcast) send_to(fd, INADDR_BROADCAST, command, sizeof command);
            next_send = now + 150000000;
        }
        int64_t until = next_send < end ? next_send : end;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)((until - now) / 1000000) + 1) <= 0) continue;
        uint8_t packet[1500];
        ssize_t size = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (size < 8 + DISCOVERY_ACK_SIZE || get16(packet + 2) != ACK_DISCOVERY || get16(packet) != 0) continue;
        Found camera;
        parse(packet + 8, entry->local, &camera);
        int known = 0;
        while (known < count && strcmp(found[known].id, camera.id) != 0) known++;
        if (known < count || count == capacity) continue;
        found[count++] = camera;
    }
    close(fd);
    return count;
}

int gvcp_probe_open(const Found *camera) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    struct sockaddr_in mine = {.sin_family = AF_INET, .sin_addr = camera->local};
    struct sockaddr_in peer = {
        .sin_family = AF_INET, .sin_port = htons(GVCP_PORT), .sin_addr = camera->address};
    if (bind(fd, (struct sockaddr *)&mine, sizeof mine) != 0 ||
        connect(fd, (struct sockaddr *)&peer, sizeof peer) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Asks who has control. Every answer, an error or a late one too, shows that the camera lives. */
int gvcp_probe(int fd, uint16_t *request, int wait_ms) {
    *request = (uint16_t)(*request == 0xFFFF ? 1 : *request + 1); /* 0 is not a valid request id */
    uint8_t command[12] = {0};
    put_header(command, 0x01, COMMAND_READREG, 4, *request);
    put16(command + 10, REGISTER_CONTROL);
    int64_t end = monotonic_ns() + (int64_t)wait_ms * 1000000;
    /* A host without a camera answers with ICMP, which a connected socket reports as an error, once:
     * that of the last probe comes instead of sending this one. */
    if (send(fd, command, sizeof command, 0) < 0 &&
        (errno != ECONNREFUSED || send(fd, command, sizeof command, 0) < 0))
        return errno == ECONNREFUSED ? PROBE_REFUSED : PROBE_SILENT;
    int silent = PROBE_SILENT;
    for (;;) {
        int64_t left = end - monotonic_ns();
        if (left <= 0) return silent;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)(left / 1000000) + 1) <= 0) continue;
        uint8_t packet[600];
        ssize_t size = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
        if (size < 0) return errno == ECONNREFUSED ? PROBE_REFUSED : silent;
        if (size >= 8) silent = PROBE_BUSY; /* PENDING_ACK, or the answer to an earlier probe */
        if (size < 8 || get16(packet + 2) != ACK_READREG || get16(packet + 6) != *request) continue;
        if (get16(packet) == STATUS_ACCESS_DENIED) return PROBE_CONTROLLED; /* exclusive access */
        return size >= 12 && (packet[11] & 3) ? PROBE_CONTROLLED : PROBE_FREE;
    }
}

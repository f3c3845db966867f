/* Malformed GVSP and GVCP, from the camera's own address. Every kind that Aravis would stumble over. */
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "drive.h"

static uint32_t state;

static uint32_t next(void) { /* xorshift: the same datagrams for the same seed */
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

static uint32_t below(uint32_t bound) { return next() % bound; }
static void put16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16), put16(at + 2, value); }

static uint32_t odd_number(void) {
    static const uint32_t NUMBERS[] = {0, 1, 2, 3, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0xFFFFFE, 0xFFFFFF,
                                       0x7FFFFFFF, 0x80000000u, 0xFFFFFFFEu, 0xFFFFFFFFu};
    return below(3) ? NUMBERS[below(sizeof NUMBERS / sizeof *NUMBERS)] : next();
}

/* A packet that begins well, with some of its fields wrong and cut at a random place. */
static size_t stream_packet(uint8_t *packet, size_t capacity, uint32_t current) {
    bool extended = below(4) == 0;
    size_t header = extended ? 20 : 8, size = header + below(below(3) ? 64 : (uint32_t)capacity - 20);
    for (size_t i = 0; i < capacity; i++) packet[i] = (uint8_t)next();
    put16(packet, below(3) ? 0 : 0x8000 | below(0x20));
    uint32_t kind = below(3) ? 1 + below(3) : below(0x80), id = below(2) ? below(1200) : odd_number();
    uint32_t block = below(8) ? current + below(3) : odd_number();
    put16(packet + 2, extended ? 0 : block);
    put32(packet + 4, (extended ? 0x80000000u : 0) | kind << 24 | (id & 0xFFFFFF));
    if (extended) {
        put32(packet + 8, 0);
        put32(packet + 12, block);
        put32(packet + 16, id);
    }
    uint8_t *body = packet + header;
    if (kind == 1) {
        put16(body + 2, below(2) ? 1 + below(10) : odd_number());
        for (int i = 0; i < 6; i++) put32(body + 12 + 4 * i, below(2) ? below(4000) : odd_number());
        size = header + (below(2) ? 36 : below(64));
    }
    if (below(8) == 0) size = below(40);
    if (kind == 2 && below(2)) size = header + 8;
    if (below(16) == 0) size = capacity;
    return size;
}

static size_t control_packet(uint8_t *packet, size_t capacity) {
    static const uint32_t COMMANDS[] = {0x81, 0x83, 0x85, 0x87, 0x89, 0x03, 0x41, 0xC1};
    size_t size = 8 + below(600);
    for (size_t i = 0; i < capacity && i < 700; i++) packet[i] = (uint8_t)next();
    put16(packet, below(2) ? 0 : 0x8000 | below(0x20));
    put16(packet + 2, below(4) ? COMMANDS[below(8)] : next());
    put16(packet + 4, below(2) ? (uint32_t)size - 8 : odd_number());
    put16(packet + 6, below(2) ? below(4000) : odd_number());
    if (below(8) == 0) size = below(12);
    return size;
}

/* A raw socket gives any source port; without the right to one, a free port has to do. */
static int open_socket(struct in_addr address, bool *raw) {
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    *raw = fd >= 0;
    if (fd >= 0) return fd;
    struct sockaddr_in mine = {.sin_family = AF_INET, .sin_addr = address};
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&mine, sizeof mine) != 0) return close(fd), -1;
    return fd;
}

static size_t add_headers(uint8_t *datagram, const FuzzTarget *target, uint16_t from_port, uint16_t to_port, size_t size) {
    memset(datagram, 0, 28);
    datagram[0] = 0x45;
    datagram[8] = 64;
    datagram[9] = IPPROTO_UDP;
    memcpy(datagram + 12, &target->camera, 4);
    memcpy(datagram + 16, &target->local, 4);
    put16(datagram + 20, from_port);
    put16(datagram + 22, to_port);
    put16(datagram + 24, (uint32_t)size + 8); /* the rest, IP length and checksum, is filled in by the kernel */
    return size + 28;
}

long fuzz_send(const FuzzTarget *target, long count) {
    static uint8_t datagram[10000];
    uint8_t *packet = datagram + 28;
    bool raw;
    long sent = 0;
    state = target->seed ? target->seed : 1;
    int fd = open_socket(target->camera, &raw);
    for (long i = 0; i < count && fd >= 0; i++) {
        bool control = target->control_port && i % 8 == 0;
        uint16_t port = control ? target->control_port : target->stream_port;
        size_t size = control ? control_packet(packet, 9000) : stream_packet(packet, target->packet_size + 200, *target->block);
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = target->local, .sin_port = htons(raw ? 0 : port)};
        if (raw) size = add_headers(datagram, target, control ? 3956 : 20202, port, size);
        if (sendto(fd, raw ? datagram : packet, size, 0, (struct sockaddr *)&to, sizeof to) >= 0) sent++;
        struct timespec pause = {0, 1000000};
        if (i % 64 == 63) nanosleep(&pause, NULL);
    }
    if (fd >= 0) close(fd);
    return sent;
}

/* Keeps from Aravis what would break it: packet filters (classic BPF) on its two sockets.
 *
 * Aravis 0.8 trusts what the network says. A payload packet shorter than its header, a packet id
 * past the end of the buffer, a trailer or multi-part leader with a giant count, an "all in"
 * packet: each makes it copy to a wild address or ask for gigabytes and abort. Every datagram that
 * could is dropped here by the kernel, and counted; so is everything from another address. On a UDP
 * socket the filter sees the datagram from its UDP header on.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

#define UDP_HEADER 8u
#define GVSP_HEADER 8u           /* with 16 bit block ids and 24 bit packet ids */
#define GVSP_EXTENDED_HEADER 20u /* with 64 and 32 bits: GigE Vision 2.0, section 24.2 */
#define IP_UDP_HEADER 28u
#define LEADER_BYTES 12u         /* up to the time stamp */
#define IMAGE_LEADER_BYTES 36u
#define GVCP_PORT 3956
#define LONGEST_PENDING_MS 10000 /* a camera may ask for 65 s of patience; nobody waits that long */
#define SOURCE_ADDRESS ((uint32_t)SKF_NET_OFF + 12)
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#define MEMINFO_DROPS 8 /* of <linux/sock_diag.h> */

enum { NEXT = 0, ACCEPT = 0xFE, DROP = 0xFF }; /* where a jump leads */

typedef struct {
    struct sock_filter code[96];
    unsigned length;
} Program;

static void emit(Program *program, unsigned code, uint32_t k, unsigned jt, unsigned jf) {
    program->code[program->length++] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
}

static void load(Program *program, unsigned width, uint32_t offset) { emit(program, BPF_LD | width | BPF_ABS, offset, 0, 0); }
static void mask(Program *program, uint32_t bits) { emit(program, BPF_ALU | BPF_AND | BPF_K, bits, 0, 0); }
static void jump(Program *program, unsigned test, uint32_t k, unsigned yes, unsigned no) {
    emit(program, BPF_JMP | test | BPF_K, k, yes, no);
}
static void need_length(Program *program, uint32_t bytes, unsigned then) {
    emit(program, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
    jump(program, BPF_JGE, bytes, then, DROP);
}

/* Packets of one header form. `last` is the packet id that the trailer of a full buffer has. */
static void gvsp_rules(Program *program, uint32_t header, uint32_t last) {
    const uint32_t body = UDP_HEADER + header;
    load(program, BPF_W, header == GVSP_HEADER ? UDP_HEADER + 4 : UDP_HEADER + 16);
    if (header == GVSP_HEADER) mask(program, 0xFFFFFF);
    jump(program, BPF_JGT, last, DROP, NEXT);
    emit(program, BPF_MISC | BPF_TAX, 0, 0, 0);
    load(program, BPF_B, UDP_HEADER + 4);
    mask(program, 0x7F);
    jump(program, BPF_JEQ, 1, NEXT, 11); /* leader: it is packet 0, of an image or chunk payload */
    emit(program, BPF_MISC | BPF_TXA, 0, 0, 0);
    jump(program, BPF_JEQ, 0, NEXT, DROP);
    load(program, BPF_H, body + 2);
    mask(program, 0x3FFF);
    jump(program, BPF_JEQ, 4, NEXT, 2);
    need_length(program, body + LEADER_BYTES, ACCEPT);
    jump(program, BPF_JEQ, 1, 1, NEXT);
    jump(program, BPF_JEQ, 5, NEXT, DROP);
    need_length(program, body + IMAGE_LEADER_BYTES, ACCEPT);
    jump(program, BPF_JEQ, 2, NEXT, 2); /* trailer */
    emit(program, BPF_MISC | BPF_TXA, 0, 0, 0);
    jump(program, BPF_JEQ, 0, DROP, ACCEPT);
    jump(program, BPF_JEQ, 3, NEXT, DROP); /* payload, or what the camera says instead of it */
    load(program, BPF_H, UDP_HEADER);
    jump(program, BPF_JSET, 0x8000, ACCEPT, NEXT);
    emit(program, BPF_MISC | BPF_TXA, 0, 0, 0);
    jump(program, BPF_JEQ, 0, DROP, NEXT);
    jump(program, BPF_JGE, last, DROP, NEXT);
    need_length(program, body + 1, ACCEPT);
}

/* Ends the program and turns ACCEPT and DROP into distances. */
static bool attach(Program *program, int fd) {
    unsigned accept = program->length, drop = accept + 1;
    for (unsigned i = 0; i < accept; i++) {
        struct sock_filter *line = &program->code[i];
        if (BPF_CLASS(line->code) != BPF_JMP) continue;
        if (line->jt >= ACCEPT) line->jt = (uint8_t)((line->jt == ACCEPT ? accept : drop) - i - 1);
        if (line->jf >= ACCEPT) line->jf = (uint8_t)((line->jf == ACCEPT ? accept : drop) - i - 1);
    }
    emit(program, BPF_RET | BPF_K, UINT32_MAX, 0, 0);
    emit(program, BPF_RET | BPF_K, 0, 0, 0);
    struct sock_fprog filter = {.len = (unsigned short)program->length, .filter = program->code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0;
}

static void from_camera(Program *program, struct in_addr camera) {
    load(program, BPF_W, SOURCE_ADDRESS);
    jump(program, BPF_JEQ, ntohl(camera.s_addr), NEXT, DROP);
}

static uint32_t trailer_id(size_t buffer, uint32_t packet_size, uint32_t header) {
    size_t block = packet_size - IP_UDP_HEADER - header, packets = (buffer + block - 1) / block;
    return packets < 0xFFFFFF ? (uint32_t)packets + 1 : 0x1000000u;
}

bool guard_stream(int fd, struct in_addr camera, uint32_t packet_size, size_t least_buffer) {
    Program program = {.length = 0};
    if (packet_size <= IP_UDP_HEADER + GVSP_HEADER) return false;
    need_length(&program, UDP_HEADER + GVSP_HEADER, NEXT);
    from_camera(&program, camera);
    load(&program, BPF_B, UDP_HEADER + 4);
    unsigned fork = program.length;
    jump(&program, BPF_JSET, 0x80, NEXT, NEXT);
    gvsp_rules(&program, GVSP_HEADER, trailer_id(least_buffer, packet_size, GVSP_HEADER));
    program.code[fork].jt = (uint8_t)(program.length - fork - 1);
    if (packet_size <= IP_UDP_HEADER + GVSP_EXTENDED_HEADER) {
        jump(&program, BPF_JSET, 0, DROP, DROP);
    } else {
        need_length(&program, UDP_HEADER + GVSP_EXTENDED_HEADER, NEXT);
        gvsp_rules(&program, GVSP_EXTENDED_HEADER, trailer_id(least_buffer, packet_size, GVSP_EXTENDED_HEADER));
    }
    return attach(&program, fd);
}

/* Acknowledges of the camera's own control port, and no giant "wait, I am busy". */
static bool guard_control(int fd, struct in_addr camera) {
    Program program = {.length = 0};
    need_length(&program, UDP_HEADER + 8, NEXT);
    from_camera(&program, camera);
    load(&program, BPF_H, 0);
    jump(&program, BPF_JEQ, GVCP_PORT, NEXT, DROP);
    load(&program, BPF_H, UDP_HEADER + 2);
    for (uint32_t ack = 0x81; ack <= 0x87; ack += 2) jump(&program, BPF_JEQ, ack, ACCEPT, NEXT);
    jump(&program, BPF_JEQ, 0x89, NEXT, DROP);
    load(&program, BPF_W, UDP_HEADER + 8); /* Aravis takes the 16 reserved bits before it along */
    jump(&program, BPF_JGT, LONGEST_PENDING_MS, DROP, ACCEPT);
    return attach(&program, fd);
}

/* Lists our UDP sockets without a peer that are bound to `local`, and to `port` where it is not 0. */
static int list_sockets(struct in_addr local, uint16_t port, int *fds, int capacity) {
    DIR *list = opendir("/proc/self/fd");
    int count = 0;
    if (!list) return 0;
    for (struct dirent *entry; count < capacity && (entry = readdir(list));) {
        struct sockaddr_in mine = {0}, peer;
        socklen_t size = sizeof mine;
        int fd = atoi(entry->d_name), type = 0;
        if (entry->d_name[0] == '.' || getsockname(fd, (struct sockaddr *)&mine, &size) != 0) continue;
        if (mine.sin_family != AF_INET || mine.sin_addr.s_addr != local.s_addr) continue;
        if (port && ntohs(mine.sin_port) != port) continue;
        size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_DGRAM) continue;
        size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0) continue;
        fds[count++] = fd;
    }
    closedir(list);
    return count;
}

/* Aravis keeps its sockets to itself; this one is known by its port. A descriptor of our own, or -1. */
int guard_find_stream(struct in_addr local, uint16_t port) {
    int fd;
    return list_sockets(local, port, &fd, 1) == 1 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

int guard_before_open(struct in_addr local, int *fds, int capacity) { return list_sockets(local, 0, fds, capacity); }

/* The control socket is the one that opening the camera has made. Left alone where that is not sure, else
 * a descriptor of our own is returned. */
int guard_after_open(const Found *camera, const int *before, int count) {
    int now[GUARD_SOCKETS], made = -1, several = 0;
    int total = list_sockets(camera->local, 0, now, GUARD_SOCKETS);
    for (int i = 0; i < total; i++) {
        bool old = false;
        for (int j = 0; j < count; j++) old |= before[j] == now[i];
        if (old || !(fcntl(now[i], F_GETFL) & O_NONBLOCK)) continue;
        made = now[i];
        several++;
    }
    if (several != 1) return -1;
    guard_control(made, camera->address);
    return fcntl(made, F_DUPFD_CLOEXEC, 0);
}

/* When Aravis last took an acknowledge from its control socket: a number that changes. */
int64_t guard_control_heard(int fd) {
    struct timespec at = {0};
    if (fd < 0 || ioctl(fd, SIOCGSTAMPNS, &at) != 0) return 0; /* the first call switches it on */
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* Throws away what came before the filter did. */
void guard_drain(int fd) {
    char byte;
    while (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0) continue;
}

/* Datagrams that the kernel did not keep: by our filter, or because the socket buffer was full. */
uint64_t guard_dropped(int fd) {
    uint32_t info[16] = {0};
    socklen_t size = sizeof info;
    return fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size) == 0 ? info[MEMINFO_DROPS] : 0;
}

int guard_socket_buffer(int fd, int bytes) {
    socklen_t size = sizeof bytes;
    if (fd < 0) return 0;
    if (bytes) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size) == 0 ? bytes / 2 : 0; /* the kernel doubles it */
}

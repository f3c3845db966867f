/* What the two files of the driver share. */
#ifndef DRIVE_H
#define DRIVE_H

#include <netinet/in.h>
#include <stdint.h>

typedef struct {
    struct in_addr camera, local;
    uint16_t stream_port, control_port; /* where the producer listens; 0: nowhere */
    unsigned packet_size;
    uint32_t seed;
    _Atomic uint32_t *block; /* the last block id that came: the malformed ones are about this and the next */
} FuzzTarget;

/* Sends `count` malformed datagrams from the camera's address; returns how many left. */
long fuzz_send(const FuzzTarget *target, long count);

#endif

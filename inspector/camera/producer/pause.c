/* Takes the packets of a frame in batches, by sleeping through a part of its transfer.
 *
 * On a link of 1 Gbit/s a packet comes every 12 us, and Aravis' thread is woken for each: most of
 * its CPU time is wake-ups. A pause after the first packet lets them gather in the socket buffer;
 * the rest of the transfer time is for catching up, so that the last packet is dealt with when it
 * comes. The pause is a part of the shortest transfer of the last frames, so one that was too long
 * (the camera sends faster now) shortens the next.
 */
#include <string.h>
#include <time.h>

#include "producer.h"

#define FRAMES (sizeof ((Pause *)0)->took_ns / sizeof *((Pause *)0)->took_ns)
#define SHORTEST_TRANSFER_NS 3000000 /* on faster links the socket buffer lasts for a few ms only */
#define LONGEST_PAUSE_NS 8000000     /* of frame retention (100 ms), and of a stop */
/* The kernel counts up to three times a packet's bytes, and its limit is twice what it says. */
#define ACCOUNTED 3 / 2

void pause_begin(Pause *pause, const StreamSettings *settings, uint64_t socket_buffer, size_t payload) {
    memset(pause, 0, sizeof *pause);
    size_t most = socket_buffer * 100 / (payload * ACCOUNTED + 1);
    pause->percent = settings->packet_socket ? 0 : settings->pause_percent;
    if ((size_t)pause->percent > most) pause->percent = (int64_t)most;
}

/* When a frame has begun. Not while another is open: that one may wait for a packet sent again. */
void pause_in_frame(Pause *pause) {
    pause->alone = pause->open++ == 0;
    if (!pause->alone) return;
    pause->begun_ns = monotonic_ns();
    int64_t shortest = INT64_MAX;
    for (size_t i = 0; i < FRAMES; i++)
        if (pause->took_ns[i] < shortest) shortest = pause->took_ns[i];
    if (shortest < SHORTEST_TRANSFER_NS) return;
    int64_t length = shortest * pause->percent / 100;
    if (length > LONGEST_PAUSE_NS) length = LONGEST_PAUSE_NS;
    struct timespec left = {0, (long)length};
    if (length > 0) nanosleep(&left, NULL);
}

/* When a frame has ended, complete or not. */
void pause_after_frame(Pause *pause) {
    if (pause->open) pause->open--;
    if (!pause->alone || pause->open) return;
    pause->took_ns[pause->next++ % FRAMES] = monotonic_ns() - pause->begun_ns;
}

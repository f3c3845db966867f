/* What Aravis hands over becomes a delivered frame, and is counted. On Aravis' stream thread. */
#include "producer.h"

/* Further apart, two frame ids do not speak of frames lost: the camera has begun to count anew. */
#define LARGEST_GAP 1000

static uint64_t counter(const Stream *stream, const char *name) {
    return arv.arv_stream_get_info_uint64_by_name(stream->arv, name);
}

size_t frame_received_bytes(const Buffer *buffer) {
    size_t size = 0;
    arv.arv_buffer_get_data(buffer->arv, &size);
    return size;
}

/* By the leader; 0 for a payload whose size it does not tell. */
size_t frame_expected_bytes(const Buffer *buffer) {
    int payload = arv.arv_buffer_get_payload_type(buffer->arv);
    if (payload != ARV_PAYLOAD_IMAGE && payload != ARV_PAYLOAD_EXTENDED_CHUNK) return 0;
    int x, y, width, height, x_padding, y_padding;
    arv.arv_buffer_get_image_region(buffer->arv, &x, &y, &width, &height);
    arv.arv_buffer_get_image_padding(buffer->arv, &x_padding, &y_padding);
    uint64_t bits = (arv.arv_buffer_get_image_pixel_format(buffer->arv) >> 16) & 0xFF;
    uint64_t columns = (uint32_t)width, rows = (uint32_t)height;
    if (columns > 1u << 24 || rows > 1u << 24) return SIZE_MAX;
    if (x_padding == 0) return (columns * rows * bits + 7) / 8;
    return rows * ((columns * bits + 7) / 8 + (uint32_t)x_padding);
}

/* Aravis calls a frame complete when every packet up to the trailer came, however short each was,
 * wherever the trailer stood, and even if the leader came too late to be read. */
static bool is_short(const Buffer *buffer) {
    bool leader = arv.arv_buffer_get_frame_id(buffer->arv) || arv.arv_buffer_get_timestamp(buffer->arv);
    return !leader || frame_received_bytes(buffer) < frame_expected_bytes(buffer);
}

/* Frames that never came leave a gap in the ids. 16 bit ids go from 65535 to 1. */
static void count_gap(Stream *stream, uint64_t id) {
    uint64_t before = stream->last.frame_id, underruns = counter(stream, "n_underruns");
    if (id == 0) {
        stream->last.without_leader++;
        return;
    }
    uint64_t step = id - before;
    if (id < before && before <= 0xFFFF) step = id + 0xFFFF - before;
    if (before && step > 1 + stream->last.without_leader && step <= LARGEST_GAP) {
        uint64_t lost = step - 1 - stream->last.without_leader;
        stream->counters.lost += lost;
        if (underruns != stream->last.underruns) stream->counters.underrun += lost;
    }
    stream->last.frame_id = id;
    stream->last.without_leader = 0;
    stream->last.underruns = underruns;
}

static void count(Stream *stream, Buffer *buffer, bool complete) {
    /* Aravis can count backwards here, when a trailer came before its time. */
    uint64_t total = counter(stream, "n_missing_packets");
    int64_t missing = (int64_t)(total - stream->last.missing);
    stream->last.missing = total;
    buffer->missing_packets = complete ? 0 : missing > 0 ? (uint64_t)missing : 1;
    stream->counters.started++;
    if (complete) {
        stream->counters.completed++;
    } else {
        stream->counters.incomplete++;
        stream->counters.missed_packets += buffer->missing_packets;
    }
    count_gap(stream, arv.arv_buffer_get_frame_id(buffer->arv));
}

void frame_append(Stream *stream, Buffer *buffer) {
    buffer->state = BUFFER_READY;
    buffer->next_ready = NULL;
    if (stream->ready_last) stream->ready_last->next_ready = buffer;
    else stream->ready_first = buffer;
    stream->ready_last = buffer;
}

void frame_take(Stream *stream, ArvBuffer *frame, uint64_t now) {
    Buffer *buffer = (Buffer *)arv.arv_buffer_get_user_data(frame);
    int status = arv.arv_buffer_get_status(frame);
    if (status != ARV_BUFFER_STATUS_ABORTED && stream->remaining == 0 && stream->grabbing) {
        arv.arv_stream_push_buffer(stream->arv, frame); /* beyond the number that was asked for */
        return;
    }
    if (status != ARV_BUFFER_STATUS_ABORTED && stream->remaining) {
        if (stream->remaining != GENTL_INFINITE) stream->remaining--;
        buffer->short_frame = status == ARV_BUFFER_STATUS_SUCCESS && is_short(buffer);
        buffer->received_ns = now;
        buffer->fresh = true;
        count(stream, buffer, status == ARV_BUFFER_STATUS_SUCCESS && !buffer->short_frame);
        frame_append(stream, buffer);
    }
    arv.g_object_unref(frame);
}

/* The stream is locked. Aravis writes time stamp and frame id when the leader comes; without one
 * they would be the last frame's. */
void buffer_queue(Stream *stream, Buffer *buffer) {
    buffer->state = BUFFER_QUEUED;
    buffer->fresh = false;
    buffer->short_frame = false;
    arv.arv_buffer_set_timestamp(buffer->arv, 0);
    arv.arv_buffer_set_frame_id(buffer->arv, 0);
    if (stream->grabbing && stream->arv) arv.arv_stream_push_buffer(stream->arv, arv.g_object_ref(buffer->arv));
}

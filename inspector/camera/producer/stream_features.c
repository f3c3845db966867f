/* The features of the data stream's map: names of the GenTL SFNC where it has one. */
#include <stdlib.h>
#include <string.h>

#include "producer.h"

#define FRAME_RETENTION_US 100000
#define SOCKET_BUFFER_SIZE (4 << 20) /* the kernel cuts it to net.core.rmem_max */

typedef enum { TEXT, COUNTER, SETTING, ANNOUNCED, INPUT, OUTPUT, GRABBING, CONSTANT } Source;

#define COUNTED(field) COUNTER, offsetof(StreamCounters, field)
#define SET(field) SETTING, offsetof(StreamSettings, field)

static const struct {
    Feature feature;
    Source source;
    size_t offset; /* or the constant */
    const char *variable;
} TABLE[] = {
    {{"StreamID", "The data stream.", FEATURE_TEXT, 0, 0}, TEXT, 0, NULL},
    {{"StreamAnnouncedBufferCount", "Buffers announced.", FEATURE_INTEGER, 0, 0}, ANNOUNCED, 0, NULL},
    {{"StreamAnnounceBufferMinimum", "Buffers that a start needs at least.", FEATURE_INTEGER, 0, 0},
     CONSTANT, 2, NULL},
    {{"StreamInputBufferCount", "Buffers that wait for a frame.", FEATURE_INTEGER, 0, 0}, INPUT, 0, NULL},
    {{"StreamOutputBufferCount", "Filled buffers that wait to be fetched.", FEATURE_INTEGER, 0, 0},
     OUTPUT, 0, NULL},
    {{"StreamIsGrabbing", "Whether acquisition runs.", FEATURE_BOOLEAN, 0, 0}, GRABBING, 0, NULL},
    {{"StreamChunkCountMaximum", "Chunks of one buffer, at most.", FEATURE_INTEGER, 0, 0}, CONSTANT, 64, NULL},
    {{"StreamBufferAlignment", "Alignment of announced memory, bytes.", FEATURE_INTEGER, 0, 0}, CONSTANT, 1, NULL},
    {{"StreamStartedFrameCount", "Frames begun and ended since the start.", FEATURE_INTEGER, 0, 0},
     COUNTED(started), NULL},
    {{"StreamDeliveredFrameCount", "Buffers fetched since the start.", FEATURE_INTEGER, 0, 0},
     COUNTED(delivered), NULL},
    {{"StreamCompletedFrameCount", "Frames with nothing missing.", FEATURE_INTEGER, 0, 0}, COUNTED(completed), NULL},
    {{"StreamIncompleteFrameCount", "Frames with packets or bytes missing.", FEATURE_INTEGER, 0, 0},
     COUNTED(incomplete), NULL},
    {{"StreamLostFrameCount", "Gaps in the camera's count: no buffer was free, or nothing of the frame came.",
      FEATURE_INTEGER, 0, 0}, COUNTED(lost), NULL},
    {{"StreamUnderrunFrameCount", "Those of them for which no buffer was free.", FEATURE_INTEGER, 0, 0},
     COUNTED(underrun), NULL},
    {{"StreamReceivedPacketCount", "Packets that came.", FEATURE_INTEGER, 0, 0}, COUNTED(received_packets), NULL},
    {{"StreamMissedPacketCount", "Packets missing in incomplete frames, at most.", FEATURE_INTEGER, 0, 0},
     COUNTED(missed_packets), NULL},
    {{"StreamResendRequestCount", "Packets asked for again.", FEATURE_INTEGER, 0, 0},
     COUNTED(resend_requests), NULL},
    {{"StreamResentPacketCount", "Packets that came when asked for again.", FEATURE_INTEGER, 0, 0},
     COUNTED(resent_packets), NULL},
    {{"StreamDuplicatedPacketCount", "Packets that came twice.", FEATURE_INTEGER, 0, 0},
     COUNTED(duplicated_packets), NULL},
    {{"StreamIgnoredPacketCount", "Packets that belong to no frame, or for which no buffer was free.",
      FEATURE_INTEGER, 0, 0}, COUNTED(ignored_packets), NULL},
    {{"StreamDroppedPacketCount", "Packets that were malformed or foreign, or found the socket buffer full.",
      FEATURE_INTEGER, 0, 0}, COUNTED(dropped_packets), NULL},
    {{"StreamPacketSize", "Bytes of a packet with IP and UDP headers, as of the last start.", FEATURE_INTEGER, 0, 0},
     COUNTED(packet_size), NULL},
    {{"StreamSocketBufferActualSize", "Bytes that the kernel granted (net.core.rmem_max).", FEATURE_INTEGER, 0, 0},
     COUNTED(socket_buffer), NULL},
    {{"StreamSocketBufferSize", "Bytes of socket buffer to ask for; taken at the start.", FEATURE_INTEGER, 65536, 1 << 30},
     SET(socket_buffer), "INSPECTOR_GEV_SOCKET_BUFFER"},
    {{"StreamPacketResendEnable", "Ask again for packets that are missing; taken at the start.", FEATURE_INTEGER, 0, 1},
     SET(packet_resend), "INSPECTOR_GEV_PACKET_RESEND"},
    {{"StreamFrameRetentionUs", "Give a frame up after this silence; taken at the start.", FEATURE_INTEGER, 1000, 10000000},
     SET(frame_retention_us), "INSPECTOR_GEV_FRAME_RETENTION_US"},
    {{"StreamPacketSizeRequest", "Packet size to write to the camera, 0: none; taken at the start.",
      FEATURE_INTEGER, 0, 65532}, SET(packet_size), "INSPECTOR_GEV_PACKET_SIZE"},
    {{"StreamPacketSizeNegotiate", "Look for the largest packet that passes; taken at the start.", FEATURE_INTEGER, 0, 1},
     SET(negotiate), "INSPECTOR_GEV_PACKET_SIZE_NEGOTIATE"},
    {{"StreamReceivePausePercent", "Part of a frame's transfer time to sleep through, to take packets in batches.",
      FEATURE_INTEGER, 0, 90}, SET(pause_percent), "INSPECTOR_GEV_RECEIVE_PAUSE_PERCENT"},
    {{"StreamPacketSocketEnable", "Receive on a packet socket, unfiltered; taken at the start.", FEATURE_INTEGER, 0, 1},
     SET(packet_socket), "INSPECTOR_GEV_PACKET_SOCKET"},
};
#define COUNT (sizeof TABLE / sizeof *TABLE)

const Feature *stream_feature(size_t index) { return index < COUNT ? &TABLE[index].feature : NULL; }

size_t stream_buffers(const Stream *stream, int state) {
    size_t number = 0;
    for (Buffer *buffer = stream->announced; buffer; buffer = buffer->next)
        if (state < 0 || buffer->state == (BufferState)state) number++;
    return number;
}

uint64_t stream_feature_value(Stream *stream, size_t index) {
    uint64_t value = 0;
    stream_refresh(stream);
    pthread_mutex_lock(&stream->mutex);
    switch (TABLE[index].source) {
    case COUNTER: memcpy(&value, (char *)&stream->counters + TABLE[index].offset, sizeof value); break;
    case SETTING: memcpy(&value, (char *)&stream->settings + TABLE[index].offset, sizeof value); break;
    case ANNOUNCED: value = stream_buffers(stream, -1); break;
    case INPUT: value = stream_buffers(stream, BUFFER_QUEUED); break;
    case OUTPUT: value = stream_buffers(stream, BUFFER_READY); break;
    case GRABBING: value = stream->grabbing; break;
    default: value = TABLE[index].offset; break;
    }
    pthread_mutex_unlock(&stream->mutex);
    return value;
}

static bool acceptable(size_t index, int64_t value) {
    const Feature *feature = &TABLE[index].feature;
    /* The field has 16 bits, in steps of 4; 576 bytes is what every IPv4 host takes. */
    bool size = TABLE[index].offset == offsetof(StreamSettings, packet_size);
    return value >= feature->low && value <= feature->high && !(size && value && (value < 576 || value % 4));
}

int32_t stream_feature_write(Stream *stream, size_t index, int64_t value) {
    if (!acceptable(index, value)) return fail(GC_ERR_INVALID_PARAMETER, "%s cannot be %lld", TABLE[index].feature.name, (long long)value);
    pthread_mutex_lock(&stream->mutex);
    memcpy((char *)&stream->settings + TABLE[index].offset, &value, sizeof value);
    pthread_mutex_unlock(&stream->mutex);
    return GC_ERR_SUCCESS;
}

/* What the environment says, as far as it makes sense. */
void stream_settings_default(StreamSettings *settings) {
    *settings = (StreamSettings){.socket_buffer = SOCKET_BUFFER_SIZE, .packet_resend = 1,
                                 .frame_retention_us = FRAME_RETENTION_US, .negotiate = 1, .pause_percent = 70};
    for (size_t index = 0; index < COUNT; index++) {
        const char *text = TABLE[index].variable ? getenv(TABLE[index].variable) : NULL;
        char *end = NULL;
        int64_t value = text ? strtoll(text, &end, 10) : 0;
        if (text && end != text && !*end && acceptable(index, value))
            memcpy((char *)settings + TABLE[index].offset, &value, sizeof value);
    }
}

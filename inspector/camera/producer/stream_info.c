/* What can be asked of the data stream. */
#include "producer.h"

static int32_t info(Stream *stream, int32_t command, int32_t *type, void *out, size_t *size) {
    switch (command) {
    case STREAM_INFO_ID: return answer_string("Stream0", type, out, size);
    case STREAM_INFO_NUM_DELIVERED: return answer_uint64(stream->counters.delivered, type, out, size);
    case STREAM_INFO_NUM_UNDERRUN: return answer_uint64(stream->counters.underrun, type, out, size);
    case STREAM_INFO_NUM_ANNOUNCED: return answer_size(stream_buffers(stream, -1), type, out, size);
    case STREAM_INFO_NUM_QUEUED: return answer_size(stream_buffers(stream, BUFFER_QUEUED), type, out, size);
    case STREAM_INFO_NUM_AWAIT_DELIVERY: return answer_size(stream_buffers(stream, BUFFER_READY), type, out, size);
    case STREAM_INFO_NUM_STARTED: return answer_uint64(stream->counters.started, type, out, size);
    case STREAM_INFO_PAYLOAD_SIZE: return fail(GC_ERR_NOT_AVAILABLE, "read PayloadSize from the camera");
    case STREAM_INFO_IS_GRABBING: return answer_bool(stream->grabbing, type, out, size);
    case STREAM_INFO_DEFINES_PAYLOADSIZE: return answer_bool(false, type, out, size);
    case STREAM_INFO_TLTYPE: return answer_string(TL_TYPE, type, out, size);
    case STREAM_INFO_NUM_CHUNKS_MAX: return answer_size(64, type, out, size);
    case STREAM_INFO_BUF_ANNOUNCE_MIN: return answer_size(2, type, out, size);
    case STREAM_INFO_BUF_ALIGNMENT: return answer_size(1, type, out, size);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "stream info %d", command);
    }
}

GC_API DSGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    stream_refresh(stream);
    pthread_mutex_lock(&stream->mutex);
    int32_t result = info(stream, command, type, out, size);
    pthread_mutex_unlock(&stream->mutex);
    object_put(&stream->object);
    return result;
}

GC_API DSGetParentDev(HANDLE handle, HANDLE *parent) {
    Object *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    if (parent) *parent = stream->parent->handle;
    object_put(stream);
    return parent ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
}

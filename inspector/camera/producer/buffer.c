/* Buffers: announced memory, the caller's or ours, and what is known of the frame in it. */
#include <stdlib.h>
#include <string.h>

#include "producer.h"

static void destroy(Object *object) {
    Buffer *buffer = (Buffer *)object;
    if (buffer->arv) arv.g_object_unref(buffer->arv);
    if (buffer->ours) free(buffer->base);
}

static int32_t announce(HANDLE handle, void *base, size_t size, void *user_pointer, bool ours, HANDLE *out) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    Buffer *buffer = NULL;
    int32_t result = GC_ERR_SUCCESS;
    if (!out || !size || (!base && !ours)) result = fail(GC_ERR_INVALID_PARAMETER, "a buffer needs memory and size");
    else if (ours && !(base = malloc(size))) result = fail(GC_ERR_OUT_OF_MEMORY, "no memory for %zu bytes", size);
    else if (!(buffer = object_new(KIND_BUFFER, sizeof *buffer, &stream->object, destroy))) {
        if (ours) free(base);
        result = fail(GC_ERR_OUT_OF_MEMORY, "too many open objects");
    }
    if (buffer) {
        buffer->base = base;
        buffer->size = size;
        buffer->user_pointer = user_pointer;
        buffer->ours = ours;
        buffer->arv = arv.arv_buffer_new_full(size, base, buffer, NULL);
        *out = buffer->object.handle;
        pthread_mutex_lock(&stream->mutex);
        Buffer **end = &stream->announced;
        while (*end) end = &(*end)->next;
        *end = buffer;
        pthread_mutex_unlock(&stream->mutex);
        object_put(&buffer->object);
    }
    object_put(&stream->object);
    return result;
}

GC_API DSAnnounceBuffer(HANDLE stream, void *base, size_t size, void *user_pointer, HANDLE *buffer) {
    return announce(stream, base, size, user_pointer, false, buffer);
}

GC_API DSAllocAndAnnounceBuffer(HANDLE stream, size_t size, void *user_pointer, HANDLE *buffer) {
    return announce(stream, NULL, size, user_pointer, true, buffer);
}

/* The stream and one of its own buffers, both referenced; an error leaves none. */
static int32_t both(HANDLE stream_handle, HANDLE buffer_handle, Stream **stream, Buffer **buffer) {
    *stream = object_get(stream_handle, KIND_STREAM);
    *buffer = *stream ? object_get(buffer_handle, KIND_BUFFER) : NULL;
    if (*buffer && (*buffer)->object.parent == &(*stream)->object) return GC_ERR_SUCCESS;
    object_put((Object *)*buffer);
    object_put((Object *)*stream);
    return fail_handle();
}

static void put_both(Stream *stream, Buffer *buffer) {
    object_put(&buffer->object);
    object_put(&stream->object);
}

GC_API DSRevokeBuffer(HANDLE stream_handle, HANDLE buffer_handle, void **base, void **user_pointer) {
    Stream *stream;
    Buffer *buffer;
    int32_t result = both(stream_handle, buffer_handle, &stream, &buffer);
    if (result != GC_ERR_SUCCESS) return result;
    pthread_mutex_lock(&stream->mutex);
    if (buffer->revoked) {
        result = fail_handle(); /* another thread was first */
    } else if (stream->grabbing && buffer->state != BUFFER_IDLE) {
        result = fail(GC_ERR_BUSY, "the buffer is queued: stop the acquisition first");
    } else {
        buffer->revoked = true;
        for (Buffer **at = &stream->announced; *at; at = &(*at)->next)
            if (*at == buffer) {
                *at = buffer->next;
                break;
            }
        Buffer *previous = NULL;
        for (Buffer *at = stream->ready_first; at; previous = at, at = at->next_ready)
            if (at == buffer) {
                if (previous) previous->next_ready = at->next_ready;
                else stream->ready_first = at->next_ready;
                if (stream->ready_last == at) stream->ready_last = previous;
                break;
            }
        if (base) *base = buffer->ours ? NULL : buffer->base;
        if (user_pointer) *user_pointer = buffer->user_pointer;
    }
    pthread_mutex_unlock(&stream->mutex);
    if (result == GC_ERR_SUCCESS) object_withdraw(&buffer->object);
    put_both(stream, buffer);
    return result;
}

GC_API DSQueueBuffer(HANDLE stream_handle, HANDLE buffer_handle) {
    Stream *stream;
    Buffer *buffer;
    int32_t result = both(stream_handle, buffer_handle, &stream, &buffer);
    if (result != GC_ERR_SUCCESS) return result;
    pthread_mutex_lock(&stream->mutex);
    if (buffer->revoked) result = fail_handle();
    else if (buffer->state != BUFFER_IDLE) result = fail(GC_ERR_RESOURCE_IN_USE, "the buffer is queued already");
    else if (stream->grabbing && buffer->size < stream->least_buffer)
        result = fail(GC_ERR_INVALID_BUFFER, "while acquisition runs, no smaller buffer than at its start");
    else buffer_queue(stream, buffer);
    pthread_mutex_unlock(&stream->mutex);
    put_both(stream, buffer);
    return result;
}

GC_API DSGetBufferID(HANDLE handle, uint32_t index, HANDLE *out) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    pthread_mutex_lock(&stream->mutex);
    Buffer *buffer = stream->announced;
    while (buffer && index) buffer = buffer->next, index--;
    if (buffer && out) *out = buffer->object.handle;
    pthread_mutex_unlock(&stream->mutex);
    object_put(&stream->object);
    if (!out) return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    return buffer ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_INDEX, "no such buffer");
}

static int32_t image_info(const Buffer *buffer, int32_t command, int32_t *type, void *out, size_t *size) {
    int payload = arv.arv_buffer_get_payload_type(buffer->arv);
    bool leader = arv.arv_buffer_get_frame_id(buffer->arv) || arv.arv_buffer_get_timestamp(buffer->arv);
    if (arv.arv_buffer_get_status(buffer->arv) != ARV_BUFFER_STATUS_SUCCESS || !leader)
        return fail(GC_ERR_NOT_AVAILABLE, "Aravis does not tell the format of an incomplete frame");
    if (payload != ARV_PAYLOAD_IMAGE && payload != ARV_PAYLOAD_EXTENDED_CHUNK)
        return fail(GC_ERR_NOT_AVAILABLE, "the buffer holds no image");
    int x, y, width, height, x_padding, y_padding;
    arv.arv_buffer_get_image_region(buffer->arv, &x, &y, &width, &height);
    arv.arv_buffer_get_image_padding(buffer->arv, &x_padding, &y_padding);
    switch (command) {
    case BUFFER_INFO_WIDTH: return answer_size((size_t)width, type, out, size);
    case BUFFER_INFO_HEIGHT: return answer_size((size_t)height, type, out, size);
    case BUFFER_INFO_DELIVERED_IMAGEHEIGHT: {
        size_t wanted = frame_expected_bytes(buffer), got = frame_received_bytes(buffer);
        if (wanted > got) height = (int)((double)height * (double)got / (double)wanted);
        return answer_size((size_t)height, type, out, size);
    }
    case BUFFER_INFO_XOFFSET: return answer_size((size_t)x, type, out, size);
    case BUFFER_INFO_YOFFSET: return answer_size((size_t)y, type, out, size);
    case BUFFER_INFO_XPADDING: return answer_size((size_t)x_padding, type, out, size);
    case BUFFER_INFO_YPADDING: return answer_size((size_t)y_padding, type, out, size);
    default: return answer_uint64(arv.arv_buffer_get_image_pixel_format(buffer->arv), type, out, size);
    }
}

static size_t payload_type(const Buffer *buffer) {
    switch (arv.arv_buffer_get_payload_type(buffer->arv)) {
    case ARV_PAYLOAD_IMAGE:
    case ARV_PAYLOAD_EXTENDED_CHUNK: return PAYLOAD_TYPE_IMAGE;
    case ARV_PAYLOAD_CHUNK: return PAYLOAD_TYPE_CHUNK_DATA;
    case ARV_PAYLOAD_MULTIPART: return PAYLOAD_TYPE_MULTI_PART;
    default: return PAYLOAD_TYPE_UNKNOWN;
    }
}

static bool is_complete(const Buffer *buffer) {
    return arv.arv_buffer_get_status(buffer->arv) == ARV_BUFFER_STATUS_SUCCESS && !buffer->short_frame;
}

/* How much of an incomplete frame is there is not known: Aravis keeps no record of the gaps. */
static size_t filled(const Buffer *buffer) {
    bool known = arv.arv_buffer_get_status(buffer->arv) == ARV_BUFFER_STATUS_SUCCESS;
    return known ? frame_received_bytes(buffer) : buffer->size;
}

static int32_t known(uint64_t value, int32_t *type, void *out, size_t *size) {
    return value ? answer_uint64(value, type, out, size) : fail(GC_ERR_NOT_AVAILABLE, "the leader was lost");
}

int32_t buffer_info(const Buffer *buffer, int32_t command, int32_t *type, void *out, size_t *size) {
    switch (command) {
    case BUFFER_INFO_BASE: return answer_pointer(buffer->base, type, out, size);
    case BUFFER_INFO_SIZE: return answer_size(buffer->size, type, out, size);
    case BUFFER_INFO_USER_PTR: return answer_pointer(buffer->user_pointer, type, out, size);
    case BUFFER_INFO_TIMESTAMP:
    case BUFFER_INFO_TIMESTAMP_NS: return known(arv.arv_buffer_get_timestamp(buffer->arv), type, out, size);
    case BUFFER_INFO_NEW_DATA: return answer_bool(buffer->fresh, type, out, size);
    case BUFFER_INFO_IS_QUEUED: return answer_bool(buffer->state != BUFFER_IDLE, type, out, size);
    case BUFFER_INFO_IS_ACQUIRING:
    case BUFFER_INFO_IS_COMPOSITE: return answer_bool(false, type, out, size);
    case BUFFER_INFO_IS_INCOMPLETE: return answer_bool(!is_complete(buffer), type, out, size);
    case BUFFER_INFO_TLTYPE: return answer_string(TL_TYPE, type, out, size);
    case BUFFER_INFO_SIZE_FILLED:
    case BUFFER_INFO_DATA_SIZE:
    case BUFFER_INFO_DELIVERED_CHUNKPAYLOADSIZE: return answer_size(filled(buffer), type, out, size);
    case BUFFER_INFO_FRAMEID: return known(arv.arv_buffer_get_frame_id(buffer->arv), type, out, size);
    case BUFFER_INFO_IMAGEPRESENT: return answer_bool(payload_type(buffer) == PAYLOAD_TYPE_IMAGE, type, out, size);
    case BUFFER_INFO_IMAGEOFFSET: return answer_size(0, type, out, size);
    case BUFFER_INFO_PAYLOADTYPE: return answer_size(payload_type(buffer), type, out, size);
    case BUFFER_INFO_PIXELFORMAT_NAMESPACE: return answer_uint64(PIXELFORMAT_NAMESPACE_PFNC_32BIT, type, out, size);
    case BUFFER_INFO_DATA_LARGER_THAN_BUFFER:
        return answer_bool(arv.arv_buffer_get_status(buffer->arv) == ARV_BUFFER_STATUS_SIZE_MISMATCH, type, out, size);
    case BUFFER_INFO_CONTAINS_CHUNKDATA: return answer_bool(arv.arv_buffer_has_chunks(buffer->arv), type, out, size);
    case BUFFER_INFO_CUSTOM_MISSING_PACKETS: return answer_uint64(buffer->missing_packets, type, out, size);
    case BUFFER_INFO_CUSTOM_RECEIVED_NS: return answer_uint64(buffer->received_ns, type, out, size);
    case BUFFER_INFO_WIDTH: case BUFFER_INFO_HEIGHT: case BUFFER_INFO_DELIVERED_IMAGEHEIGHT:
    case BUFFER_INFO_XOFFSET: case BUFFER_INFO_YOFFSET: case BUFFER_INFO_XPADDING:
    case BUFFER_INFO_YPADDING: case BUFFER_INFO_PIXELFORMAT:
        return image_info(buffer, command, type, out, size);
    default: return fail(GC_ERR_NOT_AVAILABLE, "buffer info %d", command);
    }
}

GC_API DSGetBufferInfo(HANDLE stream_handle, HANDLE buffer_handle, int32_t command, int32_t *type, void *out,
                       size_t *size) {
    Stream *stream;
    Buffer *buffer;
    int32_t result = both(stream_handle, buffer_handle, &stream, &buffer);
    if (result != GC_ERR_SUCCESS) return result;
    result = buffer_info(buffer, command, type, out, size);
    put_both(stream, buffer);
    return result;
}

GC_API DSGetBufferInfoStacked(HANDLE stream_handle, HANDLE buffer_handle, BufferInfoStackEntry *entries, size_t count) {
    Stream *stream;
    Buffer *buffer;
    int32_t result = entries ? both(stream_handle, buffer_handle, &stream, &buffer)
                             : fail(GC_ERR_INVALID_PARAMETER, "the entries are NULL");
    if (result != GC_ERR_SUCCESS) return result;
    for (BufferInfoStackEntry *entry = entries; entry < entries + count; entry++)
        entry->result = buffer_info(buffer, entry->command, &entry->type, entry->buffer, &entry->size);
    put_both(stream, buffer);
    return GC_ERR_SUCCESS;
}

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Chunks stand one after the other, each followed by its id and length: read from the end. */
GC_API DSGetBufferChunkData(HANDLE stream_handle, HANDLE buffer_handle, SingleChunkData *chunks, size_t *count) {
    Stream *stream;
    Buffer *buffer;
    int32_t result = count ? both(stream_handle, buffer_handle, &stream, &buffer)
                           : fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
    if (result != GC_ERR_SUCCESS) return result;
    const uint8_t *data = buffer->base;
    size_t end = filled(buffer), found = 0, room = *count;
    if (!arv.arv_buffer_has_chunks(buffer->arv)) result = fail(GC_ERR_NO_DATA, "the frame has no chunks");
    while (result == GC_ERR_SUCCESS && end > 0) {
        uint32_t length = end >= 8 ? big_endian(data + end - 4) : UINT32_MAX;
        if (length > end - 8 || end < 8) {
            result = fail(GC_ERR_PARSING_CHUNK_DATA, "the chunk layout is broken");
            break;
        }
        if (chunks && found < room)
            chunks[found] = (SingleChunkData){big_endian(data + end - 8), (ptrdiff_t)(end - 8 - length), length};
        found++;
        end -= 8 + (size_t)length;
    }
    if (result == GC_ERR_SUCCESS && chunks && found > room) result = fail(GC_ERR_BUFFER_TOO_SMALL, "%zu chunks", found);
    *count = found;
    put_both(stream, buffer);
    return result;
}

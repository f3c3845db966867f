/* Events: the one that says "new buffer". Others are not implemented, and say so. */
#include <string.h>

#include "producer.h"

GC_API GCRegisterEvent(HANDLE source, int32_t id, HANDLE *out) {
    Object *module = object_get(source, KIND_MODULE | KIND_REMOTE | KIND_BUFFER);
    if (!module) return fail_handle();
    int32_t result = GC_ERR_SUCCESS;
    if (!out) {
        result = fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    } else if (module->kind != KIND_STREAM || id != EVENT_NEW_BUFFER) {
        result = fail(GC_ERR_NOT_IMPLEMENTED, "event %d of this module", id);
    } else {
        Stream *stream = (Stream *)module;
        Object *other = object_get(stream->event, KIND_EVENT);
        Event *event = other ? NULL : object_new(KIND_EVENT, sizeof *event, module, NULL);
        if (event) {
            stream->event = *out = event->object.handle;
            object_put(&event->object);
        } else {
            result = fail(GC_ERR_RESOURCE_IN_USE, "the event is registered already");
        }
        object_put(other);
    }
    object_put(module);
    return result;
}

GC_API GCUnregisterEvent(HANDLE source, int32_t id) {
    Object *module = object_get(source, KIND_MODULE | KIND_REMOTE | KIND_BUFFER);
    if (!module) return fail_handle();
    Object *event = NULL;
    if (module->kind == KIND_STREAM && id == EVENT_NEW_BUFFER) event = object_get(((Stream *)module)->event, KIND_EVENT);
    if (event) object_withdraw(event);
    int32_t result = event ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "event %d is not registered", id);
    object_put(event);
    object_put(module);
    return result;
}

GC_API EventGetData(HANDLE handle, void *out, size_t *size, uint64_t timeout_ms) {
    Object *event = object_get(handle, KIND_EVENT);
    if (!event) return fail_handle();
    NewBufferEvent data;
    int32_t result;
    if (!out || !size) result = fail(GC_ERR_INVALID_PARAMETER, "the buffer or its size is NULL");
    else if (*size < sizeof data) result = fail(GC_ERR_BUFFER_TOO_SMALL, "the event has %zu bytes", sizeof data);
    else if ((result = event_next((Stream *)event->parent, &data, timeout_ms)) == GC_ERR_SUCCESS) {
        memcpy(out, &data, sizeof data);
        *size = sizeof data;
    }
    object_put(event);
    return result;
}

GC_API EventGetDataInfo(HANDLE handle, const void *in, size_t in_size, int32_t command, int32_t *type, void *out,
                        size_t *size) {
    Object *event = object_get(handle, KIND_EVENT);
    if (!event) return fail_handle();
    object_put(event);
    NewBufferEvent data;
    if (!in || in_size < sizeof data) return fail(GC_ERR_INVALID_PARAMETER, "no event data");
    memcpy(&data, in, sizeof data);
    if (command == EVENT_DATA_ID) return answer_pointer(data.buffer, type, out, size);
    if (command == EVENT_DATA_VALUE) return answer_pointer(data.user_pointer, type, out, size);
    return fail(GC_ERR_NOT_IMPLEMENTED, "event data info %d", command);
}

GC_API EventGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size) {
    Object *event = object_get(handle, KIND_EVENT);
    if (!event) return fail_handle();
    Stream *stream = (Stream *)event->parent;
    pthread_mutex_lock(&stream->mutex);
    size_t waiting = 0;
    for (Buffer *buffer = stream->ready_first; buffer; buffer = buffer->next_ready) waiting++;
    uint64_t fired = stream->counters.started;
    pthread_mutex_unlock(&stream->mutex);
    object_put(event);
    switch (command) {
    case EVENT_EVENT_TYPE: return answer_int32(EVENT_NEW_BUFFER, type, out, size);
    case EVENT_NUM_IN_QUEUE: return answer_size(waiting, type, out, size);
    case EVENT_NUM_FIRED: return answer_uint64(fired, type, out, size);
    case EVENT_SIZE_MAX: return answer_size(sizeof(NewBufferEvent), type, out, size);
    case EVENT_INFO_DATA_SIZE_MAX: return answer_size(sizeof(void *), type, out, size);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "event info %d", command);
    }
}

GC_API DSFlushQueue(HANDLE handle, int32_t operation);

GC_API EventFlush(HANDLE handle) {
    Object *event = object_get(handle, KIND_EVENT);
    if (!event) return fail_handle();
    int32_t result = DSFlushQueue(event->parent->handle, ACQ_QUEUE_OUTPUT_DISCARD);
    object_put(event);
    return result;
}

GC_API EventKill(HANDLE handle) {
    Object *event = object_get(handle, KIND_EVENT);
    if (!event) return fail_handle();
    Stream *stream = (Stream *)event->parent;
    pthread_mutex_lock(&stream->mutex);
    stream->kill_event = stream->waiting > 0;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    object_put(event);
    return GC_ERR_SUCCESS;
}

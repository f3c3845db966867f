/* The Data Stream module: starting, stopping, and what the camera's frames become. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "producer.h"

#define SOCKET_BUFFER_SIZE (4 << 20) /* the kernel cuts it to net.core.rmem_max */
#define FRAME_RETENTION_US 100000

static Device *device_of(Stream *stream) { return (Device *)stream->object.parent; }

static void ready_append(Stream *stream, Buffer *buffer) {
    buffer->state = BUFFER_READY;
    buffer->next_ready = NULL;
    if (stream->ready_last) stream->ready_last->next_ready = buffer;
    else stream->ready_first = buffer;
    stream->ready_last = buffer;
}

static Buffer *ready_take(Stream *stream) {
    Buffer *buffer = stream->ready_first;
    if (!buffer) return NULL;
    stream->ready_first = buffer->next_ready;
    if (!stream->ready_first) stream->ready_last = NULL;
    buffer->state = BUFFER_IDLE;
    return buffer;
}

/* On Aravis' stream thread, which ends before the stream does. */
static void take_frame(Stream *stream, ArvBuffer *frame, uint64_t now) {
    Buffer *buffer = (Buffer *)arv.arv_buffer_get_user_data(frame);
    int status = arv.arv_buffer_get_status(frame);
    uint64_t total = arv.arv_stream_get_info_uint64_by_name(stream->arv, "n_missing_packets");
    buffer->missing_packets = status == ARV_BUFFER_STATUS_SUCCESS ? 0 : total - stream->missing_total;
    if (status != ARV_BUFFER_STATUS_SUCCESS && buffer->missing_packets == 0) buffer->missing_packets = 1;
    stream->missing_total = total;
    buffer->received_ns = now;
    buffer->fresh = true;
    if (status == ARV_BUFFER_STATUS_ABORTED || stream->remaining == 0) {
        if (stream->grabbing && status != ARV_BUFFER_STATUS_ABORTED) {
            arv.arv_stream_push_buffer(stream->arv, frame); /* beyond the number that was asked for */
            return;
        }
    } else {
        if (stream->remaining != GENTL_INFINITE) stream->remaining--;
        if (status != ARV_BUFFER_STATUS_SUCCESS) {
            stream->incomplete++;
            stream->missed_packets += buffer->missing_packets;
        }
        stream->fired++;
        ready_append(stream, buffer);
    }
    arv.g_object_unref(frame);
}

static void on_stream(void *context, int type, ArvBuffer *frame) {
    (void)frame; /* taken from the queue, with those that Aravis puts there without telling */
    if (type != ARV_STREAM_CALLBACK_BUFFER_DONE) return;
    Stream *stream = context;
    uint64_t now = (uint64_t)monotonic_ns();
    device_of(stream)->alive_ns = (int64_t)now;
    pthread_mutex_lock(&stream->mutex);
    for (ArvBuffer *next; (next = arv.arv_stream_try_pop_buffer(stream->arv));) take_frame(stream, next, now);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

void stream_refresh(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    if (stream->arv) {
        stream->lost_frames = arv.arv_stream_get_info_uint64_by_name(stream->arv, "n_underruns") +
                              arv.arv_stream_get_info_uint64_by_name(stream->arv, "n_missing_frames");
        stream->resent_packets = arv.arv_stream_get_info_uint64_by_name(stream->arv, "n_resent_packets");
    }
    pthread_mutex_unlock(&stream->mutex);
}

void stream_wake(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

/* Aravis sets the size of the socket buffer with the first packet of the first frame, when the rest
 * of that frame has overrun it already. The socket is ours to find: it has the stream's port. */
static void enlarge_socket_buffer(uint16_t port, int bytes) {
    DIR *list = opendir("/proc/self/fd");
    if (!list) return;
    for (struct dirent *entry; (entry = readdir(list));) {
        struct sockaddr_in local = {0};
        socklen_t size = sizeof local;
        int fd = atoi(entry->d_name), type = 0;
        if (entry->d_name[0] == '.' || getsockname(fd, (struct sockaddr *)&local, &size) != 0) continue;
        if (local.sin_family != AF_INET || ntohs(local.sin_port) != port) continue;
        size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM)
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    closedir(list);
}

static int32_t start(Stream *stream, uint64_t number) {
    Device *device = device_of(stream);
    if (device->lost) return fail(GC_ERR_IO, "%s", device->lost);
    pthread_mutex_lock(&stream->mutex);
    bool busy = stream->arv || stream->grabbing, none = !stream->announced;
    if (!busy) stream->grabbing = true;
    pthread_mutex_unlock(&stream->mutex);
    if (busy) return fail(GC_ERR_RESOURCE_IN_USE, "acquisition is running");
    GError *error = NULL;
    ArvStream *created = NULL;
    if (!none) {
        /* A size that the consumer wrote is kept as long as such packets arrive at all. */
        arv.arv_gv_device_set_packet_size_adjustment(
            device->arv, device->packet_size_set ? ARV_PACKET_SIZE_ADJUST_ON_FAILURE : ARV_PACKET_SIZE_ADJUST_ONCE);
        device->commands_in_flight++;
        created = arv.arv_device_create_stream(device->arv, on_stream, stream, &error);
        device->commands_in_flight--;
    }
    if (!created) {
        pthread_mutex_lock(&stream->mutex);
        stream->grabbing = false;
        pthread_mutex_unlock(&stream->mutex);
        return none ? fail(GC_ERR_INVALID_BUFFER, "no buffer was announced")
                    : device_error(error, "the stream cannot be started");
    }
    enlarge_socket_buffer(arv.arv_gv_stream_get_port(created), (int)stream->socket_buffer);
    arv.g_object_set(created, "socket-buffer-size", (int)stream->socket_buffer, "frame-retention",
                     (unsigned)stream->frame_retention_us, NULL);
    /* Only off: Aravis has left it off itself where the camera cannot resend. */
    if (!stream->packet_resend) arv.g_object_set(created, "packet-resend", 0, NULL);
    pthread_mutex_lock(&stream->mutex);
    stream->arv = created;
    stream->missing_total = 0;
    stream->remaining = number;
    stream->delivered = stream->incomplete = stream->missed_packets = 0;
    for (Buffer *buffer = stream->announced; buffer; buffer = buffer->next)
        if (buffer->state == BUFFER_QUEUED) arv.arv_stream_push_buffer(created, arv.g_object_ref(buffer->arv));
    pthread_mutex_unlock(&stream->mutex);
    return GC_ERR_SUCCESS;
}

/* Ends when no thread writes into the buffers any more. */
void stream_stop(Stream *stream) {
    stream_refresh(stream);
    pthread_mutex_lock(&stream->mutex);
    ArvStream *running = stream->grabbing ? stream->arv : NULL;
    if (running) stream->grabbing = false;
    pthread_mutex_unlock(&stream->mutex);
    if (!running) return;
    arv.arv_stream_stop_thread(running, true); /* with its references to our buffers */
    /* Aravis 0.8 stops the thread when the stream goes, and complains of one that does not run. An
     * idle one, without buffers, touches nothing of ours. */
    arv.arv_stream_start_thread(running);
    pthread_mutex_lock(&stream->mutex);
    stream->arv = NULL;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    if (device_of(stream)->lost) release_later(running);
    else arv.g_object_unref(running);
}

void stream_close(Stream *stream) {
    if (!object_withdraw(&stream->object)) return;
    stream_stop(stream);
    pthread_mutex_lock(&stream->mutex);
    stream->closed = true;
    stream->ready_first = stream->ready_last = NULL;
    Buffer *buffer = stream->announced;
    stream->announced = NULL;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    while (buffer) {
        Buffer *next = buffer->next;
        Object *held = object_get(buffer->object.handle, KIND_BUFFER);
        if (held) object_withdraw(held);
        object_put(held);
        buffer = next;
    }
    Object *event = object_get(stream->event, KIND_EVENT);
    if (event) object_withdraw(event);
    object_put(event);
    device_of(stream)->stream = NULL;
}

static void destroy(Object *object) {
    Stream *stream = (Stream *)object;
    pthread_mutex_destroy(&stream->mutex);
    pthread_cond_destroy(&stream->changed);
}

GC_API DevOpenDataStream(HANDLE handle, const char *id, HANDLE *out) {
    Device *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    int32_t result = GC_ERR_SUCCESS;
    Stream *stream = NULL;
    Object *other = object_get(device->stream, KIND_STREAM);
    if (!out || !id) result = fail(GC_ERR_INVALID_PARAMETER, "the id or the handle pointer is NULL");
    else if (strcmp(id, "Stream0") != 0) result = fail(GC_ERR_INVALID_ID, "no data stream \"%s\"", id);
    else if (other) result = fail(GC_ERR_RESOURCE_IN_USE, "the data stream is open already");
    else if (!(stream = object_new(KIND_STREAM, sizeof *stream, &device->object, destroy)))
        result = fail(GC_ERR_OUT_OF_MEMORY, "too many open objects");
    object_put(other);
    if (stream) {
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        pthread_mutex_init(&stream->mutex, NULL);
        pthread_cond_init(&stream->changed, &monotonic);
        pthread_condattr_destroy(&monotonic);
        stream->socket_buffer = SOCKET_BUFFER_SIZE;
        stream->packet_resend = 1;
        stream->frame_retention_us = FRAME_RETENTION_US;
        device->stream = *out = stream->object.handle;
        object_put(&stream->object);
    }
    object_put(&device->object);
    return result;
}

GC_API DSClose(HANDLE handle) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    stream_close(stream);
    object_put(&stream->object);
    return GC_ERR_SUCCESS;
}

GC_API DSStartAcquisition(HANDLE handle, int32_t flags, uint64_t number) {
    (void)flags;
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    int32_t result = number ? start(stream, number) : fail(GC_ERR_INVALID_PARAMETER, "no frame is asked for");
    object_put(&stream->object);
    return result;
}

GC_API DSStopAcquisition(HANDLE handle, int32_t flags) {
    (void)flags; /* a partly filled buffer is given up either way */
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    stream_stop(stream);
    object_put(&stream->object);
    return GC_ERR_SUCCESS;
}

GC_API DSFlushQueue(HANDLE handle, int32_t operation) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    int32_t result = GC_ERR_SUCCESS;
    pthread_mutex_lock(&stream->mutex);
    bool discard = operation == ACQ_QUEUE_OUTPUT_DISCARD || operation == ACQ_QUEUE_ALL_DISCARD;
    bool refill = operation == ACQ_QUEUE_ALL_TO_INPUT || operation == ACQ_QUEUE_UNQUEUED_TO_INPUT;
    if (!discard && !refill) {
        result = fail(GC_ERR_NOT_IMPLEMENTED, "flush operation %d", operation);
    } else if (operation == ACQ_QUEUE_ALL_DISCARD && stream->grabbing) {
        result = fail(GC_ERR_BUSY, "stop the acquisition before its input is discarded");
    } else {
        if (operation != ACQ_QUEUE_UNQUEUED_TO_INPUT)
            while (ready_take(stream)) continue;
        for (Buffer *buffer = stream->announced; buffer; buffer = buffer->next) {
            if (operation == ACQ_QUEUE_ALL_DISCARD) {
                buffer->state = BUFFER_IDLE;
            } else if (refill && buffer->state == BUFFER_IDLE) {
                buffer->state = BUFFER_QUEUED;
                if (stream->grabbing && stream->arv)
                    arv.arv_stream_push_buffer(stream->arv, arv.g_object_ref(buffer->arv));
            }
        }
    }
    pthread_mutex_unlock(&stream->mutex);
    object_put(&stream->object);
    return result;
}

/* Waits for the next frame. What has arrived is handed out even when the camera is gone since. */
int32_t event_next(Stream *stream, NewBufferEvent *data, uint64_t timeout_ms) {
    struct timespec until;
    int64_t end = monotonic_ns() + (int64_t)(timeout_ms > 86400000 ? 86400000 : timeout_ms) * 1000000;
    until.tv_sec = end / 1000000000;
    until.tv_nsec = end % 1000000000;
    int32_t result = GC_ERR_SUCCESS;
    pthread_mutex_lock(&stream->mutex);
    stream->waiting++;
    for (;;) {
        Buffer *buffer = ready_take(stream);
        if (buffer) {
            stream->delivered++;
            data->buffer = buffer->object.handle;
            data->user_pointer = buffer->user_pointer;
            break;
        }
        bool aborted = stream->closed || stream->kill_event;
        if (aborted || device_of(stream)->lost || monotonic_ns() >= end) {
            result = aborted                     ? fail(GC_ERR_ABORT, "the wait was ended")
                     : device_of(stream)->lost ? fail(GC_ERR_IO, "%s", device_of(stream)->lost)
                                                 : fail(GC_ERR_TIMEOUT, "no frame in %llu ms", (unsigned long long)timeout_ms);
            break;
        }
        pthread_cond_timedwait(&stream->changed, &stream->mutex, &until);
    }
    if (--stream->waiting == 0) stream->kill_event = false;
    pthread_mutex_unlock(&stream->mutex);
    return result;
}

/* The Data Stream module: starting, stopping, and what the camera's frames become. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "producer.h"

#define REGISTER_PACKET_SIZE 0x0D04

static Device *device_of(Stream *stream) { return (Device *)stream->object.parent; }

static Buffer *ready_take(Stream *stream) {
    Buffer *buffer = stream->ready_first;
    if (!buffer) return NULL;
    stream->ready_first = buffer->next_ready;
    if (!stream->ready_first) stream->ready_last = NULL;
    buffer->state = BUFFER_IDLE;
    return buffer;
}

/* On Aravis' stream thread, which ends before the stream does. */
static void on_stream(void *context, int type, ArvBuffer *frame) {
    (void)frame; /* taken from the queue, with those that Aravis puts there without telling */
    Stream *stream = context;
    if (type == ARV_STREAM_CALLBACK_START_BUFFER) pause_in_frame(&stream->pause);
    if (type != ARV_STREAM_CALLBACK_BUFFER_DONE) return;
    pause_after_frame(&stream->pause);
    uint64_t now = (uint64_t)monotonic_ns();
    device_of(stream)->alive_ns = (int64_t)now;
    pthread_mutex_lock(&stream->mutex);
    for (ArvBuffer *next; (next = arv.arv_stream_try_pop_buffer(stream->arv));) frame_take(stream, next, now);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

/* Brings the counters that are not ours up to date; the stream is locked. */
static void refresh(Stream *stream) {
    static const char *const NAMES[] = {"n_received_packets", "n_resend_requests", "n_resent_packets",
                                        "n_duplicated_packets", "n_ignored_packets"};
    StreamCounters *counters = &stream->counters;
    uint64_t *values[] = {&counters->received_packets, &counters->resend_requests, &counters->resent_packets,
                          &counters->duplicated_packets, &counters->ignored_packets};
    if (!stream->arv) return;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        *values[i] = arv.arv_stream_get_info_uint64_by_name(stream->arv, NAMES[i]);
    counters->dropped_packets = guard_dropped(stream->guard);
}

void stream_refresh(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    refresh(stream);
    pthread_mutex_unlock(&stream->mutex);
}

void stream_wake(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

typedef struct {
    Job job;
    Stream *stream;               /* referenced */
    ArvDevice *arv;
    StreamSettings settings;
    bool chosen;                  /* the consumer wrote the packet size */
    ArvStream *created;
    uint32_t packet_size;
    GError *error;
} Create;

static void create_run(Job *job) {
    Create *create = (Create *)job;
    const StreamSettings *settings = &create->settings;
    ArvDevice *device = create->arv;
    uint32_t word = 0;
    if (settings->packet_size && arv.arv_device_read_register(device, REGISTER_PACKET_SIZE, &word, NULL)) {
        /* The upper half says: fire a test packet, do not fragment, byte order. */
        word = (word & 0x7FFF0000u) | (uint32_t)settings->packet_size;
        if (!arv.arv_device_write_register(device, REGISTER_PACKET_SIZE, word, &create->error)) return;
    }
    /* A size that the consumer wrote is kept as long as such packets arrive at all. */
    bool chosen = create->chosen || settings->packet_size;
    arv.arv_gv_device_set_packet_size_adjustment(device, !settings->negotiate ? ARV_PACKET_SIZE_ADJUST_NEVER
                                                         : chosen ? ARV_PACKET_SIZE_ADJUST_ON_FAILURE
                                                                  : ARV_PACKET_SIZE_ADJUST_ONCE);
    arv.arv_gv_device_set_stream_options(device, settings->packet_socket ? 0 : ARV_PACKET_SOCKET_DISABLED);
    create->created = arv.arv_device_create_stream(device, on_stream, create->stream, &create->error);
    if (create->created) arv.arv_device_read_register(device, REGISTER_PACKET_SIZE, &create->packet_size, NULL);
}

static void create_discard(Job *job) {
    Create *create = (Create *)job;
    if (create->error) arv.g_error_free(create->error);
    if (create->created) arv.g_object_unref(create->created);
    object_put(&create->stream->object);
    free(create);
}

static int32_t create(Stream *stream, const StreamSettings *settings, ArvStream **created, uint32_t *packet_size) {
    Device *device = device_of(stream);
    Create *create = calloc(1, sizeof *create);
    if (!create) return fail(GC_ERR_OUT_OF_MEMORY, "no memory");
    object_reference(&stream->object);
    *create = (Create){.job = {.run = create_run, .discard = create_discard},
                       .stream = stream,
                       .arv = device->arv,
                       .settings = *settings,
                       .chosen = device->packet_size_set};
    device_write_begins(device);
    bool over = worker_call(device->worker, &create->job);
    device_write_ends(device);
    if (!over) return fail(GC_ERR_IO, "%s", device->lost);
    int32_t result = GC_ERR_SUCCESS;
    if (!create->created) result = device_error(create->error, "the stream cannot be started");
    if (!create->created) create->error = NULL;
    *packet_size = create->packet_size & 0xFFFF;
    *created = create->created;
    create->created = NULL;
    create_discard(&create->job);
    return result;
}

/* The stream must be idle. False: the socket is not filtered, and must not be used. */
static bool protect(Stream *stream, ArvStream *created, const StreamSettings *settings, size_t least,
                    uint32_t packet_size) {
    Device *device = device_of(stream);
    stream->counters.packet_size = packet_size;
    stream->guard = guard_find_stream(device->camera.local, arv.arv_gv_stream_get_port(created));
    bool safe = stream->guard >= 0 && guard_stream(stream->guard, device->camera.address, packet_size, least);
    /* Aravis sets the size of the socket buffer with the first packet of the first frame, when the
     * rest of that frame has overrun it already. */
    stream->counters.socket_buffer = (uint64_t)guard_socket_buffer(stream->guard, (int)settings->socket_buffer);
    if (safe) guard_drain(stream->guard);
    pause_begin(&stream->pause, settings, stream->counters.socket_buffer, least);
    return safe;
}

static void abandon(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    stream->grabbing = false;
    int guard = stream->guard;
    stream->guard = -1;
    pthread_mutex_unlock(&stream->mutex);
    if (guard >= 0) close(guard);
}

static int32_t start(Stream *stream, uint64_t number) {
    Device *device = device_of(stream);
    if (device->lost) return fail(GC_ERR_IO, "%s", device->lost);
    size_t least = SIZE_MAX;
    pthread_mutex_lock(&stream->mutex);
    bool busy = stream->arv || stream->grabbing, none = !stream->announced;
    if (!busy && !none) stream->grabbing = true;
    for (Buffer *buffer = stream->announced; buffer; buffer = buffer->next)
        if (buffer->size < least) least = buffer->size;
    StreamSettings settings = stream->settings;
    if (!busy) stream->least_buffer = least;
    pthread_mutex_unlock(&stream->mutex);
    if (busy) return fail(GC_ERR_RESOURCE_IN_USE, "acquisition is running");
    if (none) return fail(GC_ERR_INVALID_BUFFER, "no buffer was announced");
    ArvStream *created = NULL;
    uint32_t packet_size = 0;
    int32_t result = create(stream, &settings, &created, &packet_size);
    if (result != GC_ERR_SUCCESS) {
        abandon(stream);
        return result;
    }
    memset(&stream->counters, 0, sizeof stream->counters);
    memset(&stream->last, 0, sizeof stream->last);
    arv.arv_stream_stop_thread(created, false);
    bool safe = protect(stream, created, &settings, least, packet_size);
    arv.arv_stream_start_thread(created);
    if (!safe) {
        abandon(stream);
        device_release(device, created);
        return fail(GC_ERR_ERROR, "the stream's socket cannot be filtered (SO_ATTACH_FILTER, /proc/self/fd)");
    }
    arv.g_object_set(created, "socket-buffer-size", (int)settings.socket_buffer, "frame-retention",
                     (unsigned)settings.frame_retention_us, NULL);
    /* Only off: Aravis has left it off itself where the camera cannot resend. */
    if (!settings.packet_resend) arv.g_object_set(created, "packet-resend", 0, NULL);
    pthread_mutex_lock(&stream->mutex);
    stream->arv = created;
    stream->remaining = number;
    for (Buffer *buffer = stream->announced; buffer; buffer = buffer->next)
        if (buffer->state == BUFFER_QUEUED) buffer_queue(stream, buffer);
    pthread_mutex_unlock(&stream->mutex);
    return GC_ERR_SUCCESS;
}

/* Ends when no thread writes into the buffers any more. */
void stream_stop(Stream *stream) {
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
    refresh(stream);
    stream->arv = NULL;
    int guard = stream->guard;
    stream->guard = -1;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    if (guard >= 0) close(guard);
    device_release(device_of(stream), running);
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
        stream_settings_default(&stream->settings);
        stream->guard = -1;
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
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    int32_t result = number && !flags ? start(stream, number)
                                      : fail(GC_ERR_INVALID_PARAMETER, "no frame is asked for, or unknown flags");
    object_put(&stream->object);
    return result;
}

GC_API DSStopAcquisition(HANDLE handle, int32_t flags) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    /* DEFAULT or KILL: a partly filled buffer is given up either way. */
    bool known = flags == 0 || flags == 1;
    if (known) stream_stop(stream);
    object_put(&stream->object);
    return known ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "stop flags %d", flags);
}

static int32_t flush(Stream *stream, int32_t operation) {
    if (operation < ACQ_QUEUE_INPUT_TO_OUTPUT || operation > ACQ_QUEUE_ALL_DISCARD)
        return fail(GC_ERR_INVALID_PARAMETER, "flush operation %d", operation);
    bool takes_input = operation == ACQ_QUEUE_ALL_DISCARD || operation == ACQ_QUEUE_INPUT_TO_OUTPUT;
    if (takes_input && stream->grabbing) return fail(GC_ERR_BUSY, "stop the acquisition before its input is taken");
    bool empties_output = operation != ACQ_QUEUE_UNQUEUED_TO_INPUT && operation != ACQ_QUEUE_INPUT_TO_OUTPUT;
    while (empties_output && ready_take(stream)) continue;
    for (Buffer *buffer = stream->announced; buffer; buffer = buffer->next) {
        if (operation == ACQ_QUEUE_ALL_DISCARD) buffer->state = BUFFER_IDLE;
        else if (operation == ACQ_QUEUE_INPUT_TO_OUTPUT && buffer->state == BUFFER_QUEUED) frame_append(stream, buffer);
        else if (operation != ACQ_QUEUE_OUTPUT_DISCARD && buffer->state == BUFFER_IDLE) buffer_queue(stream, buffer);
    }
    if (operation == ACQ_QUEUE_INPUT_TO_OUTPUT) pthread_cond_broadcast(&stream->changed);
    return GC_ERR_SUCCESS;
}

GC_API DSFlushQueue(HANDLE handle, int32_t operation) {
    Stream *stream = object_get(handle, KIND_STREAM);
    if (!stream) return fail_handle();
    pthread_mutex_lock(&stream->mutex);
    int32_t result = flush(stream, operation);
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
            stream->counters.delivered++;
            data->buffer = buffer->object.handle;
            data->user_pointer = buffer->user_pointer;
            break;
        }
        bool aborted = stream->closed || stream->kill_event;
        if (aborted || device_of(stream)->lost || (timeout_ms != GENTL_INFINITE && monotonic_ns() >= end)) {
            result = aborted                     ? fail(GC_ERR_ABORT, "the wait was ended")
                     : device_of(stream)->lost ? fail(GC_ERR_IO, "%s", device_of(stream)->lost)
                                                 : fail(GC_ERR_TIMEOUT, "no frame in %llu ms", (unsigned long long)timeout_ms);
            break;
        }
        pthread_cond_timedwait(&stream->changed, &stream->mutex, &until);
    }
    if (!--stream->waiting) stream->kill_event = false;
    pthread_mutex_unlock(&stream->mutex);
    return result;
}

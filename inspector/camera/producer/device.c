/* The Device module: a camera under our control. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "producer.h"

#define REGISTER_CAPABILITY 0x0934
#define CAPABILITY_PENDING_ACK 0x20u
#define REGISTER_HEARTBEAT_TIMEOUT 0x0938
#define REGISTER_CONFIGURATION 0x0954
#define CONFIGURATION_PENDING_ACK 0x2u
#define REGISTER_PENDING_TIMEOUT 0x0958

static pthread_mutex_t connect_mutex = PTHREAD_MUTEX_INITIALIZER; /* so that one new socket is one camera's */
static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;
static char open_ids[64][sizeof(((Found *)0)->id)];

/* Takes or gives back a name in this process. False: it is taken already, or was not. */
static bool claim(const char *id, bool take) {
    int slot = -1, empty = -1;
    pthread_mutex_lock(&open_mutex);
    for (int i = 0; i < 64; i++) {
        if (strcmp(open_ids[i], id) == 0) slot = i;
        if (!open_ids[i][0] && empty < 0) empty = i;
    }
    bool done = take ? slot < 0 && empty >= 0 : slot >= 0;
    if (done && take) snprintf(open_ids[empty], sizeof open_ids[empty], "%s", id);
    else if (done) open_ids[slot][0] = 0;
    pthread_mutex_unlock(&open_mutex);
    return done;
}

bool device_is_open(const Found *camera) {
    bool open = false;
    pthread_mutex_lock(&open_mutex);
    for (int i = 0; i < 64; i++) open |= strcmp(open_ids[i], camera->id) == 0;
    pthread_mutex_unlock(&open_mutex);
    return open;
}

typedef struct {
    Job job;
    void *gobject;
} Release;

static void release_run(Job *job) {
    Release *release = (Release *)job;
    arv.g_object_unref(release->gobject);
    release->gobject = NULL;
}

static void release_discard(Job *job) {
    if (((Release *)job)->gobject) release_run(job);
    free(job);
}

void device_release(Device *device, void *gobject) {
    Release *release = calloc(1, sizeof *release);
    if (!release) {
        arv.g_object_unref(gobject);
        return;
    }
    release->job = (Job){.run = release_run, .discard = release_discard};
    release->gobject = gobject;
    if (worker_call(device->worker, &release->job)) release_discard(&release->job);
}

int32_t device_error(GError *error, const char *what) {
    int32_t code = GC_ERR_IO;
    switch (error ? error->code : -1) {
    case ARV_ERROR_INVALID_PARAMETER: code = GC_ERR_INVALID_PARAMETER; break;
    case ARV_ERROR_INVALID_ADDRESS:
    case ARV_ERROR_BAD_ALIGNMENT: code = GC_ERR_INVALID_ADDRESS; break;
    case ARV_ERROR_WRITE_PROTECT:
    case ARV_ERROR_ACCESS_DENIED: code = GC_ERR_ACCESS_DENIED; break;
    case ARV_ERROR_BUSY: code = GC_ERR_BUSY; break;
    default: break;
    }
    fail(code, "%s: %s", what, error ? error->message : "no answer");
    if (error) arv.g_error_free(error);
    return code;
}

static void destroy(Object *object) {
    Device *device = (Device *)object;
    device_keep(device, false);
    if (device->arv) device_release(device, device->arv);
    device_unwatch(device);
    if (device->control >= 0) close(device->control);
    if (device->worker) worker_end(device->worker);
    claim(device->camera.id, false);
    pthread_mutex_destroy(&device->watch_mutex);
    pthread_cond_destroy(&device->watch_wake);
}

static ArvDevice *connect_camera(const Found *camera, GError **error) {
    char local[INET_ADDRSTRLEN], remote[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &camera->local, local, sizeof local);
    inet_ntop(AF_INET, &camera->address, remote, sizeof remote);
    GInetAddress *ours = arv.g_inet_address_new_from_string(local);
    GInetAddress *theirs = arv.g_inet_address_new_from_string(remote);
    ArvDevice *opened = arv.arv_gv_device_new(ours, theirs, error);
    arv.g_object_unref(ours);
    arv.g_object_unref(theirs);
    return opened;
}

typedef struct {
    Job job;
    Found camera;
    ArvDevice *arv;
    GError *error;
    int control;
    uint32_t heartbeat_ms, pending_ms;
} Connect;

/* A camera may be slow over a command and say so (PENDING_ACK), if it is asked to: then its silence
 * means more. Returns after how many ms it would say so, 0 where it cannot. */
static uint32_t ask_for_pending_ack(ArvDevice *device) {
    uint32_t capability = 0, configuration = 0, timeout_ms = 0;
    if (!arv.arv_device_read_register(device, REGISTER_CAPABILITY, &capability, NULL)) return 0;
    if (!(capability & CAPABILITY_PENDING_ACK)) return 0;
    if (!arv.arv_device_read_register(device, REGISTER_CONFIGURATION, &configuration, NULL)) return 0;
    if (!(configuration & CONFIGURATION_PENDING_ACK) &&
        !arv.arv_device_write_register(device, REGISTER_CONFIGURATION, configuration | CONFIGURATION_PENDING_ACK, NULL))
        return 0;
    return arv.arv_device_read_register(device, REGISTER_PENDING_TIMEOUT, &timeout_ms, NULL) ? timeout_ms : 0;
}

static void connect_run(Job *job) {
    Connect *connect = (Connect *)job;
    int before[GUARD_SOCKETS];
    pthread_mutex_lock(&connect_mutex);
    int count = guard_before_open(connect->camera.local, before, GUARD_SOCKETS);
    connect->arv = connect_camera(&connect->camera, &connect->error);
    if (connect->arv) connect->control = guard_after_open(&connect->camera, before, count);
    pthread_mutex_unlock(&connect_mutex);
    if (!connect->arv || !arv.arv_gv_device_is_controller(connect->arv)) return;
    arv.arv_device_read_register(connect->arv, REGISTER_HEARTBEAT_TIMEOUT, &connect->heartbeat_ms, NULL);
    connect->pending_ms = ask_for_pending_ack(connect->arv);
}

static void connect_discard(Job *job) {
    Connect *connect = (Connect *)job;
    if (connect->error) arv.g_error_free(connect->error);
    if (connect->control >= 0) close(connect->control);
    if (connect->arv) arv.g_object_unref(connect->arv);
    free(connect);
}

static int32_t take_control(Device *device) {
    Connect *connect = calloc(1, sizeof *connect);
    if (!connect) return fail(GC_ERR_OUT_OF_MEMORY, "no memory");
    connect->job = (Job){.run = connect_run, .discard = connect_discard};
    connect->camera = device->camera;
    connect->control = -1;
    device_watch(device);
    device_write_begins(device);
    bool done = worker_call(device->worker, &connect->job);
    device_write_ends(device);
    if (!done) return fail(GC_ERR_IO, "%s", device->lost);
    int32_t result = GC_ERR_SUCCESS;
    if (connect->arv) {
        device->arv = connect->arv;
        device->control = connect->control;
        connect->arv = NULL;
        connect->control = -1;
        if (!arv.arv_gv_device_is_controller(device->arv))
            result = fail(GC_ERR_ACCESS_DENIED, "another program has control of %s", device->camera.id);
        device_patience(device, connect->heartbeat_ms, connect->pending_ms);
    } else {
        result = device_error(connect->error, "the camera cannot be opened");
        connect->error = NULL;
    }
    connect_discard(&connect->job);
    device_keep(device, result == GC_ERR_SUCCESS);
    return result;
}

int32_t device_open(Interface *interface, const Found *camera, HANDLE *handle) {
    if (!claim(camera->id, true)) return fail(GC_ERR_RESOURCE_IN_USE, "%s is open in this process", camera->id);
    Device *device = object_new(KIND_DEVICE, sizeof *device, &interface->object, destroy);
    if (!device) {
        claim(camera->id, false);
        return fail(GC_ERR_OUT_OF_MEMORY, "too many open objects");
    }
    device->camera = *camera;
    device->control = -1;
    device->worker = worker_new();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&device->watch_mutex, NULL);
    pthread_cond_init(&device->watch_wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Aravis reads the whole description before it finds out that it may not have control. */
    int32_t result = GC_ERR_SUCCESS;
    int32_t status = 0;
    size_t size = sizeof status;
    device_info(camera, false, DEVICE_INFO_ACCESS_STATUS, NULL, &status, &size);
    if (!device->worker)
        result = fail(GC_ERR_OUT_OF_MEMORY, "no thread for the camera");
    else if (status == DEVICE_ACCESS_STATUS_BUSY)
        result = fail(GC_ERR_ACCESS_DENIED, "another program has control of %s", camera->id);
    else if (status == DEVICE_ACCESS_STATUS_NOACCESS)
        result = fail(GC_ERR_IO, "%s does not answer register reads: is it on our subnet?", camera->id);
    else
        result = take_control(device);
    if (result == GC_ERR_SUCCESS) {
        Remote *remote = object_new(KIND_REMOTE, sizeof *remote, &device->object, NULL);
        if (remote) {
            device->remote = remote->object.handle;
            object_put(&remote->object);
        }
        *handle = device->object.handle;
    } else {
        object_withdraw(&device->object);
    }
    object_put(&device->object);
    return result;
}

GC_API DevClose(HANDLE handle) {
    Device *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    if (object_withdraw(&device->object)) {
        Stream *stream = object_get(device->stream, KIND_STREAM);
        if (stream) stream_close(stream);
        object_put((Object *)stream);
        Object *remote = object_get(device->remote, KIND_REMOTE);
        if (remote) object_withdraw(remote);
        object_put(remote);
    }
    object_put(&device->object);
    return GC_ERR_SUCCESS;
}

GC_API DevGetPort(HANDLE handle, HANDLE *port) {
    Device *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    if (port) *port = device->remote;
    object_put(&device->object);
    return port ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
}

GC_API DevGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size) {
    Device *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    int32_t result = device_info(&device->camera, true, command, type, out, size);
    object_put(&device->object);
    return result;
}

GC_API DevGetNumDataStreams(HANDLE handle, uint32_t *count) {
    Object *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    if (count) *count = 1;
    object_put(device);
    return count ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
}

GC_API DevGetDataStreamID(HANDLE handle, uint32_t index, char *id, size_t *size) {
    Object *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    object_put(device);
    return index ? fail(GC_ERR_INVALID_INDEX, "no data stream %u", index) : answer_id("Stream0", id, size);
}

GC_API DevGetParentIF(HANDLE handle, HANDLE *parent) {
    Object *device = object_get(handle, KIND_DEVICE);
    if (!device) return fail_handle();
    if (parent) *parent = device->parent->handle;
    object_put(device);
    return parent ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
}

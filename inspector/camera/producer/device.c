/* The Device module: a camera under our control. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "producer.h"

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

static void *release(void *gobject) {
    arv.g_object_unref(gobject);
    return NULL;
}

/* Aravis says goodbye to the camera when its objects go, which takes 2.5 s a register if nobody
 * answers. Nobody should wait for that. */
void release_later(void *gobject) {
    pthread_t thread;
    if (!gobject) return;
    if (pthread_create(&thread, NULL, release, gobject) == 0) pthread_detach(thread);
    else arv.g_object_unref(gobject);
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
    device_unwatch(device);
    claim(device->camera.id, false);
    if (device->lost) release_later(device->arv);
    else if (device->arv) arv.g_object_unref(device->arv);
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

static int32_t take_control(Device *device) {
    GError *error = NULL;
    int before[GUARD_SOCKETS];
    pthread_mutex_lock(&connect_mutex);
    int count = guard_before_open(device->camera.local, before, GUARD_SOCKETS);
    device->arv = connect_camera(&device->camera, &error);
    if (device->arv) guard_after_open(&device->camera, before, count);
    pthread_mutex_unlock(&connect_mutex);
    if (!device->arv) return device_error(error, "the camera cannot be opened");
    if (!arv.arv_gv_device_is_controller(device->arv))
        return fail(GC_ERR_ACCESS_DENIED, "another program has control of %s", device->camera.id);
    device_watch(device);
    return GC_ERR_SUCCESS;
}

int32_t device_open(Interface *interface, const Found *camera, HANDLE *handle) {
    if (!claim(camera->id, true)) return fail(GC_ERR_RESOURCE_IN_USE, "%s is open in this process", camera->id);
    Device *device = object_new(KIND_DEVICE, sizeof *device, &interface->object, destroy);
    if (!device) {
        claim(camera->id, false);
        return fail(GC_ERR_OUT_OF_MEMORY, "too many open objects");
    }
    device->camera = *camera;
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
    if (status == DEVICE_ACCESS_STATUS_BUSY)
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

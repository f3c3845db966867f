/* One thread for each open camera: keeps control, and finds out soon that the camera is gone.
 *
 * Aravis sends a heartbeat each second, too seldom for a short GevHeartbeatTimeout, and gives a
 * dead camera up after 5.8 s. We write the timeout register three times a timeout: a write, and
 * not a read, because only a write is refused when control has gone to somebody else. Between
 * those we ask on a socket of our own, whose patience is shorter than that of Aravis.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

#define REGISTER_HEARTBEAT_TIMEOUT 0x0938
#define REGISTER_CONTROL 0x0A00
#define PROBE_PERIOD_MS 150
#define PROBE_WAIT_MS 150
#define SILENCE_MS 750
/* A camera may be deaf while it carries out a command, for as long as Aravis waits for its answer. */
#define SILENCE_IN_COMMAND_MS 3000

void device_lost(Device *device, const char *reason) {
    const char *not_yet = NULL;
    if (!atomic_compare_exchange_strong(&device->lost, &not_yet, reason)) return;
    Stream *stream = object_get(device->stream, KIND_STREAM);
    if (stream) stream_wake(stream);
    object_put((Object *)stream);
}

static bool wait_or_stop(Device *device, int ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&device->watch_mutex);
    int waited = 0;
    while (!device->watch_stop && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&device->watch_wake, &device->watch_mutex, &until);
    bool stop = device->watch_stop;
    pthread_mutex_unlock(&device->watch_mutex);
    return stop;
}

/* False when the camera no longer accepts us as the one in control. */
static bool keep_control(Device *device) {
    GError *error = NULL;
    if (arv.arv_device_write_register(device->arv, REGISTER_HEARTBEAT_TIMEOUT,
                                      (uint32_t)device->heartbeat_ms, &error))
        return true;
    int code = error ? error->code : ARV_ERROR_TIMEOUT;
    if (error) arv.g_error_free(error);
    if (code == ARV_ERROR_TIMEOUT) return true; /* silence is for the probe to judge */
    uint32_t privilege = 0; /* a camera whose timeout is read-only: reading keeps control too */
    if (!arv.arv_device_read_register(device->arv, REGISTER_CONTROL, &privilege, NULL)) return true;
    return code != ARV_ERROR_ACCESS_DENIED && (privilege & 3) != 0;
}

static void *watch(void *context) {
    Device *device = context;
    int fd = gvcp_probe_open(&device->camera);
    uint16_t request = 0;
    int64_t kept_ns = 0;
    while (fd >= 0 && !device->lost && !wait_or_stop(device, PROBE_PERIOD_MS)) {
        if (gvcp_probe(fd, &request, PROBE_WAIT_MS) != PROBE_SILENT) device->alive_ns = monotonic_ns();
        int64_t now = monotonic_ns(), silent_ms = (now - device->alive_ns) / 1000000;
        if (silent_ms > (device->commands_in_flight ? SILENCE_IN_COMMAND_MS : SILENCE_MS))
            device_lost(device, "it no longer answers");
        if (silent_ms == 0 && (now - kept_ns) / 1000000 >= device->heartbeat_ms / 3 && !device->lost) {
            kept_ns = now;
            if (!keep_control(device))
                device_lost(device, "it no longer takes our commands: it was restarted, or another program took control");
        }
    }
    if (fd >= 0) close(fd);
    return NULL;
}

void device_watch(Device *device) {
    uint32_t timeout = 0;
    arv.arv_device_read_register(device->arv, REGISTER_HEARTBEAT_TIMEOUT, &timeout, NULL);
    device->heartbeat_ms = timeout >= 500 && timeout <= 600000 ? (int)timeout : 3000;
    device->alive_ns = monotonic_ns();
    device->watching = pthread_create(&device->watcher, NULL, watch, device) == 0;
}

void device_unwatch(Device *device) {
    if (!device->watching) return;
    pthread_mutex_lock(&device->watch_mutex);
    device->watch_stop = true;
    pthread_cond_signal(&device->watch_wake);
    pthread_mutex_unlock(&device->watch_mutex);
    pthread_join(device->watcher, NULL);
    device->watching = false;
}

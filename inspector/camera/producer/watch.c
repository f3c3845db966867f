/* One thread for each open camera: keeps control, and finds out soon that the camera is gone.
 *
 * Aravis sends a heartbeat each second, too seldom for a short GevHeartbeatTimeout, and gives a
 * dead camera up after 5.8 s. We write the timeout register three times a timeout: a write, and
 * not a read, because only a write is refused when control has gone to somebody else. Between
 * those we ask on a socket of our own, whose patience is shorter than that of Aravis.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

#define REGISTER_HEARTBEAT_TIMEOUT 0x0938
#define REGISTER_CONTROL 0x0A00
#define PROBE_PERIOD_MS 150
#define PROBE_WAIT_MS 150
#define SILENCE_MS 750
#define MOST_REFUSED 2 /* in a row: its host answers that no camera listens there */
#define USUAL_HEARTBEAT_MS 3000
/* A camera may be deaf while it carries out a command, for as long as Aravis waits for its answer. One
 * that knows PENDING_ACK says so in time, or is dead. */
#define SILENCE_IN_COMMAND_MS 3000

static void give_up(Device *device, const char *reason) {
    device->lost = reason;
    worker_give_up(device->worker);
    Stream *stream = object_get(device->stream, KIND_STREAM);
    if (stream) stream_wake(stream);
    object_put((Object *)stream); /* perhaps the last thing that held the device */
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

typedef struct {
    Job job;
    ArvDevice *arv;
    uint32_t heartbeat_ms;
    bool kept;
} Keep;

/* Not kept when the camera no longer accepts us as the one in control. */
static void keep_run(Job *job) {
    Keep *keep = (Keep *)job;
    GError *error = NULL;
    keep->kept = true;
    if (arv.arv_device_write_register(keep->arv, REGISTER_HEARTBEAT_TIMEOUT, keep->heartbeat_ms, &error)) return;
    int code = error ? error->code : ARV_ERROR_TIMEOUT;
    if (error) arv.g_error_free(error);
    if (code == ARV_ERROR_TIMEOUT) return; /* silence is for the probe to judge */
    uint32_t privilege = 0; /* a camera whose timeout is read-only: reading keeps control too */
    if (!arv.arv_device_read_register(keep->arv, REGISTER_CONTROL, &privilege, NULL)) return;
    keep->kept = code != ARV_ERROR_ACCESS_DENIED && (privilege & 3) != 0;
}

static void keep_discard(Job *job) { free(job); }

static Keep *keep_begin(Device *device) {
    Keep *keep = calloc(1, sizeof *keep);
    if (!keep) return NULL;
    pthread_mutex_lock(&device->watch_mutex);
    bool wanted = device->keep;
    if (wanted) {
        *keep = (Keep){.job = {.run = keep_run, .discard = keep_discard},
                       .arv = device->arv,
                       .heartbeat_ms = (uint32_t)device->heartbeat_ms};
        worker_post(device->worker, &keep->job);
    }
    pthread_mutex_unlock(&device->watch_mutex);
    if (wanted) return keep;
    free(keep);
    return NULL;
}

/* `heard` is the time of day. */
static void heard_at(Device *device, int64_t now, int64_t heard) {
    struct timespec day;
    clock_gettime(CLOCK_REALTIME, &day);
    int64_t ago = (int64_t)day.tv_sec * 1000000000 + day.tv_nsec - heard;
    if (ago >= 0 && ago < now - device->alive_ns) device->alive_ns = now - ago;
}

/* How long the camera may be silent. */
static int patience_ms(const Device *device, int64_t heard) {
    if (!device->writes_in_flight) return SILENCE_MS;
    /* An acknowledge, and the write is not over: it was PENDING_ACK. */
    return heard != device->heard_before ? SILENCE_IN_COMMAND_MS : device->command_ms;
}

/* Probes until told to stop (NULL), or until the camera must be given up (why). */
static const char *observe(Device *device, int fd, Keep **keep) {
    uint16_t request = 0;
    int64_t kept_ns = 0, heard_before = 0;
    int refused = 0, state = PROBE_FREE;
    /* A probe that nobody answers has waited long enough: the next one follows at once. */
    while (!wait_or_stop(device, state == PROBE_SILENT ? 0 : PROBE_PERIOD_MS)) {
        state = gvcp_probe(fd, &request, PROBE_WAIT_MS);
        int64_t now = monotonic_ns(), heard = guard_control_heard(device->control);
        if (state >= PROBE_BUSY) device->alive_ns = now;
        else if (heard != heard_before) heard_at(device, now, heard);
        heard_before = heard;
        refused = state == PROBE_REFUSED ? refused + 1 : 0;
        int64_t silent_ms = (now - device->alive_ns) / 1000000;
        if (refused == MOST_REFUSED || silent_ms > patience_ms(device, heard)) return "it no longer answers";
        if (*keep && worker_done(device->worker, &(*keep)->job)) {
            bool kept = (*keep)->kept;
            keep_discard(&(*keep)->job);
            *keep = NULL;
            if (!kept)
                return "it no longer takes our commands: it was restarted, or another program took control";
        }
        if (!*keep && silent_ms <= 0 && (now - kept_ns) / 1000000 >= device->heartbeat_ms / 3) {
            kept_ns = now;
            *keep = keep_begin(device);
        }
    }
    return NULL;
}

static void *watch(void *context) {
    Device *device = context;
    int fd = gvcp_probe_open(&device->camera);
    if (fd < 0) return NULL;
    Keep *keep = NULL;
    const char *reason = observe(device, fd, &keep);
    if (keep) worker_leave(device->worker, &keep->job);
    close(fd);
    if (reason) give_up(device, reason);
    return NULL;
}

void device_watch(Device *device) {
    device->heartbeat_ms = USUAL_HEARTBEAT_MS;
    device->command_ms = SILENCE_IN_COMMAND_MS;
    device->alive_ns = monotonic_ns();
    device->watching = pthread_create(&device->watcher, NULL, watch, device) == 0;
}

void device_patience(Device *device, uint32_t heartbeat_ms, uint32_t pending_ms) {
    if (heartbeat_ms >= 500 && heartbeat_ms <= 600000) device->heartbeat_ms = (int)heartbeat_ms;
    if (pending_ms && pending_ms < SILENCE_IN_COMMAND_MS - SILENCE_MS)
        device->command_ms = (int)pending_ms + SILENCE_MS;
}

void device_keep(Device *device, bool keep) {
    pthread_mutex_lock(&device->watch_mutex);
    device->keep = keep;
    pthread_mutex_unlock(&device->watch_mutex);
}

void device_write_begins(Device *device) {
    device->heard_before = guard_control_heard(device->control);
    device->writes_in_flight++;
}

void device_write_ends(Device *device) { device->writes_in_flight--; }

void device_unwatch(Device *device) {
    if (!device->watching) return;
    pthread_mutex_lock(&device->watch_mutex);
    device->watch_stop = true;
    pthread_cond_signal(&device->watch_wake);
    pthread_mutex_unlock(&device->watch_mutex);
    if (pthread_equal(pthread_self(), device->watcher)) pthread_detach(device->watcher);
    else pthread_join(device->watcher, NULL);
    device->watching = false;
}

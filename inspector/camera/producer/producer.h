/* What the files of this producer share: objects behind handles, answers to "get info". */
#ifndef INSPECTOR_PRODUCER_H
#define INSPECTOR_PRODUCER_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "arv.h"
#include "gentl.h"

#define PRODUCER_VENDOR "inspector"
#define PRODUCER_MODEL "inspector_gev"
#define PRODUCER_VERSION "1.1.0"
#define TL_TYPE "GEV"

/* -- objects (object.c) -----------------------------------------------------------------------
 * A handle is a number, never an address, so that a stale one is found out instead of followed.
 * Whoever works on an object holds a reference; closing it takes the handle away at once and the
 * memory when the last reference goes. */

typedef enum {
    KIND_SYSTEM = 1, KIND_INTERFACE = 2, KIND_DEVICE = 4, KIND_REMOTE = 8, KIND_STREAM = 16,
    KIND_BUFFER = 32, KIND_EVENT = 64
} Kind;
#define KIND_MODULE (KIND_SYSTEM | KIND_INTERFACE | KIND_DEVICE | KIND_STREAM)

typedef struct Object Object;
struct Object {
    Kind kind;
    int references;
    HANDLE handle;
    Object *parent; /* referenced */
    void (*destroy)(Object *);
};

void *object_new(Kind kind, size_t size, Object *parent, void (*destroy)(Object *));
void *object_get(HANDLE handle, int kinds);    /* NULL for a stale or wrong handle */
HANDLE object_child(const Object *parent, int kinds); /* of one that is still open, or NULL */
void object_reference(Object *object);
void object_put(Object *object);               /* NULL is fine */
bool object_withdraw(Object *object);          /* false: another thread was first */
int objects_alive(int kinds);

/* -- errors (object.c): the text is kept for each thread, for GCGetLastError ------------------- */

int32_t fail(int32_t code, const char *format, ...) __attribute__((format(printf, 2, 3)));
int32_t fail_handle(void);
bool library_ready(void);

/* -- answers (info.c): buffer NULL asks for the size -------------------------------------------- */

int32_t answer_string(const char *text, int32_t *type, void *buffer, size_t *size);
int32_t answer_bytes(int32_t kind, const void *value, size_t length, int32_t *type, void *buffer, size_t *size);
int32_t answer_uint64(uint64_t value, int32_t *type, void *buffer, size_t *size);
int32_t answer_size(size_t value, int32_t *type, void *buffer, size_t *size);
int32_t answer_int32(int32_t value, int32_t *type, void *buffer, size_t *size);
int32_t answer_uint32(uint32_t value, int32_t *type, void *buffer, size_t *size);
int32_t answer_bool(bool value, int32_t *type, void *buffer, size_t *size);
int32_t answer_pointer(const void *value, int32_t *type, void *buffer, size_t *size);
int32_t answer_id(const char *text, char *buffer, size_t *size);

/* -- GigE Vision control protocol (gvcp.c): our own small client -------------------------------- */

typedef struct {
    char vendor[33], model[33], version[33], serial[17], user_name[17], mac[18];
    char id[128];
    struct in_addr address, local; /* the camera's, and ours on its network */
} Found;

/* BUSY: it lives, but has not answered this question; REFUSED: its address lives, without a camera. */
enum { PROBE_SILENT, PROBE_REFUSED, PROBE_BUSY, PROBE_FREE, PROBE_CONTROLLED };

/* One network interface (its name is the id), or one address that is asked directly. */
typedef struct {
    char id[64], display[96];
    struct in_addr local, target;
    bool broadcast;
} InterfaceEntry;

int gvcp_discover(const InterfaceEntry *entry, int wait_ms, Found *found, int capacity);
int gvcp_probe_open(const Found *camera);
int gvcp_probe(int fd, uint16_t *request, int wait_ms);
int64_t monotonic_ns(void);

/* -- calls that wait for a camera (worker.c) ---------------------------------------------------- */

typedef struct Worker Worker;
typedef struct Job Job;
struct Job {
    void (*run)(Job *);     /* on the worker's thread */
    void (*discard)(Job *); /* frees it and what it holds, whether it ran or not */
    Job *next;
    bool done, left;
};

Worker *worker_new(void);
void worker_post(Worker *worker, Job *job);
bool worker_done(Worker *worker, Job *job);
void worker_leave(Worker *worker, Job *job); /* a posted one: it is discarded when it has ended */
bool worker_call(Worker *worker, Job *job);  /* true: done, and the caller's; false: given up, and left */
void worker_give_up(Worker *worker);         /* ends all waits, now and later */
void worker_end(Worker *worker);             /* after the last job */

/* -- modules ------------------------------------------------------------------------------------ */

typedef struct {
    Object object;
    pthread_mutex_t mutex;
    InterfaceEntry entries[32];
    int count;
} System;

typedef struct {
    Object object;
    pthread_mutex_t mutex;
    InterfaceEntry entry;
    Found found[64];
    int count;
} Interface;

typedef struct Device Device;
typedef struct Stream Stream;

struct Device {
    Object object;
    Found camera;
    ArvDevice *arv;               /* all calls that wait for the camera are jobs of the worker */
    Worker *worker;
    atomic_int control;           /* our descriptor of the socket that Aravis commands on, or -1 */
    HANDLE remote;                /* the remote device's port */
    _Atomic(HANDLE) stream;       /* NULL or the one data stream */
    const char *_Atomic lost;     /* NULL, or why we gave the camera up */
    atomic_bool packet_size_set;  /* by the consumer: then we do not negotiate */
    atomic_int writes_in_flight;
    _Atomic int64_t heard_before; /* control_heard when the newest of them was sent */
    atomic_int command_ms;        /* how long it may be deaf while it carries out a write */
    atomic_int heartbeat_ms;
    _Atomic int64_t alive_ns;     /* when we last heard of the camera */
    pthread_mutex_t watch_mutex;
    pthread_cond_t watch_wake;
    bool watching, watch_stop, keep;
    pthread_t watcher;
};

typedef struct {
    Object object;
} Remote;

typedef enum { BUFFER_IDLE, BUFFER_QUEUED, BUFFER_READY } BufferState;

typedef struct Buffer Buffer;
struct Buffer {
    Object object;
    ArvBuffer *arv;
    void *base, *user_pointer;
    size_t size;
    bool ours;                    /* memory allocated here */
    BufferState state;
    bool fresh, revoked;
    bool short_frame;             /* Aravis says complete, but it is not: see frame.c */
    uint64_t missing_packets, received_ns;
    Buffer *next, *next_ready;    /* announced list, delivery queue */
};

/* Since the start. */
typedef struct {
    uint64_t delivered, started, completed, incomplete, lost, underrun, missed_packets;
    /* counted by Aravis and by the kernel */
    uint64_t received_packets, resend_requests, resent_packets, duplicated_packets, ignored_packets, dropped_packets;
    uint64_t packet_size, socket_buffer;
} StreamCounters;

/* See pause.c. Aravis' stream thread alone uses it. */
typedef struct {
    int64_t begun_ns, took_ns[16];
    unsigned next, open;
    bool alone;                   /* no other frame was open meanwhile */
    int64_t percent;
} Pause;

/* Taken at the next start. */
typedef struct {
    int64_t socket_buffer, packet_resend, frame_retention_us, packet_size, negotiate, packet_socket,
        pause_percent;
} StreamSettings;

struct Stream {
    Object object;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    ArvStream *arv;
    bool grabbing, closed, kill_event;
    int waiting;                  /* threads in EventGetData */
    Buffer *announced, *ready_first, *ready_last;
    HANDLE event;
    int guard;                    /* our descriptor of the socket that Aravis receives on, or -1 */
    size_t least_buffer;          /* the smallest that was announced before the start */
    uint64_t remaining;
    StreamCounters counters;
    StreamSettings settings;
    Pause pause;
    struct {                      /* as of the frame before */
        uint64_t missing, underruns, frame_id, without_leader;
    } last;
};

typedef struct {
    Object object;                /* parent: the stream */
} Event;

int32_t interface_scan(Interface *interface, int wait_ms);
int32_t device_open(Interface *interface, const Found *camera, HANDLE *handle);
int32_t device_info(const Found *camera, bool opened, int32_t command, int32_t *type, void *buffer, size_t *size);
bool device_is_open(const Found *camera);
void device_watch(Device *device);
void device_keep(Device *device, bool keep); /* control of the camera */
void device_patience(Device *device, uint32_t heartbeat_ms, uint32_t pending_ms);
void device_unwatch(Device *device);
int32_t device_error(GError *error, const char *what);
int32_t remote_read(Device *device, uint64_t address, void *buffer, size_t size);
int32_t remote_write(Device *device, uint64_t address, const void *buffer, size_t size);
void stream_wake(Stream *stream);
void stream_stop(Stream *stream);
void stream_close(Stream *stream);
void device_release(Device *device, void *gobject); /* Aravis says goodbye to the camera: waits for it if it lives */
void device_write_begins(Device *device);
void device_write_ends(Device *device);
void stream_refresh(Stream *stream);
void stream_settings_default(StreamSettings *settings);
void pause_begin(Pause *pause, const StreamSettings *settings, uint64_t socket_buffer, size_t payload);
void pause_in_frame(Pause *pause);
void pause_after_frame(Pause *pause);
void frame_append(Stream *stream, Buffer *buffer); /* the stream is locked */
void frame_take(Stream *stream, ArvBuffer *frame, uint64_t now);
void buffer_queue(Stream *stream, Buffer *buffer); /* the stream is locked */
size_t frame_expected_bytes(const Buffer *buffer);
size_t frame_received_bytes(const Buffer *buffer);

/* -- what the network may send to Aravis (guard.c) ------------------------------------------------ */

#define GUARD_SOCKETS 64
bool guard_stream(int fd, struct in_addr camera, uint32_t packet_size, size_t least_buffer);
int guard_find_stream(struct in_addr local, uint16_t port);
int guard_before_open(struct in_addr local, int *fds, int capacity);
int guard_after_open(const Found *camera, const int *before, int count);
int64_t guard_control_heard(int fd);
void guard_drain(int fd);
uint64_t guard_dropped(int fd);
int guard_socket_buffer(int fd, int bytes);
int32_t buffer_info(const Buffer *buffer, int32_t command, int32_t *type, void *out, size_t *size);
int32_t event_next(Stream *stream, NewBufferEvent *data, uint64_t timeout_ms);

/* -- the feature maps of our own modules (module_port.c) ----------------------------------------- */

typedef enum { FEATURE_TEXT, FEATURE_INTEGER, FEATURE_BOOLEAN } FeatureType;
typedef struct {
    const char *name, *tooltip;
    FeatureType type;
    int64_t low, high; /* of one that can be written; low == high: read-only */
} Feature;

const Feature *stream_feature(size_t index); /* NULL past the last */
uint64_t stream_feature_value(Stream *stream, size_t index);
int32_t stream_feature_write(Stream *stream, size_t index, int64_t value);
size_t stream_buffers(const Stream *stream, int state); /* -1: in any; the stream is locked */

size_t module_xml(Object *module, char *text, size_t capacity);
const char *module_name(Kind kind);
const char *module_port_name(Kind kind);
int32_t module_read(Object *module, uint64_t address, void *buffer, size_t size);
int32_t module_write(Object *module, uint64_t address, const void *buffer, size_t size);
#define MODULE_XML_ADDRESS 0x100000u
#define MODULE_XML_MAX 32768u

#endif

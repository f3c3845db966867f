/* Drives the producer through its C interface, for leaks, sanitizers and fuzzing. Prints one line of JSON.
 *
 *   drive PRODUCER.cti CAMERA_ADDRESS START_REGISTER STOP_REGISTER STOP_VALUE PAYLOAD [CYCLES [FRAMES [FUZZ [SEED]]]]
 *
 * Each cycle opens everything, streams FRAMES frames into our own memory and closes everything. With
 * FUZZ, that many malformed datagrams are sent to the sockets of the producer meanwhile, and good
 * frames must come after them. Exit status 0: all calls answered as they must.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drive.h"
#include "gentl.h"

#define FUNCTIONS(X)                                                                                   \
    X(GCInitLib, (void)) X(GCCloseLib, (void)) X(TLOpen, (HANDLE *)) X(TLClose, (HANDLE))               \
    X(TLUpdateInterfaceList, (HANDLE, bool8_t *, uint64_t))                                             \
    X(TLOpenInterface, (HANDLE, const char *, HANDLE *)) X(IFClose, (HANDLE))                           \
    X(IFUpdateDeviceList, (HANDLE, bool8_t *, uint64_t))                                                \
    X(IFGetDeviceID, (HANDLE, uint32_t, char *, size_t *))                                              \
    X(IFOpenDevice, (HANDLE, const char *, int32_t, HANDLE *)) X(DevClose, (HANDLE))                    \
    X(DevGetPort, (HANDLE, HANDLE *)) X(DevOpenDataStream, (HANDLE, const char *, HANDLE *))            \
    X(DSAnnounceBuffer, (HANDLE, void *, size_t, void *, HANDLE *)) X(DSQueueBuffer, (HANDLE, HANDLE))  \
    X(DSRevokeBuffer, (HANDLE, HANDLE, void **, void **)) X(DSStartAcquisition, (HANDLE, int32_t, uint64_t)) \
    X(DSStopAcquisition, (HANDLE, int32_t)) X(DSFlushQueue, (HANDLE, int32_t)) X(DSClose, (HANDLE))     \
    X(DSGetBufferInfo, (HANDLE, HANDLE, int32_t, int32_t *, void *, size_t *))                          \
    X(GCRegisterEvent, (HANDLE, int32_t, HANDLE *)) X(GCUnregisterEvent, (HANDLE, int32_t))             \
    X(EventGetData, (HANDLE, void *, size_t *, uint64_t))                                               \
    X(GCReadPort, (HANDLE, uint64_t, void *, size_t *)) X(GCWritePort, (HANDLE, uint64_t, const void *, size_t *)) \
    X(GCGetPortURL, (HANDLE, char *, size_t *)) X(GCGetLastError, (int32_t *, char *, size_t *))
#define POINTER(name, arguments) static int32_t(*name) arguments;
FUNCTIONS(POINTER)

#define BUFFERS 4
#define CHECK(call) check((call), #call)

typedef struct {
    const char *address;
    uint64_t start, stop;
    uint32_t stop_value;
    size_t payload;
    long frames, fuzz;
    uint32_t seed;
} Plan;

typedef struct {
    HANDLE system, interface, device, remote, stream, event;
} Opened;

static _Atomic uint32_t block;
static long complete, incomplete, after, fuzzed, dropped, received;

static void check(int32_t code, const char *what) {
    if (code == GC_ERR_SUCCESS) return;
    char text[512] = "";
    size_t size = sizeof text;
    int32_t last;
    GCGetLastError(&last, text, &size);
    fprintf(stderr, "%s: %d %s\n", what, code, text);
    exit(1);
}

static void write_register(const Opened *opened, uint64_t address, uint32_t value) {
    uint32_t word = htonl(value);
    size_t size = sizeof word;
    int32_t code = GC_ERR_ERROR;
    for (int i = 0; i < 5 && code != GC_ERR_SUCCESS; i++) code = GCWritePort(opened->remote, address, &word, &size);
    check(code, "GCWritePort");
}

static uint32_t read_register(const Opened *opened, uint64_t address) {
    uint32_t word = 0;
    size_t size = sizeof word;
    CHECK(GCReadPort(opened->remote, address, &word, &size));
    return ntohl(word);
}

/* A counter of the stream's feature map, by its name. */
static long feature(const Opened *opened, const char *name) {
    char url[512], wanted[128];
    size_t size = sizeof url;
    unsigned long long address, length;
    CHECK(GCGetPortURL(opened->stream, url, &size));
    if (sscanf(url, "%*[^;];%llx;%llx", &address, &length) != 2) return -1;
    char *xml = calloc(1, length + 1);
    size = length;
    CHECK(GCReadPort(opened->stream, address, xml, &size));
    snprintf(wanted, sizeof wanted, "<IntReg Name=\"%sReg\"", name);
    char *node = strstr(xml, wanted);
    unsigned long long at = node ? strtoull(strstr(node, "<Address>0x") + 11, NULL, 16) : 0;
    free(xml);
    uint64_t value = 0;
    size = sizeof value;
    CHECK(GCReadPort(opened->stream, at, &value, &size));
    return (long)value;
}

static void open_all(Opened *opened, const char *address) {
    char id[256];
    size_t size = sizeof id;
    bool8_t changed;
    snprintf(id, sizeof id, "address:%s", address);
    CHECK(TLOpen(&opened->system));
    CHECK(TLUpdateInterfaceList(opened->system, &changed, 100));
    CHECK(TLOpenInterface(opened->system, id, &opened->interface));
    int32_t code = GC_ERR_ERROR;
    for (int i = 0; i < 20 && code != GC_ERR_SUCCESS; i++) { /* a busy machine answers late */
        CHECK(IFUpdateDeviceList(opened->interface, &changed, 1000));
        size = sizeof id;
        code = IFGetDeviceID(opened->interface, 0, id, &size);
    }
    check(code, "IFGetDeviceID");
    CHECK(IFOpenDevice(opened->interface, id, DEVICE_ACCESS_EXCLUSIVE, &opened->device));
    CHECK(DevGetPort(opened->device, &opened->remote));
    CHECK(DevOpenDataStream(opened->device, "Stream0", &opened->stream));
    CHECK(GCRegisterEvent(opened->stream, EVENT_NEW_BUFFER, &opened->event));
}

/* The port of the producer's control socket: bound, without a peer, and not the stream's. */
static uint16_t control_port(uint16_t stream_port, struct in_addr local) {
    DIR *list = opendir("/proc/self/fd");
    uint16_t port = 0;
    for (struct dirent *entry; list && (entry = readdir(list));) {
        struct sockaddr_in mine = {0}, peer;
        socklen_t size = sizeof mine, peer_size = sizeof peer;
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || getsockname(fd, (struct sockaddr *)&mine, &size) != 0) continue;
        if (mine.sin_family != AF_INET || mine.sin_addr.s_addr != local.s_addr || ntohs(mine.sin_port) == stream_port) continue;
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0) port = ntohs(mine.sin_port);
    }
    if (list) closedir(list);
    return port;
}

static struct in_addr route_to(struct in_addr camera) {
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(3956), .sin_addr = camera}, mine = {0};
    socklen_t size = sizeof mine;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0) getsockname(fd, (struct sockaddr *)&mine, &size);
    close(fd);
    return mine.sin_addr;
}

typedef struct {
    FuzzTarget target;
    long count;
    volatile bool done;
} Fuzz;

static void *send_fuzz(void *context) {
    Fuzz *fuzz = context;
    fuzzed += fuzz_send(&fuzz->target, fuzz->count);
    fuzz->done = true;
    return NULL;
}

static bool next_frame(const Opened *opened, uint64_t timeout_ms, bool *good) {
    NewBufferEvent data;
    size_t size = sizeof data;
    int32_t code = EventGetData(opened->event, &data, &size, timeout_ms);
    if (code == GC_ERR_TIMEOUT) return false;
    check(code, "EventGetData");
    bool8_t bad = 1;
    size = sizeof bad;
    CHECK(DSGetBufferInfo(opened->stream, data.buffer, BUFFER_INFO_IS_INCOMPLETE, NULL, &bad, &size));
    uint64_t id = 0;
    size = sizeof id;
    if (!bad && DSGetBufferInfo(opened->stream, data.buffer, BUFFER_INFO_FRAMEID, NULL, &id, &size) == GC_ERR_SUCCESS)
        block = (uint32_t)id;
    *good = !bad;
    *(bad ? &incomplete : &complete) += 1;
    CHECK(DSQueueBuffer(opened->stream, data.buffer));
    return true;
}

static void fetch(const Opened *opened, const Plan *plan) {
    bool good = false;
    for (long i = 0; i < plan->frames; i++)
        if (!next_frame(opened, 10000, &good)) check(GC_ERR_TIMEOUT, "waiting for a frame");
    if (!plan->fuzz) return;
    Fuzz fuzz = {.count = plan->fuzz};
    fuzz.target.seed = plan->seed;
    fuzz.target.block = &block;
    inet_pton(AF_INET, plan->address, &fuzz.target.camera);
    fuzz.target.local = route_to(fuzz.target.camera);
    fuzz.target.stream_port = (uint16_t)read_register(opened, 0x0D00);
    fuzz.target.control_port = control_port(fuzz.target.stream_port, fuzz.target.local);
    fuzz.target.packet_size = (unsigned)feature(opened, "StreamPacketSize");
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_fuzz, &fuzz) != 0) exit(1);
    while (!fuzz.done) next_frame(opened, 100, &good);
    pthread_join(thread, NULL);
    for (int tries = 0; after < 20 && tries < 400; tries++)
        if (next_frame(opened, 100, &good) && good) after++;
    if (after < 20) check(GC_ERR_ERROR, "good frames after the fuzzing");
}

static void cycle(const Plan *plan, uint8_t *memory) {
    Opened opened;
    HANDLE buffers[BUFFERS];
    open_all(&opened, plan->address);
    for (int i = 0; i < BUFFERS; i++) {
        CHECK(DSAnnounceBuffer(opened.stream, memory + (size_t)i * plan->payload, plan->payload, &buffers[i], &buffers[i]));
        CHECK(DSQueueBuffer(opened.stream, buffers[i]));
    }
    CHECK(DSStartAcquisition(opened.stream, 0, GENTL_INFINITE));
    if (plan->frames || plan->fuzz) {
        write_register(&opened, plan->start, 1);
        fetch(&opened, plan);
        write_register(&opened, plan->stop, plan->stop_value);
    }
    dropped += feature(&opened, "StreamDroppedPacketCount");
    received += feature(&opened, "StreamReceivedPacketCount");
    CHECK(DSStopAcquisition(opened.stream, 1));
    CHECK(DSFlushQueue(opened.stream, ACQ_QUEUE_ALL_DISCARD));
    for (int i = 0; i < BUFFERS; i++) {
        void *base, *pointer;
        CHECK(DSRevokeBuffer(opened.stream, buffers[i], &base, &pointer));
        if (base != memory + (size_t)i * plan->payload || pointer != &buffers[i]) exit(2);
    }
    CHECK(GCUnregisterEvent(opened.stream, EVENT_NEW_BUFFER));
    CHECK(DSClose(opened.stream));
    CHECK(DevClose(opened.device));
    CHECK(IFClose(opened.interface));
    CHECK(TLClose(opened.system));
}

static int entries(const char *folder) {
    DIR *list = opendir(folder);
    int count = 0;
    while (list && readdir(list)) count++;
    if (list) closedir(list);
    return count - 2;
}

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int count, char **arguments) {
    if (count < 7) return fprintf(stderr, "see the top of drive.c for the arguments\n"), 2;
#define NUMBER(index, otherwise) (count > (index) ? strtol(arguments[index], NULL, 0) : (otherwise))
    Plan plan = {.address = arguments[2], .start = (uint64_t)NUMBER(3, 0), .stop = (uint64_t)NUMBER(4, 0),
                 .stop_value = (uint32_t)NUMBER(5, 0), .payload = (size_t)NUMBER(6, 0), .frames = NUMBER(8, 0),
                 .fuzz = NUMBER(9, 0), .seed = (uint32_t)NUMBER(10, 1)};
    long cycles = NUMBER(7, 1), settled = cycles / 10;
    setenv("INSPECTOR_GEV_ADDRESSES", plan.address, 1);
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 2;
#define LOOKUP(name, arguments) { void *symbol = dlsym(library, #name); memcpy(&name, &symbol, sizeof symbol); }
    FUNCTIONS(LOOKUP)
    uint8_t *memory = malloc(plan.payload * BUFFERS);
    int fds = 0, threads = 0;
    long rss = 0;
    CHECK(GCInitLib());
    for (long i = 0; i < cycles; i++) {
        if (i == settled) fds = entries("/proc/self/fd"), threads = entries("/proc/self/task"), rss = resident_kib();
        cycle(&plan, memory);
    }
    CHECK(GCCloseLib());
    printf("{\"cycles\": %ld, \"complete\": %ld, \"incomplete\": %ld, \"good_after_fuzz\": %ld, \"fuzzed\": %ld, "
           "\"received_packets\": %ld, \"dropped_packets\": %ld, \"fds\": [%d, %d], \"threads\": [%d, %d], \"rss_kib\": [%ld, %ld]}\n",
           cycles, complete, incomplete, after, fuzzed, received, dropped, fds, entries("/proc/self/fd"), threads,
           entries("/proc/self/task"), rss, resident_kib());
    free(memory);
    return 0;
}

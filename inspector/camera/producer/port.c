/* Ports: the registers of the camera, and of our own modules. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "producer.h"

#define REGISTER_URL 0x0200 /* two of 512 bytes */
#define REGISTER_HEARTBEAT_TIMEOUT 0x0938
#define REGISTER_PACKET_SIZE 0x0D04

static int32_t alive(Device *device) {
    return device->lost ? fail(GC_ERR_IO, "%s", device->lost) : GC_ERR_SUCCESS;
}

/* A GigE Vision camera has 32 bits of address; Aravis would cut a longer one off. */
static bool out_of_range(uint64_t address, size_t size) {
    return address > UINT32_MAX || size > (uint64_t)UINT32_MAX + 1 - address;
}

/* One read or write. The protocol moves whole, aligned 32 bit words; GenApi asks for what it likes. */
typedef struct {
    Job job;
    ArvDevice *arv;
    bool write, done;
    uint32_t address, size;
    GError *error;
    uint8_t words[];
} Access;

static void access_run(Job *job) {
    Access *access = (Access *)job;
    if (!access->write) {
        access->done =
            arv.arv_device_read_memory(access->arv, access->address, access->size, access->words, &access->error);
    } else if (access->size == 4) { /* the write that every camera knows */
        uint32_t word;
        memcpy(&word, access->words, 4);
        access->done = arv.arv_device_write_register(access->arv, access->address, ntohl(word), &access->error);
    } else {
        access->done =
            arv.arv_device_write_memory(access->arv, access->address, access->size, access->words, &access->error);
    }
}

static void access_discard(Job *job) {
    Access *access = (Access *)job;
    if (access->error) arv.g_error_free(access->error);
    free(access);
}

static int32_t access_words(Device *device, bool write, uint64_t address, void *words, size_t size) {
    Access *access = malloc(sizeof *access + size);
    if (!access) return fail(GC_ERR_OUT_OF_MEMORY, "no memory");
    *access = (Access){.job = {.run = access_run, .discard = access_discard},
                       .arv = device->arv,
                       .write = write,
                       .address = (uint32_t)address,
                       .size = (uint32_t)size};
    if (write) memcpy(access->words, words, size);
    if (write) device_write_begins(device);
    bool over = worker_call(device->worker, &access->job);
    if (write) device_write_ends(device);
    if (!over) return alive(device); /* given up meanwhile */
    int32_t result = GC_ERR_SUCCESS;
    if (!access->done) result = device_error(access->error, write ? "writing a register failed" : "reading a register failed");
    else if (!write) memcpy(words, access->words, size);
    if (!access->done) access->error = NULL;
    access_discard(&access->job);
    return result;
}

int32_t remote_read(Device *device, uint64_t address, void *buffer, size_t size) {
    int32_t result = alive(device);
    if (result != GC_ERR_SUCCESS || size == 0) return result;
    if (out_of_range(address, size)) return fail(GC_ERR_INVALID_ADDRESS, "the address has more than 32 bits");
    if (size > 64u << 20) return fail(GC_ERR_INVALID_PARAMETER, "reading %zu bytes at once", size);
    uint64_t first = address & ~3ull, end = (address + size + 3) & ~3ull;
    if (first == address && end == address + size) {
        result = access_words(device, false, address, buffer, size);
    } else {
        uint8_t *words = malloc(end - first);
        result = words ? access_words(device, false, first, words, end - first) : fail(GC_ERR_OUT_OF_MEMORY, "no memory");
        if (result == GC_ERR_SUCCESS) memcpy(buffer, words + (address - first), size);
        free(words);
    }
    return result;
}

int32_t remote_write(Device *device, uint64_t address, const void *buffer, size_t size) {
    int32_t result = alive(device);
    if (result != GC_ERR_SUCCESS || size == 0) return result;
    if (out_of_range(address, size)) return fail(GC_ERR_INVALID_ADDRESS, "the address has more than 32 bits");
    uint64_t first = address & ~3ull, end = (address + size + 3) & ~3ull;
    if (end - first > 1u << 20) return fail(GC_ERR_INVALID_PARAMETER, "writing %zu bytes at once", size);
    uint8_t *words = calloc(1, end - first);
    if (!words) return fail(GC_ERR_OUT_OF_MEMORY, "no memory");
    if (end - first != size) result = access_words(device, false, first, words, end - first);
    memcpy(words + (address - first), buffer, size);
    if (result == GC_ERR_SUCCESS) result = access_words(device, true, first, words, end - first);
    if (result == GC_ERR_SUCCESS && size == 4) {
        uint32_t word;
        memcpy(&word, words, 4);
        word = ntohl(word);
        if (address == REGISTER_HEARTBEAT_TIMEOUT && word >= 100 && word <= 600000) device->heartbeat_ms = (int)word;
        if (address == REGISTER_PACKET_SIZE) device->packet_size_set = true;
    }
    free(words);
    return result;
}

static int32_t transfer(HANDLE handle, uint64_t address, void *in, const void *out, size_t size) {
    Object *port = object_get(handle, KIND_MODULE | KIND_REMOTE);
    if (!port) return fail_handle();
    int32_t result;
    if (!in && !out) result = fail(GC_ERR_INVALID_PARAMETER, "the buffer is NULL");
    else if (port->kind == KIND_REMOTE && in) result = remote_read((Device *)port->parent, address, in, size);
    else if (port->kind == KIND_REMOTE) result = remote_write((Device *)port->parent, address, out, size);
    else if (in) result = module_read(port, address, in, size);
    else result = module_write(port, address, out, size);
    object_put(port);
    return result;
}

GC_API GCReadPort(HANDLE handle, uint64_t address, void *buffer, size_t *size) {
    return size ? transfer(handle, address, buffer, NULL, *size)
                : fail(GC_ERR_INVALID_PARAMETER, "the size pointer is NULL");
}

GC_API GCWritePort(HANDLE handle, uint64_t address, const void *buffer, size_t *size) {
    return size ? transfer(handle, address, NULL, buffer, *size)
                : fail(GC_ERR_INVALID_PARAMETER, "the size pointer is NULL");
}

static int32_t stacked(HANDLE handle, PortStackEntry *entries, size_t *count, bool read) {
    if (!entries || !count) return fail(GC_ERR_INVALID_PARAMETER, "the entries or their count are NULL");
    size_t wanted = *count;
    for (*count = 0; *count < wanted; (*count)++) {
        PortStackEntry *entry = &entries[*count];
        int32_t result = transfer(handle, entry->address, read ? entry->buffer : NULL,
                                  read ? NULL : entry->buffer, entry->size);
        if (result != GC_ERR_SUCCESS) return result;
    }
    return GC_ERR_SUCCESS;
}

GC_API GCReadPortStacked(HANDLE handle, PortStackEntry *entries, size_t *count) {
    return stacked(handle, entries, count, true);
}

GC_API GCWritePortStacked(HANDLE handle, PortStackEntry *entries, size_t *count) {
    return stacked(handle, entries, count, false);
}

static int32_t url_of(Object *port, uint32_t index, char *url, size_t capacity) {
    if (port->kind == KIND_REMOTE) {
        char text[513] = {0};
        if (index > 1) return fail(GC_ERR_INVALID_INDEX, "no URL %u", index);
        int32_t result = remote_read((Device *)port->parent, REGISTER_URL + 512 * index, text, 512);
        if (result == GC_ERR_SUCCESS && !text[0]) return fail(GC_ERR_INVALID_INDEX, "no URL %u", index);
        if (result == GC_ERR_SUCCESS) snprintf(url, capacity, "%s", text);
        return result;
    }
    if (index) return fail(GC_ERR_INVALID_INDEX, "no URL %u", index);
    snprintf(url, capacity, "Local:%s_%s.xml;%X;%zX?SchemaVersion=1.1.0", PRODUCER_MODEL, module_name(port->kind),
             MODULE_XML_ADDRESS, module_xml(port, NULL, 0));
    return GC_ERR_SUCCESS;
}

GC_API GCGetNumPortURLs(HANDLE handle, uint32_t *count) {
    Object *port = object_get(handle, KIND_MODULE | KIND_REMOTE);
    if (!port) return fail_handle();
    int32_t result = count ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
    if (count) {
        char url[513];
        *count = 1;
        if (port->kind == KIND_REMOTE && url_of(port, 1, url, sizeof url) == GC_ERR_SUCCESS) *count = 2;
    }
    object_put(port);
    return result;
}

GC_API GCGetPortURL(HANDLE handle, char *out, size_t *size) {
    Object *port = object_get(handle, KIND_MODULE | KIND_REMOTE);
    if (!port) return fail_handle();
    char url[513];
    int32_t result = url_of(port, 0, url, sizeof url);
    object_put(port);
    return result == GC_ERR_SUCCESS ? answer_id(url, out, size) : result;
}

GC_API GCGetPortURLInfo(HANDLE handle, uint32_t index, int32_t command, int32_t *type, void *out, size_t *size) {
    Object *port = object_get(handle, KIND_MODULE | KIND_REMOTE);
    if (!port) return fail_handle();
    char url[513];
    int32_t result = url_of(port, index, url, sizeof url);
    object_put(port);
    if (result != GC_ERR_SUCCESS) return result;
    char name[256] = "";
    unsigned long long address = 0, length = 0;
    int local = sscanf(url, "%*5[Llocal]:%255[^;];%llx;%llx", name, &address, &length) == 3;
    switch (command) {
    case URL_INFO_URL: return answer_string(url, type, out, size);
    case URL_INFO_SCHEMA_VER_MAJOR:
    case URL_INFO_SCHEMA_VER_MINOR: return answer_int32(1, type, out, size);
    case URL_INFO_SCHEME: return answer_int32(local ? 0 : strncmp(url, "http", 4) == 0 ? 1 : 2, type, out, size);
    case URL_INFO_FILENAME:
        return local ? answer_string(name, type, out, size) : fail(GC_ERR_NOT_AVAILABLE, "not a local URL");
    case URL_INFO_FILE_REGISTER_ADDRESS:
        return local ? answer_uint64(address, type, out, size) : fail(GC_ERR_NOT_AVAILABLE, "not a local URL");
    case URL_INFO_FILE_SIZE:
        return local ? answer_uint64(length, type, out, size) : fail(GC_ERR_NOT_AVAILABLE, "not a local URL");
    default: return fail(GC_ERR_NOT_AVAILABLE, "URL info %d", command);
    }
}

GC_API GCGetPortInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size) {
    Object *port = object_get(handle, KIND_MODULE | KIND_REMOTE);
    if (!port) return fail_handle();
    bool remote = port->kind == KIND_REMOTE;
    Found camera = {.vendor = PRODUCER_VENDOR, .model = PRODUCER_MODEL, .version = PRODUCER_VERSION};
    bool gone = remote && ((Device *)port->parent)->lost;
    if (remote) camera = ((Device *)port->parent)->camera;
    else snprintf(camera.id, sizeof camera.id, "%s", module_name(port->kind));
    Kind kind = port->kind;
    object_put(port);
    switch (command) {
    case PORT_INFO_ID: return answer_string(camera.id, type, out, size);
    case PORT_INFO_VENDOR: return answer_string(camera.vendor, type, out, size);
    case PORT_INFO_MODEL: return answer_string(camera.model, type, out, size);
    case PORT_INFO_TLTYPE: return answer_string(TL_TYPE, type, out, size);
    case PORT_INFO_MODULE: return answer_string(module_name(kind), type, out, size);
    case PORT_INFO_LITTLE_ENDIAN: return answer_bool(!remote, type, out, size);
    case PORT_INFO_BIG_ENDIAN: return answer_bool(remote, type, out, size);
    case PORT_INFO_ACCESS_READ:
    case PORT_INFO_ACCESS_WRITE: return answer_bool(!gone, type, out, size);
    case PORT_INFO_ACCESS_NA: return answer_bool(gone, type, out, size);
    case PORT_INFO_ACCESS_NI: return answer_bool(false, type, out, size);
    case PORT_INFO_VERSION: return answer_string(camera.version, type, out, size);
    case PORT_INFO_PORTNAME: return answer_string(module_port_name(kind), type, out, size);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "port info %d", command);
    }
}

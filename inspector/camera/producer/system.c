/* The System module: which network interfaces and addresses there are to look at. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "producer.h"

#define ADDRESSES_VARIABLE "INSPECTOR_GEV_ADDRESSES"

static pthread_mutex_t open_mutex = PTHREAD_MUTEX_INITIALIZER;

static const char *library_path(void) {
    Dl_info info;
    return dladdr((void *)&open_mutex, &info) && info.dli_fname ? info.dli_fname : "inspector_gev.cti";
}

/* The source address that the kernel takes towards `target`. */
static bool route_to(struct in_addr target, struct in_addr *local) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(3956), .sin_addr = target}, mine;
    socklen_t size = sizeof mine;
    bool known = fd >= 0 && connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0 &&
                 getsockname(fd, (struct sockaddr *)&mine, &size) == 0;
    if (known) *local = mine.sin_addr;
    if (fd >= 0) close(fd);
    return known;
}

static int list_addresses(InterfaceEntry *entries, int capacity) {
    const char *variable = getenv(ADDRESSES_VARIABLE);
    char text[1024], *rest = NULL;
    int count = 0;
    snprintf(text, sizeof text, "%s", variable ? variable : "");
    for (char *word = strtok_r(text, ", ", &rest); word && count < capacity; word = strtok_r(NULL, ", ", &rest)) {
        InterfaceEntry *entry = &entries[count];
        memset(entry, 0, sizeof *entry);
        if (inet_pton(AF_INET, word, &entry->target) != 1 || !route_to(entry->target, &entry->local)) continue;
        snprintf(entry->id, sizeof entry->id, "address:%s", word);
        snprintf(entry->display, sizeof entry->display, "asked directly at %s", word);
        count++;
    }
    return count;
}

static int list_networks(InterfaceEntry *entries, int capacity) {
    struct ifaddrs *list, *item;
    int count = 0;
    if (getifaddrs(&list) != 0) return 0;
    for (item = list; item && count < capacity; item = item->ifa_next) {
        unsigned flags = item->ifa_flags;
        if (!item->ifa_addr || item->ifa_addr->sa_family != AF_INET || !item->ifa_broadaddr) continue;
        if (!(flags & IFF_UP) || !(flags & IFF_RUNNING) || !(flags & IFF_BROADCAST)) continue;
        InterfaceEntry *entry = &entries[count];
        memset(entry, 0, sizeof *entry);
        entry->local = ((struct sockaddr_in *)item->ifa_addr)->sin_addr;
        entry->target = ((struct sockaddr_in *)item->ifa_broadaddr)->sin_addr;
        entry->broadcast = true;
        char address[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &entry->local, address, sizeof address);
        snprintf(entry->id, sizeof entry->id, "%s", item->ifa_name);
        snprintf(entry->display, sizeof entry->display, "%s (%s)", item->ifa_name, address);
        bool second_address = false;
        for (int i = 0; i < count; i++) second_address |= strcmp(entries[i].id, entry->id) == 0;
        if (!second_address) count++;
    }
    freeifaddrs(list);
    return count;
}

static void destroy(Object *object) { pthread_mutex_destroy(&((System *)object)->mutex); }

GC_API TLOpen(HANDLE *handle) {
    if (!library_ready()) return fail_handle();
    if (!handle) return fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
    pthread_mutex_lock(&open_mutex);
    System *system = objects_alive(KIND_SYSTEM) ? NULL : object_new(KIND_SYSTEM, sizeof *system, NULL, destroy);
    if (system) pthread_mutex_init(&system->mutex, NULL);
    pthread_mutex_unlock(&open_mutex);
    if (!system) return fail(GC_ERR_RESOURCE_IN_USE, "the system is open already");
    *handle = system->object.handle;
    object_put(&system->object);
    return GC_ERR_SUCCESS;
}

GC_API IFClose(HANDLE interface);

GC_API TLClose(HANDLE handle) {
    Object *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    for (HANDLE child; (child = object_child(system, KIND_INTERFACE));) IFClose(child);
    object_withdraw(system);
    object_put(system);
    return GC_ERR_SUCCESS;
}

GC_API TLUpdateInterfaceList(HANDLE handle, bool8_t *changed, uint64_t timeout_ms) {
    (void)timeout_ms;
    System *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    InterfaceEntry entries[32];
    int count = list_addresses(entries, 16);
    count += list_networks(entries + count, 32 - count);
    pthread_mutex_lock(&system->mutex);
    if (changed) {
        *changed = count != system->count;
        for (int i = 0; i < count && i < system->count; i++)
            *changed |= strcmp(entries[i].id, system->entries[i].id) != 0;
    }
    memcpy(system->entries, entries, sizeof(InterfaceEntry) * (size_t)count);
    system->count = count;
    pthread_mutex_unlock(&system->mutex);
    object_put(&system->object);
    return GC_ERR_SUCCESS;
}

GC_API TLGetNumInterfaces(HANDLE handle, uint32_t *count) {
    System *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    if (count) *count = (uint32_t)system->count;
    object_put(&system->object);
    return count ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
}

GC_API TLGetInterfaceID(HANDLE handle, uint32_t index, char *id, size_t *size) {
    System *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    pthread_mutex_lock(&system->mutex);
    int32_t result = index < (uint32_t)system->count ? answer_id(system->entries[index].id, id, size)
                                                     : fail(GC_ERR_INVALID_INDEX, "no interface %u", index);
    pthread_mutex_unlock(&system->mutex);
    object_put(&system->object);
    return result;
}

static bool find_entry(System *system, const char *id, InterfaceEntry *entry) {
    bool known = false;
    pthread_mutex_lock(&system->mutex);
    for (int i = 0; id && i < system->count && !known; i++) {
        known = strcmp(system->entries[i].id, id) == 0;
        if (known) *entry = system->entries[i];
    }
    pthread_mutex_unlock(&system->mutex);
    return known;
}

GC_API TLGetInterfaceInfo(HANDLE handle, const char *id, int32_t command, int32_t *type, void *out, size_t *size) {
    System *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    InterfaceEntry entry;
    int32_t result;
    if (!id) result = fail(GC_ERR_INVALID_PARAMETER, "the id is NULL");
    else if (!find_entry(system, id, &entry)) result = fail(GC_ERR_INVALID_ID, "no interface \"%s\"", id);
    else if (command == INTERFACE_INFO_ID) result = answer_string(entry.id, type, out, size);
    else if (command == INTERFACE_INFO_DISPLAYNAME) result = answer_string(entry.display, type, out, size);
    else if (command == INTERFACE_INFO_TLTYPE) result = answer_string(TL_TYPE, type, out, size);
    else result = fail(GC_ERR_NOT_IMPLEMENTED, "interface info %d", command);
    object_put(&system->object);
    return result;
}

static void interface_destroy(Object *object) { pthread_mutex_destroy(&((Interface *)object)->mutex); }

GC_API TLOpenInterface(HANDLE handle, const char *id, HANDLE *out) {
    System *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    InterfaceEntry entry;
    int32_t result = GC_ERR_SUCCESS;
    Interface *interface = NULL;
    if (!out || !id) result = fail(GC_ERR_INVALID_PARAMETER, "the id or the handle pointer is NULL");
    else if (!find_entry(system, id, &entry)) result = fail(GC_ERR_INVALID_ID, "no interface \"%s\"", id ? id : "");
    else if (!(interface = object_new(KIND_INTERFACE, sizeof *interface, &system->object, interface_destroy)))
        result = fail(GC_ERR_OUT_OF_MEMORY, "too many open objects");
    if (interface) {
        pthread_mutex_init(&interface->mutex, NULL);
        interface->entry = entry;
        *out = interface->object.handle;
        object_put(&interface->object);
    }
    object_put(&system->object);
    return result;
}

static int32_t library_info(int32_t command, int32_t *type, void *out, size_t *size) {
    const char *path = library_path(), *slash = strrchr(path, '/');
    switch (command) {
    case TL_INFO_ID: return answer_string(PRODUCER_MODEL, type, out, size);
    case TL_INFO_VENDOR: return answer_string(PRODUCER_VENDOR, type, out, size);
    case TL_INFO_MODEL: return answer_string(PRODUCER_MODEL, type, out, size);
    case TL_INFO_VERSION: return answer_string(PRODUCER_VERSION, type, out, size);
    case TL_INFO_TLTYPE: return answer_string(TL_TYPE, type, out, size);
    case TL_INFO_NAME: return answer_string(slash ? slash + 1 : path, type, out, size);
    case TL_INFO_PATHNAME: return answer_string(path, type, out, size);
    case TL_INFO_DISPLAYNAME: return answer_string("inspector GigE Vision (Aravis)", type, out, size);
    case TL_INFO_CHAR_ENCODING: return answer_int32(1, type, out, size); /* UTF-8 */
    case TL_INFO_GENTL_VER_MAJOR: return answer_uint32(1, type, out, size);
    case TL_INFO_GENTL_VER_MINOR: return answer_uint32(6, type, out, size);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "system info %d", command);
    }
}

GC_API GCGetInfo(int32_t command, int32_t *type, void *out, size_t *size) {
    return library_info(command, type, out, size);
}

GC_API TLGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size) {
    Object *system = object_get(handle, KIND_SYSTEM);
    if (!system) return fail_handle();
    object_put(system);
    return library_info(command, type, out, size);
}

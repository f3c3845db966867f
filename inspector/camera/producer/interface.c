/* The Interface module: the cameras that answer on one network, or at one address. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "producer.h"

#define BROADCAST_WAIT_MS 500 /* cameras may delay their answer to a broadcast, by up to a second if asked */
#define DIRECT_WAIT_MS 400

int32_t interface_scan(Interface *interface, int wait_ms) {
    Found found[64];
    int most = interface->entry.broadcast ? BROADCAST_WAIT_MS : DIRECT_WAIT_MS;
    int count = gvcp_discover(&interface->entry, wait_ms < most ? wait_ms : most, found, 64);
    pthread_mutex_lock(&interface->mutex);
    int32_t changed = count != interface->count;
    for (int i = 0; i < count && !changed; i++) changed = strcmp(found[i].id, interface->found[i].id) != 0;
    memcpy(interface->found, found, sizeof(Found) * (size_t)count);
    interface->count = count;
    pthread_mutex_unlock(&interface->mutex);
    return changed;
}

static bool find_camera(Interface *interface, const char *id, Found *camera) {
    bool known = false;
    pthread_mutex_lock(&interface->mutex);
    for (int i = 0; id && i < interface->count && !known; i++) {
        known = strcmp(interface->found[i].id, id) == 0;
        if (known) *camera = interface->found[i];
    }
    pthread_mutex_unlock(&interface->mutex);
    return known;
}

static int probe_once(const Found *camera) {
    int fd = gvcp_probe_open(camera), state = PROBE_SILENT;
    uint16_t request = 0;
    for (int i = 0; fd >= 0 && i < 3 && state < PROBE_FREE; i++) state = gvcp_probe(fd, &request, 100);
    if (fd >= 0) close(fd);
    return state;
}

int32_t device_info(const Found *camera, bool opened, int32_t command, int32_t *type, void *out, size_t *size) {
    char text[160];
    switch (command) {
    case DEVICE_INFO_ID: return answer_string(camera->id, type, out, size);
    case DEVICE_INFO_VENDOR: return answer_string(camera->vendor, type, out, size);
    case DEVICE_INFO_MODEL: return answer_string(camera->model, type, out, size);
    case DEVICE_INFO_TLTYPE: return answer_string(TL_TYPE, type, out, size);
    case DEVICE_INFO_DISPLAYNAME:
        snprintf(text, sizeof text, "%s %s (%s)", camera->vendor, camera->model, camera->serial);
        return answer_string(text, type, out, size);
    case DEVICE_INFO_ACCESS_STATUS: {
        int32_t status = DEVICE_ACCESS_STATUS_OPEN_READWRITE;
        if (out && !opened) {
            int state = probe_once(camera);
            status = state == PROBE_FREE         ? DEVICE_ACCESS_STATUS_READWRITE
                     : state == PROBE_CONTROLLED ? DEVICE_ACCESS_STATUS_BUSY
                                                 : DEVICE_ACCESS_STATUS_NOACCESS;
        }
        return answer_int32(status, type, out, size);
    }
    case DEVICE_INFO_USER_DEFINED_NAME: return answer_string(camera->user_name, type, out, size);
    case DEVICE_INFO_SERIAL_NUMBER: return answer_string(camera->serial, type, out, size);
    case DEVICE_INFO_VERSION: return answer_string(camera->version, type, out, size);
    case DEVICE_INFO_TIMESTAMP_FREQUENCY: return answer_uint64(1000000000, type, out, size);
    case DEVICE_INFO_CUSTOM_IP_ADDRESS:
        inet_ntop(AF_INET, &camera->address, text, sizeof text);
        return answer_string(text, type, out, size);
    case DEVICE_INFO_CUSTOM_MAC_ADDRESS: return answer_string(camera->mac, type, out, size);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "device info %d", command);
    }
}

GC_API DevClose(HANDLE device);

GC_API IFClose(HANDLE handle) {
    Object *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    for (HANDLE child; (child = object_child(interface, KIND_DEVICE));) DevClose(child);
    object_withdraw(interface);
    object_put(interface);
    return GC_ERR_SUCCESS;
}

GC_API IFGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size) {
    Interface *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    int32_t result;
    if (command == INTERFACE_INFO_ID) result = answer_string(interface->entry.id, type, out, size);
    else if (command == INTERFACE_INFO_DISPLAYNAME) result = answer_string(interface->entry.display, type, out, size);
    else if (command == INTERFACE_INFO_TLTYPE) result = answer_string(TL_TYPE, type, out, size);
    else result = fail(GC_ERR_NOT_IMPLEMENTED, "interface info %d", command);
    object_put(&interface->object);
    return result;
}

GC_API IFUpdateDeviceList(HANDLE handle, bool8_t *changed, uint64_t timeout_ms) {
    Interface *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    int32_t different = interface_scan(interface, timeout_ms > 10000 ? 10000 : (int)timeout_ms);
    if (changed) *changed = different != 0;
    object_put(&interface->object);
    return GC_ERR_SUCCESS;
}

GC_API IFGetNumDevices(HANDLE handle, uint32_t *count) {
    Interface *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    if (count) *count = (uint32_t)interface->count;
    object_put(&interface->object);
    return count ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
}

GC_API IFGetDeviceID(HANDLE handle, uint32_t index, char *id, size_t *size) {
    Interface *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    pthread_mutex_lock(&interface->mutex);
    int32_t result = index < (uint32_t)interface->count ? answer_id(interface->found[index].id, id, size)
                                                        : fail(GC_ERR_INVALID_INDEX, "no device %u", index);
    pthread_mutex_unlock(&interface->mutex);
    object_put(&interface->object);
    return result;
}

GC_API IFGetDeviceInfo(HANDLE handle, const char *id, int32_t command, int32_t *type, void *out, size_t *size) {
    Interface *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    Found camera;
    int32_t result = !id ? fail(GC_ERR_INVALID_PARAMETER, "the id is NULL")
                     : find_camera(interface, id, &camera)
                         ? device_info(&camera, device_is_open(&camera), command, type, out, size)
                         : fail(GC_ERR_INVALID_ID, "no camera \"%s\" on this interface", id ? id : "");
    object_put(&interface->object);
    return result;
}

GC_API IFGetParentTL(HANDLE handle, HANDLE *parent) {
    Object *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    if (parent) *parent = interface->parent->handle;
    object_put(interface);
    return parent ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_PARAMETER, "the handle pointer is NULL");
}

GC_API IFOpenDevice(HANDLE handle, const char *id, int32_t access, HANDLE *out) {
    Interface *interface = object_get(handle, KIND_INTERFACE);
    if (!interface) return fail_handle();
    Found camera;
    int32_t result;
    if (!out || !id) {
        result = fail(GC_ERR_INVALID_PARAMETER, "the id or the handle pointer is NULL");
    } else if (access < DEVICE_ACCESS_NONE || access > DEVICE_ACCESS_EXCLUSIVE) {
        result = fail(GC_ERR_INVALID_PARAMETER, "access mode %d", access);
    } else if (access != DEVICE_ACCESS_CONTROL && access != DEVICE_ACCESS_EXCLUSIVE) {
        result = fail(GC_ERR_NOT_IMPLEMENTED, "open the device with control or exclusive access");
    } else {
        bool known = find_camera(interface, id, &camera);
        /* One that came back after a restart may have another address, so look again. */
        if (!known || probe_once(&camera) < PROBE_BUSY) {
            interface_scan(interface, BROADCAST_WAIT_MS);
            known = find_camera(interface, id, &camera);
        }
        result = known ? device_open(interface, &camera, out)
                       : fail(GC_ERR_INVALID_ID, "camera \"%s\" does not answer", id);
    }
    object_put(&interface->object);
    return result;
}

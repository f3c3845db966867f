/* The feature maps of our own modules: a small GenICam description and the registers behind it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "producer.h"

#define FIRST_REGISTER 0x1000u
#define REGISTER_STRIDE 0x100u
#define TEXT_SIZE 128u

typedef struct {
    const char *name, *tooltip;
    bool text;
    int64_t low, high; /* of a writable integer; low == high: read-only */
} Feature;

static const Feature SYSTEM_FEATURES[] = {
    {"TLID", "Name of this GenTL producer.", true, 0, 0},
    {"TLVersion", "Version of this GenTL producer.", true, 0, 0},
};
static const Feature INTERFACE_FEATURES[] = {
    {"InterfaceID", "Network interface, or address that is asked directly.", true, 0, 0},
    {"DeviceCount", "Cameras found by the last update.", false, 0, 0},
};
static const Feature DEVICE_FEATURES[] = {
    {"DeviceID", "Vendor, model and serial number.", true, 0, 0},
    {"DeviceLost", "1 when the camera no longer answers or has another controller.", false, 0, 0},
    {"DeviceHeartbeatTimeoutMs", "After this silence of ours the camera frees itself.", false, 0, 0},
};
enum {
    STREAM_ID, STREAM_DELIVERED, STREAM_LOST, STREAM_INCOMPLETE, STREAM_MISSED, STREAM_RESENT,
    STREAM_SOCKET_BUFFER, STREAM_RESEND, STREAM_RETENTION
};
static const Feature STREAM_FEATURES[] = {
    {"StreamID", "The data stream.", true, 0, 0},
    {"StreamDeliveredFrameCount", "Buffers handed out since the start.", false, 0, 0},
    {"StreamLostFrameCount", "Frames for which no buffer was free, or that never came.", false, 0, 0},
    {"StreamIncompleteFrameCount", "Buffers handed out with packets missing.", false, 0, 0},
    {"StreamMissedPacketCount", "Packets missing in those, at most.", false, 0, 0},
    {"StreamResentPacketCount", "Packets that came when asked for again.", false, 0, 0},
    {"StreamSocketBufferSize", "Bytes that the kernel keeps for us; taken at the start.", false, 65536, 1 << 30},
    {"StreamPacketResendEnable", "Ask again for packets that are missing; taken at the start.", false, 0, 1},
    {"StreamFrameRetentionUs", "Give a frame up after this silence; taken at the start.", false, 1000, 10000000},
};

static const Feature *features_of(Kind kind, size_t *count) {
#define LIST(features) (*count = sizeof features / sizeof *features, features)
    switch (kind) {
    case KIND_SYSTEM: return LIST(SYSTEM_FEATURES);
    case KIND_INTERFACE: return LIST(INTERFACE_FEATURES);
    case KIND_DEVICE: return LIST(DEVICE_FEATURES);
    default: return LIST(STREAM_FEATURES);
    }
}

const char *module_name(Kind kind) {
    switch (kind) {
    case KIND_SYSTEM: return "TLSystem";
    case KIND_INTERFACE: return "TLInterface";
    case KIND_DEVICE: return "TLDevice";
    case KIND_STREAM: return "TLDataStream";
    default: return "Device";
    }
}

const char *module_port_name(Kind kind) {
    switch (kind) {
    case KIND_SYSTEM: return "TLPort";
    case KIND_INTERFACE: return "InterfacePort";
    case KIND_DEVICE: return "DevicePort";
    case KIND_STREAM: return "StreamPort";
    default: return "Device";
    }
}

static size_t add(char *text, size_t capacity, size_t at, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text ? text + at : NULL, text && at < capacity ? capacity - at : 0, format, arguments);
    va_end(arguments);
    return at + (size_t)length;
}

/* Returns the length; writes it where `text` is given. */
size_t module_xml(Object *module, char *text, size_t capacity) {
    size_t count, at = 0;
    const Feature *features = features_of(module->kind, &count);
    const char *name = module_name(module->kind), *port = module_port_name(module->kind);
#define ADD(...) at = add(text, capacity, at, __VA_ARGS__)
    ADD("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
        "<RegisterDescription ModelName=\"%s\" VendorName=\"%s\" ToolTip=\"%s\" StandardNameSpace=\"None\" "
        "SchemaMajorVersion=\"1\" SchemaMinorVersion=\"1\" SchemaSubMinorVersion=\"0\" MajorVersion=\"1\" "
        "MinorVersion=\"0\" SubMinorVersion=\"0\" ProductGuid=\"6d6fb0d2-5a4f-4a3b-9d53-0c1f6f0a1b20\" "
        "VersionGuid=\"6d6fb0d2-5a4f-4a3b-9d53-0c1f6f0a1b21\" "
        "xmlns=\"http://www.genicam.org/GenApi/Version_1_1\">\n",
        name, PRODUCER_VENDOR, name);
    ADD("<Category Name=\"Root\" NameSpace=\"Standard\">\n");
    for (size_t i = 0; i < count; i++) ADD("<pFeature>%s</pFeature>\n", features[i].name);
    ADD("</Category>\n");
    for (size_t i = 0; i < count; i++) {
        const Feature *feature = &features[i];
        unsigned address = FIRST_REGISTER + (unsigned)i * REGISTER_STRIDE;
        const char *access = feature->high > feature->low ? "RW" : "RO";
        if (feature->text) {
            ADD("<StringReg Name=\"%s\" NameSpace=\"Custom\"><ToolTip>%s</ToolTip><Address>0x%X</Address>"
                "<Length>%u</Length><AccessMode>RO</AccessMode><pPort>%s</pPort></StringReg>\n",
                feature->name, feature->tooltip, address, TEXT_SIZE, port);
            continue;
        }
        ADD("<Integer Name=\"%s\" NameSpace=\"Custom\"><ToolTip>%s</ToolTip><pValue>%sReg</pValue>", feature->name,
            feature->tooltip, feature->name);
        if (feature->high > feature->low)
            ADD("<Min>%lld</Min><Max>%lld</Max>", (long long)feature->low, (long long)feature->high);
        ADD("</Integer>\n<IntReg Name=\"%sReg\" NameSpace=\"Custom\"><Address>0x%X</Address><Length>8</Length>"
            "<AccessMode>%s</AccessMode><pPort>%s</pPort><Cachable>NoCache</Cachable><Sign>Unsigned</Sign>"
            "<Endianess>LittleEndian</Endianess></IntReg>\n",
            feature->name, address, access, port);
    }
    ADD("<Port Name=\"%s\" NameSpace=\"Standard\"/>\n</RegisterDescription>\n", port);
    return at;
}

static const char *text_of(Object *module, size_t index) {
    switch (module->kind) {
    case KIND_SYSTEM: return index == 0 ? PRODUCER_MODEL : PRODUCER_VERSION;
    case KIND_INTERFACE: return ((Interface *)module)->entry.id;
    case KIND_DEVICE: return ((Device *)module)->camera.id;
    default: return "Stream0";
    }
}

static uint64_t stream_value(Stream *stream, size_t index) {
    switch (index) {
    case STREAM_DELIVERED: return stream->delivered;
    case STREAM_LOST: return stream->lost_frames;
    case STREAM_INCOMPLETE: return stream->incomplete;
    case STREAM_MISSED: return stream->missed_packets;
    case STREAM_RESENT: return stream->resent_packets;
    case STREAM_SOCKET_BUFFER: return (uint64_t)stream->socket_buffer;
    case STREAM_RESEND: return (uint64_t)stream->packet_resend;
    default: return (uint64_t)stream->frame_retention_us;
    }
}

static uint64_t value_of(Object *module, size_t index) {
    if (module->kind == KIND_INTERFACE) return (uint64_t)((Interface *)module)->count;
    if (module->kind == KIND_DEVICE) {
        Device *device = (Device *)module;
        return index == 1 ? device->lost != NULL : (uint64_t)device->heartbeat_ms;
    }
    Stream *stream = (Stream *)module;
    stream_refresh(stream);
    pthread_mutex_lock(&stream->mutex);
    uint64_t value = stream_value(stream, index);
    pthread_mutex_unlock(&stream->mutex);
    return value;
}

int32_t module_read(Object *module, uint64_t address, void *buffer, size_t size) {
    size_t count;
    const Feature *features = features_of(module->kind, &count);
    if (address >= MODULE_XML_ADDRESS && address < MODULE_XML_ADDRESS + MODULE_XML_MAX) {
        char xml[MODULE_XML_MAX];
        size_t offset = address - MODULE_XML_ADDRESS, length = module_xml(module, xml, sizeof xml);
        if (length > sizeof xml || size > sizeof xml - offset)
            return fail(GC_ERR_INVALID_ADDRESS, "the read goes past the description");
        memset(xml + length, 0, sizeof xml - length);
        memcpy(buffer, xml + offset, size);
        return GC_ERR_SUCCESS;
    }
    size_t index = (address - FIRST_REGISTER) / REGISTER_STRIDE;
    if (address < FIRST_REGISTER || (address - FIRST_REGISTER) % REGISTER_STRIDE || index >= count)
        return fail(GC_ERR_INVALID_ADDRESS, "no register at 0x%llx", (unsigned long long)address);
    if (features[index].text) {
        char text[TEXT_SIZE] = {0};
        if (size > sizeof text) return fail(GC_ERR_INVALID_PARAMETER, "the register has %u bytes", TEXT_SIZE);
        snprintf(text, sizeof text, "%s", text_of(module, index));
        memcpy(buffer, text, size);
    } else {
        uint64_t value = value_of(module, index);
        if (size > sizeof value) return fail(GC_ERR_INVALID_PARAMETER, "the register has 8 bytes");
        memcpy(buffer, &value, size);
    }
    return GC_ERR_SUCCESS;
}

int32_t module_write(Object *module, uint64_t address, const void *buffer, size_t size) {
    size_t index = (address - FIRST_REGISTER) / REGISTER_STRIDE;
    if (module->kind != KIND_STREAM || address < FIRST_REGISTER || index < STREAM_SOCKET_BUFFER ||
        index > STREAM_RETENTION)
        return fail(GC_ERR_ACCESS_DENIED, "the register at 0x%llx cannot be written", (unsigned long long)address);
    int64_t value = 0;
    if (size != sizeof value) return fail(GC_ERR_INVALID_PARAMETER, "the register has 8 bytes");
    memcpy(&value, buffer, size);
    if (value < STREAM_FEATURES[index].low || value > STREAM_FEATURES[index].high)
        return fail(GC_ERR_INVALID_PARAMETER, "%s is out of range", STREAM_FEATURES[index].name);
    Stream *stream = (Stream *)module;
    pthread_mutex_lock(&stream->mutex);
    if (index == STREAM_SOCKET_BUFFER) stream->socket_buffer = value;
    else if (index == STREAM_RESEND) stream->packet_resend = value;
    else stream->frame_retention_us = value;
    pthread_mutex_unlock(&stream->mutex);
    return GC_ERR_SUCCESS;
}

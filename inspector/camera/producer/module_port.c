/* The feature maps of our own modules: a small GenICam description and the registers behind it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "producer.h"

#define FIRST_REGISTER 0x1000u
#define REGISTER_STRIDE 0x100u
#define TEXT_SIZE 128u

static const Feature SYSTEM_FEATURES[] = {
    {"TLID", "Name of this GenTL producer.", FEATURE_TEXT, 0, 0},
    {"TLVersion", "Version of this GenTL producer.", FEATURE_TEXT, 0, 0},
};
static const Feature INTERFACE_FEATURES[] = {
    {"InterfaceID", "Network interface, or address that is asked directly.", FEATURE_TEXT, 0, 0},
    {"DeviceCount", "Cameras found by the last update.", FEATURE_INTEGER, 0, 0},
};
static const Feature DEVICE_FEATURES[] = {
    {"DeviceID", "Vendor, model and serial number.", FEATURE_TEXT, 0, 0},
    {"DeviceLost", "1 when the camera no longer answers or has another controller.", FEATURE_INTEGER, 0, 0},
    {"DeviceHeartbeatTimeoutMs", "After this silence of ours the camera frees itself.", FEATURE_INTEGER, 0, 0},
};
#define OF(features) (index < sizeof features / sizeof *features ? &features[index] : NULL)
static const Feature *feature_of(Kind kind, size_t index) {
    switch (kind) {
    case KIND_SYSTEM: return OF(SYSTEM_FEATURES);
    case KIND_INTERFACE: return OF(INTERFACE_FEATURES);
    case KIND_DEVICE: return OF(DEVICE_FEATURES);
    default: return stream_feature(index);
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

#define ADD(...) at = add(text, capacity, at, __VA_ARGS__)
static size_t feature_xml(const Feature *feature, size_t index, const char *port, char *text, size_t capacity, size_t at) {
    unsigned address = FIRST_REGISTER + (unsigned)index * REGISTER_STRIDE;
    const char *space = strncmp(feature->name, "Stream", 6) ? "Custom" : "Standard";
    if (feature->type == FEATURE_TEXT) {
        ADD("<StringReg Name=\"%s\" NameSpace=\"%s\"><ToolTip>%s</ToolTip><Address>0x%X</Address>"
            "<Length>%u</Length><AccessMode>RO</AccessMode><pPort>%s</pPort></StringReg>\n",
            feature->name, space, feature->tooltip, address, TEXT_SIZE, port);
        return at;
    }
    const char *node = feature->type == FEATURE_BOOLEAN ? "Boolean" : "Integer";
    ADD("<%s Name=\"%s\" NameSpace=\"%s\"><ToolTip>%s</ToolTip><pValue>%sReg</pValue>", node, feature->name, space,
        feature->tooltip, feature->name);
    if (feature->high > feature->low)
        ADD("<Min>%lld</Min><Max>%lld</Max>", (long long)feature->low, (long long)feature->high);
    ADD("</%s>\n<IntReg Name=\"%sReg\" NameSpace=\"Custom\"><Address>0x%X</Address><Length>8</Length>"
        "<AccessMode>%s</AccessMode><pPort>%s</pPort><Cachable>NoCache</Cachable><Sign>Unsigned</Sign>"
        "<Endianess>LittleEndian</Endianess></IntReg>\n",
        node, feature->name, address, feature->high > feature->low ? "RW" : "RO", port);
    return at;
}

/* Returns the length; writes it where `text` is given. */
size_t module_xml(Object *module, char *text, size_t capacity) {
    size_t at = 0;
    const Feature *feature;
    const char *name = module_name(module->kind), *port = module_port_name(module->kind);
    ADD("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
        "<RegisterDescription ModelName=\"%s\" VendorName=\"%s\" ToolTip=\"%s\" StandardNameSpace=\"None\" "
        "SchemaMajorVersion=\"1\" SchemaMinorVersion=\"1\" SchemaSubMinorVersion=\"0\" MajorVersion=\"1\" "
        "MinorVersion=\"1\" SubMinorVersion=\"0\" ProductGuid=\"6d6fb0d2-5a4f-4a3b-9d53-0c1f6f0a1b20\" "
        "VersionGuid=\"6d6fb0d2-5a4f-4a3b-9d53-0c1f6f0a1b22\" "
        "xmlns=\"http://www.genicam.org/GenApi/Version_1_1\">\n",
        name, PRODUCER_VENDOR, name);
    ADD("<Category Name=\"Root\" NameSpace=\"Standard\">\n");
    for (size_t i = 0; (feature = feature_of(module->kind, i)); i++) ADD("<pFeature>%s</pFeature>\n", feature->name);
    ADD("</Category>\n");
    for (size_t i = 0; (feature = feature_of(module->kind, i)); i++)
        at = feature_xml(feature, i, port, text, capacity, at);
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

static uint64_t value_of(Object *module, size_t index) {
    if (module->kind == KIND_INTERFACE) return (uint64_t)((Interface *)module)->count;
    if (module->kind == KIND_DEVICE) {
        Device *device = (Device *)module;
        return index == 1 ? device->lost != NULL : (uint64_t)device->heartbeat_ms;
    }
    return stream_feature_value((Stream *)module, index);
}

/* The one whose register is at `address`, or NULL. */
static const Feature *feature_at(Object *module, uint64_t address, size_t *index) {
    if (address < FIRST_REGISTER || address >= MODULE_XML_ADDRESS || address % REGISTER_STRIDE) return NULL;
    *index = (address - FIRST_REGISTER) / REGISTER_STRIDE;
    return feature_of(module->kind, *index);
}

int32_t module_read(Object *module, uint64_t address, void *buffer, size_t size) {
    if (address >= MODULE_XML_ADDRESS && address < MODULE_XML_ADDRESS + MODULE_XML_MAX) {
        char xml[MODULE_XML_MAX];
        size_t offset = address - MODULE_XML_ADDRESS, length = module_xml(module, xml, sizeof xml);
        if (length > sizeof xml || size > sizeof xml - offset)
            return fail(GC_ERR_INVALID_ADDRESS, "the read goes past the description");
        memset(xml + length, 0, sizeof xml - length);
        memcpy(buffer, xml + offset, size);
        return GC_ERR_SUCCESS;
    }
    size_t index;
    const Feature *feature = feature_at(module, address, &index);
    if (!feature) return fail(GC_ERR_INVALID_ADDRESS, "no register at 0x%llx", (unsigned long long)address);
    if (feature->type == FEATURE_TEXT) {
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
    size_t index;
    const Feature *feature = feature_at(module, address, &index);
    if (!feature) return fail(GC_ERR_INVALID_ADDRESS, "no register at 0x%llx", (unsigned long long)address);
    if (feature->high == feature->low) return fail(GC_ERR_ACCESS_DENIED, "%s is read-only", feature->name);
    int64_t value = 0;
    if (size != sizeof value) return fail(GC_ERR_INVALID_PARAMETER, "the register has 8 bytes");
    memcpy(&value, buffer, size);
    return stream_feature_write((Stream *)module, index, value);
}

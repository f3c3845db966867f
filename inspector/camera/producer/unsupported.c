/* The rest of the 1.6 surface. A consumer may look every name up, so each is there and answers. */
#include "producer.h"

/* Bad handles come first, as everywhere; then what is wrong with the call: there is no such thing here. */
static int32_t none(HANDLE stream_handle, const HANDLE *buffer_handle, int32_t code, const char *text) {
    Object *stream = object_get(stream_handle, KIND_STREAM);
    Object *buffer = stream && buffer_handle ? object_get(*buffer_handle, KIND_BUFFER) : NULL;
    bool known = stream && (!buffer_handle || (buffer && buffer->parent == stream));
    object_put(buffer);
    object_put(stream);
    return known ? fail(code, "%s", text) : fail_handle();
}

#define NO_PARTS "multi-part payload is not taken apart"
#define NO_COMPOSITE "composite buffers are not supported"
#define NO_FLOWS "flows are not supported"

GC_API DSGetNumBufferParts(HANDLE stream, HANDLE buffer, uint32_t *count) {
    return count ? none(stream, &buffer, GC_ERR_NO_DATA, NO_PARTS)
                 : none(stream, &buffer, GC_ERR_INVALID_PARAMETER, "the count pointer is NULL");
}

GC_API DSGetBufferPartInfo(HANDLE stream, HANDLE buffer, uint32_t index, int32_t command, int32_t *type, void *out,
                           size_t *size) {
    (void)index, (void)command, (void)type, (void)out, (void)size;
    return none(stream, &buffer, GC_ERR_NOT_IMPLEMENTED, NO_PARTS);
}

GC_API DSGetBufferPartInfoStacked(HANDLE stream, HANDLE buffer, void *entries, size_t count) {
    (void)entries, (void)count;
    return none(stream, &buffer, GC_ERR_NOT_IMPLEMENTED, NO_PARTS);
}

GC_API DSAnnounceCompositeBuffer(HANDLE stream, size_t count, void **segments, size_t *sizes, void *user_pointer,
                                 HANDLE *buffer) {
    (void)count, (void)segments, (void)sizes, (void)user_pointer, (void)buffer;
    return none(stream, NULL, GC_ERR_NOT_IMPLEMENTED, NO_COMPOSITE);
}

GC_API DSGetNumFlows(HANDLE stream, uint32_t *count) {
    (void)count;
    return none(stream, NULL, GC_ERR_NOT_IMPLEMENTED, NO_FLOWS);
}

GC_API DSGetFlowInfo(HANDLE stream, uint32_t index, int32_t command, int32_t *type, void *out, size_t *size) {
    (void)index, (void)command, (void)type, (void)out, (void)size;
    return none(stream, NULL, GC_ERR_NOT_IMPLEMENTED, NO_FLOWS);
}

GC_API DSGetNumBufferSegments(HANDLE stream, HANDLE buffer, uint32_t *count) {
    (void)count;
    return none(stream, &buffer, GC_ERR_NOT_IMPLEMENTED, NO_COMPOSITE);
}

GC_API DSGetBufferSegmentInfo(HANDLE stream, HANDLE buffer, uint32_t index, int32_t command, int32_t *type, void *out,
                              size_t *size) {
    (void)index, (void)command, (void)type, (void)out, (void)size;
    return none(stream, &buffer, GC_ERR_NOT_IMPLEMENTED, NO_COMPOSITE);
}

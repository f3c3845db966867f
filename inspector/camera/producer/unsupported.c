/* The rest of the 1.6 surface. A consumer may look every name up, so each is there and answers. */
#include "producer.h"

#define NOT_IMPLEMENTED(name) return library_ready() ? fail(GC_ERR_NOT_IMPLEMENTED, name) : fail_handle()

GC_API DSGetNumBufferParts(HANDLE stream, HANDLE buffer, uint32_t *count) {
    (void)stream, (void)buffer, (void)count;
    return library_ready() ? fail(GC_ERR_NO_DATA, "multi-part payload is not taken apart") : fail_handle();
}

GC_API DSGetBufferPartInfo(HANDLE stream, HANDLE buffer, uint32_t index, int32_t command, int32_t *type, void *out,
                           size_t *size) {
    (void)stream, (void)buffer, (void)index, (void)command, (void)type, (void)out, (void)size;
    NOT_IMPLEMENTED("DSGetBufferPartInfo");
}

GC_API DSGetBufferPartInfoStacked(HANDLE stream, HANDLE buffer, void *entries, size_t count) {
    (void)stream, (void)buffer, (void)entries, (void)count;
    NOT_IMPLEMENTED("DSGetBufferPartInfoStacked");
}

GC_API DSAnnounceCompositeBuffer(HANDLE stream, size_t count, void **segments, size_t *sizes, void *user_pointer,
                                 HANDLE *buffer) {
    (void)stream, (void)count, (void)segments, (void)sizes, (void)user_pointer, (void)buffer;
    NOT_IMPLEMENTED("DSAnnounceCompositeBuffer");
}

GC_API DSGetNumFlows(HANDLE stream, uint32_t *count) {
    (void)stream, (void)count;
    NOT_IMPLEMENTED("DSGetNumFlows");
}

GC_API DSGetFlowInfo(HANDLE stream, uint32_t index, int32_t command, int32_t *type, void *out, size_t *size) {
    (void)stream, (void)index, (void)command, (void)type, (void)out, (void)size;
    NOT_IMPLEMENTED("DSGetFlowInfo");
}

GC_API DSGetNumBufferSegments(HANDLE stream, HANDLE buffer, uint32_t *count) {
    (void)stream, (void)buffer, (void)count;
    NOT_IMPLEMENTED("DSGetNumBufferSegments");
}

GC_API DSGetBufferSegmentInfo(HANDLE stream, HANDLE buffer, uint32_t index, int32_t command, int32_t *type, void *out,
                              size_t *size) {
    (void)stream, (void)buffer, (void)index, (void)command, (void)type, (void)out, (void)size;
    NOT_IMPLEMENTED("DSGetBufferSegmentInfo");
}

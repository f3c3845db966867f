/* Answers to the "get info" calls. GenTL: a NULL buffer asks for the size that is needed. */
#include <string.h>

#include "producer.h"

int32_t answer_bytes(int32_t kind, const void *value, size_t length, int32_t *type, void *buffer, size_t *size) {
    if (!size) return fail(GC_ERR_INVALID_PARAMETER, "the size pointer is NULL");
    if (type) *type = kind;
    size_t room = *size;
    *size = length;
    if (!buffer) return GC_ERR_SUCCESS;
    if (room < length)
        return fail(GC_ERR_BUFFER_TOO_SMALL, "the answer needs %zu bytes, the buffer has %zu", length, room);
    memcpy(buffer, value, length);
    return GC_ERR_SUCCESS;
}

int32_t answer_string(const char *text, int32_t *type, void *buffer, size_t *size) {
    return answer_bytes(INFO_DATATYPE_STRING, text, strlen(text) + 1, type, buffer, size);
}

int32_t answer_id(const char *text, char *buffer, size_t *size) {
    return answer_string(text, NULL, buffer, size);
}

#define ANSWER(name, ctype, kind)                                                   \
    int32_t name(ctype value, int32_t *type, void *buffer, size_t *size) {          \
        return answer_bytes(kind, &value, sizeof value, type, buffer, size);        \
    }
ANSWER(answer_uint64, uint64_t, INFO_DATATYPE_UINT64)
ANSWER(answer_size, size_t, INFO_DATATYPE_SIZET)
ANSWER(answer_int32, int32_t, INFO_DATATYPE_INT32)
ANSWER(answer_uint32, uint32_t, INFO_DATATYPE_UINT32)

int32_t answer_bool(bool value, int32_t *type, void *buffer, size_t *size) {
    bool8_t byte = value;
    return answer_bytes(INFO_DATATYPE_BOOL8, &byte, sizeof byte, type, buffer, size);
}

int32_t answer_pointer(const void *value, int32_t *type, void *buffer, size_t *size) {
    return answer_bytes(INFO_DATATYPE_PTR, &value, sizeof value, type, buffer, size);
}

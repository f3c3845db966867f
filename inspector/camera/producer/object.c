/* The table of handles, reference counts, and the last error of each thread. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "producer.h"

#define CAPACITY 4096u

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    Object *object;
    uint32_t generation;
} slots[CAPACITY];
static int open_libraries;
static _Thread_local int32_t last_code;
static _Thread_local char last_text[512];

static HANDLE handle_of(uint32_t slot) {
    return (HANDLE)(((uintptr_t)slots[slot].generation << 16) | (slot + 1));
}

static Object *find(HANDLE handle) {
    uint32_t slot = (uint32_t)((uintptr_t)handle & 0xFFFF) - 1;
    return slot < CAPACITY && slots[slot].object && handle_of(slot) == handle ? slots[slot].object : NULL;
}

void *object_new(Kind kind, size_t size, Object *parent, void (*destroy)(Object *)) {
    Object *object = calloc(1, size);
    if (!object) return NULL;
    object->kind = kind;
    object->references = 2; /* the handle's and the caller's */
    object->destroy = destroy;
    pthread_mutex_lock(&mutex);
    static uint32_t start;
    uint32_t tried = 0, slot = start;
    while (tried < CAPACITY && slots[slot].object) slot = (slot + 1) % CAPACITY, tried++;
    if (tried == CAPACITY) {
        pthread_mutex_unlock(&mutex);
        free(object);
        return NULL;
    }
    start = (slot + 1) % CAPACITY;
    slots[slot].generation++;
    slots[slot].object = object;
    object->handle = handle_of(slot);
    if (parent) {
        parent->references++;
        object->parent = parent;
    }
    pthread_mutex_unlock(&mutex);
    return object;
}

void *object_get(HANDLE handle, int kinds) {
    pthread_mutex_lock(&mutex);
    Object *object = find(handle);
    if (object && !(object->kind & (Kind)kinds)) object = NULL;
    if (object) object->references++;
    pthread_mutex_unlock(&mutex);
    return object;
}

HANDLE object_child(const Object *parent, int kinds) {
    HANDLE child = NULL;
    pthread_mutex_lock(&mutex);
    for (uint32_t slot = 0; slot < CAPACITY && !child; slot++) {
        const Object *object = slots[slot].object;
        if (object && object->parent == parent && (object->kind & (Kind)kinds)) child = object->handle;
    }
    pthread_mutex_unlock(&mutex);
    return child;
}

void object_reference(Object *object) {
    pthread_mutex_lock(&mutex);
    object->references++;
    pthread_mutex_unlock(&mutex);
}

void object_put(Object *object) {
    while (object) {
        pthread_mutex_lock(&mutex);
        bool last = --object->references == 0;
        pthread_mutex_unlock(&mutex);
        if (!last) return;
        Object *parent = object->parent;
        if (object->destroy) object->destroy(object);
        free(object);
        object = parent;
    }
}

bool object_withdraw(Object *object) {
    pthread_mutex_lock(&mutex);
    bool first = find(object->handle) == object;
    if (first) {
        slots[(uint32_t)((uintptr_t)object->handle & 0xFFFF) - 1].object = NULL;
        object->references--; /* never the last: the caller holds one */
    }
    pthread_mutex_unlock(&mutex);
    return first;
}

int objects_alive(int kinds) {
    int count = 0;
    pthread_mutex_lock(&mutex);
    for (uint32_t slot = 0; slot < CAPACITY; slot++)
        if (slots[slot].object && (slots[slot].object->kind & (Kind)kinds)) count++;
    pthread_mutex_unlock(&mutex);
    return count;
}

int32_t fail(int32_t code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_text, sizeof last_text, format, arguments);
    va_end(arguments);
    last_code = code;
    return code;
}

int32_t fail_handle(void) {
    return library_ready() ? fail(GC_ERR_INVALID_HANDLE, "the handle is not valid (closed, or of another kind)")
                           : fail(GC_ERR_NOT_INITIALIZED, "GCInitLib was not called");
}

bool library_ready(void) {
    pthread_mutex_lock(&mutex);
    bool ready = open_libraries > 0;
    pthread_mutex_unlock(&mutex);
    return ready;
}

GC_API GCInitLib(void) {
    const char *problem = arv_load();
    if (problem) return fail(GC_ERR_ERROR, "%s", problem);
    pthread_mutex_lock(&mutex);
    bool first = open_libraries == 0;
    if (first) open_libraries = 1;
    pthread_mutex_unlock(&mutex);
    return first ? GC_ERR_SUCCESS : fail(GC_ERR_RESOURCE_IN_USE, "the producer is initialised already");
}

GC_API TLClose(HANDLE system);

/* Closes what is still open, and all that depends on it. */
GC_API GCCloseLib(void) {
    if (library_ready())
        for (HANDLE system; (system = object_child(NULL, KIND_SYSTEM));) TLClose(system);
    pthread_mutex_lock(&mutex);
    bool open = open_libraries > 0;
    open_libraries = 0;
    pthread_mutex_unlock(&mutex);
    return open ? GC_ERR_SUCCESS : fail(GC_ERR_NOT_INITIALIZED, "GCInitLib was not called");
}

GC_API GCGetLastError(int32_t *code, char *text, size_t *size) {
    if (!code || !size) return GC_ERR_INVALID_PARAMETER;
    *code = last_code;
    size_t needed = strlen(last_text) + 1;
    if (text && *size >= needed) memcpy(text, last_text, needed);
    int32_t result = text && *size < needed ? GC_ERR_BUFFER_TOO_SMALL : GC_ERR_SUCCESS;
    *size = needed;
    return result;
}

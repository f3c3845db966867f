/* Loads Aravis. It stays loaded: GObject types cannot be registered twice in one process. */
#include "arv.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

Arv arv;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;
static char problem[256];

static const char *load(void) {
    void *library = dlopen("libaravis-0.8.so.0", RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!library) {
        snprintf(problem, sizeof problem, "install Aravis 0.8 (Debian: libaravis-0.8-0): %s", dlerror());
        return problem;
    }
    /* dlsym on a library also finds what its dependencies (GLib, GObject, GIO) export. The copy
     * through memory is how POSIX lets a data pointer become a function pointer. */
#define ARV_LOOKUP(result, name, arguments)                                             \
    {                                                                                   \
        void *symbol = dlsym(library, #name);                                           \
        if (!symbol) {                                                                  \
            snprintf(problem, sizeof problem, "this libaravis-0.8 has no %s", #name);   \
            return problem;                                                             \
        }                                                                               \
        memcpy(&arv.name, &symbol, sizeof symbol);                                      \
    }
    ARV_FUNCTIONS(ARV_LOOKUP)
#undef ARV_LOOKUP
    loaded = true;
    return NULL;
}

const char *arv_load(void) {
    pthread_mutex_lock(&mutex);
    const char *result = loaded ? NULL : load();
    pthread_mutex_unlock(&mutex);
    return result;
}

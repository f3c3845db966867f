/* The part of Aravis 0.8 and GLib that we use, taken from the shared library at run time.
 *
 * Loading by hand needs no development package, and a machine without Aravis gets a clear error
 * from GCInitLib instead of a dynamic linker's.
 */
#ifndef INSPECTOR_ARV_H
#define INSPECTOR_ARV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ArvDevice ArvDevice;
typedef struct ArvStream ArvStream;
typedef struct ArvBuffer ArvBuffer;
typedef struct GInetAddress GInetAddress;
typedef struct {
    uint32_t domain;
    int code;
    char *message;
} GError;
typedef void (*ArvStreamCallback)(void *context, int type, ArvBuffer *buffer);

enum { ARV_STREAM_CALLBACK_START_BUFFER = 2, ARV_STREAM_CALLBACK_BUFFER_DONE };
enum { ARV_BUFFER_STATUS_SUCCESS = 0, ARV_BUFFER_STATUS_SIZE_MISMATCH = 5, ARV_BUFFER_STATUS_ABORTED = 7 };
enum { ARV_PAYLOAD_IMAGE = 1, ARV_PAYLOAD_CHUNK = 4, ARV_PAYLOAD_EXTENDED_CHUNK = 5, ARV_PAYLOAD_MULTIPART = 10 };
enum { ARV_PACKET_SOCKET_DISABLED = 1 };
enum { ARV_PACKET_SIZE_ADJUST_NEVER = 0, ARV_PACKET_SIZE_ADJUST_ON_FAILURE = 2, ARV_PACKET_SIZE_ADJUST_ONCE = 3 };
enum {
    ARV_ERROR_TIMEOUT = 5, ARV_ERROR_INVALID_PARAMETER = 13, ARV_ERROR_INVALID_ADDRESS = 14,
    ARV_ERROR_WRITE_PROTECT = 15, ARV_ERROR_BAD_ALIGNMENT = 16, ARV_ERROR_ACCESS_DENIED = 17,
    ARV_ERROR_BUSY = 18
};

#define ARV_FUNCTIONS(X)                                                                                \
    X(void, g_object_unref, (void *))                                                                   \
    X(void *, g_object_ref, (void *))                                                                   \
    X(void, g_object_set, (void *, const char *, ...))                                                  \
    X(void, g_error_free, (GError *))                                                                   \
    X(GInetAddress *, g_inet_address_new_from_string, (const char *))                                   \
    X(ArvDevice *, arv_gv_device_new, (GInetAddress *, GInetAddress *, GError **))                      \
    X(int, arv_gv_device_is_controller, (ArvDevice *))                                                  \
    X(void, arv_gv_device_set_stream_options, (ArvDevice *, int))                                       \
    X(void, arv_gv_device_set_packet_size_adjustment, (ArvDevice *, int))                               \
    X(int, arv_device_read_memory, (ArvDevice *, uint64_t, uint32_t, void *, GError **))                \
    X(int, arv_device_write_memory, (ArvDevice *, uint64_t, uint32_t, void *, GError **))               \
    X(int, arv_device_read_register, (ArvDevice *, uint64_t, uint32_t *, GError **))                    \
    X(int, arv_device_write_register, (ArvDevice *, uint64_t, uint32_t, GError **))                     \
    X(ArvStream *, arv_device_create_stream, (ArvDevice *, ArvStreamCallback, void *, GError **))       \
    X(void, arv_stream_push_buffer, (ArvStream *, ArvBuffer *))                                         \
    X(ArvBuffer *, arv_stream_try_pop_buffer, (ArvStream *))                                            \
    X(unsigned, arv_stream_stop_thread, (ArvStream *, int))                                             \
    X(void, arv_stream_start_thread, (ArvStream *))                                                     \
    X(uint16_t, arv_gv_stream_get_port, (ArvStream *))                                                  \
    X(uint64_t, arv_stream_get_info_uint64_by_name, (ArvStream *, const char *))                        \
    X(ArvBuffer *, arv_buffer_new_full, (size_t, void *, void *, void (*)(void *)))                     \
    X(const void *, arv_buffer_get_user_data, (ArvBuffer *))                                            \
    X(const void *, arv_buffer_get_data, (ArvBuffer *, size_t *))                                       \
    X(int, arv_buffer_get_status, (ArvBuffer *))                                                        \
    X(int, arv_buffer_get_payload_type, (ArvBuffer *))                                                  \
    X(int, arv_buffer_has_chunks, (ArvBuffer *))                                                        \
    X(uint64_t, arv_buffer_get_timestamp, (ArvBuffer *))                                                \
    X(uint64_t, arv_buffer_get_frame_id, (ArvBuffer *))                                                 \
    X(void, arv_buffer_set_timestamp, (ArvBuffer *, uint64_t))                                          \
    X(void, arv_buffer_set_frame_id, (ArvBuffer *, uint64_t))                                           \
    X(unsigned, arv_buffer_get_n_parts, (ArvBuffer *))                                                  \
    X(uint32_t, arv_buffer_get_image_pixel_format, (ArvBuffer *))                                       \
    X(void, arv_buffer_get_image_region, (ArvBuffer *, int *, int *, int *, int *))                     \
    X(void, arv_buffer_get_image_padding, (ArvBuffer *, int *, int *))

#define ARV_POINTER(result, name, arguments) result (*name) arguments;
typedef struct {
    ARV_FUNCTIONS(ARV_POINTER)
} Arv;
#undef ARV_POINTER

extern Arv arv;

/* NULL when all is there; else what is missing, for the user. */
const char *arv_load(void);

#endif

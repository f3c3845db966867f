/* libcuda for tests: each function says what it was given. Prototypes: cuda.h of CUDA 12 and 13. */
#include <stddef.h>
#include <stdio.h>

#ifndef CUDA_VERSION /* where the true header is at hand it is included first, and the compiler compares */
typedef int CUresult, CUstreamCaptureMode;
typedef unsigned long long CUdeviceptr;
typedef void *CUcontext, *CUevent, *CUgraph, *CUgraphExec, *CUstream;
#endif

char said[200];
int status;
#define SAY(...) (snprintf(said, sizeof said, __VA_ARGS__), (CUresult)status)

CUresult cuGetErrorName(CUresult error, const char **text) {
    *text = (int)error == 719 ? "CUDA_ERROR_LAUNCH_FAILED" : NULL;
    return (CUresult)((int)error != 719);
}
CUresult cuCtxGetCurrent(CUcontext *context) {
    *context = (CUcontext)0x7f0000000001;
    return SAY("get context");
}
CUresult cuCtxSetCurrent(CUcontext context) { return SAY("context %p", (void *)context); }
CUresult cuEventCreate(CUevent *event, unsigned int flags) {
    *event = (CUevent)0x7f0000000002;
    return SAY("event %u", flags);
}
CUresult cuEventRecord(CUevent event, CUstream stream) { return SAY("record %p %p", (void *)event, (void *)stream); }
CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
    return SAY("record %p %p %u", (void *)event, (void *)stream, flags);
}
CUresult cuEventSynchronize(CUevent event) { return SAY("wait %p", (void *)event); }
CUresult cuEventElapsedTime(float *ms, CUevent first, CUevent last) {
    *ms = 1.5f;
    return SAY("elapsed %p %p", (void *)first, (void *)last);
}
CUresult cuEventDestroy_v2(CUevent event) { return SAY("destroy event %p", (void *)event); }
CUresult cuMemHostRegister_v2(void *start, size_t size, unsigned int flags) {
    return SAY("register %p %zu %u", start, size, flags);
}
CUresult cuMemHostUnregister(void *start) { return SAY("unregister %p", start); }
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned int flags) {
    *device = 0x7f0000000003;
    return SAY("address %p %u", host, flags);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr device, const void *host, size_t size, CUstream stream) {
    return SAY("in %llx %p %zu %p", device, host, size, (void *)stream);
}
CUresult cuMemcpyDtoHAsync_v2(void *host, CUdeviceptr device, size_t size, CUstream stream) {
    return SAY("out %p %llx %zu %p", host, device, size, (void *)stream);
}
CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode) {
    return SAY("capture %p %d", (void *)stream, (int)mode);
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    *graph = (CUgraph)0x7f0000000004;
    return SAY("end %p", (void *)stream);
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    *executable = (CUgraphExec)0x7f0000000005;
    return (CUresult)(flags != 0 || graph != (CUgraph)0x7f0000000004);
}
CUresult cuGraphDestroy(CUgraph graph) { return (CUresult)(graph != (CUgraph)0x7f0000000004); }
CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    return SAY("launch %p %p", (void *)executable, (void *)stream);
}
CUresult cuGraphExecDestroy(CUgraphExec executable) { return SAY("destroy graph %p", (void *)executable); }

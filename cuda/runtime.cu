// The library's side of csrc/runtime/cuda_library.h: devices, memory, streams and events, and the message of what
// failed.
#include <atomic>
#include <cstdio>
#include <cstring>

#include "device.cuh"
#include "graph.cuh"
#include "runtime/cuda_library.h"
#include "table.h"

namespace pydl::cuda {
namespace {

constexpr int kMostDevices = 64;

thread_local int device = -1;
thread_local cudaStream_t current = nullptr;
thread_local char message[256];
thread_local bool failed = false;

int processors[kMostDevices];
size_t shared_limits[kMostDevices];

std::atomic<bool> round_products{false}, round_convolutions{false};

void allow_tf32(bool products, bool convolutions) {
  round_products = products;
  round_convolutions = convolutions;
}

void use(int index, void* stream) {
  if (index != device) note(cudaSetDevice(index));
  device = index;
  current = static_cast<cudaStream_t>(stream);
}

const char* error() {
  if (!failed) return nullptr;
  failed = false;
  return message;
}

void* allocate(size_t bytes) {
  void* block = nullptr;
  if (cudaMalloc(&block, bytes) == cudaSuccess) return block;
  cudaGetLastError();  // it is told by the null
  return nullptr;
}

void release(void* block) { note(cudaFree(block)); }

void* host_allocate(size_t bytes) {
  void* block = nullptr;
  if (cudaMallocHost(&block, bytes) == cudaSuccess) return block;
  cudaGetLastError();
  return nullptr;
}

void host_release(void* block) { note(cudaFreeHost(block)); }

void copy(void* to, const void* from, size_t bytes) {
  if (bytes) note(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, current));
}

int device_of(const void* address) {
  cudaPointerAttributes found{};
  if (cudaPointerGetAttributes(&found, address) != cudaSuccess) cudaGetLastError();
  return found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged ? found.device : -1;
}

void memory(size_t* free, size_t* total) { note(cudaMemGetInfo(free, total)); }

void properties(int index, CudaProperties* made) {
  cudaDeviceProp found;
  note(cudaGetDeviceProperties(&found, index));
  *made = {};
  std::memcpy(made->name, found.name, sizeof(made->name));
  made->memory = static_cast<int64_t>(found.totalGlobalMem);
  made->major = found.major;
  made->minor = found.minor;
  made->multiprocessors = found.multiProcessorCount;
  made->threads = found.maxThreadsPerMultiProcessor;
}

void* new_stream(int priority) {
  cudaStream_t made = nullptr;
  note(cudaStreamCreateWithPriority(&made, cudaStreamNonBlocking, priority));
  return made;
}

void wait() { note(cudaStreamSynchronize(current)); }
void wait_device() { note(cudaDeviceSynchronize()); }

bool is_done(cudaError_t result) {
  if (result == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  note(result);
  return true;
}

bool done() { return is_done(cudaStreamQuery(current)); }

void* new_event(bool timing) {
  cudaEvent_t made = nullptr;
  note(cudaEventCreateWithFlags(&made, timing ? cudaEventDefault : cudaEventDisableTiming));
  return made;
}

cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }
void end_event(void* event) { note(cudaEventDestroy(event_of(event))); }
void record(void* event) { note(cudaEventRecord(event_of(event), current)); }
void wait_for(void* event) { note(cudaStreamWaitEvent(current, event_of(event), 0)); }
void wait_event(void* event) { note(cudaEventSynchronize(event_of(event))); }
bool event_done(void* event) { return is_done(cudaEventQuery(event_of(event))); }

float elapsed(void* from, void* to) {
  float milliseconds = 0;
  note(cudaEventElapsedTime(&milliseconds, event_of(from), event_of(to)));
  return milliseconds;
}

const CudaLibrary* library(const char** why_not) {
  static CudaLibrary made{};
  int count = 0;
  const cudaError_t result = cudaGetDeviceCount(&count);
  if (result != cudaSuccess || count == 0) {
    cudaGetLastError();
    *why_not = result == cudaSuccess ? "this machine has no CUDA device" : cudaGetErrorString(result);
    return nullptr;
  }
  count = count < kMostDevices ? count : kMostDevices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp p;
    note(cudaGetDeviceProperties(&p, i));
    processors[i] = p.multiProcessorCount;
    shared_limits[i] = p.sharedMemPerBlockOptin;
  }
  made = {count,          &kernels(),    &use,          &error,         &allocate,  &release,
          &host_allocate, &host_release, &copy,         &device_of,     &memory,    &properties,
          &new_stream,    &wait,         &done,         &wait_device,   &new_event, &end_event,
          &record,        &wait_for,     &wait_event,   &event_done,    &elapsed,   &send,
          &capture_begin, &capture_end,  &graph_launch, &graph_destroy, &allow_tf32};
  return &made;
}

}  // namespace

cudaStream_t stream() {
  const cudaStream_t capturing = capture_stream();
  return capturing ? capturing : current;
}
bool has_failed() { return failed; }
bool tf32_products() { return round_products; }
bool tf32_convolutions() { return round_convolutions; }

int multiprocessors() { return processors[device < 0 ? 0 : device]; }
size_t shared_limit() { return shared_limits[device < 0 ? 0 : device]; }

void missing(const char* what) {
  if (failed) return;  // the first says most
  failed = true;
  std::snprintf(message, sizeof(message), "%s", what);
}

void note(cudaError_t result) {
  if (result != cudaSuccess) missing(cudaGetErrorString(result));
}

}  // namespace pydl::cuda

extern "C" __attribute__((visibility("default"))) const pydl::CudaLibrary* pydl_cuda_library(int32_t version,
                                                                                             size_t table_bytes,
                                                                                             const char** why_not) {
  if (version != pydl::kCudaVersion || table_bytes != pydl::cuda::table_bytes()) {
    *why_not = "the CUDA library found was built for another version of pydl";
    return nullptr;
  }
  return pydl::cuda::library(why_not);
}

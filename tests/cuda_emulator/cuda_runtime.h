// Stands in for CUDA's header of that name where the host's compiler builds the kernels: the same words, on the
// emulator. Only what the library uses is here.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __constant__ static const
#define __launch_bounds__(...)

#define threadIdx (emulator::thread->index)
#define blockIdx (emulator::block.index)
#define blockDim (emulator::block.threads)
#define gridDim (emulator::block.grid)
constexpr int warpSize = emulator::kWarp;

// ---- barriers, shuffles, votes

inline void __syncthreads() { emulator::block_barrier(); }
inline void __syncwarp(unsigned mask = ~0u) { emulator::warp_barrier(mask); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned mask, T x, int source, int width = 32) {
  return emulator::shuffle(mask, x, width, [=](int) { return source & (width - 1); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T x, int bits, int width = 32) {
  return emulator::shuffle(mask, x, width, [=](int own) { return own ^ bits; });
}
template <class T>
T __shfl_up_sync(unsigned mask, T x, unsigned delta, int width = 32) {
  return emulator::shuffle(mask, x, width, [=](int own) { return own - static_cast<int>(delta); });
}
template <class T>
T __shfl_down_sync(unsigned mask, T x, unsigned delta, int width = 32) {
  return emulator::shuffle(mask, x, width, [=](int own) { return own + static_cast<int>(delta); });
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const uint64_t* all = emulator::exchange(mask, predicate != 0);
  unsigned votes = 0;
  for (int i = 0; i < emulator::kWarp; ++i)
    if (mask >> i & 1 && all[i]) votes |= 1u << i;
  return votes;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

// ---- atomics

template <class T>
T atomicAdd(T* at, T x) {
  return emulator::atomic(at, [=](T old) { return static_cast<T>(old + x); });
}
template <class T>
T atomicMax(T* at, T x) {
  return emulator::atomic(at, [=](T old) { return old < x ? x : old; });
}
template <class T>
T atomicMin(T* at, T x) {
  return emulator::atomic(at, [=](T old) { return x < old ? x : old; });
}
template <class T>
T atomicOr(T* at, T x) {
  return emulator::atomic(at, [=](T old) { return static_cast<T>(old | x); });
}
template <class T>
T atomicExch(T* at, T x) {
  return emulator::atomic(at, [=](T) { return x; });
}
template <class T>
T atomicCAS(T* at, T expected, T x) {
  return emulator::atomic(at, [=](T old) { return old == expected ? x : old; });
}

// ---- bits and numbers

inline unsigned __float_as_uint(float x) { return emulator::unpacked<unsigned>(emulator::packed(x)); }
inline float __uint_as_float(unsigned x) { return emulator::unpacked<float>(emulator::packed(x)); }
inline long long __double_as_longlong(double x) { return emulator::unpacked<long long>(emulator::packed(x)); }
inline double __longlong_as_double(long long x) { return emulator::unpacked<double>(emulator::packed(x)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }

struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

template <class T>
T __ldg(const T* at) {
  return *at;
}

template <class T>
T __ldcg(const T* at) {
  return *at;
}

// exp(x^2) erfc(x), with what the rounding of x^2 loses; far out by the asymptotic series.
inline double erfcx(double x) {
  if (x > 25) {
    const double y = 1 / (x * x);
    return 0.56418958354775629 / x * (1 - y * (0.5 - y * (0.75 - y * (1.875 - y * (6.5625 - y * 29.53125)))));
  }
  if (x < -26.65) return std::numeric_limits<double>::infinity();
  const double square = x * x;
  return std::exp(square) * (1 + std::fma(x, x, -square)) * std::erfc(x);
}
inline double normcdf(double x) { return 0.5 * std::erfc(x * -0.70710678118654752); }

inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }

// ---- the runtime, in memory of the host that only kernels and copies may touch

enum cudaError_t {
  cudaSuccess,
  cudaErrorInvalidValue,
  cudaErrorMemoryAllocation,
  cudaErrorLaunchFailure,
  cudaErrorStreamCaptureUnsupported,
  cudaErrorStreamCaptureInvalidated
};
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
};
enum cudaMemcpyKind { cudaMemcpyDefault = 4 };
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed = 2 };
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaEventDefault = 0;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, maxThreadsPerMultiProcessor;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* made, int device);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void* address);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaMallocAsync(void** block, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* block, cudaStream_t stream);
cudaError_t cudaMallocHost(void** block, size_t bytes);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
constexpr cudaError_t cudaErrorNotReady = static_cast<cudaError_t>(600);

namespace emulator {
// Whether the bytes lie within one block that was handed out; true for addresses that are not the device's.
bool held(const void* at, size_t bytes);
// A launch: opens the memory of the device, runs the kernel, closes it again.
void launch(dim3 grid, dim3 threads, size_t shared, const std::function<void()>& kernel, bool together = false);

// ---- graphs (graphs.cpp): what is done while a thread captures a stream is kept instead, its arguments as they are

bool capturing();
// Keeps `what` if the calling thread captures; else gives false.
bool captured(const std::function<void()>& what);
// Frees the block when the graph goes that the calling thread captures; false if it captures none.
bool freed_with_graph(void* block);
// There will be no graph, because it could not hold what was done.
cudaError_t spoil(const char* what);
cudaError_t fail(cudaError_t error, const char* what);
}  // namespace emulator

// What all kernels share: launches on the calling thread's stream, memory to work in, and dtypes as a kernel sees them.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <limits>
#include <new>
#include <tuple>
#include <type_traits>

#define PYDL_ISA \
  cuda  // the namespace of what these kernels share with those of the CPU; such headers come after this one

#include "array/dtype.h"
#include "kernels/arithmetic.h"
#include "kernels/types.h"

namespace pydl::cuda {

// ---- launches

struct Grid {
  dim3 blocks, threads;
  size_t shared = 0;  // bytes of dynamic shared memory
};

cudaStream_t stream();  // the calling thread's, or that of the graph it makes
int multiprocessors();  // of its device
size_t shared_limit();  // bytes of shared memory that a block of it can have
bool tf32_products();   // whether float32 may be rounded for tensor cores
bool tf32_convolutions();
void note(cudaError_t result);   // keeps the message of what failed for the one who launched
void missing(const char* what);  // the same of what there is no kernel for

template <class... P, class... A>
void start(void (*kernel)(P...), Grid grid, const A&... args) {
#ifdef __CUDACC__
  if (grid.shared > size_t{48} << 10)
    note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared)));
  kernel<<<grid.blocks, grid.threads, grid.shared, stream()>>>(static_cast<P>(args)...);
#else
  emulator::launch(grid.blocks, grid.threads, grid.shared,
                   [kernel, all = std::tuple<P...>(static_cast<P>(args)...)] { std::apply(kernel, all); });
#endif
  note(cudaGetLastError());
}

// Blocks that wait for each other: all of them run at the same time. Where the device has no room for that, nothing is
// started, and the launch's error says so. Shared memory of such a kernel is dynamic.
template <class P>
void start_together(void (*kernel)(P), Grid grid, P argument) {
#ifdef __CUDACC__
  if (grid.shared > size_t{48} << 10)
    note(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared)));
  void* arguments[] = {&argument};
  note(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(kernel), grid.blocks, grid.threads, arguments,
                                   grid.shared, stream()));
#else
  emulator::launch(
      grid.blocks, grid.threads, grid.shared, [=] { kernel(argument); }, true);
#endif
  note(cudaGetLastError());
}

// Dynamic shared memory as an array of T.
template <class T>
__device__ __forceinline__ T* shared_memory() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return reinterpret_cast<T*>(dynamic_shared);
#else
  return static_cast<T*>(emulator::block.shared);
#endif
}

// Device memory for as long as a sequence of launches needs it.
class Scratch {
 public:
  explicit Scratch(size_t bytes) {
    if (bytes) note(cudaMallocAsync(&data_, bytes, stream()));
  }
  ~Scratch() {
    if (data_) note(cudaFreeAsync(data_, stream()));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
};

__host__ __device__ constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// As many blocks as there is work for, but no more than keep the device busy: kernels walk on in steps of the grid.
inline unsigned blocks_for(int64_t items, int64_t per_block) {
  const int64_t wanted = ceil_div(items, per_block), most = int64_t{64} * multiprocessors();
  return static_cast<unsigned>(wanted < 1 ? 1 : wanted < most ? wanted : most);
}

// ---- numbers of the host

// Where a graph that the calling thread makes will have `bytes` numbers: before each launch of it, make(to, sources)
// gives them. Null where it makes none.
void* fed(size_t bytes, void (*make)(void* to, const void* sources), const void* sources, size_t source_bytes);

// Numbers that a kernel takes from the host and that may be others when its launch is repeated.
template <class T>
struct Fresh {
  union {
    char none;
    T own;
  };
  const T* there = nullptr;  // on the device; null: they are `own`

  Fresh() : none(0) {}
  __device__ __forceinline__ T get() const { return there ? *there : own; }
};

// Those that make() gives. It holds nothing but numbers and addresses of the host that stay good.
template <class F>
auto fresh(const F& make) {
  using T = decltype(make());
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_copyable_v<F>);
  Fresh<T> numbers;
  numbers.there = static_cast<const T*>(fed(
      sizeof(T), [](void* to, const void* f) { new (to) T((*static_cast<const F*>(f))()); }, &make, sizeof(F)));
  if (!numbers.there) new (&numbers.own) T(make());
  return numbers;
}

// ---- dtypes

template <class T>
__device__ __forceinline__ Wide<T> widened(T x) {
  if constexpr (std::is_same_v<T, f16>)
    return __half2float(__ushort_as_half(x.bits));
  else if constexpr (std::is_same_v<T, bf16>)
    return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
  else
    return x;
}

// To nearest, to even from the middle; a NaN stays one.
__device__ __forceinline__ bf16 to_bf16(float x) {
  const unsigned u = __float_as_uint(x);
  const unsigned rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
  return {static_cast<uint16_t>(x != x ? quiet : rounded)};
}

template <class T>
__device__ __forceinline__ T narrowed(Wide<T> x) {
  if constexpr (std::is_same_v<T, f16>)
    return f16{__half_as_ushort(__float2half_rn(x))};
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(x);
  else
    return x;
}

template <class T>
__device__ constexpr T infinity() {
  return std::numeric_limits<T>::infinity();
}

// As with_floating of kernels/types.h, of other dtypes.
template <class F>
void with_integer(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::i64:
      return f(int64_t{});
    case Dtype::i32:
      return f(int32_t{});
    default:
      return f(uint8_t{});
  }
}
template <class F>
void with_number(Dtype dtype, const F& f) {
  return is_floating(dtype) ? with_floating(dtype, f) : with_integer(dtype, f);
}
template <class F>
void with_any(Dtype dtype, const F& f) {
  return dtype == Dtype::b8 ? f(bool{}) : with_number(dtype, f);
}
// The unsigned integer of a dtype's size, for what only moves bits.
template <class F>
void with_bits(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::b8:
    case Dtype::u8:
      return f(uint8_t{});
    case Dtype::f16:
    case Dtype::bf16:
      return f(uint16_t{});
    case Dtype::i64:
    case Dtype::f64:
      return f(uint64_t{});
    default:
      return f(uint32_t{});
  }
}

}  // namespace pydl::cuda

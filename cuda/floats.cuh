// Elements whose floating dtype a kernel learns when it runs: one kernel computes in float for 16-bit and 32-bit
// floats, another in double. A branch that all threads take costs nothing beside the memory it waits for. And division
// by numbers that are the same for all threads.
#pragma once

#include "device.cuh"

namespace pydl::cuda {

constexpr int kVector = 8;  // elements that a thread moves at a time: 16 bytes of 16-bit floats, twice that of 32 bits

template <class T>
struct alignas(16) Sixteen {
  T at[16 / sizeof(T)];
};

template <class T, class C>
__device__ __forceinline__ void load_vector(const void* data, int64_t i, C (&v)[kVector]) {
  constexpr int N = 16 / sizeof(T);
#pragma unroll
  for (int part = 0; part < kVector / N; ++part) {
    const auto p = reinterpret_cast<const Sixteen<T>*>(static_cast<const T*>(data) + i)[part];
#pragma unroll
    for (int k = 0; k < N; ++k) v[part * N + k] = widened(p.at[k]);
  }
}

template <class T, class C>
__device__ __forceinline__ void store_vector(void* data, int64_t i, const C (&v)[kVector]) {
  constexpr int N = 16 / sizeof(T);
#pragma unroll
  for (int part = 0; part < kVector / N; ++part) {
    Sixteen<T> p;
#pragma unroll
    for (int k = 0; k < N; ++k) p.at[k] = narrowed<T>(v[part * N + k]);
    reinterpret_cast<Sixteen<T>*>(static_cast<T*>(data) + i)[part] = p;
  }
}

// C: float for f16, bf16 and f32; double for f64.
template <class C>
struct Source {
  const void* data;
  Dtype dtype;

  explicit Source(const View& x) : data(x.data), dtype(x.dtype) {}
  Source(const C* x) : data(x), dtype(std::is_same_v<C, double> ? Dtype::f64 : Dtype::f32) {}

  __device__ __forceinline__ C operator[](int64_t i) const {
    if constexpr (std::is_same_v<C, float>) {
      if (dtype == Dtype::f16) return widened(static_cast<const f16*>(data)[i]);
      if (dtype == Dtype::bf16) return widened(static_cast<const bf16*>(data)[i]);
    }
    return static_cast<const C*>(data)[i];
  }
  // kVector elements from i on, which lie on 16 bytes.
  __device__ __forceinline__ void load(int64_t i, C (&v)[kVector]) const {
    if constexpr (std::is_same_v<C, float>) {
      if (dtype == Dtype::f16) return load_vector<f16>(data, i, v);
      if (dtype == Dtype::bf16) return load_vector<bf16>(data, i, v);
    }
    load_vector<C>(data, i, v);
  }
};

template <class C>
struct Target {
  void* data;
  Dtype dtype;

  explicit Target(const View& y) : data(y.data), dtype(y.dtype) {}
  Target(C* y) : data(y), dtype(std::is_same_v<C, double> ? Dtype::f64 : Dtype::f32) {}

  __device__ __forceinline__ void put(int64_t i, C x) const {
    if constexpr (std::is_same_v<C, float>) {
      if (dtype == Dtype::f16) {
        static_cast<f16*>(data)[i] = narrowed<f16>(x);
        return;
      }
      if (dtype == Dtype::bf16) {
        static_cast<bf16*>(data)[i] = narrowed<bf16>(x);
        return;
      }
    }
    static_cast<C*>(data)[i] = x;
  }
  __device__ __forceinline__ void store(int64_t i, const C (&v)[kVector]) const {
    if constexpr (std::is_same_v<C, float>) {
      if (dtype == Dtype::f16) return store_vector<f16>(data, i, v);
      if (dtype == Dtype::bf16) return store_vector<bf16>(data, i, v);
    }
    store_vector<C>(data, i, v);
  }
};

// Calls f with a value of the type that a floating dtype is computed in.
template <class F>
void with_wide(Dtype dtype, const F& f) {
  return dtype == Dtype::f64 ? f(double{}) : f(float{});
}

inline bool on_vectors(const View& x) { return reinterpret_cast<uintptr_t>(x.data) % 16 == 0; }

// Division by a number that was known before the launch, as a multiplication: by 32 bits where both numbers have 31,
// else by 64. Source: Granlund & Montgomery 1994, figure 4.1.
struct Divisor {
  int64_t by = 1;
  uint64_t wide = 0;
  uint32_t narrow = 0, shift = 0;  // shift: the least that makes 1 << shift no less than `by`

  Divisor() = default;
  explicit Divisor(int64_t d) : by(d < 1 ? 1 : d) {
    using Whole = unsigned __int128;
    while ((uint64_t{1} << shift) < static_cast<uint64_t>(by)) ++shift;
    if (shift == 0) return;
    wide = static_cast<uint64_t>((Whole{1} << (63 + shift)) / static_cast<Whole>(by) + 1);
    if (by >> 31) return;
    narrow = static_cast<uint32_t>(
        (Whole{1} << 32) * ((uint64_t{1} << shift) - static_cast<uint64_t>(by)) / static_cast<Whole>(by) + 1);
  }
  // n / by for n >= 0
  __device__ __forceinline__ int64_t operator()(int64_t n) const {
    if (shift == 0) return n;
    if ((n | by) >> 31) {
      const auto product = static_cast<unsigned __int128>(static_cast<uint64_t>(n)) * wide;
      return static_cast<int64_t>(static_cast<uint64_t>(product >> 64) >> (shift - 1));
    }
    const uint32_t m = static_cast<uint32_t>(n);
    return (__umulhi(m, narrow) + m) >> shift;
  }
  // The remainder; n becomes n / by.
  __device__ __forceinline__ int64_t split(int64_t& n) const {
    const int64_t all = n;
    n = (*this)(n);
    return all - n * by;
  }
};

}  // namespace pydl::cuda

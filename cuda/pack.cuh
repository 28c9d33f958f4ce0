// Elements of a dtype that is known only when a kernel runs, several at a time, in the type that they are computed in:
// one compiled kernel serves all dtypes, and a branch that all threads take alike costs a memory-bound kernel nothing.
#pragma once

#include "device.cuh"

namespace pydl::cuda {

template <class T, int N>
struct alignas(sizeof(T) * N <= 16 ? sizeof(T) * N : 16) Pack {
  T at[N];
};

template <class T>
struct Type {
  using type = T;
};

// Calls f with the Type of a dtype, of those that are computed in C: float, double, or int64 for what has no fraction.
template <class C, class F>
__device__ __forceinline__ void with_stored(Dtype dtype, const F& f) {
  if constexpr (std::is_same_v<C, double>) {
    f(Type<double>());
  } else if constexpr (std::is_same_v<C, float>) {
    if (dtype == Dtype::f32)
      f(Type<float>());
    else if (dtype == Dtype::f16)
      f(Type<f16>());
    else
      f(Type<bf16>());
  } else {
    if (dtype == Dtype::i64)
      f(Type<int64_t>());
    else if (dtype == Dtype::i32)
      f(Type<int32_t>());
    else
      f(Type<uint8_t>());  // bool too: its bytes are 0 and 1
  }
}

// Calls f with a value of the type that a dtype is computed in.
template <class F>
void with_computed(Dtype dtype, const F& f) {
  if (dtype == Dtype::f64)
    f(double{});
  else if (dtype >= Dtype::f16)
    f(float{});
  else
    f(int64_t{});
}

template <class F>
void with_computed_float(Dtype dtype, const F& f) {
  return dtype == Dtype::f64 ? f(double{}) : f(float{});
}

// N elements from the i-th on, which lie on a boundary of their size or of 16 bytes.
template <class C, int N>
__device__ __forceinline__ void load_pack(const void* x, Dtype dtype, int64_t i, C (&v)[N]) {
  with_stored<C>(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const Pack<T, N> p = *reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(x) + i);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = static_cast<C>(widened(p.at[k]));
  });
}
template <class C, int N>
__device__ __forceinline__ void store_pack(void* y, Dtype dtype, int64_t i, const C (&v)[N]) {
  with_stored<C>(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    Pack<T, N> p;
#pragma unroll
    for (int k = 0; k < N; ++k) p.at[k] = narrowed<T>(static_cast<Wide<T>>(v[k]));
    *reinterpret_cast<Pack<T, N>*>(static_cast<T*>(y) + i) = p;
  });
}

template <class C>
__device__ __forceinline__ C load_element(const void* x, Dtype dtype, int64_t i) {
  C v{};
  with_stored<C>(
      dtype, [&](auto type) { v = static_cast<C>(widened(static_cast<const typename decltype(type)::type*>(x)[i])); });
  return v;
}
template <class C>
__device__ __forceinline__ void store_element(void* y, Dtype dtype, int64_t i, C v) {
  with_stored<C>(dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    static_cast<T*>(y)[i] = narrowed<T>(static_cast<Wide<T>>(v));
  });
}

}  // namespace pydl::cuda

// Functions of numbers that more than one kernel uses. Formulas are those of the CPU's kernels.
#pragma once

#include <cmath>

#include "device.cuh"
#include "kernels/numbers.h"
#include "runtime/table/gemm.h"

namespace pydl::cuda {

template <class T>
__device__ __forceinline__ T softplus(T x) {
  return larger(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

// The normal distribution: its density and what lies below x.
template <class T>
__device__ __forceinline__ T normal_density(T x) {
  return T(0.3989422804014326779) * std::exp(T(-0.5) * x * x);
}
// Far below 0 erfc falls so fast that the rounding of its argument t would be that of the result 2 t^2 times; what t
// has lost is put back by the slope there, nearly -2 t erfc(t).
template <class T>
__device__ __forceinline__ T normal_below(T x) {
  constexpr T factor = T(-0.70710678118654752440);
  constexpr T rest = sizeof(T) == 4 ? T(-0.70710678118654752440 - double{factor}) : T(4.8336466567264565e-17);
  const T t = x * factor, below = T(0.5) * std::erfc(t);
  if (t < T(1) || !(below > T(0))) return below;
  return std::fma(below, T(-2) * t * std::fma(x, rest, std::fma(x, factor, -t)), below);
}

// tanh(u) of the approximation of gelu, and du/dx.
template <class T>
__device__ __forceinline__ T gelu_inner(T x) {
  return T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
}
template <class T>
__device__ __forceinline__ T gelu_inner_slope(T x) {
  return T(0.79788456080286535588) * (T(1) + T(3 * 0.044715) * x * x);
}

// x times what tends to 0 faster, where x is infinite.
template <class T>
__device__ __forceinline__ T times_vanishing(T x, T factor) {
  return factor == T(0) ? T(0) : x * factor;
}

template <class T>
__device__ __forceinline__ T silu(T x) {
  return times_vanishing(x, sigmoid(x));
}
template <class T>
__device__ __forceinline__ T gelu(T x) {
  return times_vanishing(x, normal_below(x));
}
template <class T>
__device__ __forceinline__ T gelu_tanh(T x) {
  return times_vanishing(x, T(0.5) * (T(1) + std::tanh(gelu_inner(x))));
}

// What products end with. Those that take a while: code that is there once for all elements of a thread.
template <class T>
__device__ __attribute__((noinline)) T slow_activation(T x, Activation f) {
  switch (f) {
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::gelu_tanh:
      return gelu_tanh(x);
    default:
      return silu(x);
  }
}
// Integers have relu alone.
template <class T>
__device__ __forceinline__ T activated(T x, Activation f) {
  if (f == Activation::relu) return x <= T(0) ? T(0) : x;
  if constexpr (std::is_floating_point_v<T>) {
    if (f != Activation::none) return slow_activation(x, f);
  }
  return x;
}

}  // namespace pydl::cuda

// Types of elements, for the kernels of the CPU and the GPU: what a dtype is in C++, and what it is computed in.
#pragma once

#include <type_traits>

#include "array/view.h"
#include "kernels/host_device.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
constexpr bool kHalf = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;
template <class T>
constexpr bool kFloating = kHalf<T> || std::is_floating_point_v<T>;
template <class T>
using Wide = std::conditional_t<kHalf<T>, float, T>;  // what it is computed in

// The larger and the smaller of two; NaN if either is. Integers too.
template <class T>
constexpr T larger(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a > b || a != a ? a : b;
  return a > b ? a : b;
}
template <class T>
constexpr T smaller(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a < b || a != a ? a : b;
  return a < b ? a : b;
}

// Calls f with a value of the C++ type of a floating dtype: its type is what counts.
template <class F>
void with_floating(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::f64:
      return f(double{});
    case Dtype::f16:
      return f(f16{});
    case Dtype::bf16:
      return f(bf16{});
    default:
      return f(float{});
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// Elements of any dtype as a kernel sees them: what they are computed in, and the order that NaN leads.
#pragma once

#include <type_traits>

#include "simd/scalar.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
constexpr bool kHalf = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;
template <class T>
constexpr bool kFloating = kHalf<T> || std::is_floating_point_v<T>;
template <class T>
using Wide = std::conditional_t<kHalf<T>, float, T>;

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

template <class Y, class A>
inline Y narrow(A a) {
  if constexpr (std::is_same_v<Y, f16>) {
    return to_f16(a);
  } else if constexpr (std::is_same_v<Y, bf16>) {
    return to_bf16(a);
  } else {
    return static_cast<Y>(a);
  }
}

// An element in the type that it is computed in.
template <class S>
inline Wide<S> widened(S x) {
  if constexpr (kHalf<S>) {
    return to_float(x);
  } else {
    return x;
  }
}

// Element i of an array whose dtype is computed in A.
template <class A>
inline A element(const View& x, int64_t i) {
  if constexpr (std::is_same_v<A, double>) {
    return x.as<double>()[i];
  } else {
    if (x.dtype == Dtype::f32) return x.as<float>()[i];
    return x.dtype == Dtype::f16 ? to_float(x.as<f16>()[i]) : to_float(x.as<bf16>()[i]);
  }
}

// The larger and the smaller of two; NaN if either is.
template <class T>
inline Vec<T> larger(Vec<T> a, Vec<T> b) {
  return max(a, b);
}
template <class T>
inline Vec<T> smaller(Vec<T> a, Vec<T> b) {
  return min(a, b);
}
template <class A>
inline A larger(A a, A b) {
  if constexpr (std::is_floating_point_v<A>) return a > b || a != a ? a : b;
  return a > b ? a : b;
}
template <class A>
inline A smaller(A a, A b) {
  if constexpr (std::is_floating_point_v<A>) return a < b || a != a ? a : b;
  return a < b ? a : b;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// Elements of any dtype as a kernel sees them: what they are computed in, and the order that NaN leads.
#pragma once

#include "kernels/types.h"
#include "simd/scalar.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

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

// As those of one number in kernels/types.h.
template <class T>
inline Vec<T> larger(Vec<T> a, Vec<T> b) {
  return max(a, b);
}
template <class T>
inline Vec<T> smaller(Vec<T> a, Vec<T> b) {
  return min(a, b);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// The mathematical functions of Vec<float> and Vec<double>.
#pragma once

#include <cmath>

#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace pydl::PYDL_ISA {
namespace {

#define PYDL_LANES(f)                                   \
  template <class T>                                    \
  inline Vec<T> f(Vec<T> x) {                           \
    return map_lanes(x, [](T a) { return std::f(a); }); \
  }
PYDL_LANES(sin)
PYDL_LANES(cos)
PYDL_LANES(tan) PYDL_LANES(asin) PYDL_LANES(acos) PYDL_LANES(atan) PYDL_LANES(erf) PYDL_LANES(erfc)
#undef PYDL_LANES
    template <class T>
    inline Vec<T> pow(Vec<T> x, Vec<T> y) {
  return map_lanes(x, y, [](T a, T b) { return std::pow(a, b); });
}
template <class T>
inline Vec<T> atan2(Vec<T> x, Vec<T> y) {
  return map_lanes(x, y, [](T a, T b) { return std::atan2(a, b); });
}
template <class T>
inline Vec<T> gelu(Vec<T> x) {
  return T(0.5) * x * erfc(x * T(-0.70710678118654752));
}
template <class T>
inline Vec<T> gelu_tanh(Vec<T> x) {
  return x * sigmoid(x * fma(x * x, Vec<T>(T(0.044715 * 1.5957691216057308)), Vec<T>(T(1.5957691216057308))));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

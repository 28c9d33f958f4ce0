// Formulas that are written once, as templates of V: a vector on the CPU, a single number on the GPU.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/host_device.h"

namespace pydl::PYDL_ISA {
namespace {

template <class V>
struct ElementOf {
  using type = V;
};
template <template <class> class Vector, class T>
struct ElementOf<Vector<T>> {
  using type = T;
};

// A number of a formula as a vector, or a number, of the type that is computed with.
template <class V>
PYDL_HD inline V number(double x) {
  return V(static_cast<typename ElementOf<V>::type>(x));
}

// The functions of vectors that formulas use, for numbers.
template <class T>
using IfNumber = std::enable_if_t<std::is_floating_point_v<T>, T>;

template <class T>
PYDL_HD inline IfNumber<T> fma(T a, T b, T c) {
  return std::fma(a, b, c);
}
template <class T>
PYDL_HD inline IfNumber<T> sqrt(T x) {
  return std::sqrt(x);
}
template <class T>
PYDL_HD inline IfNumber<T> abs(T x) {
  return std::abs(x);
}
template <class T>
PYDL_HD inline IfNumber<T> select(bool first, T a, T b) {
  return first ? a : b;
}
template <class T>
PYDL_HD inline IfNumber<T> max(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
PYDL_HD inline IfNumber<T> min(T a, T b) {
  return a < b || a != a ? a : b;
}
template <class T>
PYDL_HD inline IfNumber<T> tanh(T x) {
  return std::tanh(x);
}
// By exp of a negative number alone: nothing overflows, and small results keep all their digits.
template <class T>
PYDL_HD inline IfNumber<T> sigmoid(T x) {
  const T e = std::exp(-std::abs(x));
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

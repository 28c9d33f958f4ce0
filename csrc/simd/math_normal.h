// The normal distribution. See math.h.
#pragma once

#include "simd/math_erf.h"
#include "simd/math_log.h"

namespace pydl::PYDL_ISA {
namespace {

// exp(x^2) erfc(x). Beyond the range of the polynomial, the asymptotic series of 1 / (a sqrt(pi)).
inline Vec<double> erfcx(Vec<double> x) {
  constexpr double series[] = {1.0, -0.5, 0.75, -1.875, 6.5625, -29.53125, 162.421875};
  const Vec<double> a = abs(x), b = fast_min(Vec<double>(26.7), a);
  const Vec<double> square = b * b;
  const Vec<double> grown = exp_bounded(square, product_error(b, b, square));
  const Vec<double> inverse = 1.0 / a;
  const Vec<double> far = 0.56418958354775629 * inverse * poly(inverse * inverse, series);
  const Vec<double> near = select(b < 0.5, grown * (1.0 - erf_small(b)), erfc_times_exp(b));
  const Vec<double> y = select(a > 26.0, far, near);
  const Vec<double> left = select(x < -26.65, infinity<double>(), 2.0 * grown - y);
  return select(x < 0.0, left, y);
}
inline Vec<float> erfcx(Vec<float> x) {
  return in_double(x, [](Vec<double> d) { return erfcx(d); });
}

// erfc(|x| / sqrt(2)), with the exponent from x itself: the rounding of |x| / sqrt(2) would grow with x^2.
template <class T>
inline Vec<T> two_tails(Vec<T> x) {
  const Vec<T> a = fast_min(Vec<T>(T(1.4142135623730950) * Erf<T>::kMax), abs(x));
  const Vec<T> b = a * T(kRootHalf);
  const Vec<T> tail = times_exp_minus_square(erfc_times_exp(a, kRootHalf), a, T(0.5));
  return select(b < T(0.5), T(1) - erf_small(b), tail);
}

template <class T>
inline Vec<T> ndtr(Vec<T> x) {
  const Vec<T> half = T(0.5) * two_tails(x);
  return select(x != x, x, select(x < T(0), half, T(1) - half));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// exp and what is made of it. See math.h.
#pragma once

#include "simd/math_bits.h"

namespace pydl::PYDL_ISA {
namespace {

// exp(r) = 1 + r + r^2 q(r) for |r| <= ln(2) / 2; q by Remez, relative error of exp(r) - 1 2^-26 (float32), 2^-61
// (float64).
template <class T>
struct ExpNear0;
template <>
struct ExpNear0<float> {
  static constexpr float q[] = {0.5f, 0x1.5554b0p-3f, 0x1.555488p-5f, 0x1.1227dcp-7f, 0x1.6d98aep-10f};
};
template <>
struct ExpNear0<double> {
  static constexpr double q[] = {0x1p-1,
                                 0x1.5555555555559p-3,
                                 0x1.555555555555ap-5,
                                 0x1.111111110f6c5p-7,
                                 0x1.6c16c16c1445fp-10,
                                 0x1.a01a01afdc973p-13,
                                 0x1.a01a01b0b2c79p-16,
                                 0x1.71ddf8685b663p-19,
                                 0x1.27e4c5a9c6cb3p-22,
                                 0x1.af5e9bdb7fa6bp-26,
                                 0x1.1f9555df0ef2cp-29};
};

template <class T>
inline Vec<T> exp_near_0(Vec<T> r) {
  return fma(fma(poly(r, ExpNear0<T>::q), r, Vec<T>(T(1))), r, Vec<T>(T(1)));
}
template <class T>
inline Vec<T> expm1_near_0(Vec<T> r) {
  return fma(r * r, poly(r, ExpNear0<T>::q), r);
}

// Beyond these, exp is infinite or 0; 2^9 (2^12) bounds the exponents that scale() takes.
template <class T>
struct ExpRange;
template <>
struct ExpRange<float> {
  static constexpr float kLow = -104.0f, kHigh = 89.0f, kLow2 = -150.5f, kHigh2 = 129.0f, kMinus1 = -18.0f;
};
template <>
struct ExpRange<double> {
  static constexpr double kLow = -746.0, kHigh = 710.0, kLow2 = -1075.5, kHigh2 = 1025.0, kMinus1 = -38.0;
};

// x = n ln(2) + r with an integer n and |r| <= ln(2) / 2. ln(2) is in two parts, so that n * high is exact.
template <class T>
inline Vec<T> reduce_ln2(Vec<T> x, Vec<T>& n) {
  using F = Format<T>;
  n = fma(x, Vec<T>(T(1.4426950408889634)), Vec<T>(F::kRound)) - F::kRound;
  return fma(n, Vec<T>(-F::kLn2Low), fma(n, Vec<T>(-F::kLn2High), x));
}

// The same of x + extra, for an extra that is small beside x.
template <class T>
inline Vec<T> reduce_ln2(Vec<T> x, Vec<T> extra, Vec<T>& n) {
  using F = Format<T>;
  n = fma(x, Vec<T>(T(1.4426950408889634)), Vec<T>(F::kRound)) - F::kRound;
  return fma(n, Vec<T>(-F::kLn2High), x) + fma(n, Vec<T>(-F::kLn2Low), extra);
}

// x, where exp(x) is 0 below `low`, bounded as scale_unless needs it: 2^n is then so small that its product is 0
// without the hundred cycles that a result just below the subnormal numbers costs.
template <class T>
inline Vec<T> bounded_below(Vec<T> x, T low) {
  return kHasScalef ? x : fast_max(Vec<T>(low - 32), x);
}

// exp(x + extra) for a small extra, where |x| is at most some quarter above the range of exp.
template <class T>
inline Vec<T> exp_bounded(Vec<T> x, Vec<T> extra) {
  Vec<T> n;
  const Vec<T> r = reduce_ln2(x, extra, n);
  return scale_unless(x < ExpRange<T>::kLow, exp_near_0(r), n);
}

// g exp(x + extra) for g <= 1, rounded less often than exp_bounded and a product: g + g (exp(r) - 1).
template <class T>
inline Vec<T> times_exp(Vec<T> g, Vec<T> x, Vec<T> extra) {
  Vec<T> n;
  const Vec<T> r = reduce_ln2(x, extra, n);
  return scale_unless(x < ExpRange<T>::kLow, fma(g, expm1_near_0(r), g), n);
}

// exp(x) / 2, which is finite where exp(x) just is not, for x >= 0.
template <class T>
inline Vec<T> half_exp(Vec<T> x) {
  Vec<T> n;
  const Vec<T> r = reduce_ln2(fast_min(Vec<T>(ExpRange<T>::kHigh + 1), x), n);
  return scale(exp_near_0(r), n - T(1));
}

template <class T>
inline Vec<T> exp(Vec<T> x) {
  Vec<T> n;
  x = bounded_below(fast_min(Vec<T>(ExpRange<T>::kHigh), x), ExpRange<T>::kLow);  // keeps NaN
  const Vec<T> r = reduce_ln2(x, n);
  return scale_unless(x < ExpRange<T>::kLow, exp_near_0(r), n);
}

template <class T>
inline Vec<T> exp2(Vec<T> x) {
  x = bounded_below(fast_min(Vec<T>(ExpRange<T>::kHigh2), x), ExpRange<T>::kLow2);
  const Vec<T> n = (x + Format<T>::kRound) - Format<T>::kRound;
  return scale_unless(x < ExpRange<T>::kLow2, exp_near_0((x - n) * T(0.69314718055994531)), n);
}

// exp(x) - 1 where 2^n is finite: 2^n (exp(r) - 1) + (2^n - 1).
template <class T>
inline Vec<T> expm1_bounded(Vec<T> x) {
  Vec<T> n;
  const Vec<T> p = expm1_near_0(reduce_ln2(x, n));
  const Vec<T> s = power_of_2(n);
  return fma(s, p, s - T(1));
}

template <class T>
inline Vec<T> expm1(Vec<T> x) {
  Vec<T> n;
  const Vec<T> c = fast_max(Vec<T>(ExpRange<T>::kMinus1), fast_min(Vec<T>(ExpRange<T>::kHigh), x));
  const Vec<T> p = expm1_near_0(reduce_ln2(c, n));
  const Vec<T> s = power_of_2(n - T(1));  // half of 2^n, which may be infinite
  const Vec<T> y = T(2) * fma(s, p, s - T(0.5));
  return select(abs(x) < Format<T>::kTiny, x, y);
}

// t / (t + 2) with t = exp(2 |x|) - 1: no cancellation anywhere.
template <class T>
inline Vec<T> tanh(Vec<T> x) {
  const Vec<T> t = expm1_bounded(T(2) * fast_min(Vec<T>(T(20)), abs(x)));
  return copysign(t / (t + T(2)), x);
}

// exp(-|x|) never overflows: 1 / (1 + e) for x >= 0, e / (1 + e) below.
template <class T>
inline Vec<T> sigmoid(Vec<T> x) {
  const Vec<T> e = exp(-abs(x));
  return select(x < T(0), e, Vec<T>(T(1))) / (T(1) + e);
}

template <class T>
inline Vec<T> silu(Vec<T> x) {
  return x * sigmoid(x);
}

// exp(|x|) / 2 = h; h - 1 / (4 h) from 1 on, below it (t + t / (t + 1)) / 2 with t = exp(|x|) - 1.
template <class T>
inline Vec<T> sinh(Vec<T> x) {
  const Vec<T> a = abs(x);
  const Vec<T> h = half_exp(a);
  const Vec<T> t = expm1_bounded(fast_min(Vec<T>(T(1)), a));
  const Vec<T> y = select(a > T(1), h - T(0.25) / h, T(0.5) * (t + t / (t + T(1))));
  return select(a < Format<T>::kTiny, x, copysign(y, x));
}

template <class T>
inline Vec<T> cosh(Vec<T> x) {
  const Vec<T> h = half_exp(abs(x));
  return h + T(0.25) / h;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

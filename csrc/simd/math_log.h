// The logarithms and what is made of them. See math.h.
#pragma once

#include "simd/math_exp.h"

namespace pydl::PYDL_ISA {
namespace {

// log(1 + f) - f + f^2 / 2 for 1 + f in [sqrt(1/2), sqrt(2)).
// float32: f^3 P(f), P by Remez, relative error of the logarithm 2^-30.
inline Vec<float> log1p_rest(Vec<float> f) {
  constexpr float p[] = {0x1.555546p-2f,  -0x1.ffffeep-3f, 0x1.99a53cp-3f,  -0x1.5562dep-3f, 0x1.23336ep-3f,
                         -0x1.fb445cp-4f, 0x1.e648fcp-4f,  -0x1.e2e102p-4f, 0x1.1b487ap-4f};
  return f * (f * f) * poly(f, p);
}
// float64: with s = f / (2 + f), log(1 + f) = 2 s + s R(s^2), the series of atanh; R by Remez, 2^-66.
inline Vec<double> log1p_rest(Vec<double> f) {
  constexpr double r[] = {0x1.5555555555555p-1, 0x1.9999999999dffp-2, 0x1.249249242b411p-2, 0x1.c71c7258fe20bp-3,
                          0x1.745cde356e050p-3, 0x1.3b20ab9999495p-3, 0x1.0f5cc804a8f2fp-3, 0x1.0f631bd781e8fp-3};
  const Vec<double> s = f / (f + 2.0);
  const Vec<double> z = s * s;
  return s * fma(z, poly(z, r), 0.5 * f * f);
}

// y where x is positive and finite; -inf at 0, NaN below, inf and NaN as they are.
template <class T>
inline Vec<T> log_special(Vec<T> x, Vec<T> y) {
  const Vec<T> rest = select(x < T(0), not_a_number<T>(), select(x == T(0), -infinity<T>(), x));
  return select((x > T(0)) & (x < infinity<T>()), y, rest);
}

template <class T>
inline Vec<T> log_of_parts(Vec<T> f, Vec<T> e, Vec<T> extra) {
  using F = Format<T>;
  const Vec<T> r = fma(e, Vec<T>(F::kLn2Low), log1p_rest(f) + extra);
  return fma(e, Vec<T>(F::kLn2High), f + fma(T(-0.5) * f, f, r));
}

template <class T>
inline Vec<T> log(Vec<T> x) {
  Vec<T> m, e;
  split(x, m, e);
  return log_special(x, log_of_parts(m - T(1), e, Vec<T>()));
}

// 1 + x is rounded to u; log(u) is corrected by what the rounding lost.
template <class T>
inline Vec<T> log1p(Vec<T> x) {
  Vec<T> m, e;
  const Vec<T> u = x + T(1);
  const Vec<T> d = u - T(1);
  const Vec<T> lost = (T(1) - (u - d)) + (x - d);
  split(u, m, e);
  const Vec<T> y = log_of_parts(m - T(1), e, lost / u);
  return select(abs(x) < Format<T>::kTiny, x, log_special(u, y));
}

// A logarithm to another base: k = 1 / ln(base) and log(2) to that base, both in two parts.
template <class T>
struct Base {
  T k_high, k_low, two_high, two_low;
};

// log(m) = high + low with the lower half of the bits cut from high, so that high * k_high is exact.
template <class T>
inline Vec<T> log_to_base(Vec<T> x, Base<T> base) {
  using Int = typename Format<T>::Int;
  constexpr Int kCut = ~((Int(1) << (sizeof(T) == 4 ? 12 : 32)) - 1);
  Vec<T> m, e;
  split(x, m, e);
  const Vec<T> f = m - T(1);
  const Vec<T> half_square = T(0.5) * f * f;
  const Vec<T> high = from_bits<T>(bits(f - half_square) & kCut);
  const Vec<T> low = ((f - high) - half_square) + log1p_rest(f);
  const Vec<T> exponent = e * base.two_high;
  const Vec<T> main = exponent + high * base.k_high;
  const Vec<T> lost = (exponent - main) + high * base.k_high;
  const Vec<T> rest = fma(e, Vec<T>(base.two_low), fma(low + high, Vec<T>(base.k_low), low * base.k_high));
  return log_special(x, main + (rest + lost));
}

inline Vec<float> log2(Vec<float> x) { return log_to_base(x, Base<float>{0x1.716p+0f, -0x1.7135a8p-13f, 1.0f, 0.0f}); }
inline Vec<double> log2(Vec<double> x) {
  return log_to_base(x, Base<double>{0x1.71547p+0, 0x1.94ae0bf85ddf4p-22, 1.0, 0.0});
}
inline Vec<float> log10(Vec<float> x) {
  return log_to_base(x, Base<float>{0x1.bccp-2f, -0x1.09d5b2p-15f, 0x1.3442p-2f, -0x1.95ec1p-19f});
}
inline Vec<double> log10(Vec<double> x) {
  return log_to_base(x, Base<double>{0x1.bcb7bp-2, 0x1.526e50e32a6abp-26, 0x1.34413509f8p-2, -0x1.80433b83b532ap-44});
}

// log(1 + exp(x)), without overflow.
template <class T>
inline Vec<T> softplus(Vec<T> x) {
  return max(x, Vec<T>()) + log1p(exp(-abs(x)));
}

template <class T>
inline Vec<T> logsigmoid(Vec<T> x) {
  return min(x, Vec<T>()) - log1p(exp(-abs(x)));
}

// log(|x| + sqrt(x^2 + 1)) as log1p, without cancellation; from 2^k on, log(2 |x|).
template <class T>
inline Vec<T> asinh(Vec<T> x) {
  const Vec<T> a = abs(x);
  const auto large = a > (sizeof(T) == 4 ? T(0x1p13) : T(0x1p28));
  const Vec<T> b = select(large, Vec<T>(T(1)), a);
  const Vec<T> z = b * b;
  const Vec<T> u = select(large, a - T(1), b + z / (T(1) + sqrt(z + T(1))));
  const Vec<T> y = log1p(u) + select(large, Vec<T>(T(0.69314718055994531)), Vec<T>());
  return select(a < Format<T>::kTiny, x, copysign(y, x));
}

template <class T>
inline Vec<T> acosh(Vec<T> x) {
  const auto large = x > (sizeof(T) == 4 ? T(0x1p13) : T(0x1p28));
  const Vec<T> t = x - T(1);
  const Vec<T> u = select(large, t, t + sqrt(T(2) * t + t * t));
  const Vec<T> y = log1p(u) + select(large, Vec<T>(T(0.69314718055994531)), Vec<T>());
  return select(x < T(1), not_a_number<T>(), y);
}

template <class T>
inline Vec<T> atanh(Vec<T> x) {
  const Vec<T> a = abs(x);
  const Vec<T> y = T(0.5) * log1p((a + a) / (T(1) - a));
  return select(a < Format<T>::kTiny, x, copysign(y, x));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

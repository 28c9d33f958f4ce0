// The logarithm of the gamma function. See math.h.
#pragma once

#include <cmath>

#include "simd/math_log.h"
#include "simd/math_trig.h"

namespace pydl::PYDL_ISA {
namespace {

inline double log_gamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}
inline Vec<double> lgamma(Vec<double> x) { return map_lanes(x, log_gamma); }

// Good to 1e-14 absolutely: Stirling's series from 8 on, the recurrence below, the reflection for x < 0.
inline Vec<double> lgamma_for_single(Vec<double> x) {
  constexpr double series[] = {1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360, 1.0 / 156};
  const auto negative = x < 0.0;
  const Vec<double> a = select(negative, 1.0 - x, x);
  Vec<double> z = a, p(1.0);
  for (int i = 0; i < 8; ++i) {
    const auto below = z < 8.0;
    p = select(below, p * z, p);
    z = select(below, z + 1.0, z);
  }
  const Vec<double> inverse = 1.0 / z;
  const Vec<double> rest = fma(inverse, poly(inverse * inverse, series), Vec<double>(0.91893853320467274));
  const Vec<double> l = fma(z - 0.5, log(z) - 1.0, rest - 0.5) - log(p);
  const Vec<double> y = select(a == infinity<double>(), a, l);
  const Vec<double> r = x - round(x);
  const Vec<double> mirrored = log(3.1415926535897932 / abs(sin(3.1415926535897932 * r))) - y;
  return select(x == -infinity<double>(), infinity<double>(), select(negative, mirrored, y));
}
inline Vec<float> lgamma(Vec<float> x) {
  return in_double(x, [](Vec<double> d) { return lgamma_for_single(d); });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

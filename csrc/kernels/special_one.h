// Special functions of one argument, for the CPU's kernels and the GPU's. V: a vector, or a number; float64, but for
// sinc and entr. exp, log, poly, erfcx, two_tails and the like are those of V.
#pragma once

#include <limits>

#include "kernels/numbers.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// sin(pi x) / (pi x), 1 at 0; the sine of the distance to the nearest integer, which is exact.
template <class V>
PYDL_HD inline V sinc(V x) {
  const V n = round(x), half = n * number<V>(0.5), pi = number<V>(3.1415926535897932);
  const V s = sin(pi * (x - n));
  const V y = select(floor(half) != half, -s, s) / (pi * x);
  return select(x == V(), number<V>(1), select(abs(x) == number<V>(kInfinity), V(), y));
}

// The asymptotic series from 10 on, the recurrence below, the reflection for x < 0; infinite at 0, NaN at the poles.
template <class V>
PYDL_HD inline V digamma(V x) {
  static constexpr double series[] = {1.0 / 12,  -1.0 / 120,     1.0 / 252, -1.0 / 240,
                                      1.0 / 132, -691.0 / 32760, 1.0 / 12,  -3617.0 / 8160};
  const auto negative = x < 0.0;
  V z = select(negative, 1.0 - x, x), down = V();
  if (any(z < 10.0)) {
    for (int i = 0; i < 10; ++i) {
      const auto below = z < 10.0;
      down = select(below, down + 1.0 / z, down);
      z = select(below, z + 1.0, z);
    }
  }
  const V inverse = 1.0 / z, s = inverse * inverse;
  const V y = (log(z) - 0.5 * inverse) - s * poly(s, series) - down;
  const V r = x - round(x);
  const V mirrored = select(r == 0.0, number<V>(kNotANumber), y - 3.1415926535897932 / tan(3.1415926535897932 * r));
  return select(x == 0.0, -copysign(number<V>(kInfinity), x), select(negative, mirrored, y));
}

// log(ndtr(x)): far on the left from the scaled tail, which does not underflow.
template <class V>
PYDL_HD inline V log_ndtr(V x) {
  const auto left = x < -1.0;
  const V a = select(left, x, number<V>(-1.0));
  const V far = log(0.5 * erfcx(a * -0.70710678118654752)) - 0.5 * a * a;
  const V half = 0.5 * two_tails(select(left, V(), x));
  const V near = select(x < 0.0, log(half), log1p(-half));
  return select(x != x, x, select(left, far, near));
}

// The point below which lies q + 1/2 of a normal variable, with `tail` the smaller of 1/2 + q and 1/2 - q.
// Source: Wichura 1988, Applied Statistics 37, algorithm AS 241 (PPND16).
template <class V>
PYDL_HD inline V quantile(V q, V tail) {
  static constexpr double a[] = {3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427,
                                 13731.693765509461125, 45921.953931549871457, 67265.770927008700853,
                                 33430.575583588128105, 2509.0809287301226727};
  static constexpr double b[] = {1.0,
                                 42.313330701600911252,
                                 687.18700749205790830,
                                 5394.1960214247511077,
                                 21213.794301586595867,
                                 39307.895800092710610,
                                 28729.085735721942674,
                                 5226.4952788528545610};
  static constexpr double c[] = {1.42343711074968357734,    4.63033784615654529590,   5.76949722146069140550,
                                 3.64784832476320460504,    1.27045825245236838258,   2.41780725177450611770e-1,
                                 2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static constexpr double d[] = {1.0,
                                 2.05319162663775882187,
                                 1.67638483018380384940,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
  static constexpr double e[] = {6.65790464350110377720,    5.46378491116411436990,    1.78482653991729133580,
                                 2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                 2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static constexpr double f[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};
  const V r = 0.180625 - q * q;
  const V middle = q * poly(r, a) / poly(r, b);
  const V s = sqrt(-log(tail));
  const V t = s - 1.6, u = s - 5.0;
  const V side = select(s <= 5.0, poly(t, c) / poly(t, d), poly(u, e) / poly(u, f));
  const V y = select(abs(q) <= 0.425, middle, copysign(side, q));
  return select(tail == 0.0, copysign(number<V>(kInfinity), q), y);
}

template <class V>
PYDL_HD inline V ndtri(V p) {
  const V y = quantile(p - 0.5, select(p < 0.5, p, 1.0 - p));
  return select((p >= 0.0) & (p <= 1.0), y, number<V>(kNotANumber));
}

template <class V>
PYDL_HD inline V erfinv(V x) {
  const V y = 0.70710678118654752 * quantile(0.5 * x, 0.5 * (1.0 - abs(x)));
  return select(abs(x) <= 1.0, y, number<V>(kNotANumber));
}

// -x log(x), 0 at 0, -inf below.
template <class V>
PYDL_HD inline V entr(V x) {
  const V y = -x * log(x);
  return select(x == V(), V(), select(x < V(), number<V>(-kInfinity), y));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// The normal distribution: its function, the logarithm of that, and the inverse. See math.h.
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

// log(ndtr(x)): far on the left from the scaled tail, which does not underflow.
inline Vec<double> log_ndtr(Vec<double> x) {
  const auto left = x < -1.0;
  const Vec<double> a = select(left, x, Vec<double>(-1.0));
  const Vec<double> far = log(0.5 * erfcx(a * -0.70710678118654752)) - 0.5 * a * a;
  const Vec<double> half = 0.5 * two_tails(select(left, Vec<double>(), x));
  const Vec<double> near = select(x < 0.0, log(half), log1p(-half));
  return select(x != x, x, select(left, far, near));
}
inline Vec<float> log_ndtr(Vec<float> x) {
  return in_double(x, [](Vec<double> d) { return log_ndtr(d); });
}

// The point below which lies q + 1/2 of a normal variable, with `tail` the smaller of 1/2 + q and 1/2 - q.
// Source: Wichura 1988, Applied Statistics 37, algorithm AS 241 (PPND16).
inline Vec<double> quantile(Vec<double> q, Vec<double> tail) {
  constexpr double a[] = {3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
                          45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727};
  constexpr double b[] = {1.0,
                          42.313330701600911252,
                          687.18700749205790830,
                          5394.1960214247511077,
                          21213.794301586595867,
                          39307.895800092710610,
                          28729.085735721942674,
                          5226.4952788528545610};
  constexpr double c[] = {1.42343711074968357734,    4.63033784615654529590,   5.76949722146069140550,
                          3.64784832476320460504,    1.27045825245236838258,   2.41780725177450611770e-1,
                          2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double d[] = {1.0,
                          2.05319162663775882187,
                          1.67638483018380384940,
                          6.89767334985100004550e-1,
                          1.48103976427480074590e-1,
                          1.51986665636164571966e-2,
                          5.47593808499534494600e-4,
                          1.05075007164441684324e-9};
  constexpr double e[] = {6.65790464350110377720,    5.46378491116411436990,    1.78482653991729133580,
                          2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                          2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double f[] = {1.0,
                          5.99832206555887937690e-1,
                          1.36929880922735805310e-1,
                          1.48753612908506148525e-2,
                          7.86869131145613259100e-4,
                          1.84631831751005468180e-5,
                          1.42151175831644588870e-7,
                          2.04426310338993978564e-15};
  const Vec<double> r = 0.180625 - q * q;
  const Vec<double> middle = q * poly(r, a) / poly(r, b);
  const Vec<double> s = sqrt(-log(tail));
  const Vec<double> t = s - 1.6, u = s - 5.0;
  const Vec<double> side = select(s <= 5.0, poly(t, c) / poly(t, d), poly(u, e) / poly(u, f));
  const Vec<double> y = select(abs(q) <= 0.425, middle, copysign(side, q));
  return select(tail == 0.0, copysign(infinity<double>(), q), y);
}

inline Vec<double> ndtri(Vec<double> p) {
  const Vec<double> y = quantile(p - 0.5, select(p < 0.5, p, 1.0 - p));
  return select((p >= 0.0) & (p <= 1.0), y, not_a_number<double>());
}
inline Vec<float> ndtri(Vec<float> p) {
  return in_double(p, [](Vec<double> d) { return ndtri(d); });
}

inline Vec<double> erfinv(Vec<double> x) {
  const Vec<double> y = 0.70710678118654752 * quantile(0.5 * x, 0.5 * (1.0 - abs(x)));
  return select(abs(x) <= 1.0, y, not_a_number<double>());
}
inline Vec<float> erfinv(Vec<float> x) {
  return in_double(x, [](Vec<double> d) { return erfinv(d); });
}

// -x log(x), 0 at 0, -inf below.
template <class T>
inline Vec<T> entr(Vec<T> x) {
  const Vec<T> y = -x * log(x);
  return select(x == T(0), Vec<T>(), select(x < T(0), -infinity<T>(), y));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

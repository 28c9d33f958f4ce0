// pow. See math.h.
#pragma once

#include "simd/math_exp.h"
#include "simd/math_log.h"

namespace pydl::PYDL_ISA {
namespace {

// log(a) = high + low to about 2^-64, for a >= 0. With s = f / (2 + f), log(1 + f) = s (2 + s^2 (2/3 + s^2 R)), all but
// R in two parts; R by Remez, 2^-65 of the logarithm.
inline Vec<double> log_in_two_parts(Vec<double> a, Vec<double>& low) {
  constexpr double rest[] = {0x1.9999999999b09p-2, 0x1.249249245bb5ap-2, 0x1.c71c7228b5395p-3, 0x1.745ceb505086ap-3,
                             0x1.3b1eb0af6d2f9p-3, 0x1.0f84da984b226p-3, 0x1.0e184aa7d1370p-3};
  constexpr double c = 0x1.5555555555555p-1, c_low = 0x1.5555555555555p-55;  // 2/3
  Vec<double> m, e;
  split(a, m, e);
  const Vec<double> f = m - 1.0, d = m + 1.0, d_low = f - (d - 2.0), inverse = 1.0 / d;
  const Vec<double> s = f * inverse, p = s * d;
  const Vec<double> s_low = (((f - p) - product_error(s, d, p)) - s * d_low) * inverse;
  const Vec<double> z = s * s, z_low = fma(2.0 * s, s_low, product_error(s, s, z));
  const Vec<double> w = z * poly(z, rest);
  const Vec<double> t = c + w, t_low = ((c - t) + w) + c_low;
  const Vec<double> u = z * t, u_low = fma(z, t_low, fma(z_low, t, product_error(z, t, u)));
  const Vec<double> v = 2.0 + u, v_low = ((2.0 - v) + u) + u_low;
  const Vec<double> l = s * v, l_low = fma(s, v_low, fma(s_low, v, product_error(s, v, l)));
  const Vec<double> n = e * Format<double>::kLn2High;  // exact
  const Vec<double> sum = n + l;
  const Vec<double> back = sum - n;
  const Vec<double> lost = (n - (sum - back)) + (l - back);
  const Vec<double> high = log_special(a, sum);
  low = fma(e, Vec<double>(Format<double>::kLn2Low), lost + l_low);
  return high;
}

// |x|^y.
inline Vec<double> pow_magnitude(Vec<double> a, Vec<double> y) {
  Vec<double> low;
  const Vec<double> high = log_in_two_parts(a, low);
  const Vec<double> p = y * high;
  const Vec<double> rest = fma(y, low, product_error(y, high, p));
  const Vec<double> bounded = bounded_below(fast_min(Vec<double>(ExpRange<double>::kHigh), p), ExpRange<double>::kLow);
  return exp_bounded(bounded, select(abs(p) < 1000.0, rest, Vec<double>()));
}

// Good to 2^-36 where the result is a float32: shorter polynomials than those of exp and log, errors 2^-40 and 2^-45.
inline Vec<double> pow_for_single(Vec<double> a, Vec<double> y) {
  constexpr double log_rest[] = {0x1.555555561e43fp-1, 0x1.999996a948c2dp-2, 0x1.249411eec6bf1p-2, 0x1.c62b146d55fd9p-3,
                                 0x1.911592b4bf134p-3};
  constexpr double exp_rest[] = {1.0,
                                 1.0,
                                 0x1.ffffffffeabc7p-2,
                                 0x1.5555557e7cb1ep-3,
                                 0x1.5555558ad479dp-5,
                                 0x1.1110a15c176a4p-7,
                                 0x1.6c162222ed989p-10,
                                 0x1.a186cd79b61c9p-13,
                                 0x1.a18bf04e3e58fp-16};
  Vec<double> m, e, n;
  split(a, m, e);
  const Vec<double> f = m - 1.0;
  const Vec<double> s = f / (m + 1.0);
  const Vec<double> z = s * s;
  const Vec<double> l = fma(e, Vec<double>(0.69314718055994531), fma(s * z, poly(z, log_rest), 2.0 * s));
  const Vec<double> p = y * log_special(a, l);
  const Vec<double> r = reduce_ln2(fast_max(Vec<double>(-200.0), fast_min(Vec<double>(200.0), p)), n);
  return poly(r, exp_rest) * power_of_2(n);
}
inline Vec<float> pow_magnitude(Vec<float> a, Vec<float> y) {
  return to_single(pow_for_single(to_double(a, 0), to_double(y, 0)), pow_for_single(to_double(a, 1), to_double(y, 1)));
}

// The signs and the special values of IEEE 754: 1^y = x^0 = (-1)^inf = 1, even for NaN; NaN for finite x < 0 unless y
// is an integer; an odd y keeps the sign of x.
template <class T>
inline Vec<T> pow(Vec<T> x, Vec<T> y) {
  const Vec<T> a = abs(x);
  const auto negative = top_bit<T>(bits(x));
  const auto integer = floor(y) == y;
  const auto odd = integer & (floor(y * T(0.5)) * T(2) != y);
  Vec<T> r = pow_magnitude(a, y);
  r = select((x < T(0)) & (a < infinity<T>()) & ~integer, not_a_number<T>(), r);
  r = select(negative & odd, -r, r);
  const auto one = (x == T(1)) | (y == T(0)) | ((a == T(1)) & (abs(y) == infinity<T>()));
  return select(one, Vec<T>(T(1)), r);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

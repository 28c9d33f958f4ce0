// The error function, and the activations made of it. See math.h.
#pragma once

#include "simd/math_exp.h"

namespace pydl::PYDL_ISA {
namespace {

// erf(x) = x + x S(x^2) for |x| <= 1; exp(a^2) erfc(a) = t E(t - kMiddle), t = 1 / (1 + k a), from kTailFrom up to
// underflow. All by Remez: relative errors 2^-30 and 2^-29 in float32, 2^-63 and 2^-64 in float64.
template <class T>
struct Erf;
template <>
struct Erf<float> {
  static constexpr float kSmall[] = {0x1.06eba8p-3f, -0x1.81273ep-2f,  0x1.ce2d20p-4f, -0x1.b7fbb4p-6f,
                                     0x1.5419f2p-8f, -0x1.a485d0p-11f, 0x1.4ae484p-14f};
  static constexpr float kTail[] = {0x1.947040p-2f,  0x1.1e80cap-1f,  0x1.3294b2p-1f, 0x1.b9e598p-2f, 0x1.01f84ep-3f,
                                    -0x1.b34920p-4f, -0x1.be35d4p-4f, 0x1.f7fa0ep-6f, 0x1.2a36a2p-4f, -0x1.4f3276p-5f};
  static constexpr float kScale = 0.42f, kMiddle = 0x1.b3dfd6p-2f, kMax = 11.2f, kTailFrom = 0.0f;
};
template <>
struct Erf<double> {
  static constexpr double kSmall[] = {0x1.06eba8214db69p-3,   -0x1.812746b0379e6p-2,  0x1.ce2f21a042b34p-4,
                                      -0x1.b82ce31284f38p-6,  0x1.565bcd0dbd920p-8,   -0x1.c02db3db49905p-11,
                                      0x1.f9a321e4be396p-14,  -0x1.f4d1e4355e24fp-17, 0x1.b9df3066e20fep-20,
                                      -0x1.5f1f41608c1ffp-23, 0x1.f7b9a24bdfaf0p-27,  -0x1.38ac32d8ed106p-30,
                                      0x1.0627890b92f43p-34};
  static constexpr double kTail[] = {
      0x1.5aa3593832f5bp-3,  0x1.5aa35937f009fp-3,  0x1.4b0a13f563128p-3,  0x1.2bd788a38d4dcp-3,  0x1.fe4db533ee7aap-4,
      0x1.925b70aaff3c3p-4,  0x1.1f9042c50e80dp-4,  0x1.6595712843a7ep-5,  0x1.62d602b4fffb5p-6,  0x1.79027e03d372ap-8,
      -0x1.0a753110687c7p-8, 0x1.e097921a21080p-9,  -0x1.6de7215488d91p-5, 0x1.0693260d09b69p-3,  -0x1.4370ede8bab97p-2,
      0x1.3a45fb881ef89p-1,  -0x1.dcdb4ee159df2p-1, 0x1.1d3ec4a171604p+0,  -0x1.06eef64aa85cap+0, 0x1.68728d7485179p-1,
      -0x1.61036c9cc406fp-2, 0x1.d28b2ca39a84ap-4,  -0x1.75756c3acf3d9p-6, 0x1.124aae5eb5176p-9};
  static constexpr double kScale = 0.3, kMiddle = 0, kMax = 28, kTailFrom = 0.48;
};

template <class T>
inline Vec<T> erf_small(Vec<T> x) {
  return fma(x, poly(x * x, Erf<T>::kSmall), x);
}

// exp(b^2) erfc(b) for b = factor a. A Newton step takes the rounding errors out of t, which the function would
// enlarge.
template <class Table, class T>
inline Vec<T> erfc_times_exp_by(Vec<T> a, long double factor) {
  const long double scale = Table::kScale * factor;
  const Vec<T> k(static_cast<T>(scale)), k_low(static_cast<T>(scale - static_cast<T>(scale))), one(T(1));
  const Vec<T> d = fma(k, a, one);
  const Vec<T> t0 = reciprocal_estimate(d);
  const Vec<T> lost = fma(k_low, a, fma(k, a, one - d));
  const Vec<T> e = fma(-t0, lost, fma(-t0, d, one));
  const Vec<T> rest = t0 * fma(e, e, e);
  return (t0 + rest) * poly((t0 - T(Table::kMiddle)) + rest, Table::kTail);
}
inline Vec<double> erfc_times_exp(Vec<double> a, long double factor = 1) {
  return erfc_times_exp_by<Erf<double>>(a, factor);
}
// Where there is no fma, this alone would lose 3 of the 4 ulp that the results may lose: there in float64.
inline Vec<float> erfc_times_exp(Vec<float> a, long double factor = 1) {
  if constexpr (kFusedFma) return erfc_times_exp_by<Erf<float>>(a, factor);
  return in_double(a, [factor](Vec<double> d) { return erfc_times_exp_by<Erf<float>>(d, factor); });
}

// g exp(-factor * a^2), with the rounding error of a^2 taken into account; factor is 1 or 1/2.
template <class T>
inline Vec<T> times_exp_minus_square(Vec<T> g, Vec<T> a, T factor) {
  const Vec<T> s = a * a;
  const Vec<T> lost = product_error(a, a, s);
  return times_exp(g, -factor * s, -factor * lost);
}

constexpr long double kRootHalf = 0.707106781186547524400844362104849039L;

template <class T>
inline Vec<T> erfc(Vec<T> x) {
  const Vec<T> a = fast_min(Vec<T>(Erf<T>::kMax), abs(x));
  const Vec<T> tail = times_exp_minus_square(erfc_times_exp(a), a, T(1));
  const Vec<T> y = select(a < T(0.5), T(1) - erf_small(a), tail);
  return select(x < T(0), T(2) - y, y);
}

inline Vec<double> erf(Vec<double> x) {
  const Vec<double> a = fast_min(Vec<double>(Erf<double>::kMax), abs(x));
  const Vec<double> tail = 1.0 - times_exp_minus_square(erfc_times_exp(a), a, 1.0);
  return copysign(select(a < 1.0, erf_small(a), tail), x);
}

// In float32, 1 - exp(P(a)) above 1, P near log(erfc): no division. P by Remez, error 2^-30 of erf, on [1, 3.95].
inline Vec<float> erf(Vec<float> x) {
  constexpr float p[] = {-0x1.63ebf2p-12f, -0x1.208974p+0f, -0x1.46b932p-1f, -0x1.a65ed2p-4f,
                         0x1.65e0cep-6f,   -0x1.82841cp-9f, 0x1.871e26p-13f};
  const Vec<float> a = fast_min(Vec<float>(3.95f), abs(x));
  Vec<float> n;
  const Vec<float> r = reduce_ln2(poly(a, p), n);
  const Vec<float> tail = 1.0f - (expm1_near_0(r) + 1.0f) * power_of_2(n);
  return copysign(select(a < 1.0f, erf_small(a), tail), x);
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|); Phi(-a) = erfc(a / sqrt(2)) / 2 keeps its digits far in the tail, where 1 + erf
// would lose them.
template <class T>
inline Vec<T> gelu(Vec<T> x) {
  const Vec<T> a = fast_min(Vec<T>(T(1.4142135623730950) * Erf<T>::kMax), abs(x));
  const Vec<T> half = T(0.5) * a;
  Vec<T> loss = times_exp_minus_square(half * erfc_times_exp(a, kRootHalf), a, T(0.5));
  if constexpr (Erf<T>::kTailFrom > T(0)) {
    const Vec<T> b = a * T(kRootHalf);
    loss = select(b < T(0.5), half * (T(1) - erf_small(b)), loss);
  }
  return fast_max(Vec<T>(), x) - loss;
}

// The slope of gelu: Phi(x) + x phi(x), by the same exp(-x^2 / 2).
template <class T>
inline Vec<T> gelu_slope(Vec<T> x) {
  const Vec<T> a = fast_min(Vec<T>(T(1.4142135623730950) * Erf<T>::kMax), abs(x));
  const Vec<T> e = times_exp_minus_square(Vec<T>(T(1)), a, T(0.5));
  Vec<T> tail = e * erfc_times_exp(a, kRootHalf);
  if constexpr (Erf<T>::kTailFrom > T(0)) {
    const Vec<T> b = a * T(kRootHalf);
    tail = select(b < T(0.5), T(1) - erf_small(b), tail);
  }
  const Vec<T> bump = a * e * T(0.39894228040143268) - T(0.5) * tail;  // of |x|, less 1
  return select(x < T(0), -bump, T(1) + bump);
}

// x (1 + tanh(u)) / 2 = x sigmoid(2 u), 2 u = x (c1 + c2 x^2), c1 = 2 sqrt(2 / pi), c2 = 0.044715 c1. The argument of
// exp is computed to twice the precision, since exp makes an error of the argument as many times larger as it is large.
template <class T>
inline Vec<T> gelu_tanh(Vec<T> x) {
  constexpr long double c1 = 1.595769121605730711759784239737514L, c2 = 0.044715L * c1;
  constexpr T h1 = static_cast<T>(c1), h2 = static_cast<T>(c2);
  constexpr T l1 = static_cast<T>(c1 - h1), l2 = static_cast<T>(c2 - h2);
  const Vec<T> a = fast_min(Vec<T>(sizeof(T) == 4 ? T(11.6) : T(22)), abs(x));  // exp(-u) is 0 there
  const Vec<T> z = a * a;
  const Vec<T> q = h2 * z;
  const Vec<T> s = h1 + q;
  const Vec<T> sum_lost = select(q > h1, (q - s) + h1, (h1 - s) + q);
  const Vec<T> rest =
      sum_lost + (product_error(Vec<T>(h2), z, q) + fma(Vec<T>(h2), product_error(a, a, z), l2 * z + l1));
  const Vec<T> u = a * s;
  const Vec<T> lost = fma(a, rest, product_error(a, s, u));
  const Vec<T> e = exp_bounded(-u, -lost);
  return select(x < T(0), -a * e, x) / (T(1) + e);
}

// Its slope: s + x s (1 - s) v with s = sigmoid(2 u) and v = c1 + 3 c2 x^2 the slope of 2 u.
template <class T>
inline Vec<T> gelu_tanh_slope(Vec<T> x) {
  constexpr T c1 = T(1.5957691216057307), c2 = T(0.044715 * 1.5957691216057307);
  const Vec<T> a = fast_min(Vec<T>(sizeof(T) == 4 ? T(11.6) : T(22)), abs(x));
  const Vec<T> z = a * a;
  const Vec<T> e = exp(-a * fma(z, Vec<T>(c2), Vec<T>(c1)));
  const Vec<T> d = T(1) / (T(1) + e);
  const Vec<T> bump = a * fma(z, Vec<T>(T(3) * c2), Vec<T>(c1)) * e * d * d;
  return select(x < T(0), e * d - bump, d + bump);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

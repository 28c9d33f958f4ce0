// Trigonometric functions and their inverses. See math.h.
#pragma once

#include <cmath>

#include "simd/math_bits.h"

namespace pydl::PYDL_ISA {
namespace {

// All polynomials by Remez on |r| <= pi/4, |t| <= tan(pi/8), |t| <= 1/2; relative errors of the functions 2^-28 (sin),
// 2^-33 (cos), 2^-30 (atan), 2^-28 (asin) in float32; 2^-58, 2^-64, 2^-59, 2^-60 in float64.
template <class T>
struct Trig;
template <>
struct Trig<float> {
  static constexpr float kSin[] = {-0x1.555546p-3f, 0x1.11075ep-7f, -0x1.994dfep-13f};
  static constexpr float kCos[] = {0x1.55554ap-5f, -0x1.6c0c8cp-10f, 0x1.9a0210p-16f};
  static constexpr float kAtan[] = {-0x1.55554ap-2f, 0x1.9991eap-3f, -0x1.23ba68p-3f, 0x1.b23146p-4f, -0x1.f32aa0p-5f};
  static constexpr float kAsin[] = {0x1.5555c6p-3f, 0x1.330248p-4f, 0x1.74782cp-5f, 0x1.8c4d4ap-6f, 0x1.595b78p-5f};
  static constexpr float kHalfPi = 0x1.921fb6p+0f, kHalfPiLow = -0x1.777a5cp-25f;
};
template <>
struct Trig<double> {
  static constexpr double kSin[] = {-0x1.5555555555549p-3, 0x1.111111110f879p-7,   -0x1.a01a019c1128dp-13,
                                    0x1.71de35772d42ap-19, -0x1.ae5e65b7362dap-26, 0x1.5d92d54ed6f67p-33};
  static constexpr double kCos[] = {0x1.555555555554cp-5,   -0x1.6c16c16c151aap-10, 0x1.a01a019cb5494p-16,
                                    -0x1.27e4f80c18c7fp-22, 0x1.1ee9ed29c3e70p-29,  -0x1.8faf2b9aaeb97p-37};
  static constexpr double kAtan[] = {-0x1.5555555555543p-2, 0x1.99999999963a0p-3,  -0x1.24924922e905dp-3,
                                     0x1.c71c70fa75092p-4,  -0x1.745cfae9bf1a3p-4, 0x1.3b113a5516a97p-4,
                                     -0x1.10ed141459b9bp-4, 0x1.df21ab8d0a124p-5,  -0x1.9d2041cd09131p-5,
                                     0x1.388f1f07a5a6cp-5,  -0x1.26eacaef7d160p-6};
  static constexpr double kAsin[] = {
      0x1.5555555555570p-3, 0x1.333333332ecf2p-4,  0x1.6db6db71a22e2p-5, 0x1.f1c71ab81c557p-6, 0x1.6e8bdb8ccd568p-6,
      0x1.1c4a24b9152f8p-6, 0x1.ca1b3121da12fp-7,  0x1.75a59f7b1f6dfp-7, 0x1.60995b829e250p-7, 0x1.eec393f246053p-9,
      0x1.6125dfbaf2beep-6, -0x1.54c46b0a4a11cp-6, 0x1.0a57290ea79d1p-5};
  static constexpr double kHalfPi = 0x1.921fb54442d18p+0, kHalfPiLow = 0x1.1a62633145c07p-54;
};

// Beyond this, the reduction by three parts of pi/2 is not exact any more, and libm takes over.
constexpr double kLargeAngle = 1e6;

// x = n pi/2 + r + low with |r| <= pi/4, after Cody and Waite: pi/2 in parts of 33 bits, whose products with n are
// exact.
inline Vec<double> reduce_half_pi(Vec<double> x, Vec<double>& low, Vec<double>& n) {
  constexpr double p1 = 0x1.921fb544p+0, p2 = 0x1.0b4611a6p-34, p3 = 0x1.3198a2e037073p-69;
  n = fma(x, Vec<double>(0x1.45f306dc9c883p-1), Vec<double>(Format<double>::kRound)) - Format<double>::kRound;
  const Vec<double> a = fma(n, Vec<double>(-p1), x);
  const Vec<double> b = fma(n, Vec<double>(-p2), a);
  const Vec<double> lost = fma(n, Vec<double>(-p2), a - b);
  const Vec<double> rest = fma(n, Vec<double>(-p3), lost);
  const Vec<double> r = b + rest;
  low = (b - r) + rest;
  return r;
}

// For float32, r in float64 and rounded once is enough.
inline Vec<float> reduce_half_pi(Vec<float> x, Vec<float>& low, Vec<float>& n) {
  Vec<double> n0, n1, rest;
  const Vec<double> r0 = reduce_half_pi(to_double(x, 0), rest, n0);
  const Vec<double> r1 = reduce_half_pi(to_double(x, 1), rest, n1);
  n = to_single(n0, n1);
  low = Vec<float>();
  return to_single(r0, r1);
}

// With a fused fma, pi/2 in three float32 parts does up to here: the first product cancels without rounding.
constexpr float kSmallAngle = 3e4f;

inline Vec<float> reduce_small_angle(Vec<float> x, Vec<float>& n) {
  n = fma(x, Vec<float>(0x1.45f306p-1f), Vec<float>(Format<float>::kRound)) - Format<float>::kRound;
  const Vec<float> a = fma(n, Vec<float>(-0x1.921fb6p+0f), x);
  return fma(n, Vec<float>(0x1.ee59dap-50f), fma(n, Vec<float>(0x1.777a5cp-25f), a));
}

template <class T>
inline Vec<T> sin_near_0(Vec<T> r, Vec<T> low) {
  const Vec<T> z = r * r;
  return r + fma(r * z, poly(z, Trig<T>::kSin), fma(T(-0.5) * z, low, low));
}

template <class T>
inline Vec<T> cos_near_0(Vec<T> r, Vec<T> low) {
  const Vec<T> z = r * r;
  const Vec<T> half = T(0.5) * z;
  const Vec<T> w = T(1) - half;
  return w + (((T(1) - w) - half) + fma(z * z, poly(z, Trig<T>::kCos), -(r * low)));
}

// The bits of an integral n; its parity in the lowest.
template <class T>
inline typename Vec<T>::Bits integer_bits(Vec<T> n) {
  return bits(n + Format<T>::kRound);
}

// sin of n pi/2 + r + low, by the quadrant n: bit 0 chooses the series, bit 1 the sign.
template <class T>
inline Vec<T> sin_in_quadrant(Vec<T> r, Vec<T> low, Vec<T> n) {
  constexpr int kTop = static_cast<int>(sizeof(T)) * 8 - 1;
  const auto q = integer_bits(n);
  const Vec<T> y = select(top_bit<T>(q << kTop), cos_near_0(r, low), sin_near_0(r, low));
  return flip_sign(y, from_bits<T>(q << (kTop - 1)));
}

// sin(x + quarter * pi/2); f is the scalar function for huge x.
template <class T, class F>
inline Vec<T> sin_shifted(Vec<T> x, T quarter, const F& f) {
  Vec<T> low, n;
  if constexpr (sizeof(T) == 4 && kFusedFma) {
    if (__builtin_expect(all(abs(x) < kSmallAngle), 1)) {
      const Vec<T> r = reduce_small_angle(x, n);
      return sin_in_quadrant(r, Vec<T>(), n + quarter);
    }
  }
  const Vec<T> r = reduce_half_pi(x, low, n);
  return patch(~(abs(x) < T(kLargeAngle)), x, sin_in_quadrant(r, low, n + quarter), f);
}

template <class T>
inline Vec<T> sin(Vec<T> x) {
  return select(x == T(0), x, sin_shifted(x, T(0), [](T a) { return std::sin(a); }));
}

template <class T>
inline Vec<T> cos(Vec<T> x) {
  return sin_shifted(x, T(1), [](T a) { return std::cos(a); });
}

inline Vec<double> tan(Vec<double> x) {
  Vec<double> low, n;
  const Vec<double> r = reduce_half_pi(x, low, n);
  const auto odd = top_bit<double>(integer_bits(n) << 63);
  const Vec<double> s = sin_near_0(r, low), c = cos_near_0(r, low);
  const Vec<double> y = select(odd, -c, s) / select(odd, s, c);
  return patch(~(abs(x) < kLargeAngle), x, select(x == 0.0, x, y), [](double a) { return std::tan(a); });
}

inline Vec<float> tan(Vec<float> x) {
  return in_double(x, [](Vec<double> a) { return tan(a); });
}

// atan(a / b) for a, b >= 0 (not both 0, not both infinite): pi/2 + atan(-b/a), pi/4 + atan((a-b)/(a+b)) or atan(a/b),
// whichever has an argument within tan(pi/8).
template <class T>
inline Vec<T> atan_of_ratio(Vec<T> a, Vec<T> b) {
  const auto large = a > T(2.414213562373095) * b, middle = a > T(0.41421356237309503) * b;
  const Vec<T> top = select(large, -b, select(middle, a - b, a));
  const Vec<T> t = top / select(large, a, select(middle, a + b, b));
  const Vec<T> z = t * t;
  const Vec<T> r = t * z * poly(z, Trig<T>::kAtan);
  const Vec<T> quarters = select(large, Vec<T>(T(1)), select(middle, Vec<T>(T(0.5)), Vec<T>()));
  return fma(quarters, Vec<T>(Trig<T>::kHalfPi), t + fma(quarters, Vec<T>(Trig<T>::kHalfPiLow), r));
}

template <class T>
inline Vec<T> atan(Vec<T> x) {
  return copysign(atan_of_ratio(abs(x), Vec<T>(T(1))), x);
}

// The angle of the point (x, y). Ratios are kept from overflow by scaling, 0/0 and inf/inf are replaced by 0/1 and 1/1.
template <class T>
inline Vec<T> atan2(Vec<T> y, Vec<T> x) {
  const T huge = std::numeric_limits<T>::max() / T(4);
  Vec<T> a = abs(y), b = abs(x);
  const auto large = (a > huge) | (b > huge);
  a = select(large, a * T(0.25), a);
  b = select(large, b * T(0.25), b);
  const auto both = (a == infinity<T>()) & (b == infinity<T>());
  a = select(both, Vec<T>(T(1)), a);
  b = select(both | ((a == T(0)) & (b == T(0))), Vec<T>(T(1)), b);
  const Vec<T> r = atan_of_ratio(a, b);
  const auto left = top_bit<T>(bits(x));
  const Vec<T> angle = select(left, T(2) * Trig<T>::kHalfPi - (r - T(2) * Trig<T>::kHalfPiLow), r);
  return select(isnan(x) | isnan(y), x + y, copysign(angle, y));
}

// asin(a) = a + a z R(z) up to 1/2; above, asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)). `rest` is s z R(z).
template <class T>
inline Vec<T> asin_parts(Vec<T> a, typename Vec<T>::Mask large, Vec<T>& rest) {
  const Vec<T> z = select(large, (T(1) - a) * T(0.5), a * a);
  const Vec<T> s = select(large, sqrt(z), a);
  rest = s * z * poly(z, Trig<T>::kAsin);
  return s;
}

template <class T>
inline Vec<T> asin(Vec<T> x) {
  const Vec<T> a = abs(x);
  const auto large = a > T(0.5);
  Vec<T> rest;
  const Vec<T> s = asin_parts(a, large, rest);
  const Vec<T> y = Trig<T>::kHalfPi - (T(2) * (s + rest) - Trig<T>::kHalfPiLow);
  return copysign(select(large, y, s + rest), x);
}

template <class T>
inline Vec<T> acos(Vec<T> x) {
  const auto large = abs(x) > T(0.5), left = x < T(0);
  Vec<T> rest;
  const Vec<T> s = asin_parts(abs(x), large, rest);
  const Vec<T> outer = T(2) * (s + rest);
  const Vec<T> mirrored = T(2) * Trig<T>::kHalfPi - (outer - T(2) * Trig<T>::kHalfPiLow);
  const Vec<T> signed_s = flip_sign(s, x), signed_rest = flip_sign(rest, x);
  const Vec<T> inner = Trig<T>::kHalfPi - (signed_s + (signed_rest - Trig<T>::kHalfPiLow));
  return select(large, select(left, mirrored, outer), inner);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

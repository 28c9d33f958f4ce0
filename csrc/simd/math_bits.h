// What the functions of math.h are made of: the layout of a floating number, polynomials, calls lane by lane.
#pragma once

#include <limits>
#include <type_traits>

#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Format;
template <>
struct Format<float> {
  using Int = int32_t;
  static constexpr int kMantissa = 23;
  static constexpr Int kBias = 127;
  static constexpr Int kOne = 0x3f800000, kSqrtHalf = 0x3f3504f3, kMantissaMask = 0x007fffff, kInteger = 0x4b000000;
  static constexpr float kRound = 0x1.8p23f;   // x + kRound - kRound is x rounded to an integer, |x| < 2^22
  static constexpr float kTiny = 0x1p-24f;     // half an ulp of 1
  static constexpr float kNormal = 0x1p-126f;  // the least normal number
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // High: 9 bits, its products are exact
};
template <>
struct Format<double> {
  using Int = int64_t;
  static constexpr int kMantissa = 52;
  static constexpr Int kBias = 1023;
  static constexpr Int kOne = 0x3ff0000000000000, kSqrtHalf = 0x3fe6a09e667f3bcd, kMantissaMask = 0x000fffffffffffff,
                       kInteger = 0x4330000000000000;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kTiny = 0x1p-53;
  static constexpr double kNormal = 0x1p-1022;
  static constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;  // High: 32 bits
};

template <class T>
inline Vec<T> infinity() {
  return Vec<T>(std::numeric_limits<T>::infinity());
}
template <class T>
inline Vec<T> not_a_number() {
  return Vec<T>(std::numeric_limits<T>::quiet_NaN());
}

// c[0] + c[1] x + ... + c[n-1] x^(n-1), by Horner's rule.
template <class T, class C, size_t n>
inline Vec<T> poly(Vec<T> x, const C (&c)[n]) {
  Vec<T> r = T(c[n - 1]);
  for (size_t i = n - 1; i-- > 0;) r = fma(r, x, Vec<T>(T(c[i])));
  return r;
}

// 2^n for integers n with a normal result.
template <class T>
inline Vec<T> power_of_2(Vec<T> n) {
  using F = Format<T>;
  using UBits = typename Vec<T>::UBits;
  using UInt = std::make_unsigned_t<typename F::Int>;
  const UBits b = reinterpret_cast<UBits>(bits(n + F::kRound) << F::kMantissa) + static_cast<UInt>(F::kOne);
  return from_bits<T>(reinterpret_cast<typename Vec<T>::Bits>(b));  // wraps at NaN
}

// a * 2^n for integers |n| < 2^12 (float: 2^9), also where the result overflows or is subnormal.
template <class T>
inline Vec<T> scale(Vec<T> a, Vec<T> n) {
  if constexpr (kHasScalef) {
    return Vec<T>(Native<T>::scalef(a.v, n.v));
  } else {
    const Vec<T> half = fma(n, Vec<T>(T(0.5)), Vec<T>(Format<T>::kRound)) - Format<T>::kRound;
    return a * power_of_2(half) * power_of_2(n - half);
  }
}

// The same, and 0 where `dead`, as the result would be. One too small to be normal costs the instruction a hundred
// cycles: dead lanes are left out, whatever they hold. Without that instruction, what they hold must be bounded.
template <class T, class M>
inline Vec<T> scale_unless(M dead, Vec<T> a, Vec<T> n) {
  if constexpr (kHasScalef) return Vec<T>(Native<T>::scalef_unless(dead, a.v, n.v));
  return scale(a, n);
}

// x = m * 2^e with m in [sqrt(1/2), sqrt(2)), for x positive and finite.
template <class T>
inline void split(Vec<T> x, Vec<T>& m, Vec<T>& e) {
  using F = Format<T>;
  using UBits = typename Vec<T>::UBits;
  using Bits = typename Vec<T>::Bits;
  using UInt = std::make_unsigned_t<typename F::Int>;
  const auto small = x < F::kNormal;
  const T lift = T(int64_t(1) << (F::kMantissa + 1));
  x = select(small, x * lift, x);
  const UBits b = reinterpret_cast<UBits>(bits(x)) + static_cast<UInt>(F::kOne - F::kSqrtHalf);  // wraps at NaN
  m = from_bits<T>((reinterpret_cast<Bits>(b) & F::kMantissaMask) + F::kSqrtHalf);
  const Bits exponent = reinterpret_cast<Bits>(b >> F::kMantissa);
  e = from_bits<T>(exponent | F::kInteger) - (T(int64_t(1) << F::kMantissa) + T(F::kBias));
  e = select(small, e - T(F::kMantissa + 1), e);
}

// a * b - p without rounding, for p = a * b as rounded.
template <class T>
inline Vec<T> product_error(Vec<T> a, Vec<T> b, Vec<T> p) {
  if constexpr (kFusedFma) {
    return fma(a, b, -p);
  } else {  // Dekker 1971: the products of half-length factors are exact
    using Int = typename Format<T>::Int;
    constexpr Int kHigh = ~((Int(1) << (Format<T>::kMantissa / 2 + 1)) - 1);
    const Vec<T> a1 = from_bits<T>(bits(a) & kHigh), b1 = from_bits<T>(bits(b) & kHigh);
    const Vec<T> a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2;
  }
}

// The scalar function f, lane by lane.
template <class T, class F>
inline Vec<T> map_lanes(Vec<T> x, const F& f) {
  T lanes[Vec<T>::N];
  store(lanes, x);
  for (int i = 0; i < Vec<T>::N; ++i) lanes[i] = f(lanes[i]);
  return load<T>(lanes);
}

template <class T, class F>
inline Vec<T> map_lanes(Vec<T> a, Vec<T> b, const F& f) {
  T x[Vec<T>::N], y[Vec<T>::N];
  store(x, a);
  store(y, b);
  for (int i = 0; i < Vec<T>::N; ++i) x[i] = f(x[i], y[i]);
  return load<T>(x);
}

// y, but f(x) lane by lane where the mask is set: for arguments that are rare.
template <class T, class F>
inline Vec<T> patch(typename Vec<T>::Mask m, Vec<T> x, Vec<T> y, const F& f) {
  return __builtin_expect(any(m), 0) ? select(m, map_lanes(x, f), y) : y;
}

// The float64 function f on float32 lanes: rounded once, so within 0.51 ulp where f is good to 1e-10.
template <class F>
inline Vec<float> in_double(Vec<float> x, const F& f) {
  return to_single(f(to_double(x, 0)), f(to_double(x, 1)));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

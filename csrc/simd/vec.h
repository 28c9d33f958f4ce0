// Vec<T>: the widest vector of the instruction set that this file is compiled for, T = float or double.
//
//   Vec<T>::N lanes; Vec<T>(x) broadcasts; + - * / and comparisons work lane by lane; comparisons give Vec<T>::Mask.
//   load<T>(p), load<T>(p, n), store(p, v), store(p, v, n): p may be misaligned; with n (0 <= n <= N) only the first n
//   elements of memory are touched and the other lanes are 0. For T = float, p may also point to f16 or bf16.
//
// vec_base.h, vec_avx2.h and vec_avx512.h hold what differs: the same functions over the native vector types, chosen by
// the compiler's own macros. This file holds what does not. Nothing outside simd/ uses intrinsics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "simd/scalar.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include "simd/vec_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include "simd/vec_avx2.h"
#else
#include "simd/vec_base.h"
#endif

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Vec {
  using Raw = typename Lanes<T>::Float;
  using Bits = typename Lanes<T>::Int;  // signed integers of the same width, for work on the bits
  using UBits = typename Lanes<T>::UInt;
  using Mask = LaneMask<T>;
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(T));

  Raw v;

  Vec() : v{} {}
  Vec(T x) : v(x - Raw{}) {}  // NOLINT: implicit, so that 2.0f * v reads well. x - 0 keeps the sign of -0.
  explicit Vec(Raw r) : v(r) {}

  friend inline Vec operator+(Vec a, Vec b) { return Vec(a.v + b.v); }
  friend inline Vec operator-(Vec a, Vec b) { return Vec(a.v - b.v); }
  friend inline Vec operator*(Vec a, Vec b) { return Vec(a.v * b.v); }
  friend inline Vec operator/(Vec a, Vec b) { return Vec(a.v / b.v); }
  friend inline Vec operator-(Vec a) { return Vec(-a.v); }
  friend inline Vec& operator+=(Vec& a, Vec b) { return a = a + b; }
  friend inline Vec& operator-=(Vec& a, Vec b) { return a = a - b; }
  friend inline Vec& operator*=(Vec& a, Vec b) { return a = a * b; }
  friend inline Vec& operator/=(Vec& a, Vec b) { return a = a / b; }

  friend inline Mask operator<(Vec a, Vec b) { return Native<T>::less(a.v, b.v); }
  friend inline Mask operator<=(Vec a, Vec b) { return Native<T>::less_equal(a.v, b.v); }
  friend inline Mask operator>(Vec a, Vec b) { return Native<T>::less(b.v, a.v); }
  friend inline Mask operator>=(Vec a, Vec b) { return Native<T>::less_equal(b.v, a.v); }
  friend inline Mask operator==(Vec a, Vec b) { return Native<T>::equal(a.v, b.v); }
  friend inline Mask operator!=(Vec a, Vec b) { return ~Native<T>::equal(a.v, b.v); }

  // a * b + c, rounded once where the machine has it.
  friend inline Vec fma(Vec a, Vec b, Vec c) { return Vec(Native<T>::fma(a.v, b.v, c.v)); }
  friend inline Vec select(Mask m, Vec a, Vec b) { return Vec(Native<T>::select(m, a.v, b.v)); }
  // A NaN in either operand gives NaN.
  friend inline Vec min(Vec a, Vec b) { return Vec(Native<T>::min(a.v, b.v)); }
  friend inline Vec max(Vec a, Vec b) { return Vec(Native<T>::max(a.v, b.v)); }
  // One instruction on x86; a NaN gives b or is lost: for operands that are numbers.
  friend inline Vec fast_min(Vec a, Vec b) { return Vec(Native<T>::fast_min(a.v, b.v)); }
  friend inline Vec fast_max(Vec a, Vec b) { return Vec(Native<T>::fast_max(a.v, b.v)); }
  // 1 / a to at least 11 bits, for normal a; a Newton step or two make it good.
  friend inline Vec reciprocal_estimate(Vec a) { return Vec(Native<T>::reciprocal_estimate(a.v)); }
  friend inline Vec sqrt(Vec a) { return Vec(Native<T>::sqrt(a.v)); }
  friend inline Vec floor(Vec a) { return Vec(Native<T>::floor(a.v)); }
  friend inline Vec ceil(Vec a) { return Vec(Native<T>::ceil(a.v)); }
  friend inline Vec trunc(Vec a) { return Vec(Native<T>::trunc(a.v)); }
  friend inline Vec round(Vec a) { return Vec(Native<T>::round(a.v)); }  // half to even
};

template <class T>
inline typename Vec<T>::Bits bits(Vec<T> a) {
  return reinterpret_cast<typename Vec<T>::Bits>(a.v);
}

template <class T>
inline Vec<T> from_bits(typename Vec<T>::Bits b) {
  return Vec<T>(reinterpret_cast<typename Vec<T>::Raw>(b));
}

template <class T>
inline typename Vec<T>::Bits sign_bit() {
  return bits(Vec<T>(T(-0.0)));
}

template <class T>
inline Vec<T> abs(Vec<T> a) {
  return from_bits<T>(bits(a) & ~sign_bit<T>());
}

// |a| with the sign of b.
template <class T>
inline Vec<T> copysign(Vec<T> a, Vec<T> b) {
  return from_bits<T>((bits(a) & ~sign_bit<T>()) | (bits(b) & sign_bit<T>()));
}

// a, negated where the sign bit of b is set.
template <class T>
inline Vec<T> flip_sign(Vec<T> a, Vec<T> b) {
  return from_bits<T>(bits(a) ^ (bits(b) & sign_bit<T>()));
}

// True in the lanes whose top bit is set.
template <class T>
inline typename Vec<T>::Mask top_bit(typename Vec<T>::Bits b) {
  return LaneMask<T>::from_sign(b);
}

// One half of the lanes (0: the low ones) in float64, and back.
inline Vec<double> to_double(Vec<float> a, int half) { return Vec<double>(Native<float>::to_double(a.v, half)); }
inline Vec<float> to_single(Vec<double> low, Vec<double> high) {
  return Vec<float>(Native<float>::from_double(low.v, high.v));
}

template <class T>
inline typename Vec<T>::Mask isnan(Vec<T> a) {
  return a != a;
}

template <class T, class S>
inline Vec<T> load(const S* p) {
  return Vec<T>(Native<T>::load(p));
}

template <class T, class S>
inline Vec<T> load(const S* p, int64_t n) {
  return Vec<T>(Native<T>::load(p, n));
}

template <class S, class T>
inline void store(S* p, Vec<T> v) {
  Native<T>::store(p, v.v);
}

template <class S, class T>
inline void store(S* p, Vec<T> v, int64_t n) {
  Native<T>::store(p, v.v, n);
}

// Past the caches, for outputs that nobody reads soon; p is aligned to the vector. stream_fence() before others read
// it.
template <class T>
inline void stream(T* p, Vec<T> v) {
  Native<T>::stream(p, v.v);
}

template <class T>
inline typename Vec<T>::Mask first_lanes(int64_t n) {
  return LaneMask<T>::first(n);
}

// The mask as n bools.
template <class M>
inline void store_mask(bool* p, M m, int64_t n) {
  m.store(p, n);
}

// Lane i gets the value of lane i ^ H.
template <size_t H, class T, size_t... I>
inline Vec<T> swap_lanes(Vec<T> a, std::index_sequence<I...>) {
  return Vec<T>(__builtin_shufflevector(a.v, a.v, (I ^ H)...));
}

// Combines all lanes as a tree: lane i with lane i + N/2, then with i + N/4, and so on.
template <size_t H, class T, class F>
inline T fold_lanes(Vec<T> a, const F& f) {
  if constexpr (H == 0) {
    return a.v[0];
  } else {
    const Vec<T> other = swap_lanes<H>(a, std::make_index_sequence<Vec<T>::N>{});
    return fold_lanes<H / 2>(f(a, other), f);
  }
}

template <class T>
inline T sum(Vec<T> a) {
  return fold_lanes<Vec<T>::N / 2>(a, [](Vec<T> x, Vec<T> y) { return x + y; });
}

template <class T>
inline T hprod(Vec<T> a) {
  return fold_lanes<Vec<T>::N / 2>(a, [](Vec<T> x, Vec<T> y) { return x * y; });
}

template <class T>
inline T hmax(Vec<T> a) {
  return fold_lanes<Vec<T>::N / 2>(a, [](Vec<T> x, Vec<T> y) { return max(x, y); });
}

template <class T>
inline T hmin(Vec<T> a) {
  return fold_lanes<Vec<T>::N / 2>(a, [](Vec<T> x, Vec<T> y) { return min(x, y); });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

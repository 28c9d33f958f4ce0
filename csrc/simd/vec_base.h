// The 16-byte vectors of any CPU, in the vector extensions of GCC and Clang. See vec.h.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "simd/scalar.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kVecBytes = 16;
#ifdef __FP_FAST_FMA
constexpr bool kFusedFma = true;
#else
constexpr bool kFusedFma = false;
#endif
constexpr bool kHasScalef = false;

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  using IntLane = int32_t;
  typedef float Float __attribute__((vector_size(16)));
  typedef int32_t Int __attribute__((vector_size(16)));
  typedef uint32_t UInt __attribute__((vector_size(16)));
  static constexpr float kInteger = 0x1p23f;  // from here on every float is an integer
};
template <>
struct Lanes<double> {
  using IntLane = int64_t;
  typedef double Float __attribute__((vector_size(16)));
  typedef int64_t Int __attribute__((vector_size(16)));
  typedef uint64_t UInt __attribute__((vector_size(16)));
  static constexpr double kInteger = 0x1p52;
};

// All bits of a lane are set, or none.
template <class T>
struct LaneMask {
  typename Lanes<T>::Int m;
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(T));

  friend inline LaneMask operator&(LaneMask a, LaneMask b) { return {a.m & b.m}; }
  friend inline LaneMask operator|(LaneMask a, LaneMask b) { return {a.m | b.m}; }
  friend inline LaneMask operator^(LaneMask a, LaneMask b) { return {a.m ^ b.m}; }
  friend inline LaneMask operator~(LaneMask a) { return {~a.m}; }
  friend inline bool any(LaneMask a) {
    const auto words = reinterpret_cast<Lanes<double>::Int>(a.m);
    return (words[0] | words[1]) != 0;
  }
  friend inline bool all(LaneMask a) { return !any(~a); }

  static inline LaneMask first(int64_t n) {
    LaneMask r{};
    for (int i = 0; i < N; ++i) r.m[i] = i < n ? -1 : 0;
    return r;
  }
  static inline LaneMask from_sign(typename Lanes<T>::Int m) { return {m < 0}; }

  inline void store(bool* p, int64_t n) const {
    for (int i = 0; i < N; ++i)
      if (i < n) p[i] = m[i] != 0;
  }
};

template <class T>
struct Native {
  using V = typename Lanes<T>::Float;
  using I = typename Lanes<T>::Int;
  using M = LaneMask<T>;

  static inline I bits(V a) { return reinterpret_cast<I>(a); }
  static inline V float_of(I a) { return reinterpret_cast<V>(a); }
  static inline I sign(V a) { return bits(a) & bits(-V{}); }

  static inline M less(V a, V b) { return {a < b}; }
  static inline M less_equal(V a, V b) { return {a <= b}; }
  static inline M equal(V a, V b) { return {a == b}; }
  static inline V select(M m, V a, V b) { return float_of((m.m & bits(a)) | (~m.m & bits(b))); }

  static inline V fma(V a, V b, V c) {
#ifdef __FP_FAST_FMA
    V r;
    for (int i = 0; i < M::N; ++i)
      r[i] = sizeof(T) == 4 ? __builtin_fmaf(a[i], b[i], c[i]) : __builtin_fma(a[i], b[i], c[i]);
    return r;
#else
    return a * b + c;
#endif
  }
  static inline V min(V a, V b) { return select({(a < b) | (a != a)}, a, b); }
  static inline V max(V a, V b) { return select({(a > b) | (a != a)}, a, b); }
  static inline V fast_min(V a, V b) { return select({a < b}, a, b); }
  static inline V fast_max(V a, V b) { return select({a > b}, a, b); }
  static inline V reciprocal_estimate(V a) { return (V{} + T(1)) / a; }
  static inline V sqrt(V a) {
    for (int i = 0; i < M::N; ++i) a[i] = sizeof(T) == 4 ? __builtin_sqrtf(a[i]) : __builtin_sqrt(a[i]);
    return a;
  }

  static inline V round(V a) {
    const V big = V{} + Lanes<T>::kInteger;
    const V size = float_of(bits(a) ^ sign(a));
    const V near = (size + big) - big;  // the addition rounds to an integer, half to even
    return select({size < big}, float_of(bits(near) | sign(a)), a);
  }
  static inline V one_where(M m) { return select(m, V{} + T(1), V{}); }
  static inline V floor(V a) { return float_of(bits(round(a) - one_where(less(a, round(a)))) | sign(a)); }
  static inline V ceil(V a) { return float_of(bits(round(a) + one_where(less(round(a), a))) | sign(a)); }
  static inline V trunc(V a) { return select(less(a, V{}), ceil(a), floor(a)); }

  static inline V load(const T* p) {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static inline V load(const T* p, int64_t n) {
    V v{};
    for (int i = 0; i < M::N; ++i) v[i] = i < n ? p[i] : T(0);
    return v;
  }
  static inline void store(T* p, V v) { std::memcpy(p, &v, sizeof v); }
  static inline void store(T* p, V v, int64_t n) {
    for (int i = 0; i < M::N; ++i)
      if (i < n) p[i] = v[i];
  }

  template <class S>
  static inline V load(const S* p) {
    return load(p, M::N);
  }
  template <class S>
  static inline V load(const S* p, int64_t n) {
    V v{};
    for (int i = 0; i < M::N; ++i) v[i] = i < n ? to_float(p[i]) : 0.0f;
    return v;
  }
  static inline void narrow(f16* p, float x) { *p = to_f16(x); }
  static inline void narrow(bf16* p, float x) { *p = to_bf16(x); }
  template <class S>
  static inline void store(S* p, V v) {
    store(p, v, M::N);
  }
  template <class S>
  static inline void store(S* p, V v, int64_t n) {
    for (int i = 0; i < M::N; ++i)
      if (i < n) narrow(p + i, v[i]);
  }

  // Lanes 0, 1 (half 0) or 2, 3 (half 1) of four floats, as doubles; and back.
  static inline Lanes<double>::Float to_double(Lanes<float>::Float a, int half) {
    const Lanes<double>::Float r = {static_cast<double>(a[2 * half]), static_cast<double>(a[2 * half + 1])};
    return r;
  }
  static inline Lanes<float>::Float from_double(Lanes<double>::Float a, Lanes<double>::Float b) {
    const Lanes<float>::Float r = {static_cast<float>(a[0]), static_cast<float>(a[1]), static_cast<float>(b[0]),
                                   static_cast<float>(b[1])};
    return r;
  }

#ifdef __SSE2__
  static inline void stream(float* p, V v) { _mm_stream_ps(p, v); }
  static inline void stream(double* p, V v) { _mm_stream_pd(p, v); }
#else
  static inline void stream(T* p, V v) { store(p, v); }
#endif
};

inline void stream_fence() {
#ifdef __SSE2__
  _mm_sfence();
#endif
}

}  // namespace
}  // namespace pydl::PYDL_ISA

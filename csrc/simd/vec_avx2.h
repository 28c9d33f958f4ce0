// The 32-byte vectors of x86-64-v3: AVX2, FMA, F16C. See vec.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "simd/scalar.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kVecBytes = 32;
constexpr bool kFusedFma = true;
constexpr bool kHasScalef = false;

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  using IntLane = int32_t;
  typedef float Float __attribute__((vector_size(32)));
  typedef int32_t Int __attribute__((vector_size(32)));
  typedef uint32_t UInt __attribute__((vector_size(32)));
};
template <>
struct Lanes<double> {
  using IntLane = int64_t;
  typedef double Float __attribute__((vector_size(32)));
  typedef int64_t Int __attribute__((vector_size(32)));
  typedef uint64_t UInt __attribute__((vector_size(32)));
};

// All bits of a lane are set, or none.
template <class T>
struct LaneMask {
  using Int = typename Lanes<T>::Int;
  Int m;
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(T));

  friend inline LaneMask operator&(LaneMask a, LaneMask b) { return {a.m & b.m}; }
  friend inline LaneMask operator|(LaneMask a, LaneMask b) { return {a.m | b.m}; }
  friend inline LaneMask operator^(LaneMask a, LaneMask b) { return {a.m ^ b.m}; }
  friend inline LaneMask operator~(LaneMask a) { return {~a.m}; }
  friend inline bool any(LaneMask a) { return a.lane_bits() != 0; }
  friend inline bool all(LaneMask a) { return a.lane_bits() == (1u << N) - 1; }

  static inline LaneMask first(int64_t n) {
    if constexpr (N == 8) {
      const Int lane = {0, 1, 2, 3, 4, 5, 6, 7};
      return {lane < Int{} + static_cast<int32_t>(n)};
    } else {
      const Int lane = {0, 1, 2, 3};
      return {lane < Int{} + n};
    }
  }
  static inline LaneMask from_sign(Int m) { return {m < 0}; }

  inline unsigned lane_bits() const {
    if constexpr (N == 8)
      return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(m)));
    else
      return static_cast<unsigned>(_mm256_movemask_pd(reinterpret_cast<__m256d>(m)));
  }
  inline void store(bool* p, int64_t n) const {
    const uint64_t bytes = _pdep_u64(lane_bits(), 0x0101010101010101u);
    if (n == N)
      std::memcpy(p, &bytes, N);
    else
      for (int i = 0; i < n; ++i) p[i] = bytes >> (8 * i) & 1;
  }
};

template <class T>
struct Native;

template <>
struct Native<float> {
  using V = Lanes<float>::Float;
  using M = LaneMask<float>;

  static inline M mask(V a) { return {reinterpret_cast<M::Int>(a)}; }
  static inline M less(V a, V b) { return mask(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
  static inline M less_equal(V a, V b) { return mask(_mm256_cmp_ps(a, b, _CMP_LE_OQ)); }
  static inline M equal(V a, V b) { return mask(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
  static inline V select(M m, V a, V b) { return _mm256_blendv_ps(b, a, reinterpret_cast<V>(m.m)); }

  static inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static inline V fast_min(V a, V b) { return _mm256_min_ps(a, b); }
  static inline V fast_max(V a, V b) { return _mm256_max_ps(a, b); }
  static inline V min(V a, V b) { return _mm256_blendv_ps(fast_min(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)); }
  static inline V max(V a, V b) { return _mm256_blendv_ps(fast_max(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q)); }
  static inline V reciprocal_estimate(V a) { return _mm256_rcp_ps(a); }
  static inline V sqrt(V a) { return _mm256_sqrt_ps(a); }
  static inline V floor(V a) { return _mm256_floor_ps(a); }
  static inline V ceil(V a) { return _mm256_ceil_ps(a); }
  static inline V trunc(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  static inline V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  static inline Lanes<double>::Float to_double(V a, int half) {
    return _mm256_cvtps_pd(half ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a));
  }
  static inline V from_double(Lanes<double>::Float a, Lanes<double>::Float b) {
    return _mm256_set_m128(_mm256_cvtpd_ps(b), _mm256_cvtpd_ps(a));
  }

  static inline V load(const float* p) { return _mm256_loadu_ps(p); }
  static inline V load(const float* p, int64_t n) {
    return _mm256_maskload_ps(p, reinterpret_cast<__m256i>(M::first(n).m));
  }
  static inline void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static inline void store(float* p, V v, int64_t n) {
    _mm256_maskstore_ps(p, reinterpret_cast<__m256i>(M::first(n).m), v);
  }
  static inline void stream(float* p, V v) { _mm256_stream_ps(p, v); }

  static inline V widen(__m128i h, f16) { return _mm256_cvtph_ps(h); }
  static inline V widen(__m128i h, bf16) {
    return reinterpret_cast<V>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
  }
  static inline __m128i narrow(V v, f16) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static inline __m128i narrow(V v, bf16) {
    const __m256i u = reinterpret_cast<__m256i>(v);
    const __m256i high = _mm256_srli_epi32(u, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i nan = reinterpret_cast<__m256i>(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i r = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
  }
  template <class S>
  static inline V load(const S* p) {
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), S{});
  }
  template <class S>
  static inline V load(const S* p, int64_t n) {
    alignas(16) S lanes[8] = {};
    for (int i = 0; i < n; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  template <class S>
  static inline void store(S* p, V v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v, S{}));
  }
  template <class S>
  static inline void store(S* p, V v, int64_t n) {
    alignas(16) S lanes[8];
    store(lanes, v);
    for (int i = 0; i < n; ++i) p[i] = lanes[i];
  }
};

template <>
struct Native<double> {
  using V = Lanes<double>::Float;
  using M = LaneMask<double>;

  static inline M mask(V a) { return {reinterpret_cast<M::Int>(a)}; }
  static inline M less(V a, V b) { return mask(_mm256_cmp_pd(a, b, _CMP_LT_OQ)); }
  static inline M less_equal(V a, V b) { return mask(_mm256_cmp_pd(a, b, _CMP_LE_OQ)); }
  static inline M equal(V a, V b) { return mask(_mm256_cmp_pd(a, b, _CMP_EQ_OQ)); }
  static inline V select(M m, V a, V b) { return _mm256_blendv_pd(b, a, reinterpret_cast<V>(m.m)); }

  static inline V fma(V a, V b, V c) { return _mm256_fmadd_pd(a, b, c); }
  static inline V fast_min(V a, V b) { return _mm256_min_pd(a, b); }
  static inline V fast_max(V a, V b) { return _mm256_max_pd(a, b); }
  static inline V min(V a, V b) { return _mm256_blendv_pd(fast_min(a, b), a, _mm256_cmp_pd(a, a, _CMP_UNORD_Q)); }
  static inline V max(V a, V b) { return _mm256_blendv_pd(fast_max(a, b), a, _mm256_cmp_pd(a, a, _CMP_UNORD_Q)); }
  static inline V reciprocal_estimate(V a) { return (V{} + 1.0) / a; }
  static inline V sqrt(V a) { return _mm256_sqrt_pd(a); }
  static inline V floor(V a) { return _mm256_floor_pd(a); }
  static inline V ceil(V a) { return _mm256_ceil_pd(a); }
  static inline V trunc(V a) { return _mm256_round_pd(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  static inline V round(V a) { return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  static inline V load(const double* p) { return _mm256_loadu_pd(p); }
  static inline V load(const double* p, int64_t n) {
    return _mm256_maskload_pd(p, reinterpret_cast<__m256i>(M::first(n).m));
  }
  static inline void store(double* p, V v) { _mm256_storeu_pd(p, v); }
  static inline void store(double* p, V v, int64_t n) {
    _mm256_maskstore_pd(p, reinterpret_cast<__m256i>(M::first(n).m), v);
  }
  static inline void stream(double* p, V v) { _mm256_stream_pd(p, v); }
};

inline void stream_fence() { _mm_sfence(); }

}  // namespace
}  // namespace pydl::PYDL_ISA

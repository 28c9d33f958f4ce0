// The 64-byte vectors of x86-64-v4: AVX-512 F, BW, DQ, VL, with mask registers. See vec.h.
#pragma once

// GCC 12 warns of its own _mm512_undefined_ps (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "simd/scalar.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kVecBytes = 64;
constexpr bool kFusedFma = true;
constexpr bool kHasScalef = true;

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  using IntLane = int32_t;
  using MaskBits = __mmask16;
  typedef float Float __attribute__((vector_size(64)));
  typedef int32_t Int __attribute__((vector_size(64)));
  typedef uint32_t UInt __attribute__((vector_size(64)));
};
template <>
struct Lanes<double> {
  using IntLane = int64_t;
  using MaskBits = __mmask8;
  typedef double Float __attribute__((vector_size(64)));
  typedef int64_t Int __attribute__((vector_size(64)));
  typedef uint64_t UInt __attribute__((vector_size(64)));
};

template <class T>
struct LaneMask {
  using Bits = typename Lanes<T>::MaskBits;
  Bits m;
  static constexpr int N = kVecBytes / static_cast<int>(sizeof(T));

  friend inline LaneMask operator&(LaneMask a, LaneMask b) { return {static_cast<Bits>(a.m & b.m)}; }
  friend inline LaneMask operator|(LaneMask a, LaneMask b) { return {static_cast<Bits>(a.m | b.m)}; }
  friend inline LaneMask operator^(LaneMask a, LaneMask b) { return {static_cast<Bits>(a.m ^ b.m)}; }
  friend inline LaneMask operator~(LaneMask a) { return {static_cast<Bits>(~a.m)}; }
  friend inline bool any(LaneMask a) { return a.m != 0; }
  friend inline bool all(LaneMask a) { return a.m == static_cast<Bits>(-1); }

  static inline LaneMask first(int64_t n) { return {static_cast<Bits>(_bzhi_u32(~0u, static_cast<unsigned>(n)))}; }
  static inline LaneMask from_sign(typename Lanes<T>::Int m) {
    if constexpr (N == 16)
      return {_mm512_movepi32_mask(reinterpret_cast<__m512i>(m))};
    else
      return {_mm512_movepi64_mask(reinterpret_cast<__m512i>(m))};
  }

  inline void store(bool* p, int64_t n) const {
    const __m128i bytes = _mm_maskz_set1_epi8(m, 1);
    _mm_mask_storeu_epi8(p, first(n).m, bytes);
  }
};

template <class T>
struct Native;

template <>
struct Native<float> {
  using V = Lanes<float>::Float;
  using M = LaneMask<float>;

  static inline M less(V a, V b) { return {_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)}; }
  static inline M less_equal(V a, V b) { return {_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)}; }
  static inline M equal(V a, V b) { return {_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)}; }
  static inline V select(M m, V a, V b) { return _mm512_mask_blend_ps(m.m, b, a); }

  static inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static inline V fast_min(V a, V b) { return _mm512_min_ps(a, b); }
  static inline V fast_max(V a, V b) { return _mm512_max_ps(a, b); }
  static inline __mmask16 nan(V a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
  static inline V min(V a, V b) { return _mm512_mask_mov_ps(fast_min(a, b), nan(a), a); }
  static inline V max(V a, V b) { return _mm512_mask_mov_ps(fast_max(a, b), nan(a), a); }
  static inline V reciprocal_estimate(V a) { return _mm512_rcp14_ps(a); }
  static inline V sqrt(V a) { return _mm512_sqrt_ps(a); }
  static inline V floor(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static inline V ceil(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
  static inline V trunc(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  static inline V round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  // a * 2^floor(n), rounded once, with overflow and subnormals right
  static inline V scalef(V a, V n) { return _mm512_scalef_ps(a, n); }
  static inline V scalef_unless(M dead, V a, V n) {
    return _mm512_maskz_scalef_ps(static_cast<__mmask16>(~dead.m), a, n);
  }
  static inline Lanes<double>::Float to_double(V a, int half) {
    return _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a));
  }
  static inline V from_double(Lanes<double>::Float a, Lanes<double>::Float b) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(a)), _mm512_cvtpd_ps(b), 1);
  }

  static inline V load(const float* p) { return _mm512_loadu_ps(p); }
  static inline V load(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(M::first(n).m, p); }
  static inline void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static inline void store(float* p, V v, int64_t n) { _mm512_mask_storeu_ps(p, M::first(n).m, v); }
  static inline void stream(float* p, V v) { _mm512_stream_ps(p, v); }

  static inline V widen(__m256i h, f16) { return _mm512_cvtph_ps(h); }
  static inline V widen(__m256i h, bf16) {
    return reinterpret_cast<V>(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
  }
  static inline __m256i narrow(V v, f16) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static inline __m256i narrow(V v, bf16) {
    const __m512i u = reinterpret_cast<__m512i>(v);
    const __m512i high = _mm512_srli_epi32(u, 16);
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i rounded = _mm512_srli_epi32(sum, 16);
    return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, nan(v), high, _mm512_set1_epi32(0x40)));
  }
  template <class S>
  static inline V load(const S* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), S{});
  }
  template <class S>
  static inline V load(const S* p, int64_t n) {
    return widen(_mm256_maskz_loadu_epi16(M::first(n).m, p), S{});
  }
  template <class S>
  static inline void store(S* p, V v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v, S{}));
  }
  template <class S>
  static inline void store(S* p, V v, int64_t n) {
    _mm256_mask_storeu_epi16(p, M::first(n).m, narrow(v, S{}));
  }
};

template <>
struct Native<double> {
  using V = Lanes<double>::Float;
  using M = LaneMask<double>;

  static inline M less(V a, V b) { return {_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)}; }
  static inline M less_equal(V a, V b) { return {_mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)}; }
  static inline M equal(V a, V b) { return {_mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ)}; }
  static inline V select(M m, V a, V b) { return _mm512_mask_blend_pd(m.m, b, a); }

  static inline V fma(V a, V b, V c) { return _mm512_fmadd_pd(a, b, c); }
  static inline V fast_min(V a, V b) { return _mm512_min_pd(a, b); }
  static inline V fast_max(V a, V b) { return _mm512_max_pd(a, b); }
  static inline __mmask8 nan(V a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
  static inline V min(V a, V b) { return _mm512_mask_mov_pd(fast_min(a, b), nan(a), a); }
  static inline V max(V a, V b) { return _mm512_mask_mov_pd(fast_max(a, b), nan(a), a); }
  static inline V reciprocal_estimate(V a) { return (V{} + 1.0) / a; }
  static inline V sqrt(V a) { return _mm512_sqrt_pd(a); }
  static inline V floor(V a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
  static inline V ceil(V a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
  static inline V trunc(V a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  static inline V round(V a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

  static inline V scalef(V a, V n) { return _mm512_scalef_pd(a, n); }
  static inline V scalef_unless(M dead, V a, V n) {
    return _mm512_maskz_scalef_pd(static_cast<__mmask8>(~dead.m), a, n);
  }

  static inline V load(const double* p) { return _mm512_loadu_pd(p); }
  static inline V load(const double* p, int64_t n) { return _mm512_maskz_loadu_pd(M::first(n).m, p); }
  static inline void store(double* p, V v) { _mm512_storeu_pd(p, v); }
  static inline void store(double* p, V v, int64_t n) { _mm512_mask_storeu_pd(p, M::first(n).m, v); }
  static inline void stream(double* p, V v) { _mm512_stream_pd(p, v); }
};

inline void stream_fence() { _mm_sfence(); }

}  // namespace
}  // namespace pydl::PYDL_ISA

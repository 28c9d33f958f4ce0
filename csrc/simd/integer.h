// U64: a vector of uint64 lanes as wide as the instruction set's own, and the one product that GCC does not find by
// itself. + & | ^ << >> are the compiler's operators on vectors.
#pragma once

#include <cstdint>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace pydl::PYDL_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kU64Lanes = 8;
#elif defined(__AVX2__)
constexpr int kU64Lanes = 4;
#else
constexpr int kU64Lanes = 2;
#endif

typedef uint64_t U64 __attribute__((vector_size(8 * kU64Lanes)));

inline U64 broadcast(uint64_t x) { return U64{} + x; }

// The full products of the low 32 bits of each lane; what stands in the high 32 bits does not matter.
inline U64 mul_low(U64 a, U64 b) {
#if defined(__AVX512F__)
  // The masked form with every lane set is the same instruction; GCC 12 warns about the plain form's undefined source.
  return reinterpret_cast<U64>(
      _mm512_maskz_mul_epu32(0xff, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return reinterpret_cast<U64>(_mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__)
  return reinterpret_cast<U64>(_mm_mul_epu32(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return (a & broadcast(0xffffffffu)) * (b & broadcast(0xffffffffu));
#endif
}

}  // namespace
}  // namespace pydl::PYDL_ISA

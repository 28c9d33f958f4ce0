// The instruction of AVX512-BF16: two products of bfloat16 are added to each float, one after the other. Numbers below
// 2^-126 count as 0. Only files compiled for `avx512_bf16` may include this.
#pragma once

#include <immintrin.h>

#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

// acc + the pair a of 32 bits times the pair in each lane of b.
inline Vec<float>::Raw dot_add(Vec<float>::Raw acc, uint32_t a, const uint32_t* b) {
  const __m512i left = _mm512_set1_epi32(static_cast<int>(a)), right = _mm512_load_si512(b);
  return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(left), reinterpret_cast<__m512bh>(right));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

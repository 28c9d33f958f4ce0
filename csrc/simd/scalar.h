// Scalars of the two 16-bit float formats: they are stored in 16 bits and computed with as float32.
// Conversions round to nearest even and keep infinities, NaNs (made quiet) and subnormals, as F16C and AVX512-BF16 do.
#pragma once

#include <cstdint>
#include <cstring>

#include "array/view.h"

namespace pydl {
namespace {

inline uint32_t float_bits(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

inline float float_from_bits(uint32_t u) {
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

inline float to_float(float x) { return x; }

inline float to_float(bf16 x) { return float_from_bits(static_cast<uint32_t>(x.bits) << 16); }

inline float to_float(f16 x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  const float tiny = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;  // below 2^-14: an integer * 2^-24
  const uint32_t bias = magnitude >= 0x7c00u ? (255u - 31u) << 23 : (127u - 15u) << 23;
  const uint32_t u = magnitude < 0x400u ? float_bits(tiny) : (magnitude << 13) + bias;
  return float_from_bits(u | sign);
}

inline bf16 to_bf16(float x) {
  const uint32_t u = float_bits(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uint32_t quiet = (u >> 16) | 0x40u;
  return {static_cast<uint16_t>(x != x ? quiet : rounded)};
}

inline f16 to_f16(float x) {
  const uint32_t sign = (float_bits(x) >> 16) & 0x8000u;
  const uint32_t u = float_bits(x) & 0x7fffffffu;
  // Below 2^-14 the addition of 0.5 leaves the multiple of 2^-24, rounded to even, in the low bits.
  const uint32_t tiny = float_bits(float_from_bits(u) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (u - ((127u - 15u) << 23) + 0xfffu + ((u >> 13) & 1u)) >> 13;  // may carry into infinity
  const uint32_t nan = 0x7e00u | ((u >> 13) & 0x1ffu);
  const uint32_t finite = u < 0x38800000u ? tiny : normal;
  const uint32_t large = u > 0x7f800000u ? nan : 0x7c00u;
  return {static_cast<uint16_t>((u >= 0x47800000u ? large : finite) | sign)};
}

}  // namespace
}  // namespace pydl

// Half precision as the device converts it.
#pragma once

#include "simd/scalar.h"

struct __half {
  uint16_t bits;
};
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline float __half2float(__half x) { return pydl::to_float(pydl::f16{x.bits}); }
inline __half __float2half_rn(float x) { return {pydl::to_f16(x).bits}; }

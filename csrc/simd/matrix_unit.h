// The matrix unit (AMX): eight tiles of 16 rows by 64 bytes, and one instruction that multiplies a (16, 32) of bfloat16
// by b (32, 16) and adds to c (16, 16) of float. It sums the 32 products first and then adds them to c, which is
// rounded once. Only files compiled for the instruction set `amx` may include this.
#pragma once

#include "simd/tile.h"

namespace pydl::PYDL_ISA {
namespace {

// While it lives, the calling thread can use the tiles.
struct MatrixUnit {
  MatrixUnit() {
    static constexpr struct alignas(64) {
      uint8_t palette = 1, start = 0, zeros[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } shape{};
    asm volatile("ldtilecfg %0" ::"m"(shape));
  }
  ~MatrixUnit() { asm volatile("tilerelease"); }
  MatrixUnit(const MatrixUnit&) = delete;
  MatrixUnit& operator=(const MatrixUnit&) = delete;
};

// GCC's own functions take numbers spelt out only, no constants.
template <int I>
inline void clear_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(I));
}

template <int I>
inline void load_tile(const Tile& from) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(I), "r"(&from), "r"(int64_t{64}), "m"(from));
}

template <int I>
inline void load_tile(const float* from, int64_t row_stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(I), "r"(from), "r"(row_stride * 4) : "memory");
}

template <int I>
inline void store_tile(float* to, int64_t row_stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(I), "r"(to), "r"(row_stride * 4) : "memory");
}

// Tile C += tile A times tile B.
template <int C, int A, int B>
inline void multiply_add_tile() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(C), "i"(A), "i"(B));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

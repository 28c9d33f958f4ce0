// The matrix unit (AMX): eight tiles of 16 rows by 64 bytes, and one instruction that multiplies a (16, 32) of bfloat16
// by b (32, 16) and adds to c (16, 16) of float. It sums the 32 products first and then adds them to c, which is
// rounded once. Only files compiled for the instruction set `amx` may include this.
#pragma once

#include "simd/tile.h"
#include "simd/transpose.h"

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

// x as a sum of P bfloat16 numbers, each in the upper half of its lane: each takes the next 8 bits, the last what is
// left. Three hold all of a float, two of an f16; a bf16 is one.
template <int P>
inline void split(Vec<float> x, Vec<float>::UBits (&part)[P]) {
  using U = Vec<float>::UBits;
#pragma GCC unroll 3
  for (int p = 0; p + 1 < P; ++p) {
    part[p] = (reinterpret_cast<U>(x.v) + 0x8000u) & 0xffff0000u;
    x -= Vec<float>(reinterpret_cast<Vec<float>::Raw>(part[p]));
  }
  part[P - 1] = reinterpret_cast<U>(x.v);
}

// Rows become columns.
inline void turn(Tile* x) {
  Vec<float> v[16];
  const float* from = reinterpret_cast<const float*>(x->pairs);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) v[i] = load<float>(from + 16 * i);
  transpose<8>(v);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store(reinterpret_cast<float*>(x->pairs[i]), v[i]);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// The instructions of cuda/mma.cuh: products of fragments, matrices from shared memory, asynchronous copies.
#pragma once

#include "array/view.h"
#include "emulator.h"
#include "simd/scalar.h"

namespace emulator {

template <class S>
float half_of(uint32_t pair, int which) {
  return pydl::to_float(S{static_cast<uint16_t>(pair >> 16 * which)});
}

struct HalfProduct {
  float* sums;
  const uint32_t *a, *b;
};

// Element (i, k) of a: register 2 (k >= 8) + (i >= 8) of lane 4 (i % 8) + k % 8 / 2; (k, j) of b: register k >= 8 of
// lane 4 j + k % 8 / 2; (i, j) of the sums: number 2 (i >= 8) + j % 2 of lane 4 (i % 8) + j / 2.
template <class S>
void multiply_half(void* const* lanes) {
  const auto of = [&](int lane) { return *static_cast<const HalfProduct*>(lanes[lane]); };
  float a[16][16], b[16][8];
  for (int k = 0; k < 16; ++k) {
    for (int i = 0; i < 16; ++i) a[i][k] = half_of<S>(of(i % 8 * 4 + k % 8 / 2).a[k / 8 * 2 + i / 8], k % 2);
    for (int j = 0; j < 8; ++j) b[k][j] = half_of<S>(of(j * 4 + k % 8 / 2).b[k / 8], k % 2);
  }
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[i][k] * b[k][j];
      of(i % 8 * 4 + j / 2).sums[i / 8 * 2 + j % 2] += sum;
    }
}

// The bits behind the tenth are not looked at.
inline float read_tf32(uint32_t x) { return unpacked<float>(x & ~0x1fffu); }

inline uint32_t to_tf32(float x) {
  const auto bits = unpacked<uint32_t>(packed(x));
  return x - x == 0 ? (bits + 0x1000u) & ~0x1fffu : bits;
}

// Element (i, k) of a: register 2 (k >= 4) + (i >= 8) of lane 4 (i % 8) + k % 4; (k, j) of b: register k >= 4 of lane
// 4 j + k % 4; sums as above.
inline void multiply_tf32(void* const* lanes) {
  const auto of = [&](int lane) { return *static_cast<const HalfProduct*>(lanes[lane]); };
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 8; ++k)
        sum += read_tf32(of(i % 8 * 4 + k % 4).a[k / 4 * 2 + i / 8]) * read_tf32(of(j * 4 + k % 4).b[k / 4]);
      of(i % 8 * 4 + j / 2).sums[i / 8 * 2 + j % 2] += sum;
    }
}

template <class S>
void multiply(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  HalfProduct mine{sums, a, b};
  if constexpr (std::is_same_v<S, float>)
    together(~0u, &mine, &multiply_tf32);
  else
    together(~0u, &mine, &multiply_half<S>);
}

struct DoubleProduct {
  double* sums;
  double a, b;
};

inline void multiply_double(void* const* lanes) {
  const auto of = [&](int lane) { return *static_cast<const DoubleProduct*>(lanes[lane]); };
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 8; ++j)
      for (int k = 0; k < 4; ++k) of(i * 4 + j / 2).sums[j % 2] += of(i * 4 + k).a * of(j * 4 + k).b;
}

inline void multiply(double (&sums)[2], double a, double b) {
  DoubleProduct mine{sums, a, b};
  together(~0u, &mine, &multiply_double);
}

struct MatrixRows {
  uint32_t* to;
  const uint16_t* row;
  bool turned;
};

inline void load_rows(void* const* lanes) {
  const auto of = [&](int lane) { return *static_cast<const MatrixRows*>(lanes[lane]); };
  for (int lane = 0; lane < kWarp; ++lane)
    for (int matrix = 0; matrix < 4; ++matrix)
      for (int e = 0; e < 2; ++e) {
        const int g = lane / 4, c = lane % 4 * 2 + e;
        const uint16_t found = of(lane).turned ? of(matrix * 8 + c).row[g] : of(matrix * 8 + g).row[c];
        uint32_t& to = of(lane).to[matrix];
        to = e ? to | static_cast<uint32_t>(found) << 16 : found;
      }
}

inline void load_matrices(uint32_t (&to)[4], const void* row, bool turned) {
  if (reinterpret_cast<uintptr_t>(row) % 16) failed("a row of a matrix is not at a multiple of 16 bytes");
  reads(row, 16);
  MatrixRows mine{to, static_cast<const uint16_t*>(row), turned};
  together(~0u, &mine, &load_rows);
}

}  // namespace emulator

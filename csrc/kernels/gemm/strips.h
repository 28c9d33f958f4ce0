// Strips of tiles, 16 or 32 rows of a times 16 or 32 columns of b: by the matrix unit where there is one, else by dot
// products of vectors. The strips are a_stride and b_stride tiles apart, rows of the sums kStripSums.
#pragma once

#include "kernels/gemm/micro.h"
#include "simd/tile.h"
#ifdef __AMX_BF16__
#include "simd/matrix_unit.h"
#else
#include "simd/dot.h"
#endif

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kStripSums = 2 * Tile::kLanes;

#ifdef __AMX_BF16__

// Which parts of a and b are multiplied, the smallest products first; from one pair to the next, one operand stays.
template <int P>
struct PartPairs;
template <>
struct PartPairs<1> {
  static constexpr int kCount = 1, kA[] = {0}, kB[] = {0};
};
template <>
struct PartPairs<2> {
  static constexpr int kCount = 4, kA[] = {0, 1, 1, 0}, kB[] = {1, 1, 0, 0};
};
template <>
struct PartPairs<3> {
  static constexpr int kCount = 6, kA[] = {0, 0, 1, 1, 2, 0}, kB[] = {2, 1, 1, 0, 0, 0};
};

// Up to two strips of tiles as they are packed, part after part.
struct Packed {
  const Tile* p;
  int64_t strip;

  template <int Register>
  void load(int64_t part, int64_t i) const {
    load_tile<Register>(p[part + i * strip]);
  }
};

// R by C tiles of sums += tiles of a times tiles of b: the pairs I of parts, and those after it.
template <int P, int R, int C, int I = 0, class A, class B>
inline __attribute__((always_inline)) void multiply_parts(const A& a, const B& b) {
  using Q = PartPairs<P>;
  if constexpr (I < Q::kCount) {
    constexpr int pa = Q::kA[I], pb = Q::kB[I];
    constexpr bool new_a = I == 0 || Q::kA[I > 0 ? I - 1 : 0] != pa, new_b = I == 0 || Q::kB[I > 0 ? I - 1 : 0] != pb;
    if constexpr (new_a) {
      a.template load<4>(pa, 0);
      if constexpr (R > 1) a.template load<5>(pa, 1);
    }
    if constexpr (new_b) {
      b.template load<6>(pb, 0);
      if constexpr (C > 1) b.template load<7>(pb, 1);
    }
    multiply_add_tile<0, 4, 6>();
    if constexpr (C > 1) multiply_add_tile<1, 4, 7>();
    if constexpr (R > 1) multiply_add_tile<2, 5, 6>();
    if constexpr (R > 1 && C > 1) multiply_add_tile<3, 5, 7>();
    multiply_parts<P, R, C, I + 1>(a, b);
  }
}

// sums (16 R, 16 C) of what `step(s)` multiplies for each of so many steps.
template <int R, int C, class Step>
inline __attribute__((always_inline)) void sum_tiles(int64_t steps, float* sums, const Step& step) {
  constexpr int64_t rs = kStripSums;
  clear_tile<0>();
  if constexpr (C > 1) clear_tile<1>();
  if constexpr (R > 1) clear_tile<2>();
  if constexpr (R > 1 && C > 1) clear_tile<3>();
  for (int64_t s = 0; s < steps; ++s) step(s);
  store_tile<0>(sums, rs);
  if constexpr (C > 1) store_tile<1>(sums + 16, rs);
  if constexpr (R > 1) store_tile<2>(sums + 16 * rs, rs);
  if constexpr (R > 1 && C > 1) store_tile<3>(sums + 16 * rs + 16, rs);
}

// sums (16 R, 16 C) of so many steps of 32.
template <int P, int R, int C>
void sum_strips(const Tile* a, int64_t a_stride, const Tile* b, int64_t b_stride, int64_t steps, float* sums) {
  sum_tiles<R, C>(steps, sums, [&](int64_t s) {
    multiply_parts<P, R, C>(Packed{a + s * P, a_stride}, Packed{b + s * P, b_stride});
  });
}

#else

struct MatrixUnit {
  MatrixUnit() {}  // there is nothing to switch on
};

// sums (16 R, 16 C) of so many steps of 32: 8 rows at a time of two columns of vectors, or 16 of one, are in registers.
template <int P, int R, int C>
void sum_strips(const Tile* a, int64_t a_stride, const Tile* b, int64_t b_stride, int64_t steps, float* sums) {
  static_assert(P == 1, "floats have no dot products");
  constexpr int kRows = 16 / C;
  for (int r = 0; r < 16 * R; r += kRows, sums += kRows * kStripSums) {
    Register<float> acc[kRows][C] = {};
    const Tile *left = a + r / 16 * a_stride, *right = b;
    for (int64_t s = 0; s < steps; ++s, ++left, ++right)
      for (int p = 0; p < 16; ++p)
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
          for (int j = 0; j < C; ++j)
            acc[i][j] = dot_add(acc[i][j], left->pairs[r % 16 + i][p], right[j * b_stride].pairs[p]);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int j = 0; j < C; ++j) store(sums + i * kStripSums + 16 * j, Vec<float>(acc[i][j]));
  }
}

#endif

// The same for so many rows and columns, 2 * Tile::kLanes at most.
template <int P>
inline auto sum_strips_of(int64_t rows, int64_t cols) {
  const bool wide = cols > Tile::kLanes;
  if (rows > Tile::kLanes) return wide ? sum_strips<P, 2, 2> : sum_strips<P, 2, 1>;
  return wide ? sum_strips<P, 1, 2> : sum_strips<P, 1, 1>;
}

// sums += part, in whole vectors. Sums of blocks of k are added up as such: the rounding of a long sum that runs on
// would grow with its length.
inline void add_sums(const float* part, int64_t rows, int64_t cols, float* sums) {
  constexpr int64_t rs = kStripSums, N = Vec<float>::N;
  for (int64_t i = 0; i < rows; ++i, part += rs, sums += rs)
    for (int64_t j = 0; j < cols; j += N) store(sums + j, load<float>(sums + j) + load<float>(part + j));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

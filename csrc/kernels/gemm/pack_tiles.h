// A matrix as tiles (simd/tile.h), each number as the sum of kParts bfloat16.
#pragma once

#include "kernels/gemm/problem.h"
#include "simd/tile.h"
#include "simd/transpose.h"

namespace pydl::PYDL_ISA {
namespace {

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

// Row r of P tiles: the parts of the steps in `first`, and beside them those of the steps in `second`.
template <int P>
inline __attribute__((always_inline)) void write_pairs(Tile* to, int64_t r, Vec<float> first, Vec<float> second) {
  using V = Vec<float>;
  V::UBits low[P], high[P];
  split<P>(first, low);
  split<P>(second, high);
#pragma GCC unroll 3
  for (int p = 0; p < P; ++p) {
    const V::UBits both = (low[p] >> 16) | high[p];
    store(reinterpret_cast<float*>(to[p].pairs[r]), V(reinterpret_cast<V::Raw>(both)));
  }
}

// 16 lanes (rows of a, columns of b) by 32 steps of k as P tiles, a row for each lane or, `by_steps`, for each pair of
// steps. Of strides 1, the one that is gives the order in which memory is read; `next` is what comes after it.
template <int P, class S>
void pack_tile(const S* from, const S* next, int64_t lane_stride, int64_t step_stride, int64_t lanes, int64_t steps,
               bool by_steps, Tile* to) {
  using V = Vec<float>;
  alignas(64) S near[16][32];
  const bool steps_lie = step_stride == 1 || lane_stride != 1;  // vectors hold steps of a lane, else lanes of a step
  if (step_stride != 1 && lane_stride != 1) {
    for (int64_t i = 0; i < lanes; ++i)
      for (int64_t p = 0; p < steps; ++p) near[i][p] = from[i * lane_stride + p * step_stride];
    from = next = near[0];
    lane_stride = 32;
  }
  const int64_t row_stride = steps_lie ? lane_stride : step_stride, half = steps_lie ? 16 : 16 * step_stride;
  const int64_t rows = steps_lie ? lanes : least(16, steps), across = steps_lie ? least(16, steps) : lanes;
  if (lanes == 16 && steps == 32) {
    for (int64_t r = 0; r < 16; ++r) {
      __builtin_prefetch(next + r * row_stride);
      __builtin_prefetch(next + r * row_stride + half);
      write_pairs<P>(to, r, load<float>(from + r * row_stride), load<float>(from + r * row_stride + half));
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t second = steps_lie ? steps - 16 : r + 16 < steps ? lanes : 0;
      write_pairs<P>(to, r, load<float>(from + r * row_stride, across),
                     second > 0 ? load<float>(from + r * row_stride + half, second) : V());
    }
    for (int64_t r = rows; r < 16; ++r) write_pairs<P>(to, r, V(), V());
  }
  if (steps_lie == by_steps)
    for (int p = 0; p < P; ++p) turn(to + p);
}

// x (lanes, k) as tiles: strip after strip of 16 lanes, a tile of each part a step. by_steps: the order within a tile
// is that of b. Memory is read in its own order.
template <class S>
void pack_tiles(const Matrix<const S>& x, int64_t lanes, int64_t k, bool by_steps, Tile* to) {
  constexpr int64_t P = kParts<S>, L = Tile::kLanes, K = Tile::kSteps;
  const int64_t strips = ceil_div(lanes, L), steps = ceil_div(k, K), inner = x.rs == 1 ? strips : steps;
  const auto strip = [&](int64_t t) { return x.rs == 1 ? t % inner : t / inner; };
  const auto step = [&](int64_t t) { return x.rs == 1 ? t / inner : t % inner; };
  for (int64_t t = 0; t < strips * steps; ++t) {
    const int64_t s = strip(t), p = step(t);
    pack_tile<P>(x.at(s * L, p * K), x.at(strip(t + 1) * L, step(t + 1) * K), x.rs, x.cs, least(L, lanes - s * L),
                 least(K, k - p * K), by_steps, to + (s * steps + p) * P);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

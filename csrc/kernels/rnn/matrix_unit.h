// Products of recurrent layers on the matrix unit, see gemm/matrix_unit.h: the weight is packed as tiles once, the
// states as each step makes them.
#pragma once

#include "kernels/gemm/matrix_unit.h"
#include "kernels/rnn/panels.h"

namespace pydl::PYDL_ISA {
namespace {

// x (lanes, k), strip after strip of 16 lanes.
inline void pack_as_tiles(const Matrix<const float>& x, int64_t lanes, int64_t k, bool by_steps, Tile* to) {
  TilePacker<float>{x, by_steps}.pack<kParts<float>>(0, lanes, 0, k, to);
}

// Rows a times one block of w.
inline void multiply_tiled(const Panels<float>& w, int64_t block, int64_t rows, const Left<float>& a,
                           const Target<float>* to) {
  constexpr int P = kParts<float>;
  constexpr int64_t most = ByTiles::kBlock;
  const int64_t j = block * w.width(), cols = w.kept(block), steps = ceil_div(w.k, Tile::kSteps), strip = steps * P;
  alignas(64) float sums[most * most];
  const MatrixUnit unit;
  for (int64_t g = 0; g < w.groups; ++g) {
    const Tile* b = reinterpret_cast<const Tile*>(w.at(block, g));
    for (int64_t i = 0; i < rows; i += most) {
      Problem<float, float> q{};
      q.m = least(most, rows - i);
      q.n = cols;
      q.k = w.k;
      q.a = {a.p + i * a.rs, a.rs, 1};
      q.b = {w.from + (g * w.units + j) * w.lane_stride, w.k_stride, w.lane_stride};
      q.c = {to[g].c + i * to[g].rs + j, to[g].rs, 1};
      if (to[g].add) q.add = {q.c.p, q.c.rs, 1};
      if (to[g].bias) q.bias = {to[g].bias + j, 0, 1};
      q.alpha = 1;
      q.beta = to[g].add;
      multiply_strips_of<P>(q.m, cols)(a.tiles + i / Tile::kLanes * strip, strip, b, strip, steps, true, sums);
      finish_block(q, sums);
    }
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

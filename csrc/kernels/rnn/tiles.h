// Products of recurrent layers on the matrix unit, see gemm/tiles.h: the weight is packed as tiles once, the
// states as each step makes them.
#pragma once

#include "kernels/gemm/tiles.h"
#include "kernels/rnn/panels.h"

namespace pydl::PYDL_ISA {
namespace {

// Rows a times one block of w.
inline void multiply_tiled(const Panels<float>& w, int64_t block, int64_t rows, const Left<float>& a,
                           const Target<float>* to) {
  constexpr int P = kParts<float>;
  constexpr int64_t most = ByTiles::kBlock;
  const int64_t steps = ceil_div(w.k, Tile::kSteps), strip = steps * P, cols = w.kept(block);
  alignas(64) float sums[most * most];
  const MatrixUnit unit;
  for (int64_t g = 0; g < w.groups; ++g) {
    const Problem<float, float> q = product(w, g, block * w.width(), cols, rows, a, to[g]);
    const Tile* b = reinterpret_cast<const Tile*>(w.at(block, g));
    for (int64_t i = 0; i < rows; i += most) {
      const int64_t n = least(most, rows - i);
      sum_strips_of<P>(n, cols)(a.tiles + i / Tile::kLanes * strip, strip, b, strip, steps, sums);
      finish_block(block_of(q, i, n, 0, cols), sums);
    }
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

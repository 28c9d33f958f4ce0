// Products by tiles of bfloat16, on the matrix unit or by dot products of vectors. On the matrix unit a float is the
// sum of three of them, an f16 of two, and of the nine products of floats' parts the three that are smaller than the
// rounding of a float are left out. Sums are float, rounded six times in 32 products: errors were measured at 0.1 to
// 0.5 of the micro-kernel's, and at 1.2 where 16000 positive products are summed. Parts below 2^-126 count as 0, as
// products do. What has no parts (infinities, NaN, numbers at the end of the range) leaves something that is no number
// in the sums: such a block is computed again by the plain micro-kernel.
//
// Each block of c belongs to one thread, which packs what it needs itself: to fetch what another core has packed was
// measured to take longer than to pack it.
#pragma once

#include "kernels/gemm/blocked.h"
#include "kernels/gemm/pack_tiles.h"
#include "kernels/gemm/strips.h"

namespace pydl::PYDL_ISA {
namespace {

struct ByTiles {
  static constexpr int64_t kBlock = kStripSums;  // rows and columns of c that are multiplied at a time
  // What a thread packs, at most: rows of a, columns of b, and steps of k of floats. Less depth would visit the sums
  // more often, more would not leave them room in the second level cache.
  static constexpr int64_t kRows = 512, kCols = 512, kDepth = 256;
  // Blocks of c that threads share out, unless they get less multiply-adds than that.
  static constexpr int64_t kItems = 4;
  static constexpr double kLeast = 4e6;
  // Fewer lanes or steps would leave too much of the tiles empty, and less work does not pay for the packing.
  static constexpr int64_t kLanes = 12, kSteps = 32;
  static constexpr double kMacs = 1e6;
};

// From the sums to c as the micro-kernel does it, a row at a time.
template <int V>
void finish_rows(const float* sums, int64_t rows, int64_t cols, const Output<float>& out) {
  constexpr int N = Vec<float>::N, width = V * N;
  for (int64_t i = 0; i < rows; ++i) {
    Register<float> acc[1][V];
    each<float, 1, V>(acc, [&](Vec<float>, int, int j) { return load<float>(sums + i * ByTiles::kBlock + j * N); });
    if (cols == width) {
      finish<float, 1, V, true>(acc, out.at(i, 0), N);
    } else {
      finish<float, 1, V, false>(acc, out.at(i, 0), cols - (V - 1) * N);
    }
  }
  if (out.activation > Activation::relu) activate(out.c, out.rs, rows, cols, out.activation);
}

inline bool all_numbers(const float* sums, int64_t rows, int64_t cols) {
  constexpr int64_t rs = ByTiles::kBlock;
  Vec<float> zero[2];
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; j += Vec<float>::N)
      zero[i % 2] = fma(load<float>(sums + i * rs + j, least(Vec<float>::N, cols - j)), Vec<float>(), zero[i % 2]);
  return sum(zero[0] + zero[1]) == 0;
}

// A block of c by the plain micro-kernel.
template <class S>
__attribute__((noinline)) void multiply_plainly(const Problem<S, float>& q, const Sums<float>& sums) {
  constexpr int64_t tile = Tiling<float>::kRows, depth = 512;
  const int64_t width = round_up(q.n, Vec<float>::N);
  float* b = static_cast<float*>(scratch(kOwnSlot, sizeof(float) * static_cast<size_t>((width + tile) * depth)));
  float* a = b + width * depth;
  for (int64_t p = 0; p < q.k; p += depth) {
    const int64_t k = least(depth, q.k - p);
    const Output<float> out = output(q, sums, p == 0, p + k == q.k);
    pack(q.b.at(p, 0), q.b.cs, q.b.rs, q.n, k, width, b);
    for (int64_t i = 0; i < q.m; i += tile) {
      const int64_t rows = least(tile, q.m - i);
      pack(q.a.at(i, p), q.a.rs, q.a.cs, rows, k, rows, a);
      micro_kernel<float>(rows, q.n)(k, a, 1, rows, b, width, q.n, out.at(i, 0));
    }
  }
}

// Rows i .. i + rows and columns j .. j + cols of c: a product of its own.
template <class S>
Problem<S, float> block_of(const Problem<S, float>& q, int64_t i, int64_t rows, int64_t j, int64_t cols) {
  Problem<S, float> block = q;
  block.m = rows;
  block.n = cols;
  block.a.p = q.a.at(i, 0);
  block.b.p = q.b.at(0, j);
  block.c.p = q.c.at(i, j);
  if (q.add.p) block.add.p = q.add.at(i, j);
  if (q.bias.p) block.bias.p = q.bias.at(i, j);
  return block;
}

// What becomes of the sums of a block of c, at most kBlock by kBlock.
template <class S>
void finish_block(const Problem<S, float>& q, const float* sums) {
  constexpr int64_t block = ByTiles::kBlock, N = Vec<float>::N, parts = kParts<S>;
  alignas(64) float room[(block + 2) * block + N];
  const Sums<float> to = open_sums(q, 0, q.m, room);
  fill(q, to, 0, q.m, 0, q.n);
  if (parts > 1 && !all_numbers(sums, q.m, q.n)) {
    multiply_plainly(q, to);
  } else {
    const Output<float> out = output(q, to, true, true);
    q.n > N ? finish_rows<2>(sums, q.m, q.n, out) : finish_rows<1>(sums, q.m, q.n, out);
  }
  empty(q, to, 0, q.m, 0, q.n);
}

// A product, or a large block of one, by the calling thread.
template <class S>
void multiply_by_tiles(const Problem<S, float>& q) {
  constexpr int P = kParts<S>;
  constexpr int64_t block = ByTiles::kBlock, L = Tile::kLanes, K = Tile::kSteps;
  const int64_t depth = even_share(q.k, ByTiles::kDepth * 3 / P, K), strip = depth / K * P;
  const int64_t a_tiles = ceil_div(q.m, L) * strip, b_tiles = ceil_div(q.n, L) * strip;
  const int64_t down = ceil_div(q.m, block), across = ceil_div(q.n, block), kept = q.k > depth ? down * across : 1;
  const int64_t tiles = a_tiles + b_tiles + kept * (block * block * 4 / static_cast<int64_t>(sizeof(Tile)));
  Tile* a = static_cast<Tile*>(scratch(kSharedSlot, sizeof(Tile) * static_cast<size_t>(tiles)));
  Tile* b = a + a_tiles;
  float* kept_sums = reinterpret_cast<float*>(b + b_tiles);
  alignas(64) float part[block * block];
  const MatrixUnit unit;
  for (int64_t p0 = 0; p0 == 0 || p0 < q.k; p0 += depth) {
    const int64_t k = least(depth, q.k - p0), steps = ceil_div(k, K);
    pack_tiles(Matrix<const S>{q.a.at(0, p0), q.a.rs, q.a.cs}, q.m, k, false, a);
    pack_tiles(Matrix<const S>{q.b.at(p0, 0), q.b.cs, q.b.rs}, q.n, k, true, b);
    for (int64_t t = 0; t < down * across; ++t) {
      const int64_t i = t % down * block, j = t / down * block;
      const int64_t rows = least(block, q.m - i), cols = least(block, q.n - j);
      float* sums = kept_sums + (q.k > depth ? t * block * block : 0);
      sum_strips_of<P>(rows, cols)(a + i / L * steps * P, steps * P, b + j / L * steps * P, steps * P, steps,
                                   p0 == 0 ? sums : part);
      if (p0 > 0) add_sums(part, rows, cols, sums);
      if (p0 + k == q.k) finish_block(block_of(q, i, rows, j, cols), sums);
    }
  }
}

// Whether it is worth while, by the shape alone.
template <class S>
bool tiled(const Problem<S, float>& q) {
  using L = ByTiles;
  return q.m >= L::kLanes && q.n >= L::kLanes && q.k >= L::kSteps && q.macs() >= L::kMacs;
}

template <class S>
void by_tiles(const Problem<S, float>& q) {
  using L = ByTiles;
  int64_t rows = even_share(q.m, L::kRows, L::kBlock), cols = even_share(q.n, L::kCols, L::kBlock);
  const auto macs = [&] { return static_cast<double>(rows) * cols * q.k; };
  const auto blocks = [&] { return ceil_div(q.m, rows) * ceil_div(q.n, cols); };
  while (blocks() < L::kItems && macs() > L::kLeast && (rows > L::kBlock || cols > L::kBlock)) {
    int64_t& longer = rows > cols ? rows : cols;
    longer = even_share(longer, longer / 2, L::kBlock);
  }
  const int64_t across = ceil_div(q.n, cols);
  parallel_for(blocks(), gemm_cost(macs() / 3), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = t / across * rows, j = t % across * cols;
      multiply_by_tiles(block_of(q, i, least(rows, q.m - i), j, least(cols, q.n - j)));
    }
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

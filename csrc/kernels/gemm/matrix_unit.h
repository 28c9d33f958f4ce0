// Products on the matrix unit, whose factors are bfloat16: a float is the sum of three of them, an f16 of two, and of
// the nine products of floats' parts the three that are smaller than the rounding of a float are left out. Sums are
// float, rounded six times in 32 products: errors were measured at 0.1 to 0.5 of the micro-kernel's, and at 1.2 where
// 16000 positive products are summed.
// Parts below 2^-126 count as 0, as products do. What has no parts (infinities, NaN, numbers at the end of the range)
// leaves something that is no number in the sums: such a block is computed again by the plain micro-kernel.
//
// Each block of c belongs to one thread, which packs what it needs itself: to fetch what another core has packed was
// measured to take longer than to pack it.
#pragma once

#include "kernels/gemm/blocked.h"
#include "simd/matrix_unit.h"

namespace pydl::PYDL_ISA {
namespace {

struct ByTiles {
  static constexpr int64_t kBlock = 2 * Tile::kLanes;  // rows and columns of c that are multiplied at a time
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

// R by C tiles of c += tiles of a times tiles of b: the pairs I of parts, and those after it.
template <int P, int R, int C, int I = 0>
inline __attribute__((always_inline)) void multiply_parts(const Tile* a, int64_t a_stride, const Tile* b,
                                                          int64_t b_stride) {
  using Q = PartPairs<P>;
  if constexpr (I < Q::kCount) {
    constexpr int pa = Q::kA[I], pb = Q::kB[I];
    constexpr bool new_a = I == 0 || Q::kA[I > 0 ? I - 1 : 0] != pa, new_b = I == 0 || Q::kB[I > 0 ? I - 1 : 0] != pb;
    if constexpr (new_a) {
      load_tile<4>(a[pa]);
      if constexpr (R > 1) load_tile<5>(a[pa + a_stride]);
    }
    if constexpr (new_b) {
      load_tile<6>(b[pb]);
      if constexpr (C > 1) load_tile<7>(b[pb + b_stride]);
    }
    multiply_add_tile<0, 4, 6>();
    if constexpr (C > 1) multiply_add_tile<1, 4, 7>();
    if constexpr (R > 1) multiply_add_tile<2, 5, 6>();
    if constexpr (R > 1 && C > 1) multiply_add_tile<3, 5, 7>();
    multiply_parts<P, R, C, I + 1>(a, a_stride, b, b_stride);
  }
}

// sums (16 R, 16 C) of a block of c, [sums +] those of this block of k; rows of sums are ByTiles::kBlock apart, strips
// a_stride and b_stride tiles. Sums of blocks of k are added up as such: the rounding of a long sum that runs on would
// grow with its length.
template <int P, int R, int C>
void multiply_strips(const Tile* a, int64_t a_stride, const Tile* b, int64_t b_stride, int64_t steps, bool first,
                     float* sums) {
  constexpr int64_t rs = ByTiles::kBlock, N = Vec<float>::N;
  alignas(64) float part[16 * R * rs];
  float* to = first ? sums : part;
  clear_tile<0>();
  if constexpr (C > 1) clear_tile<1>();
  if constexpr (R > 1) clear_tile<2>();
  if constexpr (R > 1 && C > 1) clear_tile<3>();
  for (int64_t s = 0; s < steps; ++s, a += P, b += P) multiply_parts<P, R, C>(a, a_stride, b, b_stride);
  store_tile<0>(to, rs);
  if constexpr (C > 1) store_tile<1>(to + 16, rs);
  if constexpr (R > 1) store_tile<2>(to + 16 * rs, rs);
  if constexpr (R > 1 && C > 1) store_tile<3>(to + 16 * rs + 16, rs);
  if (first) return;
  for (int64_t i = 0; i < 16 * R; ++i, sums += rs)
    for (int64_t j = 0; j < 16 * C; j += N) store(sums + j, load<float>(sums + j) + load<float>(part + i * rs + j));
}

// For so many rows and columns, kBlock at most.
template <int P>
inline auto multiply_strips_of(int64_t rows, int64_t cols) {
  const bool wide = cols > Tile::kLanes;
  if (rows > Tile::kLanes) return wide ? multiply_strips<P, 2, 2> : multiply_strips<P, 2, 1>;
  return wide ? multiply_strips<P, 1, 2> : multiply_strips<P, 1, 1>;
}

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
  const MatrixUnit unit;
  for (int64_t p0 = 0; p0 == 0 || p0 < q.k; p0 += depth) {
    const int64_t k = least(depth, q.k - p0), steps = ceil_div(k, K);
    pack_tiles(Matrix<const S>{q.a.at(0, p0), q.a.rs, q.a.cs}, q.m, k, false, a);
    pack_tiles(Matrix<const S>{q.b.at(p0, 0), q.b.cs, q.b.rs}, q.n, k, true, b);
    for (int64_t t = 0; t < down * across; ++t) {
      const int64_t i = t % down * block, j = t / down * block;
      const int64_t rows = least(block, q.m - i), cols = least(block, q.n - j);
      float* sums = kept_sums + (q.k > depth ? t * block * block : 0);
      multiply_strips_of<P>(rows, cols)(a + i / L * steps * P, steps * P, b + j / L * steps * P, steps * P, steps,
                                        p0 == 0, sums);
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

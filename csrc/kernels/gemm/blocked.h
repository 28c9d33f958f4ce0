// The packed path: the loops around the micro-kernel. c is cut into blocks, by columns or by rows, and each block is
// computed by one thread, its k in the same order whatever the number of threads. Along the cut, the strip of the other
// operand that only this block needs is packed by that thread; the operand that all blocks need is packed once, by all
// threads, or, where a can be read in place, not at all.
#pragma once

#include "kernels/gemm/pack.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Blocking {
  static constexpr int64_t kSize = static_cast<int64_t>(sizeof(T));
  // k steps per pass over c: a panel of b, 2 vectors wide, is then 48 KiB (avx512), 24 KiB (avx2) or 12 KiB. It stays
  // in the first level cache while tiles of a pass by, or comes from the second at 9 bytes per cycle; loading and
  // storing c is 1 to 2 % of the work.
  static constexpr int64_t kDepth = 384;
  // Cut by columns while all rows of a, kDepth deep, stay in the second-level cache: 768 KiB.
  static constexpr int64_t kMostRows = (768 << 10) / (kDepth * kSize);
  // Cut by rows: tiles per block, at most, and blocks per product, if there are tiles enough. A panel of b comes from
  // the second or third level once per block: 48 KiB for 4 * 14 * 384 cycles.
  static constexpr int64_t kTiles = 4, kBlocks = 16;
  // A packed operand larger than this is cut into slabs, which a third-level cache holds.
  static constexpr int64_t kSlab = (8 << 20) / kSize;
  // Up to this size b stays in the second level and is passed over once per tile, so that c is written row by row.
  static constexpr int64_t kResident = (512 << 10) / kSize;
};

// The micro-kernel reads a as well in place as packed, except where rows lie a multiple of 4 KiB apart and their lines
// fall on one another in the cache, or where columns are far apart (1 KiB costs 5 %, 4 KiB 30 %).
template <class S, class T>
bool in_place(const Problem<S, T>& q) {
  constexpr int64_t size = Blocking<T>::kSize;
  if (!std::is_same_v<S, T>) return false;
  if (q.a.cs == 1) return q.n <= 2 * Tiling<T>::kCols || q.a.rs * size % 4096 != 0;
  return q.a.rs == 1 && q.a.cs > 0 && q.a.cs * size <= 1024;
}

template <class S, class T>
void pack_a(const Problem<S, T>& q, int64_t i0, int64_t rows, int64_t tile, int64_t p0, int64_t k, T* to) {
  for (int64_t i = 0; i < rows; i += tile) {
    const int64_t r = least(tile, rows - i);
    pack(q.a.at(i0 + i, p0), q.a.rs, q.a.cs, r, k, r, to + i * k);
  }
}

template <class S, class T>
void pack_b(const Problem<S, T>& q, int64_t j0, int64_t cols, int64_t p0, int64_t k, T* to) {
  constexpr int64_t panel = Tiling<T>::kCols;
  for (int64_t j = 0; j < cols; j += panel) {
    const int64_t c = least(panel, cols - j);
    pack(q.b.at(p0, j0 + j), q.b.cs, q.b.rs, c, k, round_up(c, Vec<T>::N), to + j * k);
  }
}

// A block of c and the packed operands that it has in common with others.
template <class T>
struct Block {
  int64_t i0, rows, tile;  // tile: the height of a micro-kernel's tile
  int64_t j0, cols;
  const T* a;  // all k of these rows, packed; null: each block sees to its own
  const T* b;  // all k of these columns, packed; null: each block packs its own
};

// The rows of a in one block of k: packed tile after tile, or in place.
template <class T>
struct Rows {
  const T* p;
  int64_t step, rs, cs;  // step: from row to row between tiles; cs 0: packed

  static Rows packed(const T* p, int64_t k) { return {p, k, 1, 0}; }
};

// The part of c that a block computes, as the micro-kernel wants it: T, unit column stride. If c is not like that, its
// place is taken by a buffer, which begins as c if c is to be added.
template <class S, class T>
Output<T> open_output(const Problem<S, T>& q, const Block<T>& x, T* buffer, T* bias) {
  Output<T> out{buffer, round_up(x.cols, Vec<T>::N), q.alpha, q.beta, nullptr, q.activation};
  if (std::is_same_v<S, T> && q.c.cs == 1) {
    out.c = reinterpret_cast<T*>(q.c.at(x.i0, x.j0));
    out.rs = q.c.rs;
  } else if (q.beta != T(0)) {
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j) buffer[i * out.rs + j] = widen<T>(*q.c.at(x.i0 + i, x.j0 + j));
  }
  if (!q.bias) return out;
  for (int64_t j = 0; j < x.cols; ++j) bias[j] = widen<T>(q.bias[(x.j0 + j) * q.bias_stride]);
  out.bias = bias;
  return out;
}

template <class S, class T>
void close_output(const Problem<S, T>& q, const Block<T>& x, const Output<T>& out, const T* buffer) {
  if (out.c != buffer) return;
  for (int64_t i = 0; i < x.rows; ++i) {
    const T* row = buffer + i * out.rs;
    int64_t j = 0;
    if (q.c.cs == 1)
      for (; j < x.cols; j += Vec<T>::N)
        store(q.c.at(x.i0 + i, x.j0 + j), load<T>(row + j), least(Vec<T>::N, x.cols - j));
    for (; j < x.cols; ++j) *q.c.at(x.i0 + i, x.j0 + j) = narrow<S>(row[j]);
  }
}

template <class T>
inline void multiply_tile(const Block<T>& x, int64_t i, int64_t j, int64_t k, const Rows<T>& a, const T* b,
                          const Output<T>& out) {
  const int64_t rows = least(x.tile, x.rows - i), cols = least(Tiling<T>::kCols, x.cols - j);
  Output<T> tile = out;
  tile.c += i * out.rs + j;
  if (tile.bias) tile.bias += j;
  if (x.b && j + Tiling<T>::kCols < x.cols) {  // the tiles of this panel fetch the next one, each its share
    tile.ahead_step = Tiling<T>::kCols / ceil_div(x.rows, x.tile);
    tile.ahead = b + (j + Tiling<T>::kCols + i / x.tile * tile.ahead_step) * k;
  }
  micro_kernel<T>(rows, cols)(k, a.p + i * a.step, a.rs, a.cs ? a.cs : rows, b + j * k, round_up(cols, Vec<T>::N), cols,
                              tile);
}

// One block of k for one block of c; b is packed.
template <class T>
void multiply(const Block<T>& x, int64_t k, const Rows<T>& a, const T* b, const Output<T>& out) {
  constexpr int64_t panel = Tiling<T>::kCols;
  if (k * x.cols <= Blocking<T>::kResident) {
    for (int64_t i = 0; i < x.rows; i += x.tile)
      for (int64_t j = 0; j < x.cols; j += panel) multiply_tile(x, i, j, k, a, b, out);
  } else {
    for (int64_t j = 0; j < x.cols; j += panel)
      for (int64_t i = 0; i < x.rows; i += x.tile) multiply_tile(x, i, j, k, a, b, out);
  }
}

// The rows of a for one block of k, packed here if need be.
template <class S, class T>
Rows<T> rows_of_a(const Problem<S, T>& q, const Block<T>& x, int64_t p, int64_t k, T* own) {
  if (x.a) return Rows<T>::packed(x.a + p * x.rows, k);
  if constexpr (std::is_same_v<S, T>) {
    if (in_place(q)) return {q.a.at(x.i0, p), q.a.rs, q.a.rs, q.a.cs};
  }
  pack_a(q, x.i0, x.rows, x.tile, p, k, own);
  return Rows<T>::packed(own, k);
}

template <class S, class T>
void compute(const Problem<S, T>& q, const Block<T>& x) {
  constexpr int64_t depth = Blocking<T>::kDepth;
  const int64_t width = round_up(x.cols, Tiling<T>::kCols), deepest = least(depth, q.k);
  const int64_t a_size = x.a || in_place(q) ? 0 : round_up(x.rows * deepest, Vec<T>::N);
  const int64_t b_size = x.b ? 0 : width * deepest;
  const int64_t c_size = std::is_same_v<S, T> && q.c.cs == 1 ? 0 : x.rows * width;
  T* own_a = static_cast<T*>(scratch(kOwnSlot, sizeof(T) * static_cast<size_t>(a_size + b_size + width + c_size)));
  T* own_b = own_a + a_size;
  T* bias = own_b + b_size;
  T* buffer = bias + width;
  const Output<T> last = open_output(q, x, buffer, bias);
  Output<T> out = last;
  out.bias = nullptr;
  out.activation = Activation::none;
  for (int64_t p = 0; p == 0 || p < q.k; p += depth) {
    const int64_t k = least(depth, q.k - p);
    const Rows<T> a = rows_of_a(q, x, p, k, own_a);
    if (!x.b) pack_b(q, x.j0, x.cols, p, k, own_b);
    if (p + k == q.k) {
      out.bias = last.bias;
      out.activation = last.activation;
    }
    multiply(x, k, a, x.b ? x.b + p * width : own_b, out);
    out.beta = T(1);
  }
  close_output(q, x, last, buffer);
}

// Lanes of the packed operand per slab: slabs of even size, a multiple of `unit`.
template <class T>
int64_t slab_lanes(int64_t lanes, int64_t k, int64_t unit) {
  const int64_t room = Blocking<T>::kSlab / (k > 0 ? k : 1);
  return round_up(ceil_div(lanes, ceil_div(lanes, room > unit ? room : unit)), unit);
}

// The work of one item in the units of parallel_for, which are about 8 multiply-adds.
inline int64_t gemm_cost(double macs) { return static_cast<int64_t>(macs / 8) + 1; }

// All k of some rows of a, packed by all threads.
template <class S, class T>
const T* pack_shared_a(const Problem<S, T>& q, int64_t i0, int64_t rows, int64_t tile) {
  constexpr int64_t depth = Blocking<T>::kDepth;
  T* packed = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(rows * q.k + 1)));
  const int64_t tiles = ceil_div(rows, tile);
  parallel_for(tiles * ceil_div(q.k, depth), tile * least(depth, q.k), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t p = t / tiles * depth, i = t % tiles * tile, k = least(depth, q.k - p);
      pack_a(q, i0 + i, least(tile, rows - i), tile, p, k, packed + p * rows + i * k);
    }
  });
  return packed;
}

template <class S, class T>
const T* pack_shared_b(const Problem<S, T>& q, int64_t j0, int64_t cols) {
  constexpr int64_t depth = Blocking<T>::kDepth, panel = Tiling<T>::kCols;
  const int64_t width = round_up(cols, panel), panels = width / panel;
  T* packed = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(width * q.k + 1)));
  parallel_for(panels * ceil_div(q.k, depth), panel * least(depth, q.k), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t p = t / panels * depth, j = t % panels * panel, k = least(depth, q.k - p);
      pack_b(q, j0 + j, least(panel, cols - j), p, k, packed + p * width + j * k);
    }
  });
  return packed;
}

template <class S, class T>
void cut_columns(const Problem<S, T>& q) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const bool packs = !in_place(q);
  const int64_t slab = packs ? slab_lanes<T>(q.m, q.k, Tiling<T>::kRows) : q.m;
  for (int64_t i0 = 0; i0 < q.m; i0 += slab) {
    const int64_t rows = least(slab, q.m - i0), tile = even_rows<T>(rows);
    const T* a = packs ? pack_shared_a(q, i0, rows, tile) : nullptr;
    const double macs = static_cast<double>(rows) * panel * q.k;
    parallel_for(ceil_div(q.n, panel), gemm_cost(macs), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin * panel; j < least(end * panel, q.n); j += panel)
        compute(q, Block<T>{i0, rows, tile, j, least(panel, q.n - j), a, nullptr});
    });
  }
}

template <class S, class T>
void cut_rows(const Problem<S, T>& q) {
  const int64_t slab = slab_lanes<T>(q.n, q.k, Tiling<T>::kCols);
  const int64_t tile = even_rows<T>(q.m);
  const int64_t tiles = least(Blocking<T>::kTiles, ceil_div(ceil_div(q.m, tile), Blocking<T>::kBlocks));
  const int64_t rows = tile * tiles;
  for (int64_t j0 = 0; j0 < q.n; j0 += slab) {
    const int64_t cols = least(slab, q.n - j0);
    const T* b = pack_shared_b(q, j0, cols);
    const double macs = static_cast<double>(rows) * cols * q.k;
    parallel_for(ceil_div(q.m, rows), gemm_cost(macs), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * rows; i < least(end * rows, q.m); i += rows)
        compute(q, Block<T>{i, least(rows, q.m - i), tile, j0, cols, nullptr, b});
    });
  }
}

template <class S, class T>
void blocked(const Problem<S, T>& q) {
  const bool few_rows = q.m <= Blocking<T>::kMostRows;
  const bool many_columns = q.n >= q.m || q.n >= 8 * Tiling<T>::kCols;
  few_rows&& many_columns ? cut_columns(q) : cut_rows(q);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

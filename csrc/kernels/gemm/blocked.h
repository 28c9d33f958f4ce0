// The packed path: BLIS's loops around the micro-kernel. A slab of rows of a, one block of k deep, stays in the second
// level cache; panels of b, as wide as the micro-kernel's tile, pass by it. In a large product both are packed for the
// whole of a block of k, before; in a small one, or one of few rows, a panel of b is packed by the thread that is
// about to read it. Where c is narrow and long it is the other way round: all of b stays, and blocks of rows pass by.
// Threads share out panels or blocks of rows, whose number follows from the shape alone; k is taken in the same order
// whatever the number of threads.
#pragma once

#include "kernels/gemm/pack.h"
#include "kernels/gemm/sums.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Blocking {
  static constexpr int64_t kSize = static_cast<int64_t>(sizeof(T));
  static constexpr bool kWide = Tiling<T>::kBytes == 64;
  // k steps per pass over c. A panel of b is then 64 KiB (avx512), 16 KiB (avx2) or 8 KiB; from the second level it
  // comes at 9 bytes per cycle of arithmetic, which costs nothing measurable. Each pass over c costs 1 % (avx512).
  static constexpr int64_t kDepth = kWide ? 512 : 256;
  // The same where few tiles pass a panel: most of the time is spent on fetching and packing the next one.
  static constexpr int64_t kShallow = 256, kFewTiles = 4;
  // c with at most so many columns is narrow: b, kDepth deep, is 384 KiB (avx512) or 96 KiB.
  static constexpr int64_t kNarrow = ((kWide ? 384 : 96) << 10) / (kDepth * kSize);
  // A block of rows of a narrow c: tiles, at most, and blocks per product, if there are tiles enough.
  static constexpr int64_t kTiles = 4, kBlocks = 16;
  // Panels per item of work: the next one of an item is fetched ahead.
  static constexpr int64_t kPanels = 4;
  // b is read in place where a block of k lies within this: it then falls on different lines of the first level cache.
  static constexpr int64_t kNear = 32 << 10;
  // Packing a costs as much as the arithmetic of 10 columns; reading it in place costs 1 to 2 %.
  static constexpr int64_t kManyCols = 768;
};

// Rows of a slab: it takes 11/16 of the second level cache, the rest is for panels of b and c.
template <class T>
inline int64_t slab_rows() {
  const int64_t rows = second_level_cache() / 16 * 11 / (Blocking<T>::kDepth * Blocking<T>::kSize);
  return rows > Tiling<T>::kRows ? rows : Tiling<T>::kRows;
}

// Blocks of k of even depth, a multiple of the micro-kernel's unrolling.
template <class T>
inline int64_t even_depth(int64_t m, int64_t k) {
  const bool few = m <= Blocking<T>::kFewTiles * Tiling<T>::kRows;
  const int64_t most = few ? Blocking<T>::kShallow : Blocking<T>::kDepth;
  return k <= most ? (k > 0 ? k : 1) : even_share(k, most, 8);
}

// The micro-kernel reads a nearly as well in place as packed, except where rows lie a multiple of 4 KiB apart and their
// lines fall on one another in the cache, or where columns are far apart (1 KiB costs 5 %, 4 KiB 30 %).
template <class S, class T>
bool in_place(const Problem<S, T>& q) {
  constexpr int64_t size = Blocking<T>::kSize;
  if (!std::is_same_v<S, T>) return false;
  if (q.n <= 2 * Tiling<T>::kCols && q.a.cs == 1) return true;
  if (q.n > Blocking<T>::kManyCols) return false;
  if (q.a.cs == 1) return q.a.rs * size % 4096 != 0;
  return q.a.rs == 1 && q.a.cs > 0 && q.a.cs * size <= 1024;
}

// Rows of a in one block of k: packed tile after tile, or in place.
template <class T>
struct Rows {
  const T* p;
  int64_t step, rs, cs;  // step: from row to row between tiles; cs 0: packed
};

// Rows i0 .. i0 + rows of c, and a block of k: steps p0 .. p0 + k.
struct Slab {
  int64_t i0, rows, tile;  // tile: the height of a micro-kernel's tile
  int64_t p0, k;
  bool first, last;
};

template <class S, class T>
void pack_a(const Problem<S, T>& q, const Slab& x, int64_t begin, int64_t end, T* to) {
  for (int64_t i = begin; i < end; i += x.tile) {
    const int64_t r = least(x.tile, x.rows - i);
    pack(q.a.at(x.i0 + i, x.p0), q.a.rs, q.a.cs, r, x.k, r, to + i * x.k);
  }
}

template <class S, class T>
void pack_b(const Problem<S, T>& q, int64_t j, int64_t p0, int64_t k, T* to) {
  const int64_t cols = least(Tiling<T>::kCols, q.n - j);
  pack(q.b.at(p0, j), q.b.cs, q.b.rs, cols, k, round_up(cols, Vec<T>::N), to);
}

// The slab's rows of a where they are: packed in `room`, or in place.
template <class S, class T>
Rows<T> ready_rows(const Problem<S, T>& q, const Slab& x, const T* room) {
  if constexpr (std::is_same_v<S, T>) {
    if (in_place(q)) return {q.a.at(x.i0, x.p0), q.a.rs, q.a.rs, q.a.cs};
  }
  return {room, x.k, 1, 0};
}

// The same, packed to `room` before where they cannot be read in place; by all threads if `shared`.
template <class S, class T>
Rows<T> rows_of_a(const Problem<S, T>& q, const Slab& x, bool shared, T* room) {
  if (!in_place(q)) {
    const auto tiles = [&](int64_t begin, int64_t end) {
      pack_a(q, x, begin * x.tile, least(end * x.tile, x.rows), room);
    };
    const int64_t n = ceil_div(x.rows, x.tile);
    shared ? parallel_for(n, x.tile * x.k, tiles) : tiles(0, n);
  }
  return ready_rows(q, x, room);
}

// One tile: rows i and columns j of the slab's part of c.
template <class T>
inline void multiply_tile(const Slab& x, const Rows<T>& a, int64_t i, const T* b, int64_t brs, int64_t cols,
                          const Output<T>& out) {
  const int64_t rows = least(x.tile, x.rows - i);
  micro_kernel<T>(rows, cols)(x.k, a.p + i * a.step, a.rs, a.cs ? a.cs : rows, b, brs, cols, out);
}

// A panel of b, in place or packed.
template <class T>
struct Panel {
  const T* p;
  int64_t rs;
};

template <class S, class T>
Panel<T> panel_of_b(const Problem<S, T>& q, const Slab& x, int64_t j) {
  if constexpr (std::is_same_v<S, T>) {
    const bool whole = q.n - j >= Tiling<T>::kCols || (q.n - j) % Vec<T>::N == 0;
    const bool near = x.rows <= x.tile || x.k * q.b.rs * Blocking<T>::kSize <= Blocking<T>::kNear;
    if (q.b.cs == 1 && q.b.rs > 0 && whole && near) return {q.b.at(x.p0, j), q.b.rs};
  }
  const int64_t width = round_up(least(Tiling<T>::kCols, q.n - j), Vec<T>::N);
  T* own = static_cast<T*>(scratch(kOwnSlot, sizeof(T) * static_cast<size_t>(width * x.k + 1)));
  pack_b(q, j, x.p0, x.k, own);
  return {own, width};
}

// Lets the tiles of a panel fetch the panel of b beside it, each its share: all lines of a column of lines, then those
// of the next. A panel of many tiles does so gently.
template <class T>
inline void fetch_next_panel(const T* next, int64_t rs, int64_t k, int64_t index, int64_t tiles, Output<T>* out) {
  constexpr int64_t line = 64 / Blocking<T>::kSize, lines = Tiling<T>::kCols / line;
  const int64_t blocks = k / kUnroll - 2 * Tiling<T>::kRows;  // the others fetch c
  const bool gently = blocks > 0 && tiles >= lines * ceil_div(k, blocks);
  const int64_t share = gently ? blocks : k, turns = ceil_div(k, share);
  const int64_t column = index / turns * line, row = index % turns * share;
  if (column >= Tiling<T>::kCols) return;
  out->ahead = next + row * rs + column;
  out->ahead_step = rs;
  out->gently = gently;
}

// All rows of the slab times one panel of b; `more`: the caller goes on to the next.
template <class S, class T>
void multiply_panel(const Problem<S, T>& q, const Slab& x, const Rows<T>& a, const Sums<T>& sums, int64_t j,
                    bool more) {
  const int64_t cols = least(Tiling<T>::kCols, q.n - j), tiles = ceil_div(x.rows, x.tile);
  const Panel<T> b = panel_of_b(q, x, j);
  const Output<T> out = output(q, sums, x.first, x.last);
  if (x.first) fill(q, sums, x.i0, x.rows, j, cols);
  for (int64_t t = 0; t < tiles; ++t) {
    Output<T> tile = out.at(t * x.tile, j);
    if constexpr (std::is_same_v<S, T>) {
      if (more && q.b.cs == 1) fetch_next_panel(q.b.at(x.p0, j + Tiling<T>::kCols), q.b.rs, x.k, t, tiles, &tile);
    }
    multiply_tile(x, a, t * x.tile, b.p, b.rs, cols, tile);
  }
  if (x.last) empty(q, sums, x.i0, x.rows, j, cols);
}

// The work of one item in the units of parallel_for, which are about 8 multiply-adds.
inline int64_t gemm_cost(double macs) { return static_cast<int64_t>(macs / 8) + 1; }

template <class S, class T>
void by_columns(const Problem<S, T>& q) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t tile = even_rows<T>(q.m), depth = even_depth<T>(q.m, q.k);
  const int64_t slab = even_share(q.m, slab_rows<T>(), tile);
  const int64_t a_room = in_place(q) ? 0 : round_up(slab * depth, Vec<T>::N);
  T* room = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(a_room + sums_room(q, slab))));
  const int64_t panels = ceil_div(q.n, panel);
  const int64_t group = panels < 32 ? 1 : least(panels / 16, Blocking<T>::kPanels);
  for (int64_t i0 = 0; i0 < q.m; i0 += slab) {
    const int64_t rows = least(slab, q.m - i0);
    const Sums<T> sums = open_sums(q, i0, rows, room + a_room);
    for (int64_t p0 = 0; p0 == 0 || p0 < q.k; p0 += depth) {
      const int64_t k = least(depth, q.k - p0);
      const Slab x{i0, rows, tile, p0, k, p0 == 0, p0 + k == q.k};
      const Rows<T> a = rows_of_a(q, x, true, room);
      const double macs = static_cast<double>(rows) * panel * group * k;
      parallel_for(ceil_div(panels, group), gemm_cost(macs), [&](int64_t begin, int64_t end) {
        const int64_t last = least(end * group, panels) - 1;
        for (int64_t j = begin * group; j <= last; ++j) multiply_panel(q, x, a, sums, j * panel, j < last);
      });
    }
  }
}

// A block of rows of a narrow c; b: all of it, packed, block after block of k.
template <class S, class T>
void multiply_rows(const Problem<S, T>& q, int64_t i0, int64_t rows, int64_t tile, int64_t depth, const T* b) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t a_room = in_place(q) ? 0 : round_up(rows * depth, Vec<T>::N), width = round_up(q.n, Vec<T>::N);
  T* room = static_cast<T*>(scratch(kOwnSlot, sizeof(T) * static_cast<size_t>(a_room + sums_room(q, rows))));
  const Sums<T> sums = open_sums(q, i0, rows, room + a_room);
  fill(q, sums, i0, rows, 0, q.n);
  for (int64_t p0 = 0; p0 == 0 || p0 < q.k; p0 += depth) {
    const int64_t k = least(depth, q.k - p0);
    const Slab x{i0, rows, tile, p0, k, p0 == 0, p0 + k == q.k};
    const Rows<T> a = rows_of_a(q, x, false, room);
    const Output<T> out = output(q, sums, x.first, x.last);
    for (int64_t i = 0; i < rows; i += tile)
      for (int64_t j = 0; j < q.n; j += panel) {
        const int64_t cols = least(panel, q.n - j);
        multiply_tile(x, a, i, b + p0 * width + j * k, round_up(cols, Vec<T>::N), cols, out.at(i, j));
      }
  }
  empty(q, sums, i0, rows, 0, q.n);
}

template <class S, class T>
void by_rows(const Problem<S, T>& q) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t tile = even_rows<T>(q.m), depth = even_depth<T>(q.m, q.k), width = round_up(q.n, Vec<T>::N);
  const int64_t rows = tile * least(Blocking<T>::kTiles, ceil_div(ceil_div(q.m, tile), Blocking<T>::kBlocks));
  T* b = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(width * q.k + 1)));
  const int64_t panels = ceil_div(q.n, panel), blocks = ceil_div(q.k, depth);
  parallel_for(panels * blocks, panel * depth, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t p0 = t / panels * depth, j = t % panels * panel, k = least(depth, q.k - p0);
      pack_b(q, j, p0, k, b + p0 * width + j * k);
    }
  });
  const double macs = static_cast<double>(rows) * q.n * q.k;
  parallel_for(ceil_div(q.m, rows), gemm_cost(macs), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * rows; i < least(end * rows, q.m); i += rows)
      multiply_rows(q, i, least(rows, q.m - i), tile, depth, b);
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

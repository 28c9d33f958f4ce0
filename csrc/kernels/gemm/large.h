// Large products: a block of k of both operands is packed by all threads, each element once, and then all threads
// multiply. Slabs of rows of a stay in the second level cache and panels of b come by from the third, where they lie in
// one piece; what comes next is fetched while one panel is in use.
#pragma once

#include "kernels/gemm/blocked.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Large {
  static constexpr int64_t kSize = static_cast<int64_t>(sizeof(T));
  // Multiply-adds from which the packing ahead, and waiting for it, is paid back.
  static constexpr double kMacs = 576.0 * 576 * 576;
  // What is packed at a time, at most: rows of a, columns of b.
  static constexpr int64_t kRows = 2048, kCols = 4096;
  // k steps per pass over c. Of the second level cache a slab takes a quarter: where a neighbour shares the core, more
  // was measured to be slower.
  static constexpr int64_t kDepth = Blocking<T>::kWide ? 768 * 4 / kSize : 256;
  static constexpr int64_t kSlabs = 4;
  // Steps of k that are packed at a time where they are contiguous: all lanes, as they lie in memory.
  static constexpr int64_t kStrip = 16;
};

// Rows i0 .. i0 + rows and columns j0 .. j0 + cols of c, and steps p0 .. p0 + k: what is packed at a time.
template <class T>
struct Part {
  int64_t i0, rows, j0, cols, p0, k;
  int64_t slab, tile;
  T *a, *b;
};

// Steps p .. p + n of b, all its columns.
template <class S, class T>
void pack_steps(const Problem<S, T>& q, const Part<T>& x, int64_t p, int64_t n) {
  constexpr int64_t panel = Tiling<T>::kCols;
  for (int64_t j = 0; j < x.cols; j += panel) {
    const int64_t cols = least(panel, x.cols - j), width = round_up(cols, Vec<T>::N);
    pack(q.b.at(x.p0 + p, x.j0 + j), q.b.cs, q.b.rs, cols, n, width, x.b + j * x.k + p * width);
  }
}

// The same of a, all its rows.
template <class S, class T>
void pack_a_steps(const Problem<S, T>& q, const Part<T>& x, int64_t p, int64_t n) {
  for (int64_t i = 0; i < x.rows; i += x.tile) {
    const int64_t r = least(x.tile, x.rows - i);
    pack(q.a.at(x.i0 + i, x.p0 + p), q.a.rs, q.a.cs, r, n, r, x.a + i * x.k + p * r);
  }
}

template <class S, class T>
void pack_part(const Problem<S, T>& q, const Part<T>& x) {
  constexpr int64_t panel = Tiling<T>::kCols, strip = Large<T>::kStrip;
  const bool a_by_steps = q.a.rs == 1, by_steps = q.b.cs == 1;
  const Slab all{x.i0, x.rows, x.tile, x.p0, x.k, false, false};
  const int64_t steps = ceil_div(x.k, strip);
  const int64_t for_a = in_place(q) ? 0 : a_by_steps ? steps : ceil_div(x.rows, x.tile);
  const int64_t for_b = by_steps ? steps : ceil_div(x.cols, panel);
  parallel_for(for_a + for_b, x.k * panel, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < least(end, for_a); ++s)
      a_by_steps ? pack_a_steps(q, x, s * strip, least(strip, x.k - s * strip))
                 : pack_a(q, all, s * x.tile, least((s + 1) * x.tile, x.rows), x.a);
    for (int64_t s = begin > for_a ? begin - for_a : 0; s < end - for_a; ++s)
      by_steps ? pack_steps(q, x, s * strip, least(strip, x.k - s * strip))
               : pack_b(q, x.j0 + s * panel, x.p0, x.k, x.b + s * panel * x.k);
  });
}

// Lets a tile fetch one of `shares` of what will be read next.
template <class T>
inline void fetch_share(const T* next, int64_t elements, int64_t index, int64_t shares, int64_t k, Output<T>* out) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t share = ceil_div(elements / line, shares);
  out->ahead = next + index * share * line;
  out->ahead_step = line;
  out->gently = share <= k / kUnroll - Tiling<T>::kRows;
}

// The rows from i on, of one slab, times panel j of b. Its last tile fetches a share of the next slab, the others the
// next panel.
template <class S, class T>
void multiply_packed(const Problem<S, T>& q, const Part<T>& x, int64_t i, int64_t j, const Output<T>& whole) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const Slab slab{x.i0 + i, least(x.slab, x.rows - i), x.tile, x.p0, x.k, false, false};
  const Rows<T> a = ready_rows(q, slab, x.a + i * x.k);
  const T *b = x.b + j * panel * x.k, *next_a = x.a + (i + x.slab) * x.k;
  const int64_t cols = least(panel, x.cols - j * panel), panels = ceil_div(x.cols, panel);
  const bool more = a.cs == 0 && i + x.slab < x.rows;
  const int64_t tiles = ceil_div(slab.rows, x.tile), for_b = more && tiles > 1 ? tiles - 1 : tiles;
  for (int64_t t = 0; t < tiles; ++t) {
    Output<T> out = whole.at(i + t * x.tile, x.j0 + j * panel);
    if (t < for_b) {
      fetch_share(j + 1 < panels ? b + panel * x.k : x.b, panel * x.k, t, for_b, x.k, &out);
    } else {
      const int64_t shares = ceil_div(panels, 2);  // all of it is there when half of the panels have passed
      fetch_share(next_a, x.slab * x.k, j % shares, shares, x.k, &out);
    }
    multiply_tile(slab, a, t * x.tile, b, round_up(cols, Vec<T>::N), cols, out);
  }
}

// Slab by slab, a group of panels at a time.
template <class S, class T>
void multiply_part(const Problem<S, T>& q, const Part<T>& x, const Sums<T>& sums) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t panels = ceil_div(x.cols, panel), slabs = ceil_div(x.rows, x.slab);
  const int64_t group = least(1 + panels * slabs / 64, Blocking<T>::kPanels), groups = ceil_div(panels, group);
  const double macs = static_cast<double>(x.slab) * panel * group * x.k;
  const Output<T> whole = output(q, sums, x.p0 == 0, x.p0 + x.k == q.k);
  parallel_for(slabs * groups, gemm_cost(macs), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % groups * group, last = least(first + group, panels);
      for (int64_t j = first; j < last; ++j) multiply_packed(q, x, item / groups * x.slab, j, whole);
    }
  });
}

template <class S, class T>
bool large(const Problem<S, T>& q) {
  return q.m > Blocking<T>::kFewTiles * Tiling<T>::kRows && q.macs() >= Large<T>::kMacs && direct(q);
}

template <class S, class T>
void by_parts(const Problem<S, T>& q) {
  using L = Large<T>;
  const int64_t tile = even_rows<T>(q.m), depth = even_share(q.k, L::kDepth, kUnroll);
  const int64_t slab_most = second_level_cache() / (L::kSlabs * L::kSize * depth);
  const int64_t rows = even_share(q.m, L::kRows, tile), cols = even_share(q.n, L::kCols, Tiling<T>::kCols);
  const int64_t slab = even_share(rows, slab_most > tile ? slab_most : tile, tile);
  const int64_t a_room = in_place(q) ? 0 : round_up(rows * depth, Vec<T>::N), b_room = cols * depth;
  T* room =
      static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(a_room + b_room + sums_room(q, rows))));
  for (int64_t i0 = 0; i0 < q.m; i0 += rows) {
    const int64_t height = least(rows, q.m - i0);
    const Sums<T> sums = open_sums(q, i0, height, room + a_room + b_room);
    for (int64_t j0 = 0; j0 < q.n; j0 += cols)
      for (int64_t p0 = 0; p0 < q.k; p0 += depth) {
        const Part<T> x{i0,   height, j0,   least(cols, q.n - j0), p0, least(depth, q.k - p0),
                        slab, tile,   room, room + a_room};
        pack_part(q, x);
        multiply_part(q, x, sums);
      }
  }
}

template <class S, class T>
void blocked(const Problem<S, T>& q) {
  if (q.n < q.m && q.n <= Blocking<T>::kNarrow) return by_rows(q);
  large(q) ? by_parts(q) : by_columns(q);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// A weight, packed once and multiplied at every step. Its columns come in groups (the gates) of equally many units; a
// block is a range of units, all its groups, so that whoever has multiplied a block can go on to the gates.
#pragma once

#include "kernels/gemm/blocked.h"
#include "kernels/gemm/gemv.h"
#include "kernels/gemm/small.h"
#include "simd/tile.h"

namespace pydl::PYDL_ISA {
namespace {

// Rows up to which one sweep over a block's vectors is faster than the micro-kernel, whose two sums per row would wait
// for each other.
constexpr int64_t kFewRows = 3;
constexpr int kMostGroups = 4;
// Steps of k per pass over c. Nothing has to be packed meanwhile, so it is the most that gemm takes.
constexpr int64_t kDeep = 512;

// Where the columns of a group go: c = [c +] a w + bias. Pointers are to the first row and unit.
template <class T>
struct Target {
  T* c;
  int64_t rs;
  const T* bias;  // null: none
  bool add;
};

// The left side of a product: rows (rows, k) with unit column stride, and for the matrix unit the same as tiles.
template <class T>
struct Left {
  const T* p;
  int64_t rs;
  const Tile* tiles;
};

template <class T>
struct Panels {
  int64_t groups, units, k;
  bool few, tiled;  // tiled: as tiles for the matrix unit
  T* p;
  // Element (unit u of group g, step p of k) of the weight itself lies at (g * units + u) * lane_stride + p * k_stride.
  const T* from;
  int64_t lane_stride, k_stride;

  // Units per block, and columns of a group that lie side by side.
  int64_t width() const { return !few ? Tiling<T>::kCols : groups == 1 ? 4 * Vec<T>::N : Vec<T>::N; }
  int64_t blocks() const { return ceil_div(units, width()); }
  // A part of a float takes half of its bytes.
  int64_t block_room() const { return tiled ? round_up(k, Tile::kSteps) * width() * kParts<T> / 2 : k * width(); }
  int64_t size() const { return groups * units * k; }
  int64_t room() const { return blocks() * groups * block_room(); }
  int64_t kept(int64_t block) const { return least(width(), units - block * width()); }
  T* at(int64_t block, int64_t group) const { return p + (block * groups + group) * block_room(); }
  // The weight of a unit, as it lies.
  const T* column(int64_t group, int64_t unit) const { return from + (group * units + unit) * lane_stride; }
  int64_t lanes(int64_t block) const { return few ? width() : round_up(kept(block), Vec<T>::N); }
  // Of a block, for so many rows, in the units of parallel_for.
  int64_t cost(int64_t rows) const { return gemm_cost(static_cast<double>(rows) * groups * width() * k); }
};

template <class T>
void pack_panels(const Panels<T>& w) {
  parallel_for(w.blocks(), w.groups * w.width() * w.k / 4, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t g = 0; g < w.groups; ++g) {
        const T* first = w.column(g, block * w.width());
        if constexpr (kTiled<T>) {
          if (w.tiled) {
            const Matrix<const T> columns{first, w.lane_stride, w.k_stride};
            pack_tiles(columns, w.kept(block), w.k, true, reinterpret_cast<Tile*>(w.at(block, g)));
            continue;
          }
        }
        pack(first, w.lane_stride, w.k_stride, w.kept(block), w.k, w.lanes(block), w.at(block, g));
      }
  });
}

// R rows times V vectors whose steps lie brs apart, each vector vs behind the last.
template <int R, int V, class T>
inline void sweep(int64_t k, const T* a, int64_t ars, const T* b, int64_t brs, int64_t vs, T (*sums)[4 * Vec<T>::N]) {
  constexpr int N = Vec<T>::N;
  Register<T> acc[R][V];
  each<T, R, V>(acc, [](Vec<T>, int, int) { return Vec<T>(); });
  for (int64_t p = 0; p < k; ++p, b += brs) {
    Vec<T> bv[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) bv[v] = load<T>(b + v * vs);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec<T> av(a[r * ars + p]);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[r][v] = fma(av, bv[v], Vec<T>(acc[r][v])).v;
    }
  }
  each<T, R, V>(acc, [&](Vec<T> x, int r, int v) {
    store(sums[r] + v * N, x);
    return x;
  });
}

template <int V, class T>
void sweep_rows(const Panels<T>& w, int64_t block, int64_t rows, const T* a, int64_t ars, T (*sums)[4 * Vec<T>::N]) {
  const int64_t brs = w.width(), vs = w.groups == 1 ? Vec<T>::N : w.k * brs;
  const T* b = w.at(block, 0);
  rows == 1   ? sweep<1, V>(w.k, a, ars, b, brs, vs, sums)
  : rows == 2 ? sweep<2, V>(w.k, a, ars, b, brs, vs, sums)
              : sweep<3, V>(w.k, a, ars, b, brs, vs, sums);
}

template <class T>
void multiply_few(const Panels<T>& w, int64_t block, int64_t rows, const T* a, int64_t ars, const Target<T>* to) {
  constexpr int N = Vec<T>::N;
  alignas(64) T sums[kFewRows][4 * N];
  w.groups == 3 ? sweep_rows<3>(w, block, rows, a, ars, sums) : sweep_rows<4>(w, block, rows, a, ars, sums);
  const int64_t j = block * w.width(), kept = w.kept(block);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t g = 0; g < w.groups; ++g) {
      const Target<T>& t = to[g];
      T* c = t.c + r * t.rs + j;
      for (int64_t i = 0; i < kept; i += N) {
        const int64_t n = least(N, kept - i);
        Vec<T> sum = load<T>(sums[r] + g * w.width() + i);
        if (t.add) sum += load<T>(c + i, n);
        if (t.bias) sum += load<T>(t.bias + j + i, n);
        store(c + i, sum, n);
      }
    }
}

// Rows a times one block of w.
template <class T>
void multiply(const Panels<T>& w, int64_t block, int64_t rows, const Left<T>& left, const Target<T>* to) {
  const T* a = left.p;
  const int64_t ars = left.rs;
  if constexpr (kTiled<T>) {
    if (w.tiled) return multiply_tiled(w, block, rows, left, to);
  }
  if (w.few) return multiply_few(w, block, rows, a, ars, to);
  const int64_t j = block * w.width(), cols = w.kept(block), lanes = w.lanes(block);
  const int64_t tile = even_rows<T>(rows), tiles = ceil_div(rows, tile);
  const int64_t depth = round_up(ceil_div(w.k, ceil_div(w.k, kDeep)), 8);
  for (int64_t g = 0; g < w.groups; ++g) {
    const T* panel = w.at(block, g);
    for (int64_t p0 = 0; p0 < w.k; p0 += depth) {
      const int64_t k = least(depth, w.k - p0);
      Output<T> out{to[g].c + j, to[g].rs, T(1), T(p0 > 0 || to[g].add), nullptr, Activation::none};
      if (p0 + k == w.k && to[g].bias) out.bias = to[g].bias + j;
      for (int64_t t = 0; t < tiles; ++t) {
        Output<T> one = out.at(t * tile, 0);
        if (lanes == w.width()) fetch_next_panel(panel + (p0 + k) * lanes, lanes, k, t, tiles, &one);
        const int64_t r = least(tile, rows - t * tile);
        micro_kernel<T>(r, cols)(k, a + t * tile * ars + p0, ars, 1, panel + p0 * lanes, lanes, cols, one);
      }
    }
  }
}

// Rows by all of w, then(j, n) after the products of units j .. j + n.
template <class T, class F>
void multiply_each(const Panels<T>& w, int64_t rows, const Left<T>& left, const Target<T>* to, const F& then) {
  parallel_for(w.blocks(), w.cost(rows), [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      multiply(w, block, rows, left, to);
      then(block * w.width(), w.kept(block));
    }
  });
}

// c = [c +] a w + bias for columns j .. j + cols of a group, with the weight as it lies.
template <class T>
Problem<T, T> product(const Panels<T>& w, int64_t group, int64_t j, int64_t cols, int64_t rows, const Left<T>& left,
                      const Target<T>& to) {
  Problem<T, T> q{};
  q.m = rows;
  q.n = cols;
  q.k = w.k;
  q.a = {left.p, left.rs, 1};
  q.b = {w.column(group, j), w.k_stride, w.lane_stride};
  q.c = {to.c + j, to.rs, 1};
  if (to.add) q.add = {q.c.p, to.rs, 1};
  if (to.bias) q.bias = {to.bias + j, 0, 1};
  q.alpha = T(1);
  q.beta = T(to.add);
  return q;
}

// The product of all units at once: for a call or two, which are over before the weight is packed.
template <class T>
void multiply_unpacked(const Panels<T>& w, int64_t rows, const Left<T>& left, const Target<T>* to) {
  for (int64_t g = 0; g < w.groups; ++g) {
    const Problem<T, T> q = product(w, g, 0, w.units, rows, left, to[g]);
    if (!gemv(q)) small(q);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

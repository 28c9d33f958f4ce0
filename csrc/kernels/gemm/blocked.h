// The packed path: the loops around the micro-kernel. One operand is packed once and shared by all threads; c is cut
// into blocks along the other operand, and whoever computes a block packs the strip of that operand which only this
// block needs. So everything is packed once, threads meet once per slab, and every element of c is computed by one
// thread, its k in the same order whatever the number of threads.
#pragma once

#include "kernels/gemm/pack.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
struct Blocking {
  // k steps per block: a panel of b, 2 vectors wide, is 32 KiB (avx512), 16 KiB (avx2) or 8 KiB, and stays in a first
  // level cache of 32 or 48 KiB, or in part and then comes from the second at 9 bytes per cycle; beyond 256 steps the
  // load and store of c is under 2 % of the time.
  static constexpr int64_t kDepth = 256;
  // Rows of a when b is shared: 6 tiles; a strip of 84 * 256 floats is 84 KiB, within a second level cache of 1 MiB
  // even beside the part of b that passes through, and 1024 rows still make 13 blocks.
  static constexpr int64_t kRows = 6 * Tiling<T>::kRows;
  // Columns of b when a is shared.
  static constexpr int64_t kCols = 2 * Tiling<T>::kCols;
  // The shared operand is cut into slabs of this size, which a third level cache holds.
  static constexpr int64_t kSlabBytes = 4 << 20;
};

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
  const T* a;  // all k of these rows, packed; null: to be packed here
  const T* b;  // all k of these columns, packed; null: to be packed here
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
    if constexpr (sizeof(S) == 2 || std::is_same_v<S, T>) {
      if (q.c.cs == 1)
        for (; j < x.cols; j += Vec<T>::N)
          store(q.c.at(x.i0 + i, x.j0 + j), load<T>(row + j), least(Vec<T>::N, x.cols - j));
    }
    for (; j < x.cols; ++j) *q.c.at(x.i0 + i, x.j0 + j) = narrow<S>(row[j]);
  }
}

// One block of k for one block of c, from packed operands.
template <class T>
void multiply(const Block<T>& x, int64_t k, const T* a, const T* b, const Output<T>& out) {
  constexpr int64_t panel = Tiling<T>::kCols;
  for (int64_t j = 0; j < x.cols; j += panel) {
    const int64_t cols = least(panel, x.cols - j);
    const int64_t width = round_up(cols, Vec<T>::N);
    for (int64_t i = 0; i < x.rows; i += x.tile) {
      const int64_t rows = least(x.tile, x.rows - i);
      Output<T> tile = out;
      tile.c += i * out.rs + j;
      if (tile.bias) tile.bias += j;
      micro_kernel<T>(rows, cols)(k, a + i * k, 1, rows, b + j * k, width, cols, tile);
    }
  }
}

template <class S, class T>
void compute(const Problem<S, T>& q, const Block<T>& x) {
  constexpr int64_t depth = Blocking<T>::kDepth;
  const int64_t width = round_up(x.cols, Tiling<T>::kCols);
  const int64_t a_size = x.a ? 0 : round_up(x.rows * least(depth, q.k), 16);
  const int64_t b_size = x.b ? 0 : width * least(depth, q.k);
  const bool direct = std::is_same_v<S, T> && q.c.cs == 1;
  T* own_a = static_cast<T*>(
      scratch(kOwnSlot, sizeof(T) * static_cast<size_t>(a_size + b_size + width * (direct ? 1 : x.rows + 1))));
  T* own_b = own_a + a_size;
  T* bias = own_b + b_size;
  T* buffer = bias + width;
  Output<T> out = open_output(q, x, buffer, bias);
  const Output<T> last = out;
  out.bias = nullptr;
  out.activation = Activation::none;
  for (int64_t p = 0; p == 0 || p < q.k; p += depth) {
    const int64_t k = least(depth, q.k - p);
    if (!x.a) pack_a(q, x.i0, x.rows, x.tile, p, k, own_a);
    if (!x.b) pack_b(q, x.j0, x.cols, p, k, own_b);
    if (p + k == q.k) {
      out.bias = last.bias;
      out.activation = last.activation;
    }
    multiply(x, k, x.a ? x.a + p * x.rows : own_a, x.b ? x.b + p * width : own_b, out);
    out.beta = T(1);
  }
  close_output(q, x, last, buffer);
}

// Lanes of the shared operand per slab: slabs of even size, a multiple of `unit`.
template <class T>
int64_t slab_lanes(int64_t lanes, int64_t k, int64_t unit) {
  const int64_t room = Blocking<T>::kSlabBytes / static_cast<int64_t>(sizeof(T)) / (k > 0 ? k : 1);
  const int64_t most = room > unit ? room : unit;
  return round_up(ceil_div(lanes, ceil_div(lanes, most)), unit);
}

// The work of one item in the units of parallel_for, which are about 8 multiply-adds.
inline int64_t gemm_cost(double macs) { return static_cast<int64_t>(macs / 8) + 1; }

// a is shared; c is cut by columns.
template <class S, class T>
void share_a(const Problem<S, T>& q) {
  constexpr int64_t depth = Blocking<T>::kDepth, cols = Blocking<T>::kCols;
  const int64_t slab = slab_lanes<T>(q.m, q.k, Tiling<T>::kRows);
  T* packed = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(least(slab, q.m) * q.k)));
  for (int64_t i0 = 0; i0 < q.m; i0 += slab) {
    const int64_t rows = least(slab, q.m - i0), tile = even_rows<T>(rows);
    const int64_t tiles = ceil_div(rows, tile), depths = ceil_div(q.k, depth);
    parallel_for(tiles * depths, tile * depth, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t p = t / tiles * depth, i = t % tiles * tile, k = least(depth, q.k - p);
        pack_a(q, i0 + i, least(tile, rows - i), tile, p, k, packed + p * rows + i * k);
      }
    });
    const double macs = static_cast<double>(rows) * cols * q.k;
    parallel_for(ceil_div(q.n, cols), gemm_cost(macs), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin * cols; j < least(end * cols, q.n); j += cols)
        compute(q, Block<T>{i0, rows, tile, j, least(cols, q.n - j), packed, nullptr});
    });
  }
}

// b is shared; c is cut by rows.
template <class S, class T>
void share_b(const Problem<S, T>& q) {
  constexpr int64_t depth = Blocking<T>::kDepth, panel = Tiling<T>::kCols;
  const int64_t slab = slab_lanes<T>(q.n, q.k, panel);
  const int64_t rows = ceil_div(q.m, ceil_div(q.m, Blocking<T>::kRows));
  const int64_t most = round_up(least(slab, q.n), panel);
  T* packed = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(most * q.k)));
  for (int64_t j0 = 0; j0 < q.n; j0 += slab) {
    const int64_t cols = least(slab, q.n - j0), width = round_up(cols, panel);
    const int64_t panels = ceil_div(cols, panel), depths = ceil_div(q.k, depth);
    parallel_for(panels * depths, panel * depth, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t p = t / panels * depth, j = t % panels * panel, k = least(depth, q.k - p);
        pack_b(q, j0 + j, least(panel, cols - j), p, k, packed + p * width + j * k);
      }
    });
    const double macs = static_cast<double>(rows) * cols * q.k;
    parallel_for(ceil_div(q.m, rows), gemm_cost(macs), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * rows; i < least(end * rows, q.m); i += rows) {
        const int64_t r = least(rows, q.m - i);
        compute(q, Block<T>{i, r, even_rows<T>(r), j0, cols, nullptr, packed});
      }
    });
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

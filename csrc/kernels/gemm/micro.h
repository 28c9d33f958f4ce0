// The micro-kernel: a tile of c, R rows by V vectors, stays in registers while k runs. After Van Zee & van de Geijn
// 2015 (BLIS), with one difference: the tile's height is any R up to kRows, so that rows are shared out evenly (32 rows
// are 11 + 11 + 10, not 14 + 14 + 4) and no tile multiplies padding.
#pragma once

#include "kernels/gemm/problem.h"

namespace pydl::PYDL_ISA {
namespace {

// Sizes follow from the registers: R * 2 accumulators + 2 vectors of b + 1 broadcast element of a.
//   avx512: 32 registers, 14 * 2 + 3 = 31.   avx2: 16 registers, 6 * 2 + 3 = 15.
//   base: 16 registers, 4 * 2 + 3, and a product before each sum where there is no fma.
// A tile needs 28, 12 and 8 fmas for 16, 8 and 6 loads per step of k: bound by arithmetic, not by loads.
template <class T>
struct Tiling {
  static constexpr int kBytes = Vec<T>::N * static_cast<int>(sizeof(T));
  static constexpr int kRows = kBytes == 64 ? 14 : kBytes == 32 ? 6 : 4;
  static constexpr int kVectors = 2;
  static constexpr int kCols = kVectors * Vec<T>::N;
};

// Where a tile goes: c = activation(alpha * tile + beta * add + bias + row_bias). What comes after `activation` may be
// left out.
template <class T>
struct Output {
  T* c;
  int64_t rs;
  T alpha, beta;  // beta 0: add is not read
  const T* bias;  // per column; null: none
  Activation activation;
  // Memory that a later tile reads, fetched meanwhile: `ahead_step` elements per step of k. null: none. `gently`: one
  // place in kUnroll steps instead: each fetch is an instruction beside the arithmetic, and the machine has only a few
  // in flight.
  const T* ahead = nullptr;
  int64_t ahead_step = 0;
  const T* add = nullptr;  // null: c itself
  int64_t add_rs = 0;
  const T* row_bias = nullptr;  // per row; null: none
  bool gently = false;

  // The same for the tile i rows down and j columns to the right.
  Output at(int64_t i, int64_t j) const {
    Output tile = *this;
    tile.c += i * rs + j;
    if (add) tile.add += i * add_rs + j;
    if (bias) tile.bias += j;
    if (row_bias) tile.row_bias += i;
    return tile;
  }
};

template <class T>
using MicroKernel = void (*)(int64_t k, const T* a, int64_t ars, int64_t acs, const T* b, int64_t brs, int64_t cols,
                             const Output<T>& out);

// Bare vectors: an array of Vec, which has a constructor, would pass through memory.
template <class T>
using Register = decltype(Vec<T>::v);

// acc[i][j] = f(acc[i][j], i, j) for a whole tile.
template <class T, int R, int V, class F>
inline __attribute__((always_inline)) void each(Register<T> (&acc)[R][V], const F& f) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = f(Vec<T>(acc[i][j]), i, j).v;
}

// From the sums to c, one plain pass after the other over the registers. The last vector of a row holds n elements.
template <class T, int R, int V, bool Full>
inline void finish(Register<T> (&acc)[R][V], const Output<T>& out, int64_t n) {
  using Value = Vec<T>;
  constexpr int N = Value::N;
  T* const c = out.c;
  const int64_t rs = out.rs;
  const auto fetch = [n](const T* p, int j) { return Full || j + 1 < V ? load<T>(p + j * N) : load<T>(p + j * N, n); };
  if (out.alpha != T(1)) {
    const Value alpha(out.alpha);
    each<T, R, V>(acc, [&](Value v, int, int) { return v * alpha; });
  }
  if (out.beta != T(0)) {
    const Value beta(out.beta);
    const T* add = out.add ? out.add : c;
    const int64_t add_rs = out.add ? out.add_rs : rs;
    each<T, R, V>(acc, [&](Value v, int i, int j) { return fma(fetch(add + i * add_rs, j), beta, v); });
  }
  if (out.bias) {
    Value bias[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bias[j] = fetch(out.bias, j);
    each<T, R, V>(acc, [&](Value v, int, int j) { return v + bias[j]; });
  }
  if (out.row_bias) each<T, R, V>(acc, [&](Value v, int i, int) { return v + Value(out.row_bias[i]); });
  if (out.activation == Activation::relu) each<T, R, V>(acc, [](Value v, int, int) { return max(v, Value()); });
  each<T, R, V>(acc, [&](Value v, int i, int j) {
    Full || j + 1 < V ? store(c + i * rs + j * N, v) : store(c + i * rs + j * N, v, n);
    return v;
  });
}

// How the tile's rows of a lie: one after the other for each step of k; each in one piece; or otherwise.
enum class Lie { packed, rows, any };

constexpr int kUnroll = 4;

// Memory to fetch while k runs: a place in each of so many blocks of kUnroll steps, `skip` apart; or `Often`, in each
// step, `step` apart.
template <class T>
struct Fetch {
  const T* p;
  int64_t skip, blocks, step;
};

// acc += a (R, k) times b (k, V * N), U steps of k at a time from step p on while p + U <= end; returns the first step
// not done. Known strides become offsets in the instructions, and pointers move once in U steps: their additions would
// take a twentieth of the units' time.
template <class T, int R, int V, Lie lie, int U, bool Often = false>
inline __attribute__((always_inline)) int64_t steps(Register<T> (&acc)[R][V], int64_t p, int64_t end, const T* a,
                                                    int64_t ars, int64_t acs, const T* b, int64_t brs, Fetch<T> fetch) {
  constexpr int N = Vec<T>::N, G = (R + 3) / 4;  // four rows share a pointer, so that all fit into registers
  if constexpr (lie == Lie::packed) acs = R;
  if constexpr (lie == Lie::rows) acs = 1;
  const T* group[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) group[g] = a + 4 * g * ars + p * acs;
  const int64_t offset[4] = {0, ars, 2 * ars, 3 * ars};
  b += p * brs;
  for (; p + U <= end; p += U) {
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u) {
      if (U > 1 && (Often || u == 0)) __builtin_prefetch(fetch.p + u * fetch.step);
      Vec<T> bv[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) bv[j] = load<T>(b + j * N);
      b += brs;
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const T* const from = lie == Lie::packed ? group[0] + i : group[i / 4] + offset[i % 4];
        const Vec<T> av(from[u * acs]);
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) acc[i][j] = fma(av, bv[j], Vec<T>(acc[i][j])).v;
      }
    }
    fetch.p += fetch.skip;
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) group[g] += U * acs;
  }
  return p;
}

// What a tile fetches while k runs: its own part of c, a line of each row and then the other, and what lies ahead.
template <class T, int R, int V>
inline void fetches(Fetch<T> (&list)[3], int64_t k, const T* b, const Output<T>& out) {
  constexpr int64_t lines = R;
  const bool slowly = k >= 8 * kUnroll * lines;  // else all lines of c at once, before
  list[0] = {out.c, out.rs, slowly ? lines : 0, 0};
  list[1] = {out.c + V * Vec<T>::N - 1, out.rs, slowly && V > 1 ? lines : 0, 0};
  list[2] = {out.ahead ? out.ahead : b, out.ahead_step, k, 0};
  if (slowly) return;
  const T* line = out.c;
#pragma GCC unroll 1
  for (int i = 0; i < R; ++i, line += out.rs) {
    __builtin_prefetch(line, 1);
    if (V > 1) __builtin_prefetch(line + V * Vec<T>::N - 1, 1);
  }
}

// All of k, but for the last few steps where k is no multiple of kUnroll; returns the first step not done.
template <class T, int R, int V, Lie lie>
inline __attribute__((always_inline)) int64_t all_steps(Register<T> (&acc)[R][V], int64_t k, const T* a, int64_t ars,
                                                        int64_t acs, const T* b, int64_t brs, const Output<T>& out) {
  Fetch<T> list[3];
  fetches<T, R, V>(list, k, b, out);
  int64_t p = 0;
#pragma GCC unroll 1
  for (const Fetch<T>& f : list) {
    if (&f == list + 2 && out.ahead && !out.gently) break;
    p = steps<T, R, V, lie, kUnroll>(acc, p, least(k, p + kUnroll * f.blocks), a, ars, acs, b, brs, f);
  }
  const Fetch<T> often{out.ahead, kUnroll * out.ahead_step, k, out.ahead_step};
  return steps<T, R, V, lie, kUnroll, true>(acc, p, k, a, ars, acs, b, brs, often);
}

template <class T, int R, int V>
inline __attribute__((always_inline)) void accumulate(Register<T> (&acc)[R][V], int64_t k, const T* a, int64_t ars,
                                                      int64_t acs, const T* b, int64_t brs, const Output<T>& out) {
  int64_t p = 0;
  if (ars == 1 && acs == R) {
    p = all_steps<T, R, V, Lie::packed>(acc, k, a, 1, R, b, brs, out);
  } else if (acs == 1) {
    p = all_steps<T, R, V, Lie::rows>(acc, k, a, ars, 1, b, brs, out);
  }
  steps<T, R, V, Lie::any, 1>(acc, p, k, a, ars, acs, b, brs, {b, 0, 0, 0});
}

// a (R, k) with any strides; b (k, V * N) with unit column stride; the first `cols` columns are kept, more than
// (V - 1) * N of them.
template <class T, int R, int V>
void micro(int64_t k, const T* a, int64_t ars, int64_t acs, const T* b, int64_t brs, int64_t cols,
           const Output<T>& out) {
  constexpr int N = Vec<T>::N;
  Register<T> acc[R][V];
  each<T, R, V>(acc, [](Vec<T>, int, int) { return Vec<T>(); });
  accumulate<T, R, V>(acc, k, a, ars, acs, b, brs, out);
  if (cols == V * N) {
    finish<T, R, V, true>(acc, out, N);
  } else {
    finish<T, R, V, false>(acc, out, cols - (V - 1) * N);
  }
  if (out.activation > Activation::relu) activate(out.c, out.rs, R, cols, out.activation);
}

template <class T, int V, int... I>
inline MicroKernel<T> pick(int rows, std::integer_sequence<int, I...>) {
  static constexpr MicroKernel<T> table[] = {micro<T, I + 1, V>...};
  return table[rows - 1];
}

// The kernel for `rows` rows (1..kRows) and `cols` columns (1..kCols).
template <class T>
inline MicroKernel<T> micro_kernel(int64_t rows, int64_t cols) {
  constexpr auto all = std::make_integer_sequence<int, Tiling<T>::kRows>{};
  const int r = static_cast<int>(rows);
  return cols > Vec<T>::N ? pick<T, 2>(r, all) : pick<T, 1>(r, all);
}

// The height of tiles that share m rows evenly.
template <class T>
inline int64_t even_rows(int64_t m) {
  return m > 0 ? ceil_div(m, ceil_div(m, Tiling<T>::kRows)) : 1;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

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

// Where a tile goes: c = alpha * tile + beta * c + bias, then the activation.
template <class T>
struct Output {
  T* c;
  int64_t rs;
  T alpha, beta;
  const T* bias;  // null: none
  Activation activation;
  // Memory that a later tile reads, fetched meanwhile: `ahead_step` elements per step of k. null: none.
  const T* ahead = nullptr;
  int64_t ahead_step = 0;
};

template <class T>
using MicroKernel = void (*)(int64_t k, const T* a, int64_t ars, int64_t acs, const T* b, int64_t brs, int64_t cols,
                             const Output<T>& out);

// Bare vectors: an array of Vec, which has a constructor, would pass through memory.
template <class T>
using Register = decltype(Vec<T>::v);

// acc[i][j] = f(acc[i][j], its place in c, j) for a whole tile.
template <class T, int R, int V, class F>
inline __attribute__((always_inline)) void each(Register<T> (&acc)[R][V], const Output<T>& out, const F& f) {
  T* const c = out.c;
  const int64_t rs = out.rs;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = f(Vec<T>(acc[i][j]), c + i * rs + j * Vec<T>::N, j).v;
}

// From the sums to c, one plain pass after the other over the registers. The last vector of a row holds n elements.
template <class T, int R, int V, bool Full>
inline void finish(Register<T> (&acc)[R][V], const Output<T>& out, int64_t n) {
  using Value = Vec<T>;
  const auto fetch = [n](const T* p, int j) { return Full || j + 1 < V ? load<T>(p) : load<T>(p, n); };
  if (out.alpha != T(1)) {
    const Value alpha(out.alpha);
    each<T, R, V>(acc, out, [&](Value v, T*, int) { return v * alpha; });
  }
  if (out.beta != T(0)) {
    const Value beta(out.beta);
    each<T, R, V>(acc, out, [&](Value v, T* c, int j) { return fma(fetch(c, j), beta, v); });
  }
  if (out.bias) {
    Value bias[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bias[j] = fetch(out.bias + j * Value::N, j);
    each<T, R, V>(acc, out, [&](Value v, T*, int j) { return v + bias[j]; });
  }
  if (out.activation == Activation::relu) each<T, R, V>(acc, out, [](Value v, T*, int) { return max(v, Value()); });
  each<T, R, V>(acc, out, [&](Value v, T* c, int j) {
    Full || j + 1 < V ? store(c, v) : store(c, v, n);
    return v;
  });
}

// acc += a (R, k) times b (k, V * N).
template <class T, int R, int V>
inline __attribute__((always_inline)) void accumulate(Register<T> (&acc)[R][V], int64_t k, const T* a, int64_t ars,
                                                      int64_t acs, const T* b, int64_t brs, const Output<T>& out) {
  // Four rows share a pointer, so that all addresses fit into the integer registers.
  constexpr int G = (R + 3) / 4;
  const T* group[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; ++g) group[g] = a + 4 * g * ars;
  const int64_t offset[4] = {0, ars, 2 * ars, 3 * ars};
  const T* ahead = out.ahead ? out.ahead : b;
  const int64_t ahead_step = out.ahead_step;
  for (int64_t p = 0; p < k; ++p) {
    __builtin_prefetch(ahead);
    ahead += ahead_step;
    Vec<T> bv[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bv[j] = load<T>(b + j * Vec<T>::N);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> av(group[i / 4][offset[i % 4]]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) acc[i][j] = fma(av, bv[j], Vec<T>(acc[i][j])).v;
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) group[g] += acs;
    b += brs;
  }
}

// a (R, k) with any strides; b (k, V * N) with unit column stride; the first `cols` columns are kept, more than
// (V - 1) * N of them.
template <class T, int R, int V>
void micro(int64_t k, const T* a, int64_t ars, int64_t acs, const T* b, int64_t brs, int64_t cols,
           const Output<T>& out) {
  constexpr int N = Vec<T>::N;
  Register<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = Vec<T>().v;
    __builtin_prefetch(out.c + i * out.rs, 1);
  }
  accumulate<T, R, V>(acc, k, a, ars, acs, b, brs, out);
  if (cols == V * N) {
    finish<T, R, V, true>(acc, out, N);
  } else {
    finish<T, R, V, false>(acc, out, cols - (V - 1) * N);
  }
  if (out.activation == Activation::tanh || out.activation == Activation::sigmoid)
    activate(out.c, out.rs, R, cols, out.activation);
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

// The tiles of a convolution: R rows by V vectors in registers, as in gemm/micro.h, but operands and results are found
// by what convolution needs: `correlate_tile` reads b in the image, wherever each step's tap lies, and the rows of c
// are channels, with a bias each; `pair_tile` reads a in the image, and b is packed.
#pragma once

#include "kernels/gemm/micro.h"

namespace pydl::PYDL_ISA {
namespace {

// Products with few rows take 4 vectors at a time, so that there are sums enough to hide the latency of an fma.
template <class T>
struct ConvTiling {
  static constexpr int kRows = Tiling<T>::kRows;
  static constexpr int kFewRows = kRows == 14 ? 6 : 2;
  static constexpr int kMostVectors = 4;
};

// Where the sums of a tile go: vector j of row i to c[j] + i * rs, its first count[j] lanes.
template <class T>
struct Target {
  T* c[4];
  int64_t count[4];
  int64_t rs;
  bool adds;      // to what is there
  bool last;      // the sums are complete: bias and activation follow
  const T* bias;  // of row 0; null: none
  Activation activation;
};

template <class T, int R, int V, bool Full>
inline __attribute__((always_inline)) void put(Register<T> (&acc)[R][V], const Target<T>& to) {
  const bool relu = to.last && to.activation == Activation::relu;
  const T* bias = to.last ? to.bias : nullptr;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    const Vec<T> add(bias ? bias[i] : T(0));
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      T* p = to.c[j] + i * to.rs;
      Vec<T> v(acc[i][j]);
      if (to.adds) v = v + (Full ? load<T>(p) : load<T>(p, to.count[j]));
      if (bias) v = v + add;
      if (relu) v = max(v, Vec<T>());
      Full ? store(p, v) : store(p, v, to.count[j]);
    }
  }
}

template <class T, int R, int V>
inline __attribute__((always_inline)) void put(Register<T> (&acc)[R][V], const Target<T>& to) {
  bool full = true;
#pragma GCC unroll 4
  for (int j = 0; j < V; ++j) full = full && to.count[j] == Vec<T>::N;
  full ? put<T, R, V, true>(acc, to) : put<T, R, V, false>(acc, to);
  if (to.last && (to.activation == Activation::tanh || to.activation == Activation::sigmoid))
    for (int j = 0; j < V; ++j) activate(to.c[j], to.rs, R, to.count[j], to.activation);
}

// a (k, R) packed; vector j of b at step p: b[j] + at[p].
template <class T>
struct Steps {
  int64_t k;
  const T* a;
  const T* b[4];
  const int64_t* at;
  const T* ahead;  // memory to fetch meanwhile, a line in kFetchSteps steps; never null
  int64_t ahead_step;

  static constexpr int64_t kFetchSteps = 8, kLine = 64 / static_cast<int64_t>(sizeof(T));
};

template <class T, int R, int V>
void correlate_tile(const Steps<T>& s, const Target<T>& to) {
  Register<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      acc[i][j] = Vec<T>().v;
      __builtin_prefetch(to.c[j] + i * to.rs, 1);
    }
  const T* a = s.a;
  const int64_t *at = s.at, *end = at + s.k;
  const T* b[V];
#pragma GCC unroll 4
  for (int j = 0; j < V; ++j) b[j] = s.b[j];
  const T* ahead = s.ahead;
  while (at != end) {
    __builtin_prefetch(ahead, 0, 2);
    ahead += s.ahead_step;
    const int64_t* pause = end - at > Steps<T>::kFetchSteps ? at + Steps<T>::kFetchSteps : end;
    for (; at != pause; ++at, a += R) {
      __builtin_prefetch(a + 24 * R);  // weights come from the second level
      Vec<T> bv[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) bv[j] = load<T>(b[j] + *at);
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const Vec<T> av(a[i]);
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) acc[i][j] = fma(av, bv[j], Vec<T>(acc[i][j])).v;
      }
    }
  }
  put<T, R, V>(acc, to);
}

// a: row i at step p is a[i * rs + at[p]] (rows null) or a[rows[i] + at[p]]; b (k, V * N) packed.
template <class T>
struct Pairs {
  int64_t k;
  const T* a;
  int64_t rs;
  const int64_t* rows;
  const int64_t* at;
  const T* b;
};

template <class T>
using PairTile = void (*)(const Pairs<T>& pairs, const Target<T>& to);

template <class T, int R, int V>
void pair_tile(const Pairs<T>& s, const Target<T>& to) {
  constexpr int N = Vec<T>::N;
  Register<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = Vec<T>().v;
  // Four rows share a pointer, so that all addresses fit into the integer registers.
  constexpr int G = (R + 3) / 4;
  const int64_t offset[4] = {0, s.rs, 2 * s.rs, 3 * s.rs};
  const T* b = s.b;
  for (int64_t p = 0; p < s.k; ++p, b += V * N) {
    const T* group[G];
    group[0] = s.a + s.at[p];
#pragma GCC unroll 4
    for (int g = 1; g < G; ++g) group[g] = group[g - 1] + 4 * s.rs;
    Vec<T> bv[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bv[j] = load<T>(b + j * N);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> av(group[i / 4][offset[i % 4]]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) acc[i][j] = fma(av, bv[j], Vec<T>(acc[i][j])).v;
    }
  }
  put<T, R, V>(acc, to);
}

// The same with a pointer for each row: for rows that are not evenly apart.
template <class T, int R, int V>
void scattered_tile(const Pairs<T>& s, const Target<T>& to) {
  constexpr int N = Vec<T>::N;
  Register<T> acc[R][V];
  const T* row[R];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    row[i] = s.a + s.rows[i];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = Vec<T>().v;
  }
  const T* b = s.b;
  for (int64_t p = 0; p < s.k; ++p, b += V * N) {
    const int64_t at = s.at[p];
    Vec<T> bv[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) bv[j] = load<T>(b + j * N);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> av(row[i][at]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) acc[i][j] = fma(av, bv[j], Vec<T>(acc[i][j])).v;
    }
  }
  put<T, R, V>(acc, to);
}

// Of a family of tiles, F::tile<R, V>: the one for so many rows.
template <class F, int V, int... I>
inline auto pick_tile(int64_t rows, std::integer_sequence<int, I...>) {
  static constexpr typename F::Function table[] = {F::template tile<I + 1, V>...};
  return table[rows - 1];
}

// For `rows` rows (1..kRows) and 1, 2 or (up to kFewRows rows) 4 vectors.
template <class T, class F>
inline auto tile_kernel(int64_t rows, int64_t vectors) {
  constexpr auto all = std::make_integer_sequence<int, ConvTiling<T>::kRows>{};
  constexpr auto few = std::make_integer_sequence<int, ConvTiling<T>::kFewRows>{};
  if (vectors == 4) return pick_tile<F, 4>(rows, few);
  return vectors == 2 ? pick_tile<F, 2>(rows, all) : pick_tile<F, 1>(rows, all);
}

template <class T>
struct CorrelateTiles {
  using Function = void (*)(const Steps<T>& steps, const Target<T>& to);
  template <int R, int V>
  static constexpr Function tile = correlate_tile<T, R, V>;
};

template <class T>
inline auto correlate_kernel(int64_t rows, int64_t vectors) {
  return tile_kernel<T, CorrelateTiles<T>>(rows, vectors);
}

template <class T, int V, int... I>
inline PairTile<T> pick_pair(bool even, int64_t rows, std::integer_sequence<int, I...>) {
  static constexpr PairTile<T> table[] = {pair_tile<T, I + 1, V>...};
  static constexpr PairTile<T> scattered[] = {scattered_tile<T, I + 1, V>...};
  return even ? table[rows - 1] : scattered[rows - 1];
}

// even: whether the rows are evenly apart.
template <class T>
inline PairTile<T> pair_kernel(bool even, int64_t rows, int64_t vectors) {
  constexpr auto all = std::make_integer_sequence<int, ConvTiling<T>::kRows>{};
  return vectors == 2 ? pick_pair<T, 2>(even, rows, all) : pick_pair<T, 1>(even, rows, all);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

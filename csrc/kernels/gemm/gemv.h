// Products with few rows or few columns: bound by memory, so the matrix is read once, in its own order, unpacked.
#pragma once

#include "kernels/gemm/problem.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kMostVectors = 4;

// y (count, n) = x (count, k) times the transpose of matrix (n, k). Few rows of c: matrix = b transposed; few columns:
// matrix = a, and x and y are b and c transposed.
template <class S, class T>
struct MatrixVectors {
  int64_t n, k;
  Matrix<const S> matrix;  // one of its strides is 1
  const T* x;
  int64_t x_stride;  // from vector to vector; each is dense
  Matrix<S> y;
  Matrix<const S> add, bias;  // p may be null
  T alpha, beta;
  Activation activation;
};

constexpr int64_t kSumBlock = 64;  // outputs per block where rows of the matrix are contiguous
// And where its columns are: 8 KiB of each, at most, so that few pages are open at a time; less where threads would get
// none.
template <class T>
constexpr int64_t kAxpyBlock = (8 << 10) / static_cast<int64_t>(sizeof(T));
constexpr int64_t kAxpyBlocks = 2, kAxpyUnit = 64;

// y[v, i0 : i0 + n] from the products.
template <class S, class T>
void write_vector(const MatrixVectors<S, T>& q, int v, int64_t i0, int64_t n, T* product) {
  for (int64_t i = 0; i < n; ++i) {
    T sum = q.alpha * product[i];
    if (q.add.p) sum += q.beta * widen<T>(*q.add.at(v, i0 + i));
    if (q.bias.p) sum += widen<T>(*q.bias.at(v, i0 + i));
    product[i] = sum;
  }
  if (q.activation != Activation::none) activate(product, n, 1, n, q.activation);
  for (int64_t i = 0; i < n; ++i) *q.y.at(v, i0 + i) = narrow<S>(product[i]);
}

// R rows of the matrix, each contiguous, times V vectors: R * V sums are enough to hide the latency of an fma.
template <int R, int V, class S, class T>
void dot_rows(const MatrixVectors<S, T>& q, int64_t row, T (*product)[kSumBlock], int64_t at) {
  constexpr int N = Vec<T>::N;
  const S* m = q.matrix.at(row, 0);
  const int64_t m_stride = q.matrix.rs;
  decltype(Vec<T>::v) acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[r][v] = Vec<T>().v;
  const auto step = [&](auto&& fetch) __attribute__((always_inline)) {
    Vec<T> x[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) x[v] = fetch(q.x + v * q.x_stride);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> a = fetch(m + r * m_stride);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[r][v] = fma(a, x[v], Vec<T>(acc[r][v])).v;
    }
  };
  int64_t p = 0;
  for (; p + N <= q.k; p += N) step([p](const auto* from) { return load<T>(from + p); });
  if (p < q.k) step([p, n = q.k - p](const auto* from) { return load<T>(from + p, n); });
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) product[v][at + r] = sum(Vec<T>(acc[r][v]));
}

template <int V, class S, class T>
void dot_block(const MatrixVectors<S, T>& q, int64_t i0, int64_t n) {
  constexpr int R = V == 1 ? 8 : V == 2 || Vec<T>::N * sizeof(T) == 64 ? 4 : 2;  // R * V sums in 16 or 32 registers
  T product[V][kSumBlock];
  int64_t i = 0;
  for (; i + R <= n; i += R) dot_rows<R, V>(q, i0 + i, product, i);
  for (; i < n; ++i) dot_rows<1, V>(q, i0 + i, product, i);
  for (int v = 0; v < V; ++v) write_vector(q, v, i0, n, product[v]);
}

// product[:, 0 : n] += R steps of k, while the next steps are fetched: rows are too short for the machine to foresee.
// Far: the matrix comes from beyond the second level cache, into which it is fetched.
template <int R, int V, bool Far, class S, class T>
void add_steps(const MatrixVectors<S, T>& q, int64_t i0, int64_t p, int64_t n, T (*product)[kAxpyBlock<T>]) {
  constexpr int N = Vec<T>::N;
  const S* column = q.matrix.at(i0, p);
  const T* x = q.x + p;
  for (int64_t i = 0; i < n; i += N) {
    const int64_t kept = least(N, n - i);
    Vec<T> m[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const S* from = column + r * q.matrix.cs + i;
      __builtin_prefetch(from + R * q.matrix.cs, 0, Far ? 2 : 3);
      m[r] = kept == N ? load<T>(from) : load<T>(from, kept);
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec<T> sum = load<T>(product[v] + i);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum = fma(m[r], Vec<T>(x[v * q.x_stride + r]), sum);
      store(product[v] + i, sum);
    }
  }
}

template <int V, bool Far, class S, class T>
void axpy_block(const MatrixVectors<S, T>& q, int64_t i0, int64_t n) {
  alignas(64) T product[V][kAxpyBlock<T>];
  for (int v = 0; v < V; ++v)
    for (int64_t i = 0; i < round_up(n, Vec<T>::N); ++i) product[v][i] = T(0);
  int64_t p = 0;
  for (; p + 8 <= q.k; p += 8) add_steps<8, V, Far>(q, i0, p, n, product);
  for (; p < q.k; ++p) add_steps<1, V, Far>(q, i0, p, n, product);
  for (int v = 0; v < V; ++v) write_vector(q, v, i0, n, product[v]);
}

template <int V, class S, class T>
void matrix_vectors(const MatrixVectors<S, T>& q) {
  const bool dots = q.matrix.cs == 1;
  const int64_t share = round_up(ceil_div(q.n, kAxpyBlocks), kAxpyUnit);
  const int64_t block = dots ? kSumBlock : least(share, kAxpyBlock<T>);
  const bool far = q.n * q.k * static_cast<int64_t>(sizeof(S)) > second_level_cache();
  parallel_for(ceil_div(q.n, block), block * (q.k + 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * block; i < least(end * block, q.n); i += block) {
      const int64_t n = least(block, q.n - i);
      dots ? dot_block<V>(q, i, n) : far ? axpy_block<V, true>(q, i, n) : axpy_block<V, false>(q, i, n);
    }
  });
}

// The vectors, each dense and widened.
template <class S, class T>
void fetch_vectors(MatrixVectors<S, T>& q, Matrix<const S> x, int count) {
  if constexpr (std::is_same_v<S, T>) {
    if (x.cs == 1) {
      q.x = x.p;
      q.x_stride = x.rs;
      return;
    }
  }
  T* to = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(count * q.k + 1)));
  for (int v = 0; v < count; ++v)
    for (int64_t p = 0; p < q.k; ++p) to[v * q.k + p] = widen<T>(*x.at(v, p));
  q.x = to;
  q.x_stride = q.k;
}

// Whether the matrix of a product with few vectors can be read in its own order. Sums over lanes need some length.
template <class S>
inline bool streams(Matrix<const S> matrix, int64_t k) {
  return matrix.cs == 1 ? k >= 32 || matrix.rs == 1 : matrix.rs == 1;
}

// Runs the product if it has few rows or columns.
template <class S, class T>
bool gemv(const Problem<S, T>& q) {
  const Matrix<const S> bt = q.b.transposed();
  const bool rows = q.m <= kMostVectors && streams(bt, q.k);
  if (!rows && (q.n > kMostVectors || !streams(q.a, q.k))) return false;
  MatrixVectors<S, T> v{};
  v.k = q.k;
  v.alpha = q.alpha;
  v.beta = q.beta;
  v.activation = q.activation;
  const int64_t count = rows ? q.m : q.n;
  v.n = rows ? q.n : q.m;
  v.matrix = rows ? bt : q.a;
  v.y = rows ? q.c : q.c.transposed();
  v.add = rows ? q.add : q.add.transposed();
  v.bias = rows ? q.bias : q.bias.transposed();
  fetch_vectors(v, rows ? q.a : q.b.transposed(), static_cast<int>(count));
  count == 1   ? matrix_vectors<1>(v)
  : count == 2 ? matrix_vectors<2>(v)
  : count == 3 ? matrix_vectors<3>(v)
               : matrix_vectors<4>(v);
  return true;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

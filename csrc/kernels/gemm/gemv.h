// Products with one row or one column: bound by memory, so the matrix is read once, in its own order, unpacked.
#pragma once

#include "kernels/gemm/problem.h"

namespace pydl::PYDL_ISA {
namespace {

// y (n) = matrix (n, k) x (k): a row of c with matrix = b transposed, or a column of c with matrix = a.
template <class S, class T>
struct MatrixVector {
  int64_t n, k;
  Matrix<const S> matrix;  // one of its strides is 1
  const T* x;              // dense
  S* y;
  int64_t y_stride;
  const S* bias;
  int64_t bias_stride;
  T alpha, beta;
  Activation activation;
};

constexpr int64_t kVectorBlock = 512;  // outputs per block: 2 KiB of partial sums stay in the first level cache

// y[i0 : i0 + n] from the products; the whole epilogue.
template <class S, class T>
void write_vector(const MatrixVector<S, T>& q, int64_t i0, int64_t n, T* product) {
  for (int64_t i = 0; i < n; ++i) {
    T v = q.alpha * product[i];
    if (q.beta != T(0)) v += q.beta * widen<T>(q.y[(i0 + i) * q.y_stride]);
    if (q.bias) v += widen<T>(q.bias[(i0 + i) * q.bias_stride]);
    product[i] = v;
  }
  if (q.activation != Activation::none) activate(product, n, 1, n, q.activation);
  for (int64_t i = 0; i < n; ++i) q.y[(i0 + i) * q.y_stride] = narrow<S>(product[i]);
}

// R rows of the matrix, each contiguous, times x. Two vectors per row hide the latency of the sums.
template <int R, class S, class T>
void dot_rows(const S* row, int64_t row_stride, const T* x, int64_t k, T* product) {
  constexpr int N = Vec<T>::N;
  Vec<T> sum0[R], sum1[R];
  int64_t p = 0;
  for (; p + 2 * N <= k; p += 2 * N) {
    const Vec<T> x0 = load<T>(x + p), x1 = load<T>(x + p + N);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      sum0[r] = fma(load<T>(row + r * row_stride + p), x0, sum0[r]);
      sum1[r] = fma(load<T>(row + r * row_stride + p + N), x1, sum1[r]);
    }
  }
  for (; p < k; p += N) {
    const int64_t n = least(N, k - p);
    const Vec<T> x0 = load<T>(x + p, n);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sum0[r] = fma(load<T>(row + r * row_stride + p, n), x0, sum0[r]);
  }
  for (int r = 0; r < R; ++r) product[r] = sum(sum0[r] + sum1[r]);
}

template <class S, class T>
void dot_block(const MatrixVector<S, T>& q, int64_t i0, int64_t n) {
  T product[kVectorBlock];
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) dot_rows<4>(q.matrix.at(i0 + i, 0), q.matrix.rs, q.x, q.k, product + i);
  for (; i < n; ++i) dot_rows<1>(q.matrix.at(i0 + i, 0), q.matrix.rs, q.x, q.k, product + i);
  write_vector(q, i0, n, product);
}

// product[0 : n] += R steps of k.
template <int R, class S, class T>
void add_steps(const S* column, int64_t k_stride, const T* x, int64_t n, T* product) {
  constexpr int N = Vec<T>::N;
  for (int64_t i = 0; i < n; i += N) {
    const int64_t kept = least(N, n - i);
    Vec<T> v = load<T>(product + i);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const S* from = column + r * k_stride + i;
      v = fma(kept == N ? load<T>(from) : load<T>(from, kept), Vec<T>(x[r]), v);
    }
    store(product + i, v);
  }
}

template <class S, class T>
void axpy_block(const MatrixVector<S, T>& q, int64_t i0, int64_t n) {
  alignas(64) T product[kVectorBlock];
  for (int64_t i = 0; i < round_up(n, Vec<T>::N); ++i) product[i] = T(0);
  int64_t p = 0;
  for (; p + 8 <= q.k; p += 8) add_steps<8>(q.matrix.at(i0, p), q.matrix.cs, q.x + p, n, product);
  for (; p < q.k; ++p) add_steps<1>(q.matrix.at(i0, p), q.matrix.cs, q.x + p, n, product);
  write_vector(q, i0, n, product);
}

template <class S, class T>
void matrix_vector(const MatrixVector<S, T>& q) {
  const bool dots = q.matrix.cs == 1;
  const int64_t block = dots ? 64 : kVectorBlock;
  parallel_for(ceil_div(q.n, block), block * (q.k + 1), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * block; i < least(end * block, q.n); i += block) {
      const int64_t n = least(block, q.n - i);
      dots ? dot_block(q, i, n) : axpy_block(q, i, n);
    }
  });
}

// The vector of k elements, dense and widened.
template <class T, class S>
const T* dense_vector(const S* x, int64_t stride, int64_t k) {
  if constexpr (std::is_same_v<S, T>) {
    if (stride == 1) return x;
  }
  T* to = static_cast<T*>(scratch(kSharedSlot, sizeof(T) * static_cast<size_t>(k + 1)));
  for (int64_t p = 0; p < k; ++p) to[p] = widen<T>(x[p * stride]);
  return to;
}

template <class S, class T>
void gemv(const Problem<S, T>& q) {
  MatrixVector<S, T> v{};
  v.k = q.k;
  v.alpha = q.alpha;
  v.beta = q.beta;
  v.activation = q.activation;
  v.y = q.c.p;
  v.bias = q.bias;
  if (q.m == 1) {
    v.n = q.n;
    v.matrix = {q.b.p, q.b.cs, q.b.rs};
    v.x = dense_vector<T>(q.a.p, q.a.cs, q.k);
    v.y_stride = q.c.cs;
    v.bias_stride = q.bias_stride;
  } else {
    v.n = q.m;
    v.matrix = q.a;
    v.x = dense_vector<T>(q.b.p, q.b.rs, q.k);
    v.y_stride = q.c.rs;
  }
  matrix_vector(v);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

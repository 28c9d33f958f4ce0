// The product that the parts of gemm work on: c (m, n) = activation(alpha * a (m, k) b (k, n) + beta * add + bias),
// with add any (m, n), broadcast too, and bias one number per column or per row. S is the type in memory, T the type of
// the arithmetic: float for f16 and bf16, else S.
#pragma once

#include "runtime/parallel.h"
#include "runtime/table/gemm.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

// Whether products of S can go by tiles (gemm/tiles.h): on the matrix unit all but float64, by AVX512-BF16 bf16 alone.
#if defined(__AMX_BF16__)
template <class S>
constexpr bool kTiled = sizeof(S) <= 4;
#elif defined(__AVX512BF16__)
template <class S>
constexpr bool kTiled = std::is_same_v<S, bf16>;
#else
template <class S>
constexpr bool kTiled = false;
#endif

// The bfloat16 numbers that a number in memory is the sum of.
template <class S>
constexpr int kParts = 1;
template <>
constexpr int kParts<f16> = 2;
template <>
constexpr int kParts<float> = 3;

template <class S>
struct Matrix {
  S* p;
  int64_t rs, cs;  // strides of rows and columns, in elements

  S* at(int64_t i, int64_t j) const { return p + i * rs + j * cs; }
  Matrix transposed() const { return {p, cs, rs}; }
};

template <class S, class T>
struct Problem {
  int64_t m, n, k;
  Matrix<const S> a, b;
  Matrix<const S> add;   // p null: none
  Matrix<const S> bias;  // (m, n) with a stride of 0; p null: none
  Matrix<S> c;
  T alpha, beta;  // beta 0 exactly where there is no add
  Activation activation;

  double macs() const { return static_cast<double>(m) * n * k; }
};

// The buffers of gemm in runtime/parallel.h: what all threads read, and what belongs to one block of c.
constexpr int kSharedSlot = 7;
constexpr int kOwnSlot = 6;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

// Shares of n, as even as they can be: `limit` each at most, rounded up to whole units.
inline int64_t even_share(int64_t n, int64_t limit, int64_t unit = 1) {
  return n > 0 ? round_up(ceil_div(n, ceil_div(n, limit)), unit) : unit;
}

template <class T, class S>
inline T widen(S x) {
  if constexpr (sizeof(S) == 2) {
    return to_float(x);
  } else {
    return x;
  }
}

template <class S, class T>
inline S narrow(T x) {
  if constexpr (std::is_same_v<S, f16>) {
    return to_f16(x);
  } else if constexpr (std::is_same_v<S, bf16>) {
    return to_bf16(x);
  } else {
    return x;
  }
}

template <class T>
inline Vec<T> activated(Vec<T> v, Activation f) {
  switch (f) {
    case Activation::relu:
      return max(v, Vec<T>());
    case Activation::tanh:
      return tanh(v);
    case Activation::sigmoid:
      return sigmoid(v);
    case Activation::gelu:
      return gelu(v);
    case Activation::gelu_tanh:
      return gelu_tanh(v);
    case Activation::silu:
      return silu(v);
    default:
      return v;
  }
}

// Rows of c in place. Not inlined: one copy of tanh and sigmoid serves every size of tile.
template <class T>
__attribute__((noinline)) void activate(T* c, int64_t rs, int64_t rows, int64_t cols, Activation f) {
  constexpr int N = Vec<T>::N;
  for (int64_t i = 0; i < rows; ++i) {
    T* row = c + i * rs;
    int64_t j = 0;
    for (; j + N <= cols; j += N) store(row + j, activated(load<T>(row + j), f));
    if (j < cols) store(row + j, activated(load<T>(row + j, cols - j), f), cols - j);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

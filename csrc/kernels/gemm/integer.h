// Integers: c += a[i, p] * b[p, :] row by row over columns that stay in the first level cache, in unsigned arithmetic,
// so that overflow wraps around.
#pragma once

#include "kernels/gemm/problem.h"

namespace pydl::PYDL_ISA {
namespace {

template <class U>
struct IntegerProduct {
  int64_t m, n, k;
  Matrix<const U> a, b, add, bias;  // add and bias: p may be null
  Matrix<U> c;
  U alpha, beta;
  bool relu;  // of a signed type
};

// c[i, j0 : j0 + n].
template <class U>
void integer_row(const IntegerProduct<U>& q, int64_t i, int64_t j0, int64_t n) {
  constexpr int64_t kBlock = 256;
  for (int64_t j = j0; j < j0 + n; j += kBlock) {
    const int64_t cols = least(kBlock, j0 + n - j);
    U sum[kBlock] = {};
    for (int64_t p = 0; p < q.k; ++p) {
      const U x = *q.a.at(i, p);
      const U* y = q.b.at(p, j);
      if (q.b.cs == 1) {
        for (int64_t l = 0; l < cols; ++l) sum[l] = static_cast<U>(sum[l] + x * y[l]);
      } else {
        for (int64_t l = 0; l < cols; ++l) sum[l] = static_cast<U>(sum[l] + x * y[l * q.b.cs]);
      }
    }
    for (int64_t l = 0; l < cols; ++l) {
      U* c = q.c.at(i, j + l);
      U v = static_cast<U>(q.alpha * sum[l]);
      if (q.add.p) v = static_cast<U>(v + q.beta * *q.add.at(i, j + l));
      if (q.bias.p) v = static_cast<U>(v + *q.bias.at(i, j + l));
      if (q.relu && static_cast<std::make_signed_t<U>>(v) < 0) v = 0;
      *c = v;
    }
  }
}

template <class U>
void integer_product(const IntegerProduct<U>& q) {
  parallel_for(q.m, q.n * (q.k + 1) / 4 + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) integer_row(q, i, 0, q.n);
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

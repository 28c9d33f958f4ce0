// Small products: one thread, a is read where it lies, and b too where its rows are contiguous; only strips of b that
// are transposed, or narrower than a tile, are packed.
#pragma once

#include "kernels/gemm/pack.h"

namespace pydl::PYDL_ISA {
namespace {

// T in memory; c and add with unit column stride. The steps of k are few enough that a tile is finished in one go.
template <class T>
void small(const Problem<T, T>& q) {
  constexpr int64_t panel = Tiling<T>::kCols;
  const int64_t tile = even_rows<T>(q.m);
  for (int64_t j = 0; j < q.n; j += panel) {
    const int64_t cols = least(panel, q.n - j), width = round_up(cols, Vec<T>::N);
    const T* b = q.b.at(0, j);
    int64_t brs = q.b.rs;
    if (q.b.cs != 1 || cols != width) {
      T* packed = static_cast<T*>(scratch(kOwnSlot, sizeof(T) * static_cast<size_t>(width * (q.k + 1))));
      pack(b, q.b.cs, q.b.rs, cols, q.k, width, packed);
      b = packed;
      brs = width;
    }
    Output<T> out{nullptr, q.c.rs, q.alpha, q.beta, nullptr, q.activation};
    T bias[panel], row_bias[Tiling<T>::kRows];
    if (q.bias.p && q.bias.rs == 0) {
      for (int64_t l = 0; l < cols; ++l) bias[l] = *q.bias.at(0, j + l);
      out.bias = bias;
    }
    for (int64_t i = 0; i < q.m; i += tile) {
      const int64_t rows = least(tile, q.m - i);
      out.c = q.c.at(i, j);
      if (q.add.p) {
        out.add = q.add.at(i, j);
        out.add_rs = q.add.rs;
      }
      if (q.bias.p && q.bias.rs != 0) {
        for (int64_t l = 0; l < rows; ++l) row_bias[l] = *q.bias.at(i + l, 0);
        out.row_bias = row_bias;
      }
      micro_kernel<T>(rows, cols)(q.k, q.a.at(i, 0), q.a.rs, q.a.cs, b, brs, cols, out);
    }
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

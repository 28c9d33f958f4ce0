// Matrices turned over, from one dtype to another.
#pragma once

#include "simd/transpose.h"

namespace pydl::PYDL_ISA {
namespace {

// to[j * to_pitch + i] = from[i * pitch + j], by way of T; i up to `width`, with 0 from `rows` on.
template <class T, class A, class B>
void transpose_to(const A* from, int64_t pitch, int64_t rows, int64_t cols, B* to, int64_t to_pitch, int64_t width) {
  constexpr int N = Vec<T>::N;
  for (int64_t i = 0; i < width; i += N)
    for (int64_t j = 0; j < cols; j += N) {
      const int64_t high = width - i < N ? width - i : N, wide = cols - j < N ? cols - j : N;
      Vec<T> v[N];
#pragma GCC unroll 16
      for (int r = 0; r < N; ++r)
        if (r < rows - i) v[r] = load<T>(from + (i + r) * pitch + j, wide);
      transpose<N / 2>(v);
#pragma GCC unroll 16
      for (int r = 0; r < N; ++r)
        if (r < wide) store(to + (j + r) * to_pitch + i, v[r], high);
    }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

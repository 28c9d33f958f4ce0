// Packing: a strip of a matrix, `width` lanes by k steps, copied so that the micro-kernel reads it in one sweep:
// to[p * width + i] = from[i * lane_stride + p * k_stride], widened to T; lanes beyond `lanes` are 0.
// A strip of a has its rows as lanes, a strip of b its columns.
#pragma once

#include "kernels/gemm/micro.h"
#include "simd/transpose.h"

namespace pydl::PYDL_ISA {
namespace {

// k_stride == 1: blocks of N lanes by N steps, transposed in registers.
template <class T, class S>
void pack_rows(const S* from, int64_t lane_stride, int64_t lanes, int64_t k, int64_t width, T* to) {
  constexpr int N = Vec<T>::N;
  for (int64_t i = 0; i < width; i += N) {
    const int64_t kept = least(N, width - i);
    for (int64_t p = 0; p < k; p += N) {
      const int64_t steps = least(N, k - p);
      Vec<T> v[N];
#pragma GCC unroll 16
      for (int r = 0; r < N; ++r) {
        const S* row = from + (i + r) * lane_stride + p;
        if (i + r < lanes) v[r] = steps == N ? load<T>(row) : load<T>(row, steps);
      }
      transpose<N / 2>(v);
      T* out = to + p * width + i;
      if (kept == N && steps == N) {
#pragma GCC unroll 16
        for (int r = 0; r < N; ++r) store(out + r * width, v[r]);
      } else {
#pragma GCC unroll 16
        for (int r = 0; r < N; ++r)
          if (r < steps) store(out + r * width, v[r], kept);
      }
    }
  }
}

// lane_stride == 1: whole vectors are copied.
template <class T, class S>
void pack_columns(const S* from, int64_t k_stride, int64_t lanes, int64_t k, int64_t width, T* to) {
  constexpr int N = Vec<T>::N;
  for (int64_t p = 0; p < k; ++p, from += k_stride, to += width) {
    int64_t i = 0;
    for (; i + N <= lanes; i += N) store(to + i, load<T>(from + i));
    if (i < lanes) {
      const Vec<T> v = load<T>(from + i, lanes - i);
      if (i + N <= width) {
        store(to + i, v);
      } else {
        store(to + i, v, width - i);
      }
      i += N;
    }
    for (; i < width; ++i) to[i] = T(0);
  }
}

template <class T, class S>
void pack(const S* from, int64_t lane_stride, int64_t k_stride, int64_t lanes, int64_t k, int64_t width, T* to) {
  if (lane_stride == 1) return pack_columns(from, k_stride, lanes, k, width, to);
  if (k_stride == 1) return pack_rows(from, lane_stride, lanes, k, width, to);
  for (int64_t p = 0; p < k; ++p)
    for (int64_t i = 0; i < width; ++i)
      to[p * width + i] = i < lanes ? widen<T>(from[i * lane_stride + p * k_stride]) : T(0);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

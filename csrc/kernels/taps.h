// Sums of weighted reads: y[i] is the sum over k of weight[k, i] * x[place[k, i]]; a negative place reads nothing, so
// that what lies at other places, infinities included, never leaks in.
#pragma once

#include "kernels/element.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
inline Wide<T> read(const T* x, int32_t at) {
  const bool inside = at >= 0;
  const Wide<T> v = widened(x[inside ? at : 0]);
  return inside ? v : Wide<T>(0);
}

// K taps of outputs [lo, hi), kept in registers; rows of place and weight are `step` apart.
template <int K, class T>
inline void sum_taps(const int32_t* __restrict place, const Wide<T>* __restrict weight, int64_t step,
                     const T* __restrict x, Wide<T>* __restrict y, int64_t lo, int64_t hi) {
  for (int64_t i = lo; i < hi; ++i) {
    Wide<T> sum = weight[i] * read(x, place[i]);
    for (int k = 1; k < K; ++k) sum += weight[k * step + i] * read(x, place[k * step + i]);
    y[i] = sum;
  }
}

// Any number of taps, four at a time.
template <class T>
void sum_all_taps(int64_t taps, const int32_t* place, const Wide<T>* weight, int64_t step, const T* x, Wide<T>* y,
                  int64_t lo, int64_t hi) {
  switch (taps) {
    case 1:
      return sum_taps<1>(place, weight, step, x, y, lo, hi);
    case 2:
      return sum_taps<2>(place, weight, step, x, y, lo, hi);
    case 3:
      return sum_taps<3>(place, weight, step, x, y, lo, hi);
    case 4:
      return sum_taps<4>(place, weight, step, x, y, lo, hi);
    default:
      break;
  }
  for (int64_t i = lo; i < hi; ++i) y[i] = 0;
  for (int64_t k = 0; k < taps; ++k) {
    const int32_t* __restrict at = place + k * step;
    const Wide<T>* __restrict w = weight + k * step;
    for (int64_t i = lo; i < hi; ++i) y[i] += w[i] * read(x, at[i]);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

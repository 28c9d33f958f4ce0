// The exponentials of a row of scores.
#pragma once

#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

// exp(d) for d <= 0 or NaN, and 0 where that would be below the least normal number: a subnormal costs a hundred
// cycles.
template <class T>
inline Vec<T> exp_below_1(Vec<T> d) {
  const T low = std::is_same_v<T, float> ? T(-87) : T(-708);
  Vec<T> n;
  const Vec<T> r = reduce_ln2(bounded_below(d, low), n);
  if constexpr (kHasScalef) return scale_unless(d <= low, exp_near_0(r), n);
  return select(d <= low, Vec<T>(), exp_near_0(r) * power_of_2(n));
}

template <class T>
constexpr T kHidden = -std::numeric_limits<T>::infinity();

// The first n lanes, and -inf in the others.
template <class T>
inline Vec<T> load_or_hidden(const T* x, int64_t n) {
  return select(first_lanes<T>(n), load<T>(x, n), Vec<T>(kHidden<T>));
}

template <class T>
inline T largest(Vec<T> v) {
  return fold_lanes<Vec<T>::N / 2>(v, [](Vec<T> a, Vec<T> b) { return fast_max(a, b); });
}

// The largest score; NaNs are passed over, for they show in the sum of the exponentials.
template <class T>
inline T largest_of(const T* x, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  Vec<T> top[4] = {kHidden<T>, kHidden<T>, kHidden<T>, kHidden<T>};
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N)
    for (int k = 0; k < 4; ++k) top[k] = fast_max(load<T>(x + i + k * N), top[k]);
  for (; i + N <= n; i += N) top[0] = fast_max(load<T>(x + i), top[0]);
  if (i < n) top[1] = fast_max(load_or_hidden(x + i, n - i), top[1]);
  return largest(fast_max(fast_max(top[0], top[1]), fast_max(top[2], top[3])));
}

// x becomes exp(x - pivot), none of them above 1; their sum.
template <class T>
inline T exp_in_place(T* x, int64_t n, T pivot) {
  constexpr int64_t N = Vec<T>::N;
  const Vec<T> p(pivot);
  Vec<T> total[2];
  int64_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N)
    for (int k = 0; k < 2; ++k) {
      const Vec<T> e = exp_below_1(load<T>(x + i + k * N) - p);
      store(x + i + k * N, e);
      total[k] += e;
    }
  for (; i < n; i += N) {
    const int64_t left = n - i < N ? n - i : N;
    const Vec<T> e = exp_below_1(load_or_hidden(x + i, left) - p);
    store(x + i, e, left);
    total[0] += e;
  }
  return sum(total[0] + total[1]);
}

template <class T>
inline void add_in_place(T* x, const T* y, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) store(x + i, load<T>(x + i) + load<T>(y + i));
  if (i < n) store(x + i, load<T>(x + i, n - i) + load<T>(y + i, n - i), n - i);
}

// A row's running maximum and sum of exponentials.
template <class T>
struct Running {
  T max, sum;
};

// Takes scores into the running softmax: they become exp(x - max). Returns what earlier sums are to be scaled by.
// Source: Milakov & Gimelshein 2018 (arXiv:1805.02867).
template <class T>
inline T take(Running<T>& row, T* x, int64_t n) {
  const T top = largest_of(x, n), before = row.max;
  if (top > row.max) row.max = top;
  const T pivot = row.max == kHidden<T> ? T(0) : row.max;  // nothing but -inf so far (or NaN) adds 0 (or NaN)
  const T shrink = before == row.max ? T(1) : exp_below_1(Vec<T>(before - pivot)).v[0];
  row.sum = row.sum * shrink + exp_in_place(x, n, pivot);
  return shrink;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// Sums over runs of memory: what the kernels of normalisation share. Four accumulators per run; runs are summed in
// turn.
#pragma once

#include "kernels/element.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

// The sum of term(i, count) over vectors that cover [0, n); lanes past the end must be made 0 by term.
template <class C, class F>
inline C sum_vectors(int64_t n, const F& term) {
  constexpr int64_t N = Vec<C>::N;
  Vec<C> sums[4];
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N)
    for (int k = 0; k < 4; ++k) sums[k] += term(i + k * N, N);
  for (; i + N <= n; i += N) sums[0] += term(i, N);
  if (i < n) sums[1] += select(first_lanes<C>(n - i), term(i, n - i), Vec<C>());
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class C, class S>
inline Vec<C> load_some(const S* p, int64_t n) {
  return n == Vec<C>::N ? load<C>(p) : load<C>(p, n);
}
template <class S, class C>
inline void store_some(S* p, Vec<C> v, int64_t n) {
  if (n == Vec<C>::N)
    store(p, v);
  else
    store(p, v, n);
}

// Calls f(i, count) for vectors that cover [0, n).
template <class C, class F>
inline void each_vector_of(int64_t n, const F& f) {
  constexpr int64_t N = Vec<C>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) f(i, N);
  if (i < n) f(i, n - i);
}

template <class C, class S>
inline C sum_run(const S* x, int64_t n) {
  return sum_vectors<C>(n, [&](int64_t i, int64_t k) { return load_some<C>(x + i, k); });
}

// The sum of x - shift. With a shift taken from x itself, equal numbers have exactly their own mean.
template <class C, class S>
inline C shifted_run(const S* x, int64_t n, C shift) {
  return sum_vectors<C>(n, [&](int64_t i, int64_t k) { return load_some<C>(x + i, k) - Vec<C>(shift); });
}

// The sum of (x - mean)^2.
template <class C, class S>
inline C spread_run(const S* x, int64_t n, C mean) {
  return sum_vectors<C>(n, [&](int64_t i, int64_t k) {
    const Vec<C> d = load_some<C>(x + i, k) - Vec<C>(mean);
    return d * d;
  });
}

// The sum of g (x - mean).
template <class C, class S>
inline C product_run(const S* g, const S* x, int64_t n, C mean) {
  return sum_vectors<C>(
      n, [&](int64_t i, int64_t k) { return load_some<C>(g + i, k) * (load_some<C>(x + i, k) - Vec<C>(mean)); });
}

// y = (x - mean) a + c. The mean is taken off first: where it is large, x a and mean a would cancel.
template <class C, class S>
inline void affine_run(const S* x, int64_t n, C mean, C a, C c, S* y) {
  each_vector_of<C>(n, [&](int64_t i, int64_t k) {
    store_some(y + i, fma(load_some<C>(x + i, k) - Vec<C>(mean), Vec<C>(a), Vec<C>(c)), k);
  });
}

// y = g a + (x - mean) b + c
template <class C, class S>
inline void blend_run(const S* g, const S* x, int64_t n, C mean, C a, C b, C c, S* y) {
  each_vector_of<C>(n, [&](int64_t i, int64_t k) {
    const Vec<C> t = fma(load_some<C>(x + i, k) - Vec<C>(mean), Vec<C>(b), Vec<C>(c));
    store_some(y + i, fma(load_some<C>(g + i, k), Vec<C>(a), t), k);
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

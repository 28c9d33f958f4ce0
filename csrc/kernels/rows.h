// The inner loops of the elementwise kernels, as row functions of strided.h: floats by vectors, everything else by
// blocks of scalars that the compiler turns into vectors. F has a static `run` over Vec or scalars.
#pragma once

#include <cstring>

#include "kernels/element.h"
#include "kernels/strided.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

template <class V>
inline void write(bool* p, LaneMask<V> m, int64_t n) {
  store_mask(p, m, n);
}
template <class S, class T>
inline void write(S* p, Vec<T> v, int64_t n) {
  if (n == Vec<T>::N)
    store(p, v);
  else
    store(p, v, n);
}

// F itself, or F made from the numbers that its function has.
template <class F>
inline F function([[maybe_unused]] const Context& context) {
  if constexpr (std::is_constructible_v<F, const double*>)
    return F(context.numbers);
  else
    return F{};
}

// The elements before the first of y that is aligned to a vector, at most n.
template <class T>
inline int64_t to_boundary(const T* y, int64_t n) {
  const uintptr_t over = reinterpret_cast<uintptr_t>(y) % kVecBytes;
  const int64_t count = over == 0 ? 0 : static_cast<int64_t>((kVecBytes - over) / sizeof(T));
  return count < n ? count : n;
}

// S: float type of the inputs. Y: the same, or bool where F gives a mask.
template <class F, class S, class Y>
inline void float_row(char* const* p, const int64_t* step, int64_t n, [[maybe_unused]] const Context& context) {
  using T = Wide<S>;
  constexpr int N = Vec<T>::N;
  const S* x = reinterpret_cast<const S*>(p[0]);
  Y* y = reinterpret_cast<Y*>(p[1]);
  const int64_t dx = step[0] * N;
  const F f = function<F>(context);
  int64_t i = 0;
  if constexpr (std::is_same_v<Y, T>) {
    if (context.stream) {
      i = to_boundary(y, n);
      if (i > 0) store(y, f.run(load<T>(x, i)), i);
      x += step[0] * i;
      for (; i + N <= n; i += N, x += dx) stream(y + i, f.run(load<T>(x)));
      stream_fence();
    }
  }
  for (; i + N <= n; i += N, x += dx) write(y + i, f.run(load<T>(x)), N);
  if (i < n) write(y + i, f.run(load<T>(x, n - i)), n - i);
}

template <class F, class S, class Y>
inline void float_row2(char* const* p, const int64_t* step, int64_t n, [[maybe_unused]] const Context& context) {
  using T = Wide<S>;
  constexpr int N = Vec<T>::N;
  const S* a = reinterpret_cast<const S*>(p[0]);
  const S* b = reinterpret_cast<const S*>(p[1]);
  Y* y = reinterpret_cast<Y*>(p[2]);
  const int64_t da = step[0] * N, db = step[1] * N;
  const F f = function<F>(context);
  int64_t i = 0;
  if constexpr (std::is_same_v<Y, T>) {
    if (context.stream) {
      i = to_boundary(y, n);
      if (i > 0) store(y, f.run(load<T>(a, i), load<T>(b, i)), i);
      a += step[0] * i;
      b += step[1] * i;
      for (; i + N <= n; i += N, a += da, b += db) stream(y + i, f.run(load<T>(a), load<T>(b)));
      stream_fence();
    }
  }
  for (; i + N <= n; i += N, a += da, b += db) write(y + i, f.run(load<T>(a), load<T>(b)), N);
  if (i < n) write(y + i, f.run(load<T>(a, n - i), load<T>(b, n - i)), n - i);
}

// y may be x, so only the absence of a dependence between different elements is promised to the compiler.
template <class F, class S, class Y>
inline void scalar_row(char* const* p, const int64_t* step, int64_t n, const Context&) {
  const S* x = reinterpret_cast<const S*>(p[0]);
  Y* y = reinterpret_cast<Y*>(p[1]);
  int64_t i = 0;
  for (; i + kSplat <= n; i += kSplat, x += step[0] * kSplat) {
#pragma GCC ivdep
    for (int64_t j = 0; j < kSplat; ++j) y[i + j] = F::run(x[j]);
  }
#pragma GCC ivdep
  for (int64_t j = 0; j < n - i; ++j) y[i + j] = F::run(x[j]);
}

template <class F, class S, class Y>
inline void scalar_row2(char* const* p, const int64_t* step, int64_t n, const Context&) {
  const S* a = reinterpret_cast<const S*>(p[0]);
  const S* b = reinterpret_cast<const S*>(p[1]);
  Y* y = reinterpret_cast<Y*>(p[2]);
  int64_t i = 0;
  for (; i + kSplat <= n; i += kSplat, a += step[0] * kSplat, b += step[1] * kSplat) {
#pragma GCC ivdep
    for (int64_t j = 0; j < kSplat; ++j) y[i + j] = F::run(a[j], b[j]);
  }
#pragma GCC ivdep
  for (int64_t j = 0; j < n - i; ++j) y[i + j] = F::run(a[j], b[j]);
}

template <class F, class S, class Y = S>
inline RowFn row_of() {
  if constexpr (kFloating<S>)
    return float_row<F, S, Y>;
  else
    return scalar_row<F, S, Y>;
}
template <class F, class S, class Y = S>
inline RowFn row2_of() {
  if constexpr (kFloating<S>)
    return float_row2<F, S, Y>;
  else
    return scalar_row2<F, S, Y>;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

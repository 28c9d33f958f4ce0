// Neighbours that belong to different rows: every second lane of two vectors, and back.
#pragma once

#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

// Lanes First, First + 2, ... of a followed by b.
template <int First, class V, int... I>
inline V every_second(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + First)...);
}

// Lanes of a and b in turn, from lane From on.
template <int From, class V, int... I>
inline V in_turn(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int N = sizeof...(I);
  return __builtin_shufflevector(a, b, ((I & 1 ? N : 0) + I / 2 + From)...);
}

template <class T>
inline Vec<T> evens(Vec<T> a, Vec<T> b) {
  return Vec<T>(every_second<0>(a.v, b.v, std::make_integer_sequence<int, Vec<T>::N>{}));
}
template <class T>
inline Vec<T> odds(Vec<T> a, Vec<T> b) {
  return Vec<T>(every_second<1>(a.v, b.v, std::make_integer_sequence<int, Vec<T>::N>{}));
}
// The even and the odd ones of n elements, 1 <= n <= 2 N, in T.
template <class T, class S>
inline __attribute__((always_inline)) void load_pairs(const S* p, int64_t n, Vec<T>* even, Vec<T>* odd) {
  constexpr int N = Vec<T>::N;
  const Vec<T> a = n >= N ? load<T>(p) : load<T>(p, n);
  const Vec<T> b = n == 2 * N ? load<T>(p + N) : n > N ? load<T>(p + N, n - N) : Vec<T>();
  *even = evens(a, b);
  *odd = odds(a, b);
}

template <class T>
inline Vec<T> zip_low(Vec<T> a, Vec<T> b) {
  return Vec<T>(in_turn<0>(a.v, b.v, std::make_integer_sequence<int, Vec<T>::N>{}));
}
template <class T>
inline Vec<T> zip_high(Vec<T> a, Vec<T> b) {
  return Vec<T>(in_turn<Vec<T>::N / 2>(a.v, b.v, std::make_integer_sequence<int, Vec<T>::N>{}));
}

// n elements, 1 <= n <= 2 N, from the lanes of both in turn.
template <class T, class S>
inline __attribute__((always_inline)) void store_pairs(S* p, int64_t n, Vec<T> even, Vec<T> odd) {
  constexpr int N = Vec<T>::N;
  n >= N ? store(p, zip_low(even, odd)) : store(p, zip_low(even, odd), n);
  if (n > N) n == 2 * N ? store(p + N, zip_high(even, odd)) : store(p + N, zip_high(even, odd), n - N);
}

// 4 N elements in memory order to their remainders by 4: v[j] holds elements j, j + 4, j + 8, ...
template <class T>
inline void split_by_four(Vec<T> (&v)[4]) {
  const Vec<T> e0 = evens(v[0], v[1]), e1 = evens(v[2], v[3]), o0 = odds(v[0], v[1]), o1 = odds(v[2], v[3]);
  v[0] = evens(e0, e1);
  v[1] = evens(o0, o1);
  v[2] = odds(e0, e1);
  v[3] = odds(o0, o1);
}

// And back.
template <class T>
inline void join_by_four(Vec<T> (&v)[4]) {
  const Vec<T> a = zip_low(v[0], v[2]), b = zip_low(v[1], v[3]), c = zip_high(v[0], v[2]), d = zip_high(v[1], v[3]);
  v[0] = zip_low(a, b);
  v[1] = zip_high(a, b);
  v[2] = zip_low(c, d);
  v[3] = zip_high(c, d);
}

// Every second element of 2 N - 1 in a row, of which b holds the last N.
template <class T, int... I>
inline Vec<T> ends_of(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  constexpr int N = sizeof...(I);
  return Vec<T>(__builtin_shufflevector(a.v, b.v, (2 * I < N ? 2 * I : 2 * I + 1)...));
}

// n elements (1 <= n <= N) `stride` apart, in T; no others are read, and lanes past n hold no matter what.
template <class T, class S>
inline Vec<T> load_apart(const S* p, int64_t stride, int64_t n) {
  constexpr int N = Vec<T>::N;
  if (stride == 1) return n == N ? load<T>(p) : load<T>(p, n);
  if (stride == 2) {  // 2 n - 1 elements: the second vector begins one early, so that none is read beyond the last
    const int64_t length = 2 * n - 1;
    const Vec<T> a = length < N ? load<T>(p, length) : load<T>(p);
    const Vec<T> b = n == N ? load<T>(p + N - 1) : load<T>(p + N - 1, length < N ? 0 : length - N + 1);
    return ends_of(a, b, std::make_integer_sequence<int, N>{});
  }
  S apart[N] = {};
  for (int64_t i = 0; i < n; ++i) apart[i] = p[i * stride];
  return load<T>(apart);
}

// Every second lane of `kept` from the first on gives way to a lane of v, from lane From on.
template <int From, class T, int... I>
inline Vec<T> fill_evens(Vec<T> v, Vec<T> kept, std::integer_sequence<int, I...>) {
  return Vec<T>(__builtin_shufflevector(v.v, kept.v, (I & 1 ? static_cast<int>(sizeof...(I)) + I : From + I / 2)...));
}

// The first n lanes (1 <= n <= N) to memory, `stride` apart. What lies between is read and written as it was.
template <class T, class S>
inline void store_apart(S* p, int64_t stride, Vec<T> v, int64_t n) {
  constexpr int N = Vec<T>::N;
  constexpr auto lanes = std::make_integer_sequence<int, N>{};
  if (stride == 1) return n == N ? store(p, v) : store(p, v, n);
  if (stride != 2) {
    T apart[N];
    store(apart, v);
    for (int64_t i = 0; i < n; ++i) p[i * stride] = narrow<S>(apart[i]);
    return;
  }
  const int64_t length = 2 * n - 1;
  if (length < N) return store(p, fill_evens<0>(v, load<T>(p, length), lanes), length);
  store(p, fill_evens<0>(v, load<T>(p), lanes));
  if (length > N) store(p + N, fill_evens<N / 2>(v, load<T>(p + N, length - N), lanes), length - N);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// The log-sum-exp of a row: what softmax and cross entropy share.
#pragma once

#include <limits>

#include "kernels/element.h"
#include "runtime/parallel.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kBlock = 2048;  // elements of a row that the first-level cache keeps
constexpr int64_t kExpCost = 3;   // an exponential, in the units of parallel_for

// The first n lanes, and `rest` in the others.
template <class C, class S>
inline Vec<C> load_or(const S* x, int64_t n, C rest) {
  return select(first_lanes<C>(n), load<C>(x, n), Vec<C>(rest));
}

// exp(d), and 0 where that would be below the least normal number: a subnormal costs a hundred cycles, and masked
// scores of -inf are common. Keeps NaN.
template <class T>
inline Vec<T> exp_or_0(Vec<T> d) {
  const Vec<T> low = std::is_same_v<T, float> ? T(-87) : T(-708);
  return select(d <= low, Vec<T>(), exp(fast_max(low, d)));
}

// Calls f(i) for whole vectors of n elements and f(i, count) for the last ones.
template <int N, class F>
inline void each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + N <= n; i += N) f(i);
  if (i < n) f(i, n - i);
}

template <class C>
constexpr C kMinusInfinity = -std::numeric_limits<C>::infinity();

// The largest number of a row; NaNs are passed over, for they show in the sum of the exponentials.
template <class T>
inline T largest(Vec<T> v) {
  return fold_lanes<Vec<T>::N / 2>(v, [](Vec<T> a, Vec<T> b) { return fast_max(a, b); });
}
template <class C, class S>
inline C row_max(const S* x, int64_t n) {
  using V = Vec<C>;
  constexpr int64_t N = V::N;
  V top[4] = {kMinusInfinity<C>, kMinusInfinity<C>, kMinusInfinity<C>, kMinusInfinity<C>};
  int64_t i = 0;
  for (; i + 4 * N <= n; i += 4 * N)
    for (int k = 0; k < 4; ++k) top[k] = fast_max(load<C>(x + i + k * N), top[k]);
  for (; i + N <= n; i += N) top[0] = fast_max(load<C>(x + i), top[0]);
  if (i < n) top[1] = fast_max(load_or<C>(x + i, n - i, kMinusInfinity<C>), top[1]);
  return largest(fast_max(fast_max(top[0], top[1]), fast_max(top[2], top[3])));
}

// The sum of exp(x - max); e, unless null, takes the exponentials. Sums of a few vectors are summed in turn, for many
// equal terms would all be rounded the same way.
template <class C, class S>
inline C row_exp(const S* x, int64_t n, C max, C* e) {
  constexpr int64_t N = Vec<C>::N, kGroup = 32 * N;
  Vec<C> total;
  int64_t i = 0;
  while (i + N <= n) {
    Vec<C> part;
    for (const int64_t end = n - i < kGroup ? n : i + kGroup; i + N <= end; i += N) {
      const Vec<C> v = exp_or_0<C>(load<C>(x + i) - max);
      if (e != nullptr) store(e + i, v);
      part += v;
    }
    total += part;
  }
  if (i < n) {
    const Vec<C> v = exp_or_0<C>(load_or<C>(x + i, n - i, kMinusInfinity<C>) - max);
    if (e != nullptr) store(e + i, v, n - i);
    total += v;
  }
  return sum(total);
}

// The largest x of a row and the sum of exp(x - max).
template <class C>
struct Norm {
  C max, sum;
};

// Blocks that fit the first-level cache are read from memory once: their largest element first, then the exponentials;
// the sum so far is scaled when a later block has a larger one. Source: Milakov & Gimelshein 2018 (arXiv:1805.02867).
template <class C, class S>
inline Norm<C> row_norm(const S* x, int64_t n) {
  Norm<C> r{kMinusInfinity<C>, 0};
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    const C top = row_max<C>(x + i, m);
    if (top > r.max) {
      if (i > 0) r.sum *= largest(exp_or_0(Vec<C>(r.max - top)));
      r.max = top;
    }
    const C pivot = r.max == kMinusInfinity<C> ? C(0) : r.max;  // nothing but -inf so far (or NaN) adds 0 (or NaN)
    r.sum += row_exp<C>(x + i, m, pivot, static_cast<C*>(nullptr));
  }
  return r;
}

// Rows that are few and long are cut into pieces for several threads. Which ones is decided by their shape alone.
constexpr int64_t kPiece = 1 << 14;
inline bool in_pieces(int64_t rows, int64_t n) { return rows < 8 && n >= 4 * kPiece; }

// Calls f(row, first element, count, piece) for the pieces of all rows.
template <class F>
inline void each_piece(int64_t rows, int64_t n, int64_t cost, const F& f) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  parallel_for(rows * pieces, cost * kPiece, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t at = k % pieces * kPiece;
      f(k / pieces, at, n - at < kPiece ? n - at : kPiece, k);
    }
  });
}

// The norms of long rows, in scratch: those of the pieces first, then combined in order.
template <class C, class S>
inline const Norm<C>* piecewise_norms(const S* x, int64_t rows, int64_t n) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  Norm<C>* part = static_cast<Norm<C>*>(scratch(1, rows * pieces * sizeof(Norm<C>)));
  each_piece(rows, n, kExpCost,
             [&](int64_t r, int64_t at, int64_t count, int64_t k) { part[k] = row_norm<C>(x + r * n + at, count); });
  for (int64_t r = 0; r < rows; ++r) {
    Norm<C> whole{kMinusInfinity<C>, 0};
    for (const Norm<C>* p = part + r * pieces; p < part + (r + 1) * pieces; ++p)
      if (p->max > whole.max) whole.max = p->max;
    const C pivot = whole.max == kMinusInfinity<C> ? C(0) : whole.max;
    for (const Norm<C>* p = part + r * pieces; p < part + (r + 1) * pieces; ++p)
      whole.sum += p->sum * largest(exp_or_0(Vec<C>(p->max - pivot)));
    part[r] = whole;  // over pieces of earlier rows, or of this one, that are done with
  }
  return part;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

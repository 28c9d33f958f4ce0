// Softmax over the last axis of a dense (rows, n) block, its logarithm, and their gradients.
// 16-bit floats are computed in float32 and rounded once. A row with NaN, +inf or nothing but -inf becomes NaN.
#include "kernels/softmax.h"

#include "runtime/parallel.h"
#include "runtime/table/softmax.h"

namespace pydl::PYDL_ISA {
namespace {

// y = e / sum(e). e is y itself or, where y has too few bits, a buffer.
template <class C, class S>
inline void softmax_row(const S* x, S* y, int64_t n, C* e) {
  using V = Vec<C>;
  if (n <= V::N) {
    const V v = load_or<C>(x, n, kMinusInfinity<C>);
    const V p = exp_or_0(v - largest(v));
    return store(y, p / sum(p), n);
  }
  const C top = row_max<C>(x, n);
  C total = 0;
  for (int64_t i = 0; i < n; i += kBlock) total += row_exp<C>(x + i, n - i < kBlock ? n - i : kBlock, top, e + i);
  const V factor = C(1) / total;
  each_vector<V::N>(n, [&](int64_t i, auto... count) { store(y + i, load<C>(e + i, count...) * factor, count...); });
}

template <class C, class S>
inline void log_softmax_row(const S* x, S* y, int64_t n) {
  using V = Vec<C>;
  if (n <= V::N) {
    const V v = load_or<C>(x, n, kMinusInfinity<C>);
    const V shifted = v - largest(v);
    return store(y, shifted - log(V(sum(exp_or_0(shifted)))), n);
  }
  const Norm<C> norm = row_norm<C>(x, n);
  const V top = norm.max, log_sum = log(V(norm.sum));
  each_vector<V::N>(
      n, [&](int64_t i, auto... count) { store(y + i, load<C>(x + i, count...) - top - log_sum, count...); });
}

// Sum of f(i, count...) over the vectors of a row; two accumulators.
template <class C, class F>
inline C row_sum(int64_t n, const F& f) {
  constexpr int64_t N = Vec<C>::N;
  Vec<C> a, b;
  int64_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N) {
    a += f(i);
    b += f(i + N);
  }
  if (i + N <= n) {
    a += f(i);
    i += N;
  }
  if (i < n) b += f(i, n - i);
  return sum(a + b);
}

// gx = y (g - sum(g y))
template <class C, class S>
inline void softmax_grad_row(const S* g, const S* y, S* gx, int64_t n) {
  const Vec<C> dot =
      row_sum<C>(n, [&](int64_t i, auto... count) { return load<C>(g + i, count...) * load<C>(y + i, count...); });
  each_vector<Vec<C>::N>(n, [&](int64_t i, auto... count) {
    store(gx + i, load<C>(y + i, count...) * (load<C>(g + i, count...) - dot), count...);
  });
}

// gx = g - exp(y) sum(g)
template <class C, class S>
inline void log_softmax_grad_row(const S* g, const S* y, S* gx, int64_t n) {
  const Vec<C> total = row_sum<C>(n, [&](int64_t i, auto... count) { return load<C>(g + i, count...); });
  each_vector<Vec<C>::N>(n, [&](int64_t i, auto... count) {
    store(gx + i, load<C>(g + i, count...) - exp_or_0(load<C>(y + i, count...)) * total, count...);
  });
}

// Calls row(r, S{}) for each row r, S being the type of the elements.
template <class F>
void each_row(const View& x, int64_t cost, const F& row) {
  const auto rows = [&](auto element) {
    parallel_for(x.shape[0], cost * x.shape[1], [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) row(r * x.shape[1], element);
    });
  };
  if (x.dtype == Dtype::f32) return rows(float{});
  if (x.dtype == Dtype::f64) return rows(double{});
  if (x.dtype == Dtype::f16) return rows(f16{});
  return rows(bf16{});
}

}  // namespace

void softmax(View x, View y) {
  const int64_t n = x.shape[1];
  if (x.numel() == 0) return;
  each_row(x, kExpCost, [&](int64_t at, auto element) {
    using S = decltype(element);
    S* to = y.as<S>() + at;
    if constexpr (kHalf<S>) {
      softmax_row<float>(x.as<const S>() + at, to, n, static_cast<float*>(scratch(0, n * sizeof(float))));
    } else {
      softmax_row<S>(x.as<const S>() + at, to, n, to);
    }
  });
}

void log_softmax(View x, View y) {
  if (x.numel() == 0) return;
  each_row(x, kExpCost, [&](int64_t at, auto element) {
    using S = decltype(element);
    log_softmax_row<Wide<S>>(x.as<const S>() + at, y.as<S>() + at, x.shape[1]);
  });
}

void softmax_grad(View g, View y, View gx) {
  if (y.numel() == 0) return;
  each_row(y, 1, [&](int64_t at, auto element) {
    using S = decltype(element);
    softmax_grad_row<Wide<S>>(g.as<const S>() + at, y.as<const S>() + at, gx.as<S>() + at, y.shape[1]);
  });
}

void log_softmax_grad(View g, View y, View gx) {
  if (y.numel() == 0) return;
  each_row(y, kExpCost, [&](int64_t at, auto element) {
    using S = decltype(element);
    log_softmax_grad_row<Wide<S>>(g.as<const S>() + at, y.as<const S>() + at, gx.as<S>() + at, y.shape[1]);
  });
}

}  // namespace pydl::PYDL_ISA

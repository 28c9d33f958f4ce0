// Softmax over the last axis of a dense (rows, n) block, its logarithm, their gradients, and the logarithm of the sum.
// 16-bit floats are computed in float32 and rounded once. A row with NaN, +inf or nothing but -inf becomes NaN; its
// logarithm of the sum is NaN, +inf or -inf.
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

template <class C, class S>
void softmax_long(const S* x, S* y, int64_t rows, int64_t n) {
  const Norm<C>* norms = piecewise_norms<C>(x, rows, n);
  each_piece(rows, n, kExpCost, [&](int64_t r, int64_t at, int64_t count, int64_t) {
    const Vec<C> max = norms[r].max, factor = C(1) / norms[r].sum;
    const S* from = x + r * n + at;
    S* to = y + r * n + at;
    each_vector<Vec<C>::N>(count, [&](int64_t i, auto... left) {
      store(to + i, exp_or_0(load<C>(from + i, left...) - max) * factor, left...);
    });
  });
}

template <class C, class S>
void log_softmax_long(const S* x, S* y, int64_t rows, int64_t n) {
  const Norm<C>* norms = piecewise_norms<C>(x, rows, n);
  each_piece(rows, n, 1, [&](int64_t r, int64_t at, int64_t count, int64_t) {
    const Vec<C> max = norms[r].max, log_sum = log(Vec<C>(norms[r].sum));
    const S* from = x + r * n + at;
    S* to = y + r * n + at;
    each_vector<Vec<C>::N>(
        count, [&](int64_t i, auto... left) { store(to + i, load<C>(from + i, left...) - max - log_sum, left...); });
  });
}

// From the norm of a row x. Where the largest is +inf the exponentials are taken as they are: +inf, unless one is NaN.
template <class C, class S>
inline void put_logsumexp(Norm<C> norm, const S* x, int64_t n, S* y) {
  if (norm.max == std::numeric_limits<C>::infinity()) norm = {0, row_exp<C>(x, n, C(0), static_cast<C*>(nullptr))};
  store(y, Vec<C>(norm.max) + log(Vec<C>(norm.sum)), 1);
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

// gx = y (g - sum(g y)), over all or a piece of a row.
template <class S>
struct SoftmaxSlope {
  using C = Wide<S>;
  const S *g, *y;
  S* gx;
  static constexpr int64_t cost = 1;

  C total(int64_t at, int64_t n) const {
    return row_sum<C>(
        n, [&](int64_t i, auto... count) { return load<C>(g + at + i, count...) * load<C>(y + at + i, count...); });
  }
  void put(int64_t at, int64_t n, C dot) const {
    each_vector<Vec<C>::N>(n, [&](int64_t i, auto... count) {
      store(gx + at + i, load<C>(y + at + i, count...) * (load<C>(g + at + i, count...) - dot), count...);
    });
  }
};

// gx = g - exp(y) sum(g), over all or a piece of a row.
template <class S>
struct LogSoftmaxSlope {
  using C = Wide<S>;
  const S *g, *y;
  S* gx;
  static constexpr int64_t cost = kExpCost;

  C total(int64_t at, int64_t n) const {
    return row_sum<C>(n, [&](int64_t i, auto... count) { return load<C>(g + at + i, count...); });
  }
  void put(int64_t at, int64_t n, C sum) const {
    each_vector<Vec<C>::N>(n, [&](int64_t i, auto... count) {
      store(gx + at + i, load<C>(g + at + i, count...) - exp_or_0(load<C>(y + at + i, count...)) * sum, count...);
    });
  }
};

template <class Slope>
void gradient(const Slope& f, int64_t rows, int64_t n) {
  using C = typename Slope::C;
  if (!in_pieces(rows, n)) {
    parallel_for(rows, Slope::cost * n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) f.put(r * n, n, f.total(r * n, n));
    });
    return;
  }
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  C* part = static_cast<C*>(scratch(1, rows * pieces * sizeof(C)));
  each_piece(rows, n, 1,
             [&](int64_t r, int64_t at, int64_t count, int64_t k) { part[k] = f.total(r * n + at, count); });
  for (int64_t r = 0; r < rows; ++r) {
    C whole = 0;
    for (const C* p = part + r * pieces; p < part + (r + 1) * pieces; ++p) whole += *p;
    part[r] = whole;
  }
  each_piece(rows, n, Slope::cost,
             [&](int64_t r, int64_t at, int64_t count, int64_t) { f.put(r * n + at, count, part[r]); });
}

template <template <class> class Slope>
void gradient_as(const View& g, const View& y, const View& gx) {
  const auto with = [&](auto element) {
    using S = decltype(element);
    gradient(Slope<S>{g.as<const S>(), y.as<const S>(), gx.as<S>()}, y.shape[0], y.shape[1]);
  };
  if (y.dtype == Dtype::f32) return with(float{});
  if (y.dtype == Dtype::f64) return with(double{});
  if (y.dtype == Dtype::f16) return with(f16{});
  return with(bf16{});
}

// Calls row(r, S{}) for each row r, S being the type of the elements; whole(S{}) where there are few long ones.
template <class F, class G>
void each_row(const View& x, int64_t cost, const F& row, const G& whole) {
  const auto rows = [&](auto element) {
    if (in_pieces(x.shape[0], x.shape[1])) return whole(element);
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
  const auto row = [&](int64_t at, auto element) {
    using S = decltype(element);
    S* to = y.as<S>() + at;
    if constexpr (kHalf<S>) {
      softmax_row<float>(x.as<const S>() + at, to, n, static_cast<float*>(scratch(0, n * sizeof(float))));
    } else {
      softmax_row<S>(x.as<const S>() + at, to, n, to);
    }
  };
  each_row(x, kExpCost, row, [&](auto element) {
    using S = decltype(element);
    softmax_long<Wide<S>>(x.as<const S>(), y.as<S>(), x.shape[0], n);
  });
}

void log_softmax(View x, View y) {
  if (x.numel() == 0) return;
  const auto row = [&](int64_t at, auto element) {
    using S = decltype(element);
    log_softmax_row<Wide<S>>(x.as<const S>() + at, y.as<S>() + at, x.shape[1]);
  };
  each_row(x, kExpCost, row, [&](auto element) {
    using S = decltype(element);
    log_softmax_long<Wide<S>>(x.as<const S>(), y.as<S>(), x.shape[0], x.shape[1]);
  });
}

void logsumexp(View x, View y) {
  const int64_t n = x.shape[1];
  const auto row = [&](int64_t at, auto element) {
    using S = decltype(element);
    const S* from = x.as<const S>() + at;
    put_logsumexp(row_norm<Wide<S>>(from, n), from, n, y.as<S>() + at / n);
  };
  each_row(x, kExpCost, row, [&](auto element) {
    using S = decltype(element);
    const Norm<Wide<S>>* norms = piecewise_norms<Wide<S>>(x.as<const S>(), x.shape[0], n);
    for (int64_t r = 0; r < x.shape[0]; ++r) put_logsumexp(norms[r], x.as<const S>() + r * n, n, y.as<S>() + r);
  });
}

void softmax_grad(View g, View y, View gx) {
  if (y.numel() != 0) gradient_as<SoftmaxSlope>(g, y, gx);
}

void log_softmax_grad(View g, View y, View gx) {
  if (y.numel() != 0) gradient_as<LogSoftmaxSlope>(g, y, gx);
}

}  // namespace pydl::PYDL_ISA

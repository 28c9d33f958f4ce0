// Cross entropy of rows of class scores against class indices, and its gradient. With w the class weights (1 if left
// out), e the label smoothing and lse the log-sum-exp of the row:
//   loss = (1 - e) w[t] (lse - x[t]) + e / c sum_j w[j] (lse - x[j])
// Rows whose target is ignored have loss 0, gradient 0 and, since nobody reads it, lse 0.
#include "kernels/softmax.h"
#include "runtime/parallel.h"
#include "runtime/table/softmax.h"

namespace pydl::PYDL_ISA {
namespace {

template <class C>
inline void put(const View& y, int64_t i, Vec<C> v) {
  if constexpr (std::is_same_v<C, double>) {
    store(y.as<double>() + i, v, 1);
  } else if (y.dtype == Dtype::f32) {
    store(y.as<float>() + i, v, 1);
  } else if (y.dtype == Dtype::f16) {
    store(y.as<f16>() + i, v, 1);
  } else {
    store(y.as<bf16>() + i, v, 1);
  }
}

// What all rows share.
template <class S>
struct Loss {
  using C = Wide<S>;
  int64_t classes;
  const int64_t* target;
  int64_t ignored;
  const S* weight;             // null: 1
  C keep, spread, all_weight;  // 1 - e, e / c and sum_j w[j]; the latter two 0 without smoothing

  Loss(const View& x, const View& t, const View& w, const CrossEntropy& options)
      : classes(x.shape[1]),
        target(t.as<const int64_t>()),
        ignored(options.ignore_index),
        weight(w.as<const S>()),
        keep(static_cast<C>(1 - options.label_smoothing)),
        spread(static_cast<C>(options.label_smoothing / static_cast<double>(classes))),
        all_weight(0) {
    if (spread == C(0)) return;
    all_weight = static_cast<C>(classes);
    if (weight == nullptr) return;
    Vec<C> total;
    each_vector<Vec<C>::N>(classes, [&](int64_t j, auto... count) { total += load<C>(weight + j, count...); });
    all_weight = sum(total);
  }

  C of_target(int64_t t) const { return weight ? keep * widened(weight[t]) : keep; }

  // sum_j w[j] (max - x[j])
  C spread_row(const S* x, C max) const {
    Vec<C> total;
    each_vector<Vec<C>::N>(classes, [&](int64_t j, auto... count) {
      const Vec<C> v = max - (sizeof...(count) ? load_or<C>(x + j, classes - j, max) : load<C>(x + j));
      total = weight ? fma(load<C>(weight + j, count...), v, total) : total + v;
    });
    return sum(total);
  }
};

template <class C, class S>
inline Norm<C> scores_norm(const S* x, int64_t n) {
  using V = Vec<C>;
  if (n > V::N) return row_norm<C>(x, n);
  const V v = load_or<C>(x, n, kMinusInfinity<C>);
  const C max = largest(v);
  return {max, sum(exp_or_0(v - max))};
}

// Calls row(r, norm of row r) for each row of scores.
template <class C, class S, class F>
void each_norm(const S* x, int64_t rows, int64_t n, const F& row) {
  if (in_pieces(rows, n)) {
    const Norm<C>* norms = piecewise_norms<C>(x, rows, n);
    for (int64_t r = 0; r < rows; ++r) row(r, norms[r]);
    return;
  }
  parallel_for(rows, kExpCost * n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(r, scores_norm<C>(x + r * n, n));
  });
}

// Calls f(r, first class, count) for rows or, where they are few and long, for their pieces.
template <class F>
void each_part(int64_t rows, int64_t n, const F& f) {
  if (in_pieces(rows, n))
    return each_piece(rows, n, kExpCost, [&](int64_t r, int64_t at, int64_t count, int64_t) { f(r, at, count); });
  parallel_for(rows, kExpCost * n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r, int64_t{0}, n);
  });
}

template <class S>
void cross_entropy_as(const View& x, const View& target, const View& weight, const CrossEntropy& options,
                      const View& loss, const View& lse, const View& weights) {
  using C = Wide<S>;
  using V = Vec<C>;
  const Loss<S> f(x, target, weight, options);
  each_norm<C>(x.as<const S>(), x.shape[0], f.classes, [&](int64_t r, Norm<C> norm) {
    const S* row = x.as<const S>() + r * f.classes;
    const int64_t t = f.target[r];
    const bool kept = t != f.ignored;
    if (weights.present()) put<C>(weights, r, kept ? (f.weight ? V(widened(f.weight[t])) : V(C(1))) : V());
    if (!kept) {
      put<C>(loss, r, V());
      put<C>(lse, r, V());
      return;
    }
    const V log_sum = log(V(norm.sum));
    V value = f.of_target(t) * ((norm.max - widened(row[t])) + log_sum);
    if (f.spread != C(0)) value += f.spread * (f.spread_row(row, norm.max) + f.all_weight * log_sum);
    put<C>(loss, r, value);
    put<C>(lse, r, norm.max + log_sum);
  });
}

// gx[j] = g ((keep w[t] + spread sum(w)) p[j] - spread w[j] - [j == t] keep w[t]),  p[j] = exp(x[j] - lse),
// for the classes from `first` on.
template <class S>
inline void gradient_row(const Loss<S>& f, const S* x, int64_t t, Wide<S> g, Wide<S> lse, int64_t first, int64_t count,
                         S* gx) {
  using C = Wide<S>;
  using V = Vec<C>;
  const C at_target = g * f.of_target(t);
  const V factor = at_target + g * (f.spread * f.all_weight), spread = g * f.spread;
  const auto gradient = [&](int64_t j, auto... left) {
    const V p = factor * exp_or_0(load<C>(x + j, left...) - lse);
    if (f.spread == C(0)) return p;
    return f.weight ? p - spread * load<C>(f.weight + j, left...) : p - spread;
  };
  each_vector<V::N>(count,
                    [&](int64_t j, auto... left) { store(gx + first + j, gradient(first + j, left...), left...); });
  if (t >= first && t < first + count)
    store(gx + t, gradient(t, int64_t{1}) - at_target, 1);  // anew, so that 16-bit floats are rounded once
}

template <class S>
void cross_entropy_grad_as(const View& g, const View& x, const View& target, const View& weight, const View& lse,
                           const View& total, const CrossEntropy& options, const View& gx) {
  using C = Wide<S>;
  const Loss<S> f(x, target, weight, options);
  const int64_t c = f.classes;
  const C scale = total.present() ? 1 / element<C>(total, 0) : static_cast<C>(options.scale);
  each_part(x.shape[0], c, [&](int64_t r, int64_t first, int64_t count) {
    S* to = gx.as<S>() + r * c;
    if (f.target[r] == f.ignored) {
      std::memset(static_cast<void*>(to + first), 0, count * sizeof(S));
    } else {
      const C one = element<C>(g, r * g.strides[0]) * scale;
      gradient_row(f, x.as<const S>() + r * c, f.target[r], one, element<C>(lse, r), first, count, to);
    }
  });
}

// ---- targets that are probabilities: with q[j] = w[j] ((1 - e) t[j] + e / c),
//   loss = sum_j q[j] (lse - x[j]),   gx[j] = g (p[j] sum(q) - q[j])

template <class S>
struct SoftTarget {
  using C = Wide<S>;
  const S *target, *weight;
  C keep, spread;

  SoftTarget(const View& t, const View& w, const CrossEntropy& options)
      : target(t.as<const S>()),
        weight(w.as<const S>()),
        keep(static_cast<C>(1 - options.label_smoothing)),
        spread(static_cast<C>(options.label_smoothing / static_cast<double>(t.shape[1]))) {}

  template <class... Count>
  Vec<C> at(int64_t row, int64_t j, Count... count) const {
    const Vec<C> q = fma(Vec<C>(keep), load<C>(target + row + j, count...), Vec<C>(spread));
    return weight ? q * load<C>(weight + j, count...) : q;
  }
};

template <class S>
void soft_entropy_as(const View& x, const View& target, const View& weight, const CrossEntropy& options,
                     const View& loss, const View& lse, const View& mass) {
  using C = Wide<S>;
  using V = Vec<C>;
  const int64_t c = x.shape[1];
  const SoftTarget<S> f(target, weight, options);
  const S* xs = x.as<const S>();
  each_norm<C>(xs, x.shape[0], c, [&](int64_t r, Norm<C> norm) {
    V all, gaps;
    each_vector<V::N>(c, [&](int64_t j, auto... count) {
      V q = f.at(r * c, j, count...);
      if constexpr (sizeof...(count) > 0) q = select(first_lanes<C>(c - j), q, V());
      const V gap = norm.max - load<C>(xs + r * c + j, count...);
      all += q;
      gaps += select(q == C(0), V(), q * gap);  // nothing is expected of a class whose score is -inf
    });
    const V log_sum = log(V(norm.sum)), total = sum(all);
    put<C>(loss, r, V(sum(gaps)) + total * log_sum);
    put<C>(lse, r, norm.max + log_sum);
    put<C>(mass, r, total);
  });
}

template <class S>
void soft_entropy_grad_as(const View& g, const View& x, const View& target, const View& weight, const View& lse,
                          const View& mass, const CrossEntropy& options, const View& gx) {
  using C = Wide<S>;
  const int64_t c = x.shape[1];
  const SoftTarget<S> f(target, weight, options);
  each_part(x.shape[0], c, [&](int64_t r, int64_t first, int64_t count) {
    const S* xs = x.as<const S>() + r * c;
    S* to = gx.as<S>() + r * c;
    const Vec<C> one = element<C>(g, r * g.strides[0]) * static_cast<C>(options.scale);
    const Vec<C> total = element<C>(mass, r), log_sum = element<C>(lse, r);
    each_vector<Vec<C>::N>(count, [&](int64_t i, auto... left) {
      const int64_t j = first + i;
      const Vec<C> p = exp_or_0(load<C>(xs + j, left...) - log_sum);
      store(to + j, one * (p * total - f.at(r * c, j, left...)), left...);
    });
  });
}

// f(S{}) for the type of the elements.
template <class F>
void with_element(Dtype dtype, const F& f) {
  if (dtype == Dtype::f32) return f(float{});
  if (dtype == Dtype::f64) return f(double{});
  if (dtype == Dtype::f16) return f(f16{});
  return f(bf16{});
}

}  // namespace

void cross_entropy(View x, View target, View weight, CrossEntropy options, View loss, View lse, View weights) {
  with_element(x.dtype, [&](auto element) {
    cross_entropy_as<decltype(element)>(x, target, weight, options, loss, lse, weights);
  });
}

void cross_entropy_grad(View g, View x, View target, View weight, View lse, View total, CrossEntropy options, View gx) {
  with_element(x.dtype, [&](auto element) {
    cross_entropy_grad_as<decltype(element)>(g, x, target, weight, lse, total, options, gx);
  });
}

void soft_entropy(View x, View target, View weight, CrossEntropy options, View loss, View lse, View mass) {
  with_element(x.dtype,
               [&](auto element) { soft_entropy_as<decltype(element)>(x, target, weight, options, loss, lse, mass); });
}

void soft_entropy_grad(View g, View x, View target, View weight, View lse, View mass, CrossEntropy options, View gx) {
  with_element(x.dtype, [&](auto element) {
    soft_entropy_grad_as<decltype(element)>(g, x, target, weight, lse, mass, options, gx);
  });
}

}  // namespace pydl::PYDL_ISA

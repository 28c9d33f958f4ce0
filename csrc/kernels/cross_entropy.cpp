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

template <class C>
inline C get(const View& x, int64_t i) {
  if constexpr (std::is_same_v<C, double>) return x.as<double>()[i];
  if (x.dtype == Dtype::f32) return x.as<float>()[i];
  return x.dtype == Dtype::f16 ? to_float(x.as<f16>()[i]) : to_float(x.as<bf16>()[i]);
}

template <class S>
inline Wide<S> widened(S x) {
  if constexpr (kHalf<S>) return to_float(x);
  if constexpr (!kHalf<S>) return x;
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

template <class S>
void cross_entropy_rows(const Loss<S>& f, const S* x, const View& loss, const View& lse, int64_t begin, int64_t end) {
  using C = Wide<S>;
  using V = Vec<C>;
  for (int64_t r = begin; r < end; ++r) {
    const S* row = x + r * f.classes;
    const int64_t t = f.target[r];
    if (t == f.ignored) {
      put<C>(loss, r, V());
      put<C>(lse, r, V());
      continue;
    }
    const Norm<C> norm = scores_norm<C>(row, f.classes);
    const V log_sum = log(V(norm.sum));
    V value = f.of_target(t) * ((norm.max - widened(row[t])) + log_sum);
    if (f.spread != C(0)) value += f.spread * (f.spread_row(row, norm.max) + f.all_weight * log_sum);
    put<C>(loss, r, value);
    put<C>(lse, r, norm.max + log_sum);
  }
}

// gx[j] = g ((keep w[t] + spread sum(w)) p[j] - spread w[j] - [j == t] keep w[t]),  p[j] = exp(x[j] - lse)
template <class S>
inline void gradient_row(const Loss<S>& f, const S* x, int64_t t, Wide<S> g, Wide<S> lse, S* gx) {
  using C = Wide<S>;
  using V = Vec<C>;
  const C at_target = g * f.of_target(t);
  const V factor = at_target + g * (f.spread * f.all_weight), spread = g * f.spread;
  const auto gradient = [&](int64_t j, auto... count) {
    const V p = factor * exp_or_0(load<C>(x + j, count...) - lse);
    if (f.spread == C(0)) return p;
    return f.weight ? p - spread * load<C>(f.weight + j, count...) : p - spread;
  };
  each_vector<V::N>(f.classes, [&](int64_t j, auto... count) { store(gx + j, gradient(j, count...), count...); });
  store(gx + t, gradient(t, int64_t{1}) - at_target, 1);  // anew, so that 16-bit floats are rounded once
}

template <class S>
void cross_entropy_as(const View& x, const View& target, const View& weight, const CrossEntropy& options,
                      const View& loss, const View& lse) {
  const Loss<S> f(x, target, weight, options);
  parallel_for(x.shape[0], kExpCost * f.classes,
               [&](int64_t begin, int64_t end) { cross_entropy_rows(f, x.as<const S>(), loss, lse, begin, end); });
}

template <class S>
void cross_entropy_grad_as(const View& g, const View& x, const View& target, const View& weight, const View& lse,
                           const CrossEntropy& options, const View& gx) {
  using C = Wide<S>;
  const Loss<S> f(x, target, weight, options);
  const int64_t c = f.classes;
  parallel_for(x.shape[0], kExpCost * c, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      S* to = gx.as<S>() + r * c;
      if (f.target[r] == f.ignored) {
        std::memset(to, 0, c * sizeof(S));
      } else {
        gradient_row(f, x.as<const S>() + r * c, f.target[r], get<C>(g, r * g.strides[0]), get<C>(lse, r), to);
      }
    }
  });
}

}  // namespace

void cross_entropy(View x, View target, View weight, CrossEntropy options, View loss, View lse) {
  if (x.dtype == Dtype::f32) return cross_entropy_as<float>(x, target, weight, options, loss, lse);
  if (x.dtype == Dtype::f64) return cross_entropy_as<double>(x, target, weight, options, loss, lse);
  if (x.dtype == Dtype::f16) return cross_entropy_as<f16>(x, target, weight, options, loss, lse);
  return cross_entropy_as<bf16>(x, target, weight, options, loss, lse);
}

void cross_entropy_grad(View g, View x, View target, View weight, View lse, CrossEntropy options, View gx) {
  if (x.dtype == Dtype::f32) return cross_entropy_grad_as<float>(g, x, target, weight, lse, options, gx);
  if (x.dtype == Dtype::f64) return cross_entropy_grad_as<double>(g, x, target, weight, lse, options, gx);
  if (x.dtype == Dtype::f16) return cross_entropy_grad_as<f16>(g, x, target, weight, lse, options, gx);
  return cross_entropy_grad_as<bf16>(g, x, target, weight, lse, options, gx);
}

}  // namespace pydl::PYDL_ISA

// Losses of a prediction x and a target t of one shape: each term, their sum in one pass, and the gradients with
// respect to either. 16-bit floats are computed in float32 and rounded once. Sums are taken over pieces of kPiece
// elements in the float type, over pieces in float64, always in the same order.
#include "runtime/table/loss.h"

#include "kernels/element.h"
#include "runtime/parallel.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kPiece = 512;         // summed in the float type
constexpr int64_t kSpan = 16 * kPiece;  // summed by one thread
constexpr int64_t kPlainCost = 1, kExpCost = 5;

template <PairLoss kind>
struct Term;

// A term and its slopes: value(x, t, p), slope(x, t, p) in x and target_slope(x, t, p) in t.
#define PYDL_TERM(kind, weight, value_expression, slope_expression, target_expression)           \
  template <>                                                                                    \
  struct Term<PairLoss::kind> {                                                                  \
    static constexpr int64_t cost = weight;                                                      \
    template <class T>                                                                           \
    static Vec<T> value(Vec<T> x, Vec<T> t, [[maybe_unused]] Vec<T> p) {                         \
      return value_expression;                                                                   \
    }                                                                                            \
    template <class T>                                                                           \
    static Vec<T> slope([[maybe_unused]] Vec<T> x, Vec<T> t, [[maybe_unused]] Vec<T> p) {        \
      return slope_expression;                                                                   \
    }                                                                                            \
    template <class T>                                                                           \
    static Vec<T> target_slope(Vec<T> x, [[maybe_unused]] Vec<T> t, [[maybe_unused]] Vec<T> p) { \
      return target_expression;                                                                  \
    }                                                                                            \
  };

template <class T>
inline Vec<T> square(Vec<T> d) {
  return d * d;
}
template <class T>
inline Vec<T> sign(Vec<T> d) {
  return select(d > T(0), Vec<T>(T(1)), select(d < T(0), Vec<T>(T(-1)), Vec<T>()));
}
// d limited to [-p, p]; NaN stays.
template <class T>
inline Vec<T> limited(Vec<T> d, Vec<T> p) {
  return max(min(d, p), -p);
}
// d^2 / 2 up to |d| = p, then p (|d| - p / 2).
template <class T>
inline Vec<T> huber(Vec<T> d, Vec<T> p) {
  const Vec<T> c = limited(d, p);
  return c * (d - T(0.5) * c);
}
// log x, -100 at least.
template <class T>
inline Vec<T> limited_log(Vec<T> x) {
  return max(log(x), Vec<T>(T(-100)));
}
// sigmoid(x) - t, exact also where the two nearly cancel.
template <class T>
inline Vec<T> logits_slope(Vec<T> x, Vec<T> t) {
  const Vec<T> s = sigmoid(-abs(x));
  return select(x >= T(0), (T(1) - t) - s, s - t);
}
template <class T>
inline Vec<T> times_log(Vec<T> t) {
  return select(t == T(0), Vec<T>(), t * log(t));
}
// The slope of times_log, of numbers above 0; 0 at 0.
template <class T>
inline Vec<T> log_and_one(Vec<T> t) {
  return select(t <= T(0), Vec<T>(), log(t)) + select(t == T(0), Vec<T>(), Vec<T>(T(1)));
}

// clang-format off
PYDL_TERM(mse, kPlainCost, square(x - t), T(2) * (x - t), T(2) * (t - x))
PYDL_TERM(l1, kPlainCost, abs(x - t), sign(x - t), sign(t - x))
PYDL_TERM(huber, kPlainCost, huber(x - t, p), limited(x - t, p), limited(t - x, p))
PYDL_TERM(smooth_l1, kPlainCost, huber(x - t, p) / p, limited(x - t, p) / p, limited(t - x, p) / p)
PYDL_TERM(logits, 2 * kExpCost, max(x, Vec<T>()) - t * x + log1p(exp(-abs(x))), logits_slope(x, t), -x)
PYDL_TERM(probabilities, 2 * kExpCost, (t - T(1)) * limited_log(T(1) - x) - t * limited_log(x),
          (x - t) / max((T(1) - x) * x, Vec<T>(T(1e-12))), limited_log(T(1) - x) - limited_log(x))
PYDL_TERM(divergence, kExpCost, times_log(t) - t * x, -t, log_and_one(t) - x)
PYDL_TERM(log_divergence, kExpCost, exp(t) * (t - x), -exp(t), exp(t) * ((t - x) + T(1)))
PYDL_TERM(soft_margin, 2 * kExpCost, softplus(-(t * x)), -(t * sigmoid(-(t * x))), -(x * sigmoid(-(t * x))))
// clang-format on

template <PairLoss kind, class S>
void each_term(const View& x, const View& target, const PairLossOptions& options, const View& y) {
  using T = Wide<S>;
  constexpr int64_t N = Vec<T>::N;
  const Vec<T> p = static_cast<T>(options.parameter);
  const S *xs = x.as<const S>(), *ts = target.as<const S>();
  S* ys = y.as<S>();
  parallel_for(x.numel(), Term<kind>::cost, [&](int64_t i, int64_t end) {
    for (; i + N <= end; i += N) store(ys + i, Term<kind>::value(load<T>(xs + i), load<T>(ts + i), p));
    if (i < end) store(ys + i, Term<kind>::value(load<T>(xs + i, end - i), load<T>(ts + i, end - i), p), end - i);
  });
}

// The sum of the terms of one piece: two accumulators.
template <PairLoss kind, class T, class S>
inline T piece_sum(const S* xs, const S* ts, Vec<T> p, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  Vec<T> a, b;
  int64_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N) {
    a += Term<kind>::value(load<T>(xs + i), load<T>(ts + i), p);
    b += Term<kind>::value(load<T>(xs + i + N), load<T>(ts + i + N), p);
  }
  for (; i < n; i += N) {
    const int64_t rest = n - i < N ? n - i : N;
    const Vec<T> v = Term<kind>::value(load<T>(xs + i, rest), load<T>(ts + i, rest), p);
    a += select(first_lanes<T>(rest), v, Vec<T>());
  }
  return sum(a + b);
}

template <PairLoss kind, class S>
double span_sum(const S* xs, const S* ts, double parameter, int64_t n) {
  const Vec<Wide<S>> p = static_cast<Wide<S>>(parameter);
  double total = 0;
  for (int64_t i = 0; i < n; i += kPiece)
    total += static_cast<double>(piece_sum<kind>(xs + i, ts + i, p, n - i < kPiece ? n - i : kPiece));
  return total;
}

template <class S>
inline void put(const View& y, double value) {
  y.as<S>()[0] = narrow<S>(static_cast<Wide<S>>(value));
}

template <PairLoss kind, class S>
void sum_of_terms(const View& x, const View& target, const PairLossOptions& options, const View& y) {
  const S *xs = x.as<const S>(), *ts = target.as<const S>();
  const int64_t n = x.numel(), spans = (n + kSpan - 1) / kSpan;
  double total = 0;
  if (spans <= 1) {
    total = span_sum<kind>(xs, ts, options.parameter, n);
  } else {
    double* sums = static_cast<double*>(scratch(0, spans * sizeof(double)));
    parallel_for(spans, kSpan * Term<kind>::cost, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        const int64_t at = s * kSpan;
        sums[s] = span_sum<kind>(xs + at, ts + at, options.parameter, n - at < kSpan ? n - at : kSpan);
      }
    });
    for (int64_t s = 0; s < spans; ++s) total += sums[s];
  }
  put<S>(y, total * options.scale);
}

template <PairLoss kind, class S>
void gradient(const View& g, const View& x, const View& target, const PairLossOptions& options, const View& to) {
  using T = Wide<S>;
  constexpr int64_t N = Vec<T>::N;
  const bool each = g.strides[0] != 0;
  const Vec<T> p = static_cast<T>(options.parameter);
  const Vec<T> factor = each ? T(1) : static_cast<T>(static_cast<double>(element<T>(g, 0)) * options.scale);
  const S *gs = g.as<const S>(), *xs = x.as<const S>(), *ts = target.as<const S>();
  S* out = to.as<S>();
  const auto run = [&](const auto& slope) {
    const auto one = [&](int64_t i, auto... count) {
      const Vec<T> made = slope(load<T>(xs + i, count...), load<T>(ts + i, count...), p);
      store(out + i, made * (each ? load<T>(gs + i, count...) : factor), count...);
    };
    parallel_for(x.numel(), Term<kind>::cost, [&](int64_t i, int64_t end) {
      for (; i + N <= end; i += N) one(i);
      if (i < end) one(i, end - i);
    });
  };
  if (options.of_target) return run([](Vec<T> a, Vec<T> b, Vec<T> c) { return Term<kind>::target_slope(a, b, c); });
  run([](Vec<T> a, Vec<T> b, Vec<T> c) { return Term<kind>::slope(a, b, c); });
}

// f<kind, element>(arguments...) for the kind and dtype at hand.
#define PYDL_FOR_DTYPE(f, kind, dtype, ...)                \
  switch (dtype) {                                         \
    case Dtype::f32:                                       \
      return f<PairLoss::kind, float>(__VA_ARGS__);        \
    case Dtype::f64:                                       \
      return f<PairLoss::kind, double>(__VA_ARGS__);       \
    case Dtype::f16:                                       \
      return f<PairLoss::kind, ::pydl::f16>(__VA_ARGS__);  \
    default:                                               \
      return f<PairLoss::kind, ::pydl::bf16>(__VA_ARGS__); \
  }
#define PYDL_CASE(f, kind, dtype, ...) \
  case PairLoss::kind:                 \
    PYDL_FOR_DTYPE(f, kind, dtype, __VA_ARGS__)
#define PYDL_FOR_LOSS(f, dtype, ...)                 \
  switch (options.kind) {                            \
    PYDL_CASE(f, mse, dtype, __VA_ARGS__)            \
    PYDL_CASE(f, l1, dtype, __VA_ARGS__)             \
    PYDL_CASE(f, huber, dtype, __VA_ARGS__)          \
    PYDL_CASE(f, smooth_l1, dtype, __VA_ARGS__)      \
    PYDL_CASE(f, logits, dtype, __VA_ARGS__)         \
    PYDL_CASE(f, probabilities, dtype, __VA_ARGS__)  \
    PYDL_CASE(f, divergence, dtype, __VA_ARGS__)     \
    PYDL_CASE(f, log_divergence, dtype, __VA_ARGS__) \
    PYDL_CASE(f, soft_margin, dtype, __VA_ARGS__)    \
  }

// ---- negative log-likelihood

template <class S>
void nll_as(const View& x, const View& target, const View& weight, int64_t ignored, const View& loss,
            const View& weights) {
  const int64_t c = x.shape[1], m = x.shape[2];
  const S* w = weight.as<const S>();
  parallel_for(x.shape[0], 4 * m, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t* t = target.as<const int64_t>() + b * m;
      const S* xs = x.as<const S>() + b * c * m;
      S *ys = loss.as<S>() + b * m, *ws = weights.as<S>() + (weights.present() ? b * m : 0);
      for (int64_t j = 0; j < m; ++j) {
        const bool kept = t[j] != ignored;
        const Wide<S> factor = !kept ? 0 : w ? widened(w[t[j]]) : Wide<S>(1);
        ys[j] = narrow<S>(kept ? -factor * widened(xs[t[j] * m + j]) : Wide<S>(0));
        if (weights.present()) ws[j] = narrow<S>(factor);
      }
    }
  });
}

template <class S>
void nll_grad_as(const View& g, const View& target, const View& weight, const View& total, int64_t ignored,
                 const View& gx) {
  const int64_t c = gx.shape[1], m = gx.shape[2], step = g.strides[0];
  const S* w = weight.as<const S>();
  parallel_for(gx.shape[0], c * m, [&](int64_t begin, int64_t end) {
    const Wide<S> scale = total.present() ? 1 / element<Wide<S>>(total, 0) : Wide<S>(1);
    __builtin_memset(gx.as<char>() + begin * c * m * sizeof(S), 0, (end - begin) * c * m * sizeof(S));
    for (int64_t b = begin; b < end; ++b) {
      const int64_t* t = target.as<const int64_t>() + b * m;
      const S* gs = g.as<const S>() + b * m * step;
      S* to = gx.as<S>() + b * c * m;
      for (int64_t j = 0; j < m; ++j) {
        if (t[j] == ignored) continue;
        const Wide<S> factor = w ? widened(w[t[j]]) : Wide<S>(1);
        to[t[j] * m + j] = narrow<S>(-factor * scale * widened(gs[j * step]));
      }
    }
  });
}

// The sum of n elements in float64, in eight strands so that additions overlap.
template <class S>
double strand_sum(const S* x, int64_t n) {
  double s[8]{};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) s[k] += static_cast<double>(widened(x[i + k]));
  for (; i < n; ++i) s[0] += static_cast<double>(widened(x[i]));
  return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

template <class S>
void loss_total_as(const View& loss, const View& weights, double scale, const View& y, const View& total) {
  double value = strand_sum(loss.as<const S>(), loss.numel()) * scale;
  if (weights.present()) {
    const double all = strand_sum(weights.as<const S>(), loss.numel());
    value /= all;
    total.as<Wide<S>>()[0] = static_cast<Wide<S>>(all);
  }
  put<S>(y, value);
}

}  // namespace

void pair_loss(View x, View target, PairLossOptions options, View y) {
  PYDL_FOR_LOSS(each_term, x.dtype, x, target, options, y)
}

void pair_loss_sum(View x, View target, PairLossOptions options, View y) {
  PYDL_FOR_LOSS(sum_of_terms, x.dtype, x, target, options, y)
}

void pair_loss_grad(View g, View x, View target, PairLossOptions options, View to) {
  PYDL_FOR_LOSS(gradient, x.dtype, g, x, target, options, to)
}

void nll(View x, View target, View weight, int64_t ignored, View loss, View weights) {
  if (x.dtype == Dtype::f32) return nll_as<float>(x, target, weight, ignored, loss, weights);
  if (x.dtype == Dtype::f64) return nll_as<double>(x, target, weight, ignored, loss, weights);
  if (x.dtype == Dtype::f16) return nll_as<f16>(x, target, weight, ignored, loss, weights);
  return nll_as<bf16>(x, target, weight, ignored, loss, weights);
}

void nll_grad(View g, View target, View weight, View total, int64_t ignored, View gx) {
  if (gx.dtype == Dtype::f32) return nll_grad_as<float>(g, target, weight, total, ignored, gx);
  if (gx.dtype == Dtype::f64) return nll_grad_as<double>(g, target, weight, total, ignored, gx);
  if (gx.dtype == Dtype::f16) return nll_grad_as<f16>(g, target, weight, total, ignored, gx);
  return nll_grad_as<bf16>(g, target, weight, total, ignored, gx);
}

void loss_total(View loss, View weights, double scale, View y, View total) {
  if (loss.dtype == Dtype::f32) return loss_total_as<float>(loss, weights, scale, y, total);
  if (loss.dtype == Dtype::f64) return loss_total_as<double>(loss, weights, scale, y, total);
  if (loss.dtype == Dtype::f16) return loss_total_as<f16>(loss, weights, scale, y, total);
  return loss_total_as<bf16>(loss, weights, scale, y, total);
}

}  // namespace pydl::PYDL_ISA

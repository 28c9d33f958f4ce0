// Losses of a prediction x and a target t of one shape, the negative log-likelihood, and their sums. 16-bit floats are
// computed in float32 and rounded once; sums are taken in float64, over pieces of a size that n alone decides.
#include "coded.cuh"
#include "formulas.cuh"
#include "rows.cuh"
#include "runtime/table/loss.h"

namespace pydl::cuda {
namespace {

constexpr int64_t kPiece = 8192, kMostPieces = 1024;  // elements that a block sums, at least; blocks

template <class T>
__device__ __forceinline__ T limited(T d, T p) {  // to [-p, p]; NaN stays
  return larger(smaller(d, p), -p);
}
// d^2 / 2 up to |d| = p, then p (|d| - p / 2).
template <class T>
__device__ __forceinline__ T huber(T d, T p) {
  const T c = limited(d, p);
  return c * (d - T(0.5) * c);
}
// log x, -100 at least.
template <class T>
__device__ __forceinline__ T limited_log(T x) {
  return larger(std::log(x), T(-100));
}
// sigmoid(x) - t, exact also where the two nearly cancel.
template <class T>
__device__ __forceinline__ T logits_slope(T x, T t) {
  const T s = sigmoid(-std::abs(x));
  return x >= T(0) ? (T(1) - t) - s : s - t;
}
template <class T>
__device__ __forceinline__ T times_log(T t) {
  return t == T(0) ? T(0) : t * std::log(t);
}
// The slope of times_log, of numbers above 0; 0 at 0.
template <class T>
__device__ __forceinline__ T log_and_one(T t) {
  return (t <= T(0) ? T(0) : std::log(t)) + (t == T(0) ? T(0) : T(1));
}
template <class T>
__device__ __forceinline__ T sign(T d) {
  return d > T(0) ? T(1) : d < T(0) ? T(-1) : T(0);
}

template <PairLoss kind>
struct Term;
#define PYDL_TERM(name, value_expression, slope_expression, target_expression)                          \
  template <>                                                                                           \
  struct Term<PairLoss::name> {                                                                         \
    template <class T>                                                                                  \
    static __device__ __forceinline__ T value(T x, T t, [[maybe_unused]] T p) {                         \
      return value_expression;                                                                          \
    }                                                                                                   \
    template <class T>                                                                                  \
    static __device__ __forceinline__ T slope([[maybe_unused]] T x, T t, [[maybe_unused]] T p) {        \
      return slope_expression;                                                                          \
    }                                                                                                   \
    template <class T>                                                                                  \
    static __device__ __forceinline__ T target_slope(T x, [[maybe_unused]] T t, [[maybe_unused]] T p) { \
      return target_expression;                                                                         \
    }                                                                                                   \
  };
// clang-format off
PYDL_TERM(mse, (x - t) * (x - t), T(2) * (x - t), T(2) * (t - x))
PYDL_TERM(l1, std::abs(x - t), sign(x - t), sign(t - x))
PYDL_TERM(huber, cuda::huber(x - t, p), limited(x - t, p), limited(t - x, p))
PYDL_TERM(smooth_l1, cuda::huber(x - t, p) / p, limited(x - t, p) / p, limited(t - x, p) / p)
PYDL_TERM(logits, larger(x, T(0)) - t * x + std::log1p(std::exp(-std::abs(x))), logits_slope(x, t), -x)
PYDL_TERM(probabilities, (t - T(1)) * limited_log(T(1) - x) - t * limited_log(x),
          (x - t) / larger((T(1) - x) * x, T(1e-12)), limited_log(T(1) - x) - limited_log(x))
PYDL_TERM(divergence, times_log(t) - t * x, -t, log_and_one(t) - x)
PYDL_TERM(log_divergence, std::exp(t) * (t - x), -std::exp(t), std::exp(t) * ((t - x) + T(1)))
PYDL_TERM(soft_margin, softplus(-(t * x)), -(t * sigmoid(-(t * x))), -(x * sigmoid(-(t * x))))
// clang-format on
#undef PYDL_TERM

#define PYDL_PAIR_LOSS(X) \
  X(mse) X(l1) X(huber) X(smooth_l1) X(logits) X(probabilities) X(divergence) X(log_divergence) X(soft_margin)

struct Value {
  static constexpr bool kQuick = false;
  PairLoss kind;
  double p;
  template <class T>
  __device__ __forceinline__ T operator()(T x, T t) const {
    switch (kind) {
#define PYDL_CASE(name) \
  case PairLoss::name:  \
    return Term<PairLoss::name>::value(x, t, T(p));
      PYDL_PAIR_LOSS(PYDL_CASE)
#undef PYDL_CASE
    }
    return x;
  }
};

// In x, or in the target. g has one number for each term, or is the gradient of the sum, to be multiplied by scale.
struct Slope {
  static constexpr bool kQuick = false;
  PairLoss kind;
  bool of_target;
  double p, scale;
  bool each;
  template <class T>
  __device__ __forceinline__ T operator()(T g, T x, T t) const {
    const T factor = each ? g : static_cast<T>(static_cast<double>(g) * scale);
    switch (kind) {
#define PYDL_CASE(name)                                                                                             \
  case PairLoss::name:                                                                                              \
    return (of_target ? Term<PairLoss::name>::target_slope(x, t, T(p)) : Term<PairLoss::name>::slope(x, t, T(p))) * \
           factor;
      PYDL_PAIR_LOSS(PYDL_CASE)
#undef PYDL_CASE
    }
    return g;
  }
};

View flat(const View& x) {  // of dense x
  View y = x;
  y.ndim = 1;
  y.shape[0] = x.numel();
  y.strides[0] = 1;
  return y;
}

// ---- sums

// Term i of what is summed: a loss, or an element.
template <class C>
struct PairTerm {
  Value value;
  const void *x, *t;
  Dtype dtype;
  __device__ double operator()(int64_t i) const {
    return value(load_element<C>(x, dtype, i), load_element<C>(t, dtype, i));
  }
};
template <class C>
struct Element {
  const void* x;
  Dtype dtype;
  __device__ double operator()(int64_t i) const { return load_element<C>(x, dtype, i); }
};

template <class F>
__global__ void __launch_bounds__(kRowThreads) piece_sums(F term, int64_t n, int64_t piece, double* sums) {
  const RowGroup<kRowThreads> group;
  const int64_t begin = blockIdx.x * piece, end = begin + piece < n ? begin + piece : n;
  double total = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kRowThreads) total += term(i);
  total = group.sum(total);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// y = scale * (the sum of pieces), divided by the sum of others where there are any, which then goes to total.
template <class S>
__global__ void __launch_bounds__(kRowThreads)
    finish_sum(const double* sums, const double* others, int64_t pieces, double scale, S* y, Wide<S>* total) {
  const RowGroup<kRowThreads> group;
  double value = 0, all = 0;
  for (int64_t i = threadIdx.x; i < pieces; i += kRowThreads) {
    value += sums[i];
    if (others) all += others[i];
  }
  value = group.sum(value) * scale;
  if (others) {
    all = group.sum(all);
    value /= all;
  }
  if (threadIdx.x != 0) return;
  y[0] = narrowed<S>(static_cast<Wide<S>>(value));
  if (others) total[0] = static_cast<Wide<S>>(all);
}

struct Pieces {
  int64_t count, size;
  explicit Pieces(int64_t n) {
    count = ceil_div(n, kPiece);
    count = count < 1 ? 1 : count < kMostPieces ? count : kMostPieces;
    size = ceil_div(n, count);
  }
};

template <class F>
void sum_pieces(const F& term, int64_t n, const Pieces& pieces, double* sums) {
  start(piece_sums<F>, {static_cast<unsigned>(pieces.count), kRowThreads}, term, n, pieces.size, sums);
}

template <class S>
void total_of(const View& loss, const View& weights, double scale, const View& y, const View& total) {
  const int64_t n = loss.numel();
  const Pieces pieces(n);
  const Scratch sums(static_cast<size_t>(2 * pieces.count) * sizeof(double));
  double* others = weights.present() ? sums.as<double>() + pieces.count : nullptr;
  sum_pieces(Element<Wide<S>>{loss.data, loss.dtype}, n, pieces, sums.as<double>());
  if (others) sum_pieces(Element<Wide<S>>{weights.data, weights.dtype}, n, pieces, others);
  start(finish_sum<S>, {1, kRowThreads}, sums.as<const double>(), others, pieces.count, scale, y.as<S>(),
        total.as<Wide<S>>());
}

// ---- negative log-likelihood: x (n, c, m)

template <class S>
struct Classes {
  int64_t n, c, m, ignored;
  const int64_t* target;
  const S* weight;  // null: 1
  __device__ __forceinline__ Wide<S> factor(int64_t t) const {
    return t == ignored ? Wide<S>(0) : weight ? widened(weight[t]) : Wide<S>(1);
  }
};

template <class S>
__global__ void __launch_bounds__(kRowThreads) nll_kernel(Classes<S> k, const S* x, S* loss, S* weights) {
  const int64_t step = int64_t{gridDim.x} * kRowThreads;
  for (int64_t i = int64_t{blockIdx.x} * kRowThreads + threadIdx.x; i < k.n * k.m; i += step) {
    const int64_t t = k.target[i];
    const Wide<S> factor = k.factor(t);
    const int64_t at = (i / k.m * k.c + t) * k.m + i % k.m;
    loss[i] = narrowed<S>(t == k.ignored ? Wide<S>(0) : -factor * widened(x[at]));
    if (weights) weights[i] = narrowed<S>(factor);
  }
}

template <class S>
__global__ void __launch_bounds__(kRowThreads)
    nll_grad_kernel(Classes<S> k, const S* g, int64_t g_step, const Wide<S>* total, S* gx) {
  const int64_t step = int64_t{gridDim.x} * kRowThreads;
  const Wide<S> scale = total ? Wide<S>(1) / *total : Wide<S>(1);
  for (int64_t i = int64_t{blockIdx.x} * kRowThreads + threadIdx.x; i < k.n * k.c * k.m; i += step) {
    const int64_t row = i / (k.c * k.m) * k.m + i % k.m, own = i / k.m % k.c, t = k.target[row];
    const bool hit = t == own && t != k.ignored;
    gx[i] = narrowed<S>(hit ? -k.factor(t) * scale * widened(g[row * g_step]) : Wide<S>(0));
  }
}

}  // namespace

void pair_loss(View x, View target, PairLossOptions options, View y) {
  const View vx = flat(x), vt = flat(target), vy = flat(y);
  with_computed_float(x.dtype, [&](auto zero) {
    coded<decltype(zero), decltype(zero)>(Value{options.kind, options.parameter}, vy, vx, vt);
  });
}

void pair_loss_sum(View x, View target, PairLossOptions options, View y) {
  const int64_t n = x.numel();
  const Pieces pieces(n);
  const Scratch sums(static_cast<size_t>(pieces.count) * sizeof(double));
  with_computed_float(x.dtype, [&](auto zero) {
    const Value value{options.kind, options.parameter};
    sum_pieces(PairTerm<decltype(zero)>{value, x.data, target.data, x.dtype}, n, pieces, sums.as<double>());
  });
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    start(finish_sum<S>, {1, kRowThreads}, sums.as<const double>(), nullptr, pieces.count, options.scale, y.as<S>(),
          nullptr);
  });
}

void pair_loss_grad(View g, View x, View target, PairLossOptions options, View to) {
  const bool each = g.strides[0] != 0;
  View vg = flat(to);
  vg.data = g.data;
  vg.strides[0] = each;
  const View vx = flat(x), vt = flat(target), vy = flat(to);
  with_computed_float(x.dtype, [&](auto zero) {
    const Slope slope{options.kind, options.of_target, options.parameter, options.scale, each};
    coded<decltype(zero), decltype(zero)>(slope, vy, vg, vx, vt);
  });
}

void nll(View x, View target, View weight, int64_t ignored, View loss, View weights) {
  if (loss.numel() == 0) return;
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    const Classes<S> k{x.shape[0], x.shape[1], x.shape[2], ignored, target.as<const int64_t>(), weight.as<const S>()};
    start(nll_kernel<S>, {blocks_for(k.n * k.m, kRowThreads), kRowThreads}, k, x.as<const S>(), loss.as<S>(),
          weights.as<S>());
  });
}

void nll_grad(View g, View target, View weight, View total, int64_t ignored, View gx) {
  if (gx.numel() == 0) return;
  with_floating(gx.dtype, [&](auto zero) {
    using S = decltype(zero);
    const Classes<S> k{gx.shape[0],         gx.shape[1], gx.shape[2], ignored, target.as<const int64_t>(),
                       weight.as<const S>()};
    start(nll_grad_kernel<S>, {blocks_for(gx.numel(), kRowThreads), kRowThreads}, k, g.as<const S>(), g.strides[0],
          total.as<const Wide<S>>(), gx.as<S>());
  });
}

void loss_total(View loss, View weights, double scale, View y, View total) {
  with_floating(loss.dtype, [&](auto zero) { total_of<decltype(zero)>(loss, weights, scale, y, total); });
}

}  // namespace pydl::cuda

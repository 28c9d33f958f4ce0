// Softmax over dense rows, its logarithm, sums of exponentials, cross entropy, and their gradients. 16-bit floats are
// computed in float32 and rounded once. A row with NaN, +inf or nothing but -inf becomes NaN.
#include "formulas.cuh"
#include "rows.cuh"
#include "runtime/table/softmax.h"

namespace pydl::cuda {
namespace {

template <class C>
struct Norm {
  C max, sum;  // sum of exp(x - max)
};

template <class C, class G, class S>
__device__ __forceinline__ Norm<C> row_norm(const G& group, const S* x, int64_t n, int lanes) {
  C top = -infinity<C>();
  for (int64_t i = group.lane; i < n; i += lanes) top = larger(top, widened(x[i]));
  top = group.all(top, [](C a, C b) { return larger(a, b); });
  C total = 0;
  for (int64_t i = group.lane; i < n; i += lanes) total += std::exp(widened(x[i]) - top);
  return {top, group.sum(total)};
}

template <int kLanes, bool kLog, class S>
__global__ void __launch_bounds__(kRowThreads) softmax_kernel(int64_t rows, int64_t n, const S* x, S* y) {
  using C = Wide<S>;
  RowGroup<kLanes> group;
  for (; group.row - threadIdx.x / kLanes < rows; group.row += group.step) {
    const bool there = group.row < rows;
    const S* from = x + (there ? group.row : 0) * n;
    const Norm<C> norm = row_norm<C>(group, from, n, kLanes);
    if (!there) continue;
    const C log_sum = std::log(norm.sum), factor = C(1) / norm.sum;
    for (int64_t i = group.lane; i < n; i += kLanes) {
      const C shifted = widened(from[i]) - norm.max;
      y[group.row * n + i] = narrowed<S>(kLog ? shifted - log_sum : std::exp(shifted) * factor);
    }
  }
}

// Infinite where the largest element is; of nothing but -inf it is -inf.
template <int kLanes, class S>
__global__ void __launch_bounds__(kRowThreads, 4) logsumexp_kernel(int64_t rows, int64_t n, const S* x, S* y) {
  using C = Wide<S>;
  RowGroup<kLanes> group;
  for (; group.row - threadIdx.x / kLanes < rows; group.row += group.step) {
    const bool there = group.row < rows;
    const Norm<C> norm = row_norm<C>(group, x + (there ? group.row : 0) * n, n, kLanes);
    if (!there || group.lane != 0) continue;
    const bool finite = std::abs(norm.max) < infinity<C>();
    y[group.row] = narrowed<S>(finite ? norm.max + std::log(norm.sum) : norm.max);
  }
}

// gx = y (g - sum(g y)), or of the logarithm g - exp(y) sum(g).
template <int kLanes, bool kLog, class S>
__global__ void __launch_bounds__(kRowThreads)
    softmax_grad_kernel(int64_t rows, int64_t n, const S* g, const S* y, S* gx) {
  using C = Wide<S>;
  RowGroup<kLanes> group;
  for (; group.row - threadIdx.x / kLanes < rows; group.row += group.step) {
    const bool there = group.row < rows;
    const int64_t base = (there ? group.row : 0) * n;
    C total = 0;
    for (int64_t i = group.lane; i < n; i += kLanes)
      total += kLog ? widened(g[base + i]) : widened(g[base + i]) * widened(y[base + i]);
    total = group.sum(total);
    if (!there) continue;
    for (int64_t i = group.lane; i < n; i += kLanes) {
      const C slope = widened(g[base + i]), value = widened(y[base + i]);
      gx[base + i] = narrowed<S>(kLog ? slope - std::exp(value) * total : value * (slope - total));
    }
  }
}

template <bool kLog>
void softmax_of(const View& x, const View& y) {
  if (x.numel() == 0) return;
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    with_lanes(x.shape[0], x.shape[1], [&](auto lanes, unsigned blocks) {
      start(softmax_kernel<decltype(lanes)::value, kLog, S>, {blocks, kRowThreads}, x.shape[0], x.shape[1],
            x.as<const S>(), y.as<S>());
    });
  });
}

template <bool kLog>
void softmax_grad_of(const View& g, const View& y, const View& gx) {
  if (y.numel() == 0) return;
  with_floating(y.dtype, [&](auto zero) {
    using S = decltype(zero);
    with_lanes(y.shape[0], y.shape[1], [&](auto lanes, unsigned blocks) {
      start(softmax_grad_kernel<decltype(lanes)::value, kLog, S>, {blocks, kRowThreads}, y.shape[0], y.shape[1],
            g.as<const S>(), y.as<const S>(), gx.as<S>());
    });
  });
}

// ---- cross entropy, with w the class weights (1 if left out) and e the label smoothing:
//   loss = (1 - e) w[t] (lse - x[t]) + e / c sum_j w[j] (lse - x[j])
// Rows whose target is ignored have loss 0, gradient 0 and lse 0.

template <class S>
struct Scores {
  using C = Wide<S>;
  int64_t rows, classes;
  const S *x, *weight;  // weight null: 1
  const int64_t* target;
  int64_t ignored;
  C keep, spread;  // 1 - e and e / c

  __device__ __forceinline__ C weight_of(int64_t j) const { return weight ? widened(weight[j]) : C(1); }
};

template <class S>
Scores<S> scores_of(const View& x, const View& target, const View& weight, const CrossEntropy& o) {
  using C = Wide<S>;
  return {x.shape[0],
          x.shape[1],
          x.as<const S>(),
          weight.as<const S>(),
          target.as<const int64_t>(),
          o.ignore_index,
          static_cast<C>(1 - o.label_smoothing),
          static_cast<C>(o.label_smoothing / static_cast<double>(x.shape[1]))};
}

template <int kLanes, class S>
__global__ void __launch_bounds__(kRowThreads) cross_entropy_kernel(Scores<S> s, S* loss, Wide<S>* lse, S* weights) {
  using C = Wide<S>;
  RowGroup<kLanes> group;
  for (; group.row - threadIdx.x / kLanes < s.rows; group.row += group.step) {
    const bool there = group.row < s.rows;
    const int64_t r = there ? group.row : 0;
    const S* x = s.x + r * s.classes;
    const Norm<C> norm = row_norm<C>(group, x, s.classes, kLanes);
    C gaps = 0, mass = 0;  // sums of w[j] (max - x[j]) and w[j]
    if (s.spread != C(0)) {
      for (int64_t j = group.lane; j < s.classes; j += kLanes) {
        mass += s.weight_of(j);
        gaps += s.weight_of(j) * (norm.max - widened(x[j]));
      }
      mass = group.sum(mass);
      gaps = group.sum(gaps);
    }
    if (!there || group.lane != 0) continue;
    const int64_t t = s.target[r];
    const bool kept = t != s.ignored;
    const C log_sum = std::log(norm.sum);
    C value = 0;
    if (kept) value = s.keep * s.weight_of(t) * ((norm.max - widened(x[t])) + log_sum);
    if (kept && s.spread != C(0)) value += s.spread * (gaps + mass * log_sum);
    loss[r] = narrowed<S>(value);
    lse[r] = kept ? norm.max + log_sum : C(0);
    if (weights) weights[r] = narrowed<S>(kept ? s.weight_of(t) : C(0));
  }
}

// gx[j] = g ((keep w[t] + spread sum(w)) p[j] - spread w[j] - [j == t] keep w[t]),  p[j] = exp(x[j] - lse)
template <int kLanes, class S>
__global__ void __launch_bounds__(kRowThreads, 4)
    cross_entropy_grad_kernel(Scores<S> s, const S* g, int64_t g_step, const Wide<S>* lse, const Wide<S>* total,
                              double scale, S* gx) {
  using C = Wide<S>;
  RowGroup<kLanes> group;
  C mass = 0;
  if (s.spread != C(0)) {
    for (int64_t j = group.lane; j < s.classes; j += kLanes) mass += s.weight_of(j);
    mass = group.sum(mass);
  }
  const C factor = total ? C(1) / *total : static_cast<C>(scale);
  for (; group.row < s.rows; group.row += group.step) {
    const int64_t r = group.row, t = s.target[r];
    const S* x = s.x + r * s.classes;
    S* to = gx + r * s.classes;
    const bool kept = t != s.ignored;
    const C one = widened(g[r * g_step]) * factor;
    const C at_target = kept ? one * s.keep * s.weight_of(t) : C(0), all = at_target + one * (s.spread * mass);
    for (int64_t j = group.lane; j < s.classes; j += kLanes) {
      C slope = all * std::exp(widened(x[j]) - lse[r]);
      if (s.spread != C(0)) slope -= one * s.spread * s.weight_of(j);
      if (j == t) slope -= at_target;
      to[j] = narrowed<S>(kept ? slope : C(0));
    }
  }
}

// ---- targets that are probabilities: with q[j] = w[j] ((1 - e) t[j] + e / c),
//   loss = sum_j q[j] (lse - x[j]),   gx[j] = g (p[j] sum(q) - q[j])

template <int kLanes, class S>
__global__ void __launch_bounds__(kRowThreads)
    soft_entropy_kernel(Scores<S> s, const S* target, S* loss, Wide<S>* lse, Wide<S>* mass) {
  using C = Wide<S>;
  RowGroup<kLanes> group;
  for (; group.row - threadIdx.x / kLanes < s.rows; group.row += group.step) {
    const bool there = group.row < s.rows;
    const int64_t base = (there ? group.row : 0) * s.classes;
    const Norm<C> norm = row_norm<C>(group, s.x + base, s.classes, kLanes);
    C all = 0, gaps = 0;
    for (int64_t j = group.lane; j < s.classes; j += kLanes) {
      const C q = s.weight_of(j) * (s.keep * widened(target[base + j]) + s.spread);
      all += q;
      if (q != C(0)) gaps += q * (norm.max - widened(s.x[base + j]));  // nothing is expected of a score of -inf
    }
    all = group.sum(all);
    gaps = group.sum(gaps);
    if (!there || group.lane != 0) continue;
    const C log_sum = std::log(norm.sum);
    loss[group.row] = narrowed<S>(gaps + all * log_sum);
    lse[group.row] = norm.max + log_sum;
    mass[group.row] = all;
  }
}

template <class S>
__global__ void __launch_bounds__(kRowThreads)
    soft_entropy_grad_kernel(Scores<S> s, const S* target, const S* g, int64_t g_step, const Wide<S>* lse,
                             const Wide<S>* mass, double scale, S* gx) {
  using C = Wide<S>;
  const int64_t n = s.rows * s.classes, step = int64_t{gridDim.x} * kRowThreads;
  for (int64_t i = int64_t{blockIdx.x} * kRowThreads + threadIdx.x; i < n; i += step) {
    const int64_t r = i / s.classes, j = i - r * s.classes;
    const C q = s.weight_of(j) * (s.keep * widened(target[i]) + s.spread);
    const C p = std::exp(widened(s.x[i]) - lse[r]);
    gx[i] = narrowed<S>(widened(g[r * g_step]) * static_cast<C>(scale) * (p * mass[r] - q));
  }
}

}  // namespace

void soft_entropy(View x, View target, View weight, CrossEntropy options, View loss, View lse, View mass) {
  if (x.shape[0] == 0) return;
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    with_lanes(x.shape[0], x.shape[1], [&](auto lanes, unsigned blocks) {
      start(soft_entropy_kernel<decltype(lanes)::value, S>, {blocks, kRowThreads},
            scores_of<S>(x, View{}, weight, options), target.as<const S>(), loss.as<S>(), lse.as<Wide<S>>(),
            mass.as<Wide<S>>());
    });
  });
}

void soft_entropy_grad(View g, View x, View target, View weight, View lse, View mass, CrossEntropy options, View gx) {
  if (x.numel() == 0) return;
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    start(soft_entropy_grad_kernel<S>, {blocks_for(x.numel(), kRowThreads), kRowThreads},
          scores_of<S>(x, View{}, weight, options), target.as<const S>(), g.as<const S>(), g.strides[0],
          lse.as<const Wide<S>>(), mass.as<const Wide<S>>(), options.scale, gx.as<S>());
  });
}

void logsumexp(View x, View y) {
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    with_lanes(x.shape[0], x.shape[1], [&](auto lanes, unsigned blocks) {
      start(logsumexp_kernel<decltype(lanes)::value, S>, {blocks, kRowThreads}, x.shape[0], x.shape[1], x.as<const S>(),
            y.as<S>());
    });
  });
}

void softmax(View x, View y) { softmax_of<false>(x, y); }
void log_softmax(View x, View y) { softmax_of<true>(x, y); }
void softmax_grad(View g, View y, View gx) { softmax_grad_of<false>(g, y, gx); }
void log_softmax_grad(View g, View y, View gx) { softmax_grad_of<true>(g, y, gx); }

void cross_entropy(View x, View target, View weight, CrossEntropy options, View loss, View lse, View weights) {
  if (x.shape[0] == 0) return;
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    with_lanes(x.shape[0], x.shape[1], [&](auto lanes, unsigned blocks) {
      start(cross_entropy_kernel<decltype(lanes)::value, S>, {blocks, kRowThreads},
            scores_of<S>(x, target, weight, options), loss.as<S>(), lse.as<Wide<S>>(), weights.as<S>());
    });
  });
}

void cross_entropy_grad(View g, View x, View target, View weight, View lse, View total, CrossEntropy options, View gx) {
  if (x.numel() == 0) return;
  with_floating(x.dtype, [&](auto zero) {
    using S = decltype(zero);
    with_lanes(x.shape[0], x.shape[1], [&](auto lanes, unsigned blocks) {
      start(cross_entropy_grad_kernel<decltype(lanes)::value, S>, {blocks, kRowThreads},
            scores_of<S>(x, target, weight, options), g.as<const S>(), g.strides[0], lse.as<const Wide<S>>(),
            total.as<const Wide<S>>(), options.scale, gx.as<S>());
    });
  });
}

}  // namespace pydl::cuda

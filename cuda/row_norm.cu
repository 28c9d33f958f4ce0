// Rows normalised each by itself, by a warp or, where they are long, by a block. A row that fits into the registers of
// its threads is read once; its mean is taken off before the squares are summed, so a large mean costs no accuracy.
#include <cmath>

#include "norm.cuh"
#include "rows.cuh"
#include "runtime/table/norm.h"

namespace pydl::cuda {
namespace {

constexpr int kHeld = 4;  // vectors of a row that a thread keeps

// A row as vectors of its threads: element k of a thread's vector number v. Rows that do not lie on vectors are dealt
// out one by one.
template <int kLanes>
struct Deal {
  int64_t n;
  bool vectors;
  int lane;

  __device__ __forceinline__ int64_t at(int64_t v, int k) const {
    return vectors ? (v * kLanes + lane) * kVector + k : (v * kVector + k) * kLanes + lane;
  }
  __device__ __forceinline__ int64_t count() const { return (n + kLanes * kVector - 1) / (kLanes * kVector); }

  template <class C>
  __device__ __forceinline__ void load(const Source<C>& x, int64_t row, int64_t v, C (&to)[kVector]) const {
    if (vectors) {
      if (at(v, 0) < n) return x.load(row + at(v, 0), to);
#pragma unroll
      for (int k = 0; k < kVector; ++k) to[k] = C(0);
      return;
    }
#pragma unroll
    for (int k = 0; k < kVector; ++k) to[k] = at(v, k) < n ? x[row + at(v, k)] : C(0);
  }
  template <class C>
  __device__ __forceinline__ void store(const Target<C>& y, int64_t row, int64_t v, const C (&from)[kVector]) const {
    if (vectors) {
      if (at(v, 0) < n) y.store(row + at(v, 0), from);
      return;
    }
#pragma unroll
    for (int k = 0; k < kVector; ++k)
      if (at(v, k) < n) y.put(row + at(v, k), from[k]);
  }

  // Calls f(number, vector): from the registers as far as they reach.
  template <class C, class F>
  __device__ __forceinline__ void each(const Source<C>& x, int64_t row, C (&held)[kHeld][kVector], const F& f) const {
    const int64_t all = count();
#pragma unroll
    for (int v = 0; v < kHeld; ++v)
      if (v < all) f(int64_t{v}, held[v]);
    for (int64_t v = kHeld; v < all; ++v) {
      C own[kVector];
      load(x, row, v, own);
      f(v, own);
    }
  }
  template <class C>
  __device__ __forceinline__ void hold(const Source<C>& x, int64_t row, C (&held)[kHeld][kVector]) const {
#pragma unroll
    for (int v = 0; v < kHeld; ++v)
      if (v < count()) load(x, row, v, held[v]);
  }
};

template <class C>
struct Weights {
  const C *weight, *bias;  // null where absent
  int64_t groups, per_row;
  Divisor by_inner;

  __device__ __forceinline__ int64_t base(int64_t row) const { return row % groups * per_row; }
  // Vector v of a gradient's row, times the weights.
  template <int kLanes>
  __device__ __forceinline__ void load(const Deal<kLanes>& deal, const Source<C>& g, int64_t row, int64_t base,
                                       int64_t v, C (&gs)[kVector]) const {
    deal.load(g, row, v, gs);
    if (!weight) return;
#pragma unroll
    for (int k = 0; k < kVector; ++k) {
      const int64_t at = deal.at(v, k);
      gs[k] *= weight[base + by_inner(at < deal.n ? at : 0)];
    }
  }
};

// The mean of a row: around its first element, so that equal numbers have exactly their own mean.
template <int kLanes, class C>
__device__ __forceinline__ C mean_of(const RowGroup<kLanes>& group, const Deal<kLanes>& deal, const Source<C>& x,
                                     int64_t row, C (&held)[kHeld][kVector]) {
  const C first = deal.n ? x[row] : C(0);
  C sum = 0;
  deal.each(x, row, held, [&](int64_t v, const C(&own)[kVector]) {
#pragma unroll
    for (int k = 0; k < kVector; ++k) sum += deal.at(v, k) < deal.n ? own[k] - first : C(0);
  });
  return first + group.sum(sum) / static_cast<C>(deal.n);
}

template <int kLanes, class C>
__device__ __forceinline__ C variance_of(const RowGroup<kLanes>& group, const Deal<kLanes>& deal, const Source<C>& x,
                                         int64_t row, C mean, C (&held)[kHeld][kVector]) {
  C sum = 0;
  deal.each(x, row, held, [&](int64_t v, const C(&own)[kVector]) {
#pragma unroll
    for (int k = 0; k < kVector; ++k) sum += deal.at(v, k) < deal.n ? (own[k] - mean) * (own[k] - mean) : C(0);
  });
  return group.sum(sum) / static_cast<C>(deal.n);
}

template <int kLanes, class C>
__global__ void __launch_bounds__(kRowThreads)
    row_norm_kernel(int64_t rows, int64_t n, bool vectors, bool centred, C eps, Weights<C> w, Source<C> x, Target<C> y,
                    C* mean, C* rstd) {
  RowGroup<kLanes> group;
  const Deal<kLanes> deal{n, vectors, group.lane};
  for (; group.row - threadIdx.x / kLanes < rows; group.row += group.step) {
    const bool there = group.row < rows;
    const int64_t r = there ? group.row : 0, row = r * n, base = w.base(r);
    C held[kHeld][kVector];
    deal.hold(x, row, held);
    const C m = centred ? mean_of(group, deal, x, row, held) : C(0);
    const C s = C(1) / std::sqrt(variance_of(group, deal, x, row, m, held) + eps);
    if (!there) continue;
    deal.each(x, row, held, [&](int64_t v, const C(&own)[kVector]) {
      C made[kVector];
#pragma unroll
      for (int k = 0; k < kVector; ++k) {
        const int64_t at = deal.at(v, k), j = base + w.by_inner(at < n ? at : 0);
        made[k] = (own[k] - m) * s;
        if (w.weight) made[k] *= w.weight[j];
        if (w.bias) made[k] += w.bias[j];
      }
      deal.store(y, row, v, made);
    });
    if (group.lane == 0) mean[r] = m, rstd[r] = s;
  }
}

// gx = rstd (g w - mean(g w) - xhat mean(g w xhat)); without centring, the middle term is left out.
template <int kLanes, class C>
__global__ void __launch_bounds__(kRowThreads)
    row_norm_grad_kernel(int64_t rows, int64_t n, bool vectors, bool centred, Weights<C> w, Source<C> g, Source<C> x,
                         const C* mean, const C* rstd, Target<C> gx) {
  RowGroup<kLanes> group;
  const Deal<kLanes> deal{n, vectors, group.lane};
  for (; group.row - threadIdx.x / kLanes < rows; group.row += group.step) {
    const bool there = group.row < rows;
    const int64_t r = there ? group.row : 0, row = r * n, base = w.base(r);
    const C m = mean[r], s = rstd[r];
    C held[kHeld][kVector], plain = 0, product = 0;
    deal.hold(x, row, held);
    deal.each(x, row, held, [&](int64_t v, const C(&own)[kVector]) {
      C gs[kVector];
      w.load(deal, g, row, base, v, gs);
#pragma unroll
      for (int k = 0; k < kVector; ++k) {
        if (deal.at(v, k) >= n) continue;
        plain += gs[k];
        product += gs[k] * (own[k] - m);
      }
    });
    plain = group.sum(plain);
    product = group.sum(product);
    if (!there) continue;
    const C b = -product / static_cast<C>(n) * s * s * s, c = centred ? -plain / static_cast<C>(n) * s : C(0);
    deal.each(x, row, held, [&](int64_t v, const C(&own)[kVector]) {
      C gs[kVector];
      w.load(deal, g, row, base, v, gs);
#pragma unroll
      for (int k = 0; k < kVector; ++k) gs[k] = gs[k] * s + ((own[k] - m) * b + c);
      deal.store(gx, row, v, gs);
    });
  }
}

template <class C>
Weights<C> weights_of(const RowNorm& o, const View& x, const View& weight, const View& bias) {
  return {weight.as<const C>(), bias.as<const C>(), o.groups, x.shape[1] / o.inner, Divisor(o.inner)};
}

}  // namespace

void row_norm(RowNorm o, View x, View weight, View bias, View y, View mean, View rstd) {
  const int64_t rows = x.shape[0], n = x.shape[1];
  if (rows == 0) return;
  const bool vectors = n % kVector == 0 && on_vectors(x) && on_vectors(y);
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    with_lanes(rows, n, [&](auto lanes, unsigned blocks) {
      start(row_norm_kernel<decltype(lanes)::value, C>, {blocks, kRowThreads}, rows, n, vectors, o.centred,
            static_cast<C>(o.eps), weights_of<C>(o, x, weight, bias), Source<C>(x), Target<C>(y), mean.as<C>(),
            rstd.as<C>());
    });
  });
}

// part: the CPU's memory to work in; here its presence says that sums are wanted.
void row_norm_grad(RowNorm o, View g, View x, View weight, View mean, View rstd, View gx, View part, View sums) {
  const int64_t rows = x.shape[0], n = x.shape[1], per_row = n / o.inner;
  if (x.numel() == 0) return;
  const bool vectors = n % kVector == 0 && on_vectors(x) && on_vectors(g) && on_vectors(gx);
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    with_lanes(rows, n, [&](auto lanes, unsigned blocks) {
      start(row_norm_grad_kernel<decltype(lanes)::value, C>, {blocks, kRowThreads}, rows, n, vectors, o.centred,
            weights_of<C>(o, x, weight, View{}), Source<C>(g), Source<C>(x), mean.as<const C>(), rstd.as<const C>(),
            Target<C>(gx));
    });
  });
  if (part.present())
    sum_gradients({rows / o.groups, per_row * o.groups, o.inner, o.groups, per_row}, g, x, mean, rstd, sums);
}

}  // namespace pydl::cuda

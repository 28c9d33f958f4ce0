// Rows normalised each by itself, by a warp or, where they are long, by a block. A row is read twice, from the caches
// the second time: for its moments, which join those of a few elements at a time, and for the result. A large mean
// costs no accuracy.
#include <cmath>

#include "norm.cuh"
#include "rows.cuh"
#include "runtime/table/norm.h"

namespace pydl::cuda {
namespace {

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
  // How many elements of vector v are there.
  __device__ __forceinline__ int count(int64_t v) const {
    const int64_t left = n - at(v, 0);
    if (left <= 0) return 0;
    const int64_t some = vectors ? left : (left + kLanes - 1) / kLanes;
    return static_cast<int>(some < kVector ? some : kVector);
  }
  // Calls f(number, elements there) for each of this thread's vectors.
  template <class F>
  __device__ __forceinline__ void each(const F& f) const {
#pragma unroll 1
    for (int64_t v = 0; at(v, 0) < n; ++v) f(v, count(v));
  }
  template <class C>
  __device__ __forceinline__ void load(const Source<C>& x, int64_t row, int64_t v, C (&to)[kVector]) const {
    if (vectors) return x.load(row + at(v, 0), to);
    const int there = count(v);
#pragma unroll
    for (int k = 0; k < kVector; ++k) to[k] = k < there ? x[row + at(v, k)] : C(0);
  }
  template <class C>
  __device__ __forceinline__ void store(const Target<C>& y, int64_t row, int64_t v, const C (&from)[kVector]) const {
    if (vectors) return y.store(row + at(v, 0), from);
    const int there = count(v);
#pragma unroll
    for (int k = 0; k < kVector; ++k)
      if (k < there) y.put(row + at(v, k), from[k]);
  }
};

template <class C>
struct Weights {
  const C *weight, *bias;  // null where absent
  int64_t groups, per_row;
  Divisor by_inner;

  __device__ __forceinline__ int64_t base(int64_t row) const { return row % groups * per_row; }
  // v (vector number `number` of a row) times its weights and, if asked for, plus its biases.
  template <int kLanes>
  __device__ __forceinline__ void apply(const Deal<kLanes>& deal, int64_t base, int64_t number, bool biased,
                                        C (&v)[kVector]) const {
    const int there = deal.count(number);
    if (!weight && !(biased && bias)) return;
#pragma unroll
    for (int k = 0; k < kVector; ++k) {
      if (k >= there) continue;
      const int64_t j = base + by_inner(deal.at(number, k));
      if (weight) v[k] *= weight[j];
      if (biased && bias) v[k] += bias[j];
    }
  }
};

// The moments of a row from those of its threads.
template <int kLanes, class C>
__device__ __forceinline__ Moments<C> joined(const RowGroup<kLanes>& group, const Moments<C>& own, C first, int64_t n) {
  const C all = static_cast<C>(n), mean = first + group.sum(own.n * (own.mean - first)) / all;
  return {all, mean, group.sum(own.spread + own.n * (own.mean - mean) * (own.mean - mean))};
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
    const C first = n && centred ? x[row] : C(0);
    Moments<C> own{0, first, 0};
    deal.each([&](int64_t v, int count) {
      C xs[kVector];
      deal.load(x, row, v, xs);
      if (centred) return own.join(Moments<C>::of(xs, count));
#pragma unroll
      for (int k = 0; k < kVector; ++k) own.spread += xs[k] * xs[k];  // those that are not there are 0
    });
    const Moments<C> all = joined(group, own, first, n);
    const C m = centred ? all.mean : C(0), s = C(1) / std::sqrt(all.spread / all.n + eps);
    if (!there) continue;
    deal.each([&](int64_t v, int) {
      C xs[kVector];
      deal.load(x, row, v, xs);
#pragma unroll
      for (int k = 0; k < kVector; ++k) xs[k] = (xs[k] - m) * s;
      w.apply(deal, base, v, true, xs);
      deal.store(y, row, v, xs);
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
    C plain = 0, product = 0;
    const auto load = [&](int64_t v, C(&gs)[kVector], C(&xs)[kVector]) {
      deal.load(g, row, v, gs);
      deal.load(x, row, v, xs);
      w.apply(deal, base, v, false, gs);
    };
    deal.each([&](int64_t v, int) {
      C gs[kVector], xs[kVector];
      load(v, gs, xs);
#pragma unroll
      for (int k = 0; k < kVector; ++k) plain += gs[k], product += gs[k] * (xs[k] - m);  // g that is not there is 0
    });
    plain = group.sum(plain), product = group.sum(product);
    if (!there) continue;
    const C b = -product / static_cast<C>(n) * s * s * s, c = centred ? -plain / static_cast<C>(n) * s : C(0);
    deal.each([&](int64_t v, int) {
      C gs[kVector], xs[kVector];
      load(v, gs, xs);
#pragma unroll
      for (int k = 0; k < kVector; ++k) gs[k] = gs[k] * s + ((xs[k] - m) * b + c);
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

// Channels normalised over the batch: moments of the parts of each channel, which a second launch combines in their
// order, then one pass that writes. A part is read once: moments of a few elements at a time are joined to those
// before. Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample
// variances".
#include <cmath>

#include "norm.cuh"
#include "runtime/table/norm.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 32;           // neighbouring channels of a block where their elements lie apart
constexpr int64_t kPartRounds = 8;     // times kVector elements that a thread reads, before a channel is cut into parts
constexpr int64_t kMostBlocks = 4096;  // of all channels and parts

// How the threads of a block lie over a channel's elements, and over its neighbours where there are no inner axes.
struct Plan {
  ChannelLayout l;
  Divisor by_inner, by_group;
  int64_t count;         // elements of a channel
  int32_t width, lanes;  // channels of a block, threads of each
  int64_t parts, part;   // of a channel, and the elements of each

  __device__ __forceinline__ int64_t place(int64_t c, int64_t i, int64_t* outer) const {
    const int64_t inside = by_inner.split(i);
    *outer = i;
    return (i * l.channels + c) * l.inner + inside;
  }
};

Plan plan_of(const ChannelLayout& l) {
  Plan p{};
  p.l = l, p.by_inner = Divisor(l.inner), p.by_group = Divisor(l.per_group);
  p.count = l.outer * l.inner;
  p.width = l.inner == 1 ? kColumns : 1;
  p.lanes = kThreads / p.width;
  const int64_t groups = ceil_div(l.channels, p.width);
  const int64_t wanted = ceil_div(p.count, int64_t{p.lanes} * kVector * kPartRounds);
  const int64_t spare = ceil_div(kMostBlocks, groups < 1 ? 1 : groups);
  p.parts = wanted < 1 ? 1 : wanted < spare ? wanted : spare;
  p.part = ceil_div(p.count, p.parts);
  return p;
}

dim3 blocks_of(const Plan& p) {
  return dim3(blocks_for(ceil_div(p.l.channels, p.width), 1), static_cast<unsigned>(p.parts));
}

template <class C>
struct Sums {
  C product, plain;
  __device__ __forceinline__ void join(const Sums& other) {
    product += other.product;
    plain += other.plain;
  }
};

// What the lanes of each channel have makes one, by halves; it is lane 0's.
template <class A>
__device__ __forceinline__ A join_lanes(const A& mine, int width, int lane) {
  __shared__ A all[kThreads];
  all[threadIdx.x] = mine;
  __syncthreads();
  for (int half = kThreads / width / 2; half > 0; half /= 2) {
    if (lane < half) all[threadIdx.x].join(all[threadIdx.x + half * width]);
    __syncthreads();
  }
  const A made = all[threadIdx.x];
  __syncthreads();
  return made;
}

// Calls f(first, count) for a lane's share of part blockIdx.y: up to kVector elements, `lanes` apart.
template <class F>
__device__ __forceinline__ void each_share(const Plan& p, int lane, const F& f) {
  const int64_t begin = blockIdx.y * p.part, stop = begin + p.part, end = stop < p.count ? stop : p.count;
#pragma unroll 1
  for (int64_t i = begin + lane; i < end; i += int64_t{kVector} * p.lanes) {
    const int64_t left = (end - i + p.lanes - 1) / p.lanes;
    f(i, static_cast<int>(left < kVector ? left : kVector));
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads) moments_kernel(Plan p, Source<C> x, Moments<C>* made) {
  const int own = threadIdx.x % p.width, lane = threadIdx.x / p.width;
  for (int64_t first = int64_t{blockIdx.x} * p.width; first < p.l.channels; first += int64_t{gridDim.x} * p.width) {
    const int64_t c = first + own;
    Moments<C> all{};
    if (c < p.l.channels)
      each_share(p, lane, [&](int64_t i, int count) {
        C v[kVector];
        int64_t unused;
#pragma unroll
        for (int k = 0; k < kVector; ++k) v[k] = k < count ? x[p.place(c, i + int64_t{k} * p.lanes, &unused)] : C(0);
        all.join(Moments<C>::of(v, count));
      });
    all = join_lanes(all, p.width, lane);
    if (lane == 0 && c < p.l.channels) made[blockIdx.y * p.l.channels + c] = all;
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    finish_moments(int64_t channels, int64_t parts, const Moments<C>* made, C eps, C momentum, C* running_mean,
                   C* running_var, C* mean, C* rstd) {
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < channels; c += int64_t{gridDim.x} * kThreads) {
    Moments<C> all{};
    for (int64_t i = 0; i < parts; ++i) all.join(made[i * channels + c]);
    const C var = all.spread / all.n;  // NaN without elements
    mean[c] = all.n > C(0) ? all.mean : var;
    rstd[c] = C(1) / std::sqrt(var + eps);
    if (!running_mean) continue;
    const C unbiased = all.spread / (all.n > C(1) ? all.n - C(1) : C(1));
    running_mean[c] = (C(1) - momentum) * running_mean[c] + momentum * mean[c];
    running_var[c] = (C(1) - momentum) * running_var[c] + momentum * (all.n > C(0) ? unbiased : var);
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    gradients_kernel(Plan p, Source<C> g, Source<C> x, const C* mean, const C* rstd, Sums<C>* made) {
  const int own = threadIdx.x % p.width, lane = threadIdx.x / p.width;
  for (int64_t first = int64_t{blockIdx.x} * p.width; first < p.l.channels; first += int64_t{gridDim.x} * p.width) {
    const int64_t c = first + own;
    Sums<C> all{};
    if (c < p.l.channels) {
      const int64_t group = p.by_group(c);
      each_share(p, lane, [&](int64_t i, int count) {
        C gs[kVector], xs[kVector];
        int64_t from[kVector];
#pragma unroll
        for (int k = 0; k < kVector; ++k) {
          int64_t outer = 0;
          const int64_t at = k < count ? p.place(c, i + int64_t{k} * p.lanes, &outer) : 0;
          from[k] = outer * p.l.groups + group;
          gs[k] = k < count ? g[at] : C(0);
          xs[k] = k < count ? x[at] : C(0);
        }
#pragma unroll
        for (int k = 0; k < kVector; ++k) {
          if (k >= count) continue;
          all.plain += gs[k];
          all.product += gs[k] * (xs[k] - mean[from[k]]) * rstd[from[k]];
        }
      });
    }
    all = join_lanes(all, p.width, lane);
    if (lane == 0 && c < p.l.channels) made[blockIdx.y * p.l.channels + c] = all;
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    finish_sums(int64_t channels, int64_t parts, const Sums<C>* made, C* product, C* plain) {
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < channels; c += int64_t{gridDim.x} * kThreads) {
    Sums<C> all{};
    for (int64_t i = 0; i < parts; ++i) all.join(made[i * channels + c]);
    product[c] = all.product;
    plain[c] = all.plain;
  }
}

// ---- what is written: y = g a + (x - m) b + s with numbers of each channel

template <class C>
struct Numbers {
  C m, a, b, s;
};

// The normalised channels: weight and bias absent where null; without statistics, x scale + shift.
template <class C>
struct Normalise {
  const C *mean, *rstd, *weight, *bias;
  __device__ __forceinline__ Numbers<C> operator()(int64_t c) const {
    const C scale = rstd ? rstd[c] : C(1);
    return {mean ? mean[c] : C(0), C(0), weight ? scale * weight[c] : scale, bias ? bias[c] : C(0)};
  }
};

// w rstd (g - mean(g) - xhat mean(g xhat))
template <class C>
struct Gradient {
  const C *mean, *rstd, *weight, *product, *plain;
  C count;
  __device__ __forceinline__ Numbers<C> operator()(int64_t c) const {
    const C a = weight ? rstd[c] * weight[c] : rstd[c];
    return {mean[c], a, -a * rstd[c] * (product[c] / count), -a * (plain[c] / count)};
  }
};

template <bool kGradient, class C>
__device__ __forceinline__ C blended(const Numbers<C>& n, C g, C x) {
  const C t = (x - n.m) * n.b + n.s;
  return kGradient ? g * n.a + t : t;
}

// vectors: runs of kVector elements are of one channel, or of neighbouring ones where inner is 1.
template <bool kGradient, class C, class F>
__global__ void __launch_bounds__(kThreads)
    blend_kernel(ChannelLayout l, Divisor by_inner, Divisor by_channels, bool vectors, F numbers, Source<C> g,
                 Source<C> x, Target<C> y) {
  const int64_t n = l.outer * l.channels * l.inner, step = int64_t{gridDim.x} * kThreads;
  const int64_t begin = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (!vectors) {
    for (int64_t i = begin; i < n; i += step) {
      int64_t c = by_inner(i);
      c = by_channels.split(c);
      y.put(i, blended<kGradient>(numbers(c), kGradient ? g[i] : C(0), x[i]));
    }
    return;
  }
  for (int64_t i = begin * kVector; i < n; i += step * kVector) {
    C gs[kVector] = {}, xs[kVector];
    x.load(i, xs);
    if (kGradient) g.load(i, gs);
    int64_t c = by_inner(i);
    c = by_channels.split(c);
    Numbers<C> now = numbers(c);
#pragma unroll
    for (int k = 0; k < kVector; ++k) {
      if (l.inner == 1 && k > 0) now = numbers(c + k);
      xs[k] = blended<kGradient>(now, gs[k], xs[k]);
    }
    y.store(i, xs);
  }
}

template <bool kGradient, class C, class F>
void blend(const ChannelLayout& l, const F& numbers, const View& g, const View& x, const View& y) {
  const int64_t n = l.outer * l.channels * l.inner, run = l.inner == 1 ? l.channels : l.inner;
  if (n == 0) return;
  const bool vectors = run % kVector == 0 && on_vectors(x) && on_vectors(y) && (!kGradient || on_vectors(g));
  const unsigned blocks = blocks_for(n, vectors ? kThreads * kVector : kThreads);
  start(blend_kernel<kGradient, C, F>, {blocks, kThreads}, l, Divisor(l.inner), Divisor(l.channels), vectors, numbers,
        Source<C>(g), Source<C>(x), Target<C>(y));
}

ChannelLayout layout_of(const View& x) { return {x.shape[0], x.shape[1], x.shape[2]}; }

}  // namespace

void sum_gradients(const ChannelLayout& l, const View& g, const View& x, const View& mean, const View& rstd,
                   const View& sums) {
  if (l.channels == 0) return;
  const Plan p = plan_of(l);
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    const Scratch memory(static_cast<size_t>(p.parts * l.channels) * sizeof(Sums<C>));
    auto* made = memory.as<Sums<C>>();
    start(gradients_kernel<C>, {blocks_of(p), kThreads}, p, Source<C>(g), Source<C>(x), mean.as<const C>(),
          rstd.as<const C>(), made);
    start(finish_sums<C>, {blocks_for(l.channels, kThreads), kThreads}, l.channels, p.parts, made, sums.as<C>(),
          sums.as<C>() + l.channels);
  });
}

void batch_norm(double eps, double momentum, View x, View weight, View bias, View running_mean, View running_var,
                View y, View mean, View rstd) {
  const ChannelLayout l = layout_of(x);
  if (l.channels == 0) return;
  const Plan p = plan_of(l);
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    const Scratch memory(static_cast<size_t>(p.parts * l.channels) * sizeof(Moments<C>));
    auto* made = memory.as<Moments<C>>();
    start(moments_kernel<C>, {blocks_of(p), kThreads}, p, Source<C>(x), made);
    start(finish_moments<C>, {blocks_for(l.channels, kThreads), kThreads}, l.channels, p.parts, made,
          static_cast<C>(eps), static_cast<C>(momentum), running_mean.as<C>(), running_var.as<C>(), mean.as<C>(),
          rstd.as<C>());
    blend<false, C>(l, Normalise<C>{mean.as<C>(), rstd.as<C>(), weight.as<C>(), bias.as<C>()}, View{}, x, y);
  });
}

void batch_norm_grad(View g, View x, View weight, View mean, View rstd, View gx, View sums) {
  ChannelLayout l = layout_of(x);
  sum_gradients(l, g, x, mean, rstd, sums);
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    const C* product = sums.as<const C>();
    blend<true, C>(l,
                   Gradient<C>{mean.as<C>(), rstd.as<C>(), weight.as<C>(), product, product + l.channels,
                               static_cast<C>(l.outer * l.inner)},
                   g, x, gx);
  });
}

void channel_affine(View x, View scale, View shift, View y) {
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    blend<false, C>(layout_of(x), Normalise<C>{nullptr, nullptr, scale.as<C>(), shift.as<C>()}, View{}, x, y);
  });
}

}  // namespace pydl::cuda

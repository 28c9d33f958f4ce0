// What the norms of rows and of channels share: moments, and sums of gradients over all that a weight meets.
#pragma once

#include "floats.cuh"

namespace pydl::cuda {

// The moments of some numbers, joined to those of others. spread: the sum of (x - mean)^2.
// Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
template <class C>
struct Moments {
  C n, mean, spread;

  __device__ __forceinline__ void join(const Moments& other) {
    if (other.n == C(0)) return;
    const C all = n + other.n, gap = other.mean - mean, share = other.n / all;
    mean += gap * share;
    spread += other.spread + gap * gap * n * share;
    n = all;
  }
  // Of the first `count` of v, at least one: around the first, so that equal numbers have exactly their own mean.
  static __device__ __forceinline__ Moments of(const C (&v)[kVector], int count) {
    C sum = 0, spread = 0;
#pragma unroll
    for (int k = 1; k < kVector; ++k) sum += k < count ? v[k] - v[0] : C(0);
    const C n = static_cast<C>(count), mean = v[0] + sum / n;
#pragma unroll
    for (int k = 0; k < kVector; ++k) spread += k < count ? (v[k] - mean) * (v[k] - mean) : C(0);
    return {n, mean, spread};
  }
};

// x as (outer, channels, inner), and which mean and deviation belong to channel c of outer row o: number
// o * groups + c / per_group, or, where outer rows share theirs, c.
struct ChannelLayout {
  int64_t outer, channels, inner;
  int64_t groups = 0, per_group = 1;
};

// sums (2, channels), of g (x - mean) rstd and of g; all statistics in C of the dtype.
void sum_gradients(const ChannelLayout& l, const View& g, const View& x, const View& mean, const View& rstd,
                   const View& sums);

}  // namespace pydl::cuda

// What the norms of rows and of channels share: sums of gradients over all that a weight meets.
#pragma once

#include "floats.cuh"

namespace pydl::cuda {

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

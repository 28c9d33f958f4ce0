// Pooling over windows of up to three axes.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// How the windows lie along one axis of n elements. Window o has `size` places from o * stride - pad on, `dilation`
// apart; those outside 0..n-1 are padding. Adaptive windows cut the axis into `out` parts, which may overlap by one.
struct PoolAxis {
  int64_t n = 1, out = 1, size = 1, stride = 1, pad = 0, dilation = 1;
  bool adaptive = false;
};

struct PoolWindow {
  PoolAxis axis[3];       // depth, height, width; axes that are not there have size 1
  bool count_pad = true;  // whether an average counts the padding
  int64_t divisor = 0;    // what an average divides by, if not 0
};

// x (planes, n), y (planes, m) dense, where n and m are the products of the window's n and out; index int32 within n
// clang-format off
#define PYDL_POOL_KERNELS(X) \
  X(max_pool,      (PoolWindow w, View x, View y, View index))  /* the first largest, or the last NaN */ \
  X(avg_pool,      (PoolWindow w, View x, View y)) \
  X(avg_pool_grad, (PoolWindow w, View g, View gx))             /* g like y, gx like x */ \
  X(pool_pick,     (View x, View index, View y))                /* y[p, j] = x[p, index[p, j]] */ \
  /* gx[p, index[p, j]] += g[p, j], in the order of j; y, like g: only where it is above 0, or absent */ \
  X(pool_place,    (PoolWindow w, View g, View index, View y, View gx))
// clang-format on
PYDL_FAMILY(PoolKernels, PYDL_POOL_KERNELS)

}  // namespace pydl

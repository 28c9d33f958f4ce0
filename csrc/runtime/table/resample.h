// Resampling: maps along up to three axes, columns of windows, and images read at free places.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// A sparse matrix (out, n) along one axis: y[o] is the sum over k of weight[k, o] * x[place[k, o]], without those k
// whose place is negative. Outputs in [lo, hi) are x[o + shift].
struct ResampleAxis {
  int64_t n = 1, out = 1;
  int64_t taps = 0;  // 0: y is x
  const int32_t* place = nullptr;
  const void* weight = nullptr;  // float64 for float64 arrays, else float32
  int64_t lo = 0, hi = 0, shift = 0;
  bool picks = true;  // at most one tap for each output, of weight 1
};

struct ResampleMap {
  ResampleAxis axis[3];  // depth, height, width
};

// Windows over an image (h, w): place (i, j) of window (oh, ow) reads [oh * stride + i * dilation - pad, ...].
struct FoldAxis {
  int64_t n, out, size, stride, pad, dilation;
};
struct FoldWindow {
  FoldAxis h, w;
};

enum GridMode : int { kGridBilinear, kGridNearest, kGridBicubic };
enum GridPadding : int { kGridZeros, kGridBorder, kGridReflection };

// Images of up to three axes (depth, height, width; those not there have size 1), read at m places each.
struct GridSampling {
  int64_t size[3];
  int axes;
  GridMode mode;
  GridPadding padding;
  bool align_corners;
};

// All dense. Floating dtypes; 16-bit floats are computed in float32. x (planes, n), y (planes, m) for maps;
// x (n, c, h w), columns (n, c, size, out) for windows; x (b, c, places), grid (b, m, axes), y (b, c, m) for grids.
// clang-format off
#define PYDL_RESAMPLE_KERNELS(X) \
  X(resample,         (ResampleMap map, View x, View y))                  /* uint8 too: rounded and clamped */ \
  X(unfold,           (FoldWindow w, View x, View columns)) \
  X(fold,             (FoldWindow w, View columns, View x))               /* sums where windows overlap */ \
  X(grid_sample,      (GridSampling s, View x, View grid, View y)) \
  X(grid_sample_back, (GridSampling s, View g, View grid, View gx))       /* the transpose of grid_sample */ \
  X(grid_sample_move, (GridSampling s, View x, View grid, View g, View ggrid))  /* the derivative in grid */
// clang-format on
PYDL_FAMILY(ResampleKernels, PYDL_RESAMPLE_KERNELS)

}  // namespace pydl

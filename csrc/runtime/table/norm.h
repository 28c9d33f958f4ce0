// Normalisation: of rows (layer, group, instance and root-mean-square norms) and of channels (batch norm).
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// Rows that are normalised each by itself. Row r has n elements, `inner` of them for each of its weights; the weights
// of row r begin at (r % groups) * n / inner. Layer norm: one group, inner 1.
struct RowNorm {
  int64_t groups, inner;
  double eps;
  bool centred;  // whether the mean is taken off; the root mean square norm leaves it
};

// Statistics, weights, biases and sums are float64 for float64 inputs and float32 for all others; weight and bias may
// be absent. All arrays are dense.
// clang-format off
#define PYDL_NORM_KERNELS(X) \
  /* x, y (rows, n), mean and rstd (rows); y = (x - mean) rstd weight + bias */ \
  X(row_norm, (RowNorm options, View x, View weight, View bias, View y, View mean, View rstd)) \
  /* gx like x; sums (2, weights) of g xhat and g, or absent; part (blocks, 2, weights) is memory to work in */ \
  X(row_norm_grad, (RowNorm options, View g, View x, View weight, View mean, View rstd, View gx, View part, View sums)) \
  /* x, y (outer, channels, inner), all others (channels); running_* absent or moved by momentum */ \
  X(batch_norm, (double eps, double momentum, View x, View weight, View bias, View running_mean, View running_var, \
                 View y, View mean, View rstd)) \
  X(batch_norm_grad, (View g, View x, View weight, View mean, View rstd, View gx, View sums)) \
  X(channel_affine, (View x, View scale, View shift, View y))  /* y = x scale + shift */
// clang-format on
PYDL_FAMILY(NormKernels, PYDL_NORM_KERNELS)

}  // namespace pydl

// Softmax and cross entropy over rows.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// Options of the fused cross entropy over rows of class scores.
struct CrossEntropy {
  int64_t ignore_index;
  double label_smoothing;
};

// Dense (rows, n)
// clang-format off
#define PYDL_SOFTMAX_KERNELS(X) \
  X(softmax,            (View x, View y)) \
  X(log_softmax,        (View x, View y)) \
  X(softmax_grad,       (View g, View y, View gx)) \
  X(log_softmax_grad,   (View g, View y, View gx)) \
  X(cross_entropy,      (View x, View target, View weight, CrossEntropy options, View loss, View lse)) \
  X(cross_entropy_grad, (View g, View x, View target, View weight, View lse, CrossEntropy options, View gx))
// clang-format on
PYDL_FAMILY(SoftmaxKernels, PYDL_SOFTMAX_KERNELS)

}  // namespace pydl

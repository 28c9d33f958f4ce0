// Softmax and cross entropy over rows.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// Options of the fused cross entropy over rows of class scores.
struct CrossEntropy {
  int64_t ignore_index;
  double label_smoothing;
  double scale;  // of the gradient
};

// Dense (rows, n)
// clang-format off
#define PYDL_SOFTMAX_KERNELS(X) \
  X(softmax,            (View x, View y)) \
  X(log_softmax,        (View x, View y)) \
  X(softmax_grad,       (View g, View y, View gx)) \
  X(log_softmax_grad,   (View g, View y, View gx)) \
  X(logsumexp,          (View x, View y)) /* y: (rows) */ \
  /* target (n): classes; loss, lse, weights (n): a row's weight, absent unless asked for */ \
  X(cross_entropy,      (View x, View target, View weight, CrossEntropy options, View loss, View lse, View weights)) \
  /* g: (n), or one with a stride of 0; divided by total where that is present */ \
  X(cross_entropy_grad, (View g, View x, View target, View weight, View lse, View total, CrossEntropy options, \
                         View gx)) \
  /* target (n, c): probabilities; mass (n): the weighted sum of a row's smoothed target */ \
  X(soft_entropy,       (View x, View target, View weight, CrossEntropy options, View loss, View lse, View mass)) \
  X(soft_entropy_grad,  (View g, View x, View target, View weight, View lse, View mass, CrossEntropy options, \
                         View gx))
// clang-format on
PYDL_FAMILY(SoftmaxKernels, PYDL_SOFTMAX_KERNELS)

}  // namespace pydl

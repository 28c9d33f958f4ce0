// Losses of a prediction and a target of one shape, and the negative log-likelihood of classes.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// One term of a loss, from x (the prediction) and t (the target); p is its parameter. Order known to pydl/ops/loss.py.
enum class PairLoss : int { mse, l1, huber, smooth_l1, logits, probabilities, divergence, log_divergence, soft_margin };
constexpr int kPairLosses = 9;

struct PairLossOptions {
  PairLoss kind;
  bool of_target;    // whether a gradient is that of the target, or else of x
  double parameter;  // delta of huber, beta of smooth_l1
  double scale;      // of the sum: 1, or 1 / n for the mean
};

// x, target, y and to are dense, of n elements.
// clang-format off
#define PYDL_LOSS_KERNELS(X) \
  X(pair_loss,      (View x, View target, PairLossOptions options, View y)) \
  X(pair_loss_sum,  (View x, View target, PairLossOptions options, View y)) /* y: one element */ \
  /* g: n elements, or one with a stride of 0 */ \
  X(pair_loss_grad, (View g, View x, View target, PairLossOptions options, View to)) \
  /* x (n, c, m), target (n, m), weight (c) or absent, loss and weights (n, m); ignored targets count for nothing */ \
  X(nll,            (View x, View target, View weight, int64_t ignored, View loss, View weights)) \
  /* g: (n, m), or one with a stride of 0; divided by total where that is present */ \
  X(nll_grad,       (View g, View target, View weight, View total, int64_t ignored, View gx)) \
  /* y = scale sum(loss), divided by total = sum(weights) where weights are present */ \
  X(loss_total,     (View loss, View weights, double scale, View y, View total))
// clang-format on
PYDL_FAMILY(LossKernels, PYDL_LOSS_KERNELS)

}  // namespace pydl

// Optimizer steps over lists of parameters.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// The hyperparameters of the optimizer kernels are one float64 array, read at each launch, so that a replayed launch
// sees them change. These are the places in it.
namespace sgd_hyper {
enum Hyper { lr, momentum, dampening, weight_decay, nesterov, maximize, first_step, count };
}
namespace adam_hyper {
enum Hyper { lr, beta1, beta2, eps, weight_decay, decoupled, maximize, eps_inside, step, count };
}

// All parameters in one launch; hyper is float64, its places are above
// clang-format off
#define PYDL_OPTIM_KERNELS(X) \
  X(sgd,         (Spans p, Spans g, Spans momentum, View hyper)) \
  X(adam,        (Spans p, Spans g, Spans m, Spans v, Spans vmax, View hyper)) \
  X(sum_squares, (Spans x, View y))  /* y[i] float64 = sum of squares of x[i] */ \
  X(scale,       (Spans x, View factor))  /* x *= factor (float64, one element) */
// clang-format on
PYDL_FAMILY(OptimKernels, PYDL_OPTIM_KERNELS)

}  // namespace pydl

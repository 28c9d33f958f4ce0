// Optimizer steps over lists of parameters.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// The hyperparameters of a step are one float64 array, read at each launch, so that a replayed launch sees them change.
// These are the places in it: first what all rules share, then those of each rule.
namespace step_hyper {
enum Hyper { lr, weight_decay, decoupled, maximize, own };
}
namespace sgd_hyper {
enum Hyper { momentum = step_hyper::own, dampening, nesterov, rate_inside, first_step, count };
}
namespace asgd_hyper {
enum Hyper { lambd = step_hyper::own, eta, mu, step, next_eta, next_mu, count };
}
namespace rprop_hyper {
enum Hyper { shrink = step_hyper::own, grow, least, most, step, count };
}
namespace lion_hyper {
enum Hyper { beta1 = step_hyper::own, beta2, count };
}
namespace adagrad_hyper {
enum Hyper { lr_decay = step_hyper::own, eps, eps_inside, step, count };
}
namespace adadelta_hyper {
enum Hyper { rho = step_hyper::own, eps, step, count };
}
namespace rmsprop_hyper {
enum Hyper { alpha = step_hyper::own, eps, eps_inside, momentum, centered, step, count };
}
namespace adam_hyper {
enum Hyper { beta1 = step_hyper::own, beta2, eps, eps_inside, amsgrad, step, count };
}
namespace adamax_hyper {
enum Hyper { beta1 = step_hyper::own, beta2, eps, step, count };
}
namespace nadam_hyper {
enum Hyper { beta1 = step_hyper::own, beta2, eps, momentum_decay, step, mu_product, count };
}
namespace radam_hyper {
enum Hyper { beta1 = step_hyper::own, beta2, eps, step, count };
}
namespace hogwild_hyper {
enum Hyper { lr, decay, count };
}
namespace lamb_hyper {
enum Hyper { beta1 = step_hyper::own, beta2, eps, decay, step, count };
}

// A matrix by its nonzeros: those of row i are at starts[i] to starts[i + 1].
struct SparseRows {
  View starts, columns, values;  // int64, int64, float64
};

// hogwild runs on one thread: steps of logistic regression on weights w float64 that other calls change meanwhile, for
// the rows that `order` int64 lists, with targets y float64 in {0, 1}. seen (2) int64: weights written, and those among
// them that somebody else had changed since they were read.

// A step changes the parameters p by their gradients g and up to three lists of state, all in one launch; a list that
// the options do not ask for is empty.
#define PYDL_STEP (Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper)
// clang-format off
#define PYDL_OPTIM_KERNELS(X) \
  X(sgd,         PYDL_STEP) \
  X(asgd,        PYDL_STEP) \
  X(rprop,       PYDL_STEP) \
  X(lion,        PYDL_STEP) \
  X(adagrad,     PYDL_STEP) \
  X(adadelta,    PYDL_STEP) \
  X(rmsprop,     PYDL_STEP) \
  X(adam,        PYDL_STEP) \
  X(adamax,      PYDL_STEP) \
  X(nadam,       PYDL_STEP) \
  X(radam,       PYDL_STEP) \
  X(lamb_direction, PYDL_STEP)  /* leaves p alone; the direction goes to s2 */ \
  X(sum_squares, (Spans x, View y))  /* y[i] float64 = sum of squares of x[i] */ \
  X(scale,       (Spans x, View factor))  /* x *= factor (float64, one element) */ \
  X(unscale,     (Spans x, View factor, View found))  /* x *= factor; found float64 = 1 if any is not finite, else 0 */ \
  X(add_scaled,  (Spans x, Spans y, View factors))  /* x[i] += factors[i] y[i], float64 factors */ \
  X(hogwild,     (SparseRows x, View y, View order, View w, View hyper, View seen))
// clang-format on
PYDL_FAMILY(OptimKernels, PYDL_OPTIM_KERNELS)

}  // namespace pydl

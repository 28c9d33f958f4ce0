// The table of kernels: one line per kernel, from which come its declaration in each ISA's namespace, its slot in the
// table of function pointers and the tables themselves. Kernels may include this header.
//
// Shapes, dtypes and the absence of overlap are checked before a kernel is reached; a kernel never allocates, checks or
// throws. "dense" means contiguous, last axis fastest.
#pragma once

#include "array/view.h"
#include "runtime/ops.h"

namespace pydl {

// clang-format off
#define PYDL_KERNELS(X) \
  /* elementwise: every view has the shape of y; strides are free (0 where broadcast), adjacent axes are merged */ \
  X(unary,          (Unary op, View x, View y)) \
  X(test,           (Test op, View x, View y)) \
  X(binary,         (Binary op, View a, View b, View y)) \
  X(compare,        (Compare op, View a, View b, View y)) \
  X(where,          (View condition, View a, View b, View y)) \
  X(copy,           (View x, View y))                        /* also casts; a number becomes true where it is not 0 */ \
  X(arange,         (double start, double step, View y))     /* dense, one axis */ \
  /* reduce: x and y have the same number of axes; y has size 1 where x is reduced; adjacent axes of a kind are merged */ \
  X(reduce,         (Reduce op, View x, View y)) \
  X(arg_reduce,     (ArgReduce op, View x, View y))          /* x (outer, n, inner) dense, y (outer, inner) int64 */ \
  X(cumsum,         (View x, View y))                        /* (outer, n, inner) dense */ \
  /* index: x (outer, n, inner), index int64 within 0..n-1, all dense */ \
  X(index_select,   (View x, View index, View y))            /* y[o, j, i]  = x[o, index[j], i] */ \
  X(index_add,      (View index, View x, View y))            /* y[o, index[j], i] += x[o, j, i], in the order of j */ \
  X(gather,         (View x, View index, View y))            /* y[o, j, i]  = x[o, index[o, j, i], i] */ \
  X(scatter_add,    (View index, View x, View y))            /* y[o, index[o, j, i], i] += x[o, j, i], in order of j */ \
  /* softmax: dense (rows, n) */ \
  X(softmax,        (View x, View y)) \
  X(log_softmax,    (View x, View y)) \
  X(softmax_grad,   (View g, View y, View gx)) \
  X(log_softmax_grad, (View g, View y, View gx)) \
  X(cross_entropy,  (View x, View target, View weight, CrossEntropy options, View loss, View lse)) \
  X(cross_entropy_grad, (View g, View x, View target, View weight, View lse, CrossEntropy options, View gx)) \
  /* gemm: c (batch, m, n) = activation(alpha * a (batch, m, k) b (batch, k, n) + beta * c + bias (n)) */ \
  X(gemm,           (View a, View b, View bias, double alpha, double beta, Activation activation, View c)) \
  /* random: state is two int64, seed and offset; a launch takes its numbers from offset on and advances it */ \
  X(random,         (Distribution d, double a, double b, View state, View y)) \
  X(randperm,       (View state, View y)) \
  X(dropout,        (double p, View state, View x, View y, View mask)) \
  /* optim: all parameters in one launch; hyper is float64, its places are in runtime/ops.h */ \
  X(sgd,            (Spans p, Spans g, Spans momentum, View hyper)) \
  X(adam,           (Spans p, Spans g, Spans m, Spans v, Spans vmax, View hyper)) \
  X(sum_squares,    (Spans x, View y))                       /* y[i] float64 = sum of squares of x[i] */ \
  X(scale,          (Spans x, View factor))                  /* x *= factor (float64, one element) */
// clang-format on

struct Kernels {
#define PYDL_SLOT(name, args) void(*name) args;
  PYDL_KERNELS(PYDL_SLOT)
#undef PYDL_SLOT
};

#define PYDL_DECLARE(name, args) void name args;
namespace base {
PYDL_KERNELS(PYDL_DECLARE)
}
namespace avx2 {
PYDL_KERNELS(PYDL_DECLARE)
}
namespace avx512 {
PYDL_KERNELS(PYDL_DECLARE)
}
#undef PYDL_DECLARE

}  // namespace pydl

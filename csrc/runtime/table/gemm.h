// Matrix products.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// none and relu are applied in registers, the others to what was stored.
enum class Activation : uint8_t { none, relu, tanh, sigmoid, gelu, gelu_tanh, silu };

// c (batch..., m, n) = activation(alpha * a (batch..., m, k) b (batch..., k, n) + beta * add (batch..., m, n) + bias)
// add and bias may be left out, and have strides of 0; bias (batch..., m, n) has one by rows or by columns.
// clang-format off
#define PYDL_GEMM_KERNELS(X) \
  X(gemm, (View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c))
// clang-format on
PYDL_FAMILY(GemmKernels, PYDL_GEMM_KERNELS)

}  // namespace pydl

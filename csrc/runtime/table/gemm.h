// Matrix products.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

enum class Activation : uint8_t { none, relu, tanh, sigmoid };

// C (batch, m, n) = activation(alpha * a (batch, m, k) b (batch, k, n) + beta * c + bias (n))
// clang-format off
#define PYDL_GEMM_KERNELS(X) \
  X(gemm, (View a, View b, View bias, double alpha, double beta, Activation activation, View c))
// clang-format on
PYDL_FAMILY(GemmKernels, PYDL_GEMM_KERNELS)

}  // namespace pydl

// Parts of dense factorizations that matrix products do not reach: small triangles and panels of few columns.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// All of one dtype, float32 or float64, without overlap.
// clang-format off
#define PYDL_FACTOR_KERNELS(X) \
  /* x (b, n, k), its last axis dense, becomes A^-1 x for a triangle A (b, n, n); unit: with ones on its diagonal */ \
  X(substitute, (View a, View x, bool upper, bool unit)) \
  /* y (b, m, n) dense: columns [start, stop) are eliminated from row start on. Whole rows are exchanged; pivots */ \
  /* (b, steps) int64 says with which, by column */ \
  X(lu_panel,   (View y, int64_t start, int64_t stop, bool pivot, View pivots))
// clang-format on
PYDL_FAMILY(FactorKernels, PYDL_FACTOR_KERNELS)

}  // namespace pydl

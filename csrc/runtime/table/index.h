// Reading at integer indices.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// x (outer, n, inner), index int64 within 0..n-1, all dense
// clang-format off
#define PYDL_INDEX_KERNELS(X) \
  X(index_select, (View x, View index, View y))  /* y[o, j, i]  = x[o, index[j], i] */ \
  X(gather,       (View x, View index, View y))  /* y[o, j, i]  = x[o, index[o, j, i], i] */
// clang-format on
PYDL_FAMILY(IndexKernels, PYDL_INDEX_KERNELS)

}  // namespace pydl

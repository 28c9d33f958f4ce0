// Moving elements without computing.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// Views of one shape and dtype, free strides (0 only in x), adjacent axes merged
// clang-format off
#define PYDL_SHAPE_KERNELS(X) \
  X(move, (View x, View y))
// clang-format on
PYDL_FAMILY(ShapeKernels, PYDL_SHAPE_KERNELS)

}  // namespace pydl

// Writing at integer indices, the indices themselves, and what a mask selects.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// What happens where a value meets the one that is there; `put` replaces it, so that the last one stays.
#define PYDL_PLACE(X) X(put) X(add) X(mul) X(amax) X(amin)

#define PYDL_ENUM(name) name,
enum class Place : uint8_t { PYDL_PLACE(PYDL_ENUM) };
#undef PYDL_ENUM

// x (outer, k, inner), y (outer, n, inner), index int64 within 0..n-1, all dense; in the order of j
// clang-format off
#define PYDL_PLACE_KERNELS(X) \
  X(index_place,   (Place how, View index, View x, View y))  /* y[o, index[j], i] is met by x[o, j, i] */ \
  X(scatter_place, (Place how, View index, View x, View y))  /* y[o, index[o, j, i], i] is met by x[o, j, i] */ \
  X(check_index,   (View index, int64_t n, View report))  /* bits: 1 outside [-n, n), 2 negative; dense */ \
  X(fold_index,    (View index, int64_t n, View y))  /* y = y * n + index, counted from the start; dense */ \
  X(count_true,    (View mask, View counts))  /* of each run of kMaskRun elements */ \
  X(positions,     (View mask, View counts, View y))  /* y (count, axes of mask) int64; counts is used up */
// clang-format on
PYDL_FAMILY(PlaceKernels, PYDL_PLACE_KERNELS)

constexpr int64_t kMaskRun = 8192;

}  // namespace pydl

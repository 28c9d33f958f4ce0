// Sorting and what follows from an order: selection, equal runs, search, counting, running extremes.
//
// One order for all: numbers ascending, -0 equal to 0, NaN after everything else; equal elements by their place. So a
// sort is stable, and what the best k or the median are does not depend on how they were found.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// What becomes of NaN in a selection: the last of all; the result where there is one; left out.
enum class Nan : uint8_t { last, result, skip };

// Rows (rows, n) are dense and n < 2^32; places are int64. `work` is uint8 memory for long rows, see sort_bytes.
// clang-format off
#define PYDL_SORT_KERNELS(X) \
  X(sort,         (View x, View y, View at, View work, bool descending)) \
  X(topk,         (View x, View y, View at, View work, bool largest))  /* y, at (rows, k), the best first */ \
  X(kth,          (View x, View y, View at, View work, int64_t k, Nan nan))  /* y, at (rows); k of the median: -1 */ \
  X(longest_run,  (View x, View at))  /* x (rows, n) sorted; at (rows): the end of the first longest run */ \
  X(sort_slices,  (View x, View at, View work))  /* x (n, m): the order of its n slices, element by element */ \
  X(run_starts,   (View x, View starts, View count))  /* x (n, m): where a slice differs from the one before */ \
  X(spread_runs,  (View starts, View order, View run, View size))  /* which run each element is in; order optional */ \
  X(search,       (View edges, View order, View x, View y, bool right))  /* (rows, m) and (rows, k); order optional */ \
  X(integer_bounds, (View x, View low_high))  /* x (n) with n > 0, low_high (2) int64 */ \
  X(bincount,     (View x, View y))  /* x (n) in [0, bins), y (bins) int64 */ \
  X(cumulative_extreme, (bool largest, View x, View y, View at))  /* (outer, n, inner) dense */
// clang-format on
PYDL_FAMILY(SortKernels, PYDL_SORT_KERNELS)

// From this length on, a row is sorted by several threads, which need memory of their own.
constexpr int64_t kLongRow = 1 << 17;
inline int64_t sort_bytes(int64_t n) { return n < kLongRow ? 0 : 16 * n; }

}  // namespace pydl

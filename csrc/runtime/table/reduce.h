// Reductions over any axes, and running sums.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// any and all: bool out; the others: the dtype of y (sums of integers are int64). norm: the root of the sum of squares.
#define PYDL_REDUCE(X) X(sum) X(prod) X(amax) X(amin) X(any) X(all) X(norm)

#define PYDL_ENUM(name) name,
enum class Reduce : uint8_t { PYDL_REDUCE(PYDL_ENUM) };
#undef PYDL_ENUM

enum class ArgReduce : uint8_t { argmax, argmin };
enum class Scan : uint8_t { cumsum, cumprod };

// x and y have the same number of axes; y has size 1 where x is reduced; adjacent axes of a kind are merged
// clang-format off
#define PYDL_REDUCE_KERNELS(X) \
  X(reduce,     (Reduce op, View x, View y)) \
  X(arg_reduce, (ArgReduce op, View x, View y))  /* x (outer, n, inner) dense, y (outer, inner) int64 */ \
  X(scan,       (Scan op, View x, View y))  /* (outer, n, inner) dense; sums and products of integers are int64 */
// clang-format on
PYDL_FAMILY(ReduceKernels, PYDL_REDUCE_KERNELS)

}  // namespace pydl

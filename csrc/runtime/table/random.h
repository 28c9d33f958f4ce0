// Random numbers.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

enum class Distribution : uint8_t { uniform, normal, bernoulli, randint };

// State is two int64, seed and offset; a launch takes its numbers from offset on and advances it
// clang-format off
#define PYDL_RANDOM_KERNELS(X) \
  X(random,   (Distribution d, double a, double b, View state, View y)) \
  X(randperm, (View state, View y)) \
  X(dropout,  (double p, View state, View x, View y, View mask))
// clang-format on
PYDL_FAMILY(RandomKernels, PYDL_RANDOM_KERNELS)

}  // namespace pydl

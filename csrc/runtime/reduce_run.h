#pragma once

#include <cstdint>

namespace pydl {

// Elements of a line of which a reduction makes one partial result.
constexpr int64_t kReduceRun = 4096;

}  // namespace pydl

// What the registers of the matrix unit hold, in memory: see simd/matrix_unit.h.
#pragma once

#include <cstdint>

namespace pydl::PYDL_ISA {
namespace {

// 16 rows of 16 pairs of bfloat16. Of a, a row holds the steps of k, of b, step p beside step p + 16 of each
// column: pair j of a row of a holds the steps j and j + 16, row p of b the same of p.
struct Tile {
  static constexpr int64_t kLanes = 16, kSteps = 32;
  alignas(64) uint32_t pairs[16][16];
};

}  // namespace
}  // namespace pydl::PYDL_ISA

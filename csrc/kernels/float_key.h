// Floats as unsigned integers in their order: what the sorts of the CPU and of the GPU share.
#pragma once

#include <cstdint>

namespace pydl::PYDL_ISA {
namespace {

template <class K>
constexpr K kNanKey = static_cast<K>(~K(0));

// Where the exponent field of a float's bits ends, for the four that there are.
constexpr uint16_t kInfinity16 = 0x7c00, kInfinityBrain = 0x7f80;
constexpr uint32_t kInfinity32 = 0x7f800000u;
constexpr uint64_t kInfinity64 = 0x7ff0000000000000ull;

// u: the bits of a float whose exponent field ends at `infinity`. -0 has the key of 0, NaN the largest of all.
template <class K, class U>
constexpr K float_key(U u, U infinity) {
  constexpr U sign = static_cast<U>(U(1) << (8 * sizeof(U) - 1));
  const U magnitude = static_cast<U>(u & ~sign);
  const U key = static_cast<U>(u & sign ? ~u : u | sign);
  return magnitude > infinity ? kNanKey<K> : static_cast<K>(magnitude == 0 ? sign : key);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

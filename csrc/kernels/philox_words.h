// The words of Philox4x32-10 in bulk, several counters in flight.
#pragma once

#include <cstring>
#include <utility>

#include "kernels/philox.h"
#include "simd/integer.h"

namespace pydl::PYDL_ISA {
namespace {

using philox::Chance;

constexpr int kGroup = 4 * kU64Lanes;  // counters in flight: four independent chains hide the products' latency

struct Stream {
  uint64_t seed;
  uint64_t offset;
};

template <size_t... I>
inline void store_blocks(uint32_t* w, U64 low, U64 high, std::index_sequence<I...>) {
  constexpr size_t n = kU64Lanes;
  const U64 first = __builtin_shufflevector(low, high, (I / 2 + I % 2 * n)...);
  const U64 second = __builtin_shufflevector(low, high, (n / 2 + I / 2 + I % 2 * n)...);
  std::memcpy(w, &first, sizeof first);
  std::memcpy(w + 2 * n, &second, sizeof second);
}

// The words of kGroup counters in order. Each 64-bit lane holds one word of one block in its low half; what the
// products leave in the high half is never looked at.
inline void fill_group(Stream stream, uint64_t counter, uint32_t* w) {
  constexpr int chains = kGroup / kU64Lanes;
  const U64 multiplier0 = broadcast(philox::kMultiplier0), multiplier1 = broadcast(philox::kMultiplier1);
  uint32_t key0 = static_cast<uint32_t>(stream.seed), key1 = static_cast<uint32_t>(stream.seed >> 32);
  U64 lane{}, c0[chains]{}, c1[chains]{}, c2[chains]{}, c3[chains]{};
  for (int i = 0; i < kU64Lanes; ++i) lane[i] = static_cast<uint64_t>(i);
  for (int g = 0; g < chains; ++g) {
    c0[g] = lane + (stream.offset + counter + static_cast<uint64_t>(g * kU64Lanes));
    c1[g] = c0[g] >> 32;
  }
#pragma GCC unroll 10
  for (int r = 0; r < philox::kRounds; ++r) {
    const U64 k0 = broadcast(key0), k1 = broadcast(key1);
#pragma GCC unroll 4
    for (int g = 0; g < chains; ++g) {
      const U64 p0 = mul_low(multiplier0, c0[g]), p1 = mul_low(multiplier1, c2[g]);
      c0[g] = (p1 >> 32) ^ c1[g] ^ k0;
      c2[g] = (p0 >> 32) ^ c3[g] ^ k1;
      c1[g] = p1;
      c3[g] = p0;
    }
    key0 += philox::kWeyl0;
    key1 += philox::kWeyl1;
  }
  const U64 low_half = broadcast(0xffffffffu);
  for (int g = 0; g < chains; ++g)
    store_blocks(w + 4 * g * kU64Lanes, (c0[g] & low_half) | (c1[g] << 32), (c2[g] & low_half) | (c3[g] << 32),
                 std::make_index_sequence<kU64Lanes>{});
}

// The words of `counters` counters from `counter` on, up to the end of a whole group.
__attribute__((noinline)) void fill(Stream stream, uint64_t counter, int64_t counters, uint32_t* w) {
  for (int64_t c = 0; c < counters; c += kGroup) fill_group(stream, counter + static_cast<uint64_t>(c), w + 4 * c);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

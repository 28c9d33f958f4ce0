// Squares of numbers turned over in registers.
#pragma once

#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

// Lane i of the result is lane i of a where (i & H) == 0, and lane i - H of b elsewhere (High: a from i + H, b from i).
template <int H, bool High, class V, int... I>
inline V exchange(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int N = sizeof...(I);
  constexpr int up = High ? H : 0;
  return __builtin_shufflevector(a, b, ((I & H) ? N + I - (H - up) : I + up)...);
}

// Transposes N by N in registers: log2(N) rounds of two-input shuffles, each swapping the off-diagonal halves.
template <int H, class T>
inline void transpose(Vec<T> (&v)[Vec<T>::N]) {
  constexpr int N = Vec<T>::N;
  constexpr auto all = std::make_integer_sequence<int, N>{};
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) {
    if (i & H) continue;
    const auto low = exchange<H, false>(v[i].v, v[i + H].v, all);
    const auto high = exchange<H, true>(v[i].v, v[i + H].v, all);
    v[i].v = low;
    v[i + H].v = high;
  }
  if constexpr (H > 1) transpose<H / 2>(v);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

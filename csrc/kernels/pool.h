// What the kernels of pooling share.
#pragma once

#include <cstring>

#include "kernels/norm.h"
#include "runtime/parallel.h"
#include "runtime/table/pool.h"

namespace pydl::PYDL_ISA {
namespace {

enum ScratchSlot { kRowSlot, kPlaneSlot };

// 0, by, 2 by, ...: a number for each lane, of its size.
template <class C>
inline typename Vec<C>::Bits places_apart(int64_t by) {
  typename Vec<C>::Bits places;
  for (int i = 0; i < Vec<C>::N; ++i) places[i] = static_cast<std::remove_reference_t<decltype(places[0])>>(i * by);
  return places;
}

// n places, at most as many as Vec<C> has lanes, as numbers of the lanes' size.
template <class C>
inline typename Vec<C>::Bits load_places(const int32_t* p, int64_t n) {
  if constexpr (sizeof(C) == sizeof(int32_t)) return bits(load_some<C>(reinterpret_cast<const C*>(p), n));
  typedef int32_t Index __attribute__((vector_size(4 * Vec<C>::N)));
  Index at = {};
  n == Vec<C>::N ? std::memcpy(&at, p, sizeof(at)) : std::memcpy(&at, p, sizeof(int32_t) * n);
  return __builtin_convertvector(at, typename Vec<C>::Bits);
}
template <class C>
inline void store_places(int32_t* p, typename Vec<C>::Bits places, int64_t n) {
  if constexpr (sizeof(C) == sizeof(int32_t)) return store_some(reinterpret_cast<C*>(p), from_bits<C>(places), n);
  typedef int32_t Index __attribute__((vector_size(4 * Vec<C>::N)));
  const Index at = __builtin_convertvector(places, Index);
  n == Vec<C>::N ? std::memcpy(p, &at, sizeof(at)) : std::memcpy(p, &at, sizeof(int32_t) * n);
}

// Windows of 2 by 2 that follow one another, as most networks have them.
inline bool is_quads(const PoolWindow& w) {
  const auto pairs = [](const PoolAxis& a) {
    return !a.adaptive && a.size == 2 && a.stride == 2 && a.pad == 0 && a.dilation == 1 && 2 * a.out <= a.n;
  };
  return w.axis[0].n == 1 && w.axis[0].out == 1 && w.axis[0].size == 1 && pairs(w.axis[1]) && pairs(w.axis[2]);
}

// Calls f(plane, accumulators set to 0) for each plane of y and rounds the sums of 16-bit floats once.
template <class T, class F>
void sum_planes(View y, int64_t cost, const F& f) {
  const int64_t planes = y.shape[0], n = y.shape[1];
  parallel_for(planes, cost, [&](int64_t p, int64_t end) {
    for (; p < end; ++p) {
      T* out = y.as<T>() + p * n;
      Wide<T>* sum;
      if constexpr (kHalf<T>)
        sum = static_cast<Wide<T>*>(scratch(kPlaneSlot, n * sizeof(Wide<T>)));
      else
        sum = out;
      std::memset(static_cast<void*>(sum), 0, n * sizeof(Wide<T>));
      f(p, sum);
      if constexpr (kHalf<T>)
        for (int64_t i = 0; i < n; ++i) out[i] = narrow<T>(sum[i]);
    }
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

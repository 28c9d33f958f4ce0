// Selecting along one axis by an index. o runs over outer, j over the index axis (k places), i over inner; n is the
// size of the axis that is indexed. All arrays are dense.
#include "runtime/table/index.h"

#include <cstring>
#include <type_traits>

#include "runtime/parallel.h"
#include "simd/scalar.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kRowBytes = 128;  // from here on memcpy is faster than a loop over the elements

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// An element of so many bytes, for moving.
template <int bytes>
using Bits =
    std::conditional_t<bytes == 1, uint8_t,
                       std::conditional_t<bytes == 2, uint16_t, std::conditional_t<bytes == 4, uint32_t, uint64_t>>>;

template <class F>
void with_bits(Dtype dtype, const F& f) {
  switch (dtype) {
#define PYDL_CASE(name, T, ...) \
  case Dtype::name:             \
    return f(Bits<sizeof(T)>{});
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

// Calls f(o, first, last) for runs of j in [first, last) that cover all (o, j).
template <class F>
void for_runs(int64_t outer, int64_t k, int64_t cost, const F& f) {
  parallel_for(outer * k, cost, [&](int64_t row, int64_t end) {
    while (row < end) {
      const int64_t o = row / k, first = row - o * k, last = min(k, first + end - row);
      f(o, first, last);
      row += last - first;
    }
  });
}

template <class T>
void select_run(const T* x, const int64_t* index, T* y, int64_t count, int64_t inner) {
  if (inner == 1) {
    for (int64_t j = 0; j < count; ++j) y[j] = x[index[j]];
  } else if (inner * static_cast<int64_t>(sizeof(T)) >= kRowBytes) {
    for (int64_t j = 0; j < count; ++j)
      std::memcpy(y + j * inner, x + index[j] * inner, static_cast<size_t>(inner) * sizeof(T));
  } else {
    for (int64_t j = 0; j < count; ++j)
      for (int64_t i = 0; i < inner; ++i) y[j * inner + i] = x[index[j] * inner + i];
  }
}

template <class T>
void gather_run(const T* x, const int64_t* index, T* y, int64_t count, int64_t inner) {
  if (inner == 1) return select_run(x, index, y, count, 1);
  for (int64_t j = 0; j < count; ++j)
    for (int64_t i = 0; i < inner; ++i) y[j * inner + i] = x[index[j * inner + i] * inner + i];
}

}  // namespace

void index_select(View x, View index, View y) {
  const int64_t outer = y.shape[0], n = x.shape[1], k = y.shape[1], inner = y.shape[2];
  with_bits(x.dtype, [&](auto bits) {
    using T = decltype(bits);
    for_runs(outer, k, inner + 1, [&](int64_t o, int64_t first, int64_t last) {
      select_run(x.as<T>() + o * n * inner, index.as<int64_t>() + first, y.as<T>() + (o * k + first) * inner,
                 last - first, inner);
    });
  });
}

void gather(View x, View index, View y) {
  const int64_t outer = y.shape[0], n = x.shape[1], k = y.shape[1], inner = y.shape[2];
  with_bits(x.dtype, [&](auto bits) {
    using T = decltype(bits);
    if (k == 1 && inner == 1)
      return parallel_for(outer, 4, [&](int64_t o, int64_t end) {
        for (; o < end; ++o) y.as<T>()[o] = x.as<T>()[o * n + index.as<int64_t>()[o]];
      });
    for_runs(outer, k, 2 * inner, [&](int64_t o, int64_t first, int64_t last) {
      const int64_t at = (o * k + first) * inner;
      gather_run(x.as<T>() + o * n * inner, index.as<int64_t>() + at, y.as<T>() + at, last - first, inner);
    });
  });
}

}  // namespace pydl::PYDL_ISA

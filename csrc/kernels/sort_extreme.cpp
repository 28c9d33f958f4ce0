// Running extremes along the middle axis of a dense (outer, n, inner) block, and where each stands: the last of equal
// ones; from the first NaN on, NaN and the place of the latest.
#include "kernels/element.h"
#include "runtime/parallel.h"
#include "runtime/table/sort.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kColumns = 64;  // columns in one block

// Whether `next` takes the place of `best`.
template <bool largest, class A>
inline bool takes(A next, A best) {
  if constexpr (std::is_floating_point_v<A>) return next != next || (largest ? next >= best : next <= best);
  return largest ? next >= best : next <= best;
}

template <bool largest, class T>
void extremes(const T* x, T* y, int64_t* at, int64_t n, int64_t inner, int64_t columns) {
  T best[kColumns];
  int64_t where[kColumns]{};
  for (int64_t j = 0; j < columns; ++j) best[j] = x[j];
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      const T next = x[i * inner + j];
      const bool wins = takes<largest>(widened(next), widened(best[j]));
      best[j] = wins ? next : best[j];
      where[j] = wins ? i : where[j];
      y[i * inner + j] = best[j];
      at[i * inner + j] = where[j];
    }
}

// One row, whose extreme and its place stay in registers.
template <bool largest, class T>
void extremes_row(const T* x, T* y, int64_t* at, int64_t n) {
  Wide<T> best = widened(x[0]);
  T own = x[0];
  int64_t where = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Wide<T> next = widened(x[i]);
    if (takes<largest>(next, best)) {
      best = next;
      own = x[i];
      where = i;
    }
    y[i] = own;
    at[i] = where;
  }
}

template <bool largest, class T>
void extremes_as(const View& x, const View& y, const View& at) {
  const int64_t outer = x.shape[0], n = x.shape[1], inner = x.shape[2];
  if (inner == 1)
    return parallel_for(outer, 4 * n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        extremes_row<largest>(x.as<const T>() + r * n, y.as<T>() + r * n, at.as<int64_t>() + r * n, n);
    });
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  parallel_for(outer * blocks, 4 * n * (inner < kColumns ? inner : kColumns), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t column = item % blocks * kColumns, first = item / blocks * n * inner + column;
      const int64_t columns = inner - column < kColumns ? inner - column : kColumns;
      extremes<largest>(x.as<const T>() + first, y.as<T>() + first, at.as<int64_t>() + first, n, inner, columns);
    }
  });
}

}  // namespace

void cumulative_extreme(bool largest, View x, View y, View at) {
  if (x.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return largest ? extremes_as<true, type>(x, y, at) : extremes_as<false, type>(x, y, at);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

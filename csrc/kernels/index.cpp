// Selecting and adding along one axis by an index. o runs over outer, j over the index axis (k places), i over inner;
// n is the size of the axis that is indexed. All arrays are dense.
//
// The additions are deterministic: a destination belongs to one task, fixed by the sizes, and receives its terms in the
// order of j. 16-bit floats are summed in float32 and rounded once.
#include "runtime/table/index.h"

#include <cstring>
#include <type_traits>

#include "runtime/parallel.h"
#include "simd/scalar.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kRowBytes = 128;      // from here on memcpy is faster than a loop over the elements
constexpr int64_t kSumBytes = 1 << 20;  // of float32 sums per task: half of a core's L2 cache
enum ScratchSlot { kSumSlot, kSeenSlot };

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

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

template <class F>
void with_type(Dtype dtype, const F& f) {
  switch (dtype) {
#define PYDL_CASE(name, T, ...) \
  case Dtype::name:             \
    return f(T{});
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

// y += x. Integers wrap around; bool is or.
template <class T>
inline void accumulate(T& y, T x) {
  if constexpr (std::is_same_v<T, bool>) {
    y = y | x;
  } else if constexpr (std::is_integral_v<T>) {
    y = static_cast<T>(static_cast<std::make_unsigned_t<T>>(y) + static_cast<std::make_unsigned_t<T>>(x));
  } else {
    y += x;
  }
}
inline void accumulate(float& y, f16 x) { y += to_float(x); }
inline void accumulate(float& y, bf16 x) { y += to_float(x); }

template <class A, class T>
void accumulate_row(A* __restrict y, const T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) accumulate(y[i], x[i]);
}

inline void round_to(f16& y, float x) { y = to_f16(x); }
inline void round_to(bf16& y, float x) { y = to_bf16(x); }

template <class T>
void widen_row(float* __restrict y, const T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = to_float(x[i]);
}
template <class T>
void round_row(T* __restrict y, const float* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) round_to(y[i], x[i]);
}

template <class T>
constexpr bool kIsHalf = std::is_same_v<T, f16> || std::is_same_v<T, bf16>;

// How an addition is cut: every task has one o, `columns` of inner, and those rows of n with row % classes == its class
// (a power of two). The remainder spreads rows that are used often, which tend to be neighbours, over the tasks.
struct Cut {
  int64_t outer, n, k, inner, columns, classes;
  int64_t strips() const { return ceil_div(inner, columns); }
  int64_t tasks() const { return outer * strips() * classes; }
};

struct Task {
  Task(const Cut& c, int64_t id)
      : o(id / (c.strips() * c.classes)), first(id / c.classes % c.strips() * c.columns), remainder(id % c.classes) {
    width = min(c.columns, c.inner - first);
  }
  int64_t o, first, remainder, width;
};

// At least `classes` of them, and so many that the float32 sums of a task fit where it `sums`.
Cut cut(int64_t outer, int64_t n, int64_t k, int64_t inner, int64_t columns, int64_t classes, bool sums) {
  Cut c{outer, n, k, inner, min(columns, inner), 1};
  while (2 * c.classes <= min(classes, n)) c.classes *= 2;
  const int64_t bytes = sums ? c.columns * static_cast<int64_t>(sizeof(float)) : 0;
  while (ceil_div(n, c.classes) * bytes > kSumBytes) c.classes *= 2;
  return c;
}

int64_t shift_of(int64_t power_of_two) { return __builtin_ctzll(static_cast<uint64_t>(power_of_two)); }

template <class T>
void index_add_task(const Cut& c, const Task& t, const int64_t* index, const T* x, T* y) {
  const int64_t mask = c.classes - 1;
  x += t.o * c.k * c.inner + t.first;
  y += t.o * c.n * c.inner + t.first;
  for (int64_t j = 0; j < c.k; ++j)
    if ((index[j] & mask) == t.remainder) accumulate_row(y + index[j] * c.inner, x + j * c.inner, t.width);
}

// The rows that occur are widened when first seen and rounded at the end.
template <class T>
void index_add_half(const Cut& c, const Task& t, const int64_t* index, const T* x, T* y) {
  const int64_t mask = c.classes - 1, shift = shift_of(c.classes), rows = ceil_div(c.n, c.classes);
  float* sum = static_cast<float*>(scratch(kSumSlot, static_cast<size_t>(rows * t.width) * sizeof(float)));
  bool* seen = static_cast<bool*>(scratch(kSeenSlot, static_cast<size_t>(rows)));
  std::memset(seen, 0, static_cast<size_t>(rows));
  x += t.o * c.k * c.inner + t.first;
  y += t.o * c.n * c.inner + t.first;
  for (int64_t j = 0; j < c.k; ++j) {
    if ((index[j] & mask) != t.remainder) continue;
    const int64_t row = index[j] >> shift;
    if (!seen[row]) widen_row(sum + row * t.width, y + index[j] * c.inner, t.width);
    seen[row] = true;
    accumulate_row(sum + row * t.width, x + j * c.inner, t.width);
  }
  for (int64_t row = 0; row < rows; ++row)
    if (seen[row]) round_row(y + (row << shift | t.remainder) * c.inner, sum + row * t.width, t.width);
}

template <class T>
void scatter_add_task(const Cut& c, const Task& t, const int64_t* index, const T* x, T* y) {
  x += t.o * c.k * c.inner + t.first;
  index += t.o * c.k * c.inner + t.first;
  y += t.o * c.n * c.inner + t.first;
  if (c.inner == 1) {
    for (int64_t j = 0; j < c.k; ++j) accumulate(y[index[j]], x[j]);
    return;
  }
  for (int64_t j = 0; j < c.k; ++j, x += c.inner, index += c.inner)
    for (int64_t i = 0; i < t.width; ++i) accumulate(y[index[i] * c.inner + i], x[i]);
}

template <class T>
void scatter_add_half(const Cut& c, const Task& t, const int64_t* index, const T* x, T* y) {
  const int64_t mask = c.classes - 1, shift = shift_of(c.classes);
  const int64_t rows = (c.n - t.remainder + mask) >> shift;
  float* sum = static_cast<float*>(scratch(kSumSlot, static_cast<size_t>(rows * t.width) * sizeof(float)));
  x += t.o * c.k * c.inner + t.first;
  index += t.o * c.k * c.inner + t.first;
  y += t.o * c.n * c.inner + t.first;
  const auto row_of_y = [&](int64_t row) { return y + (row << shift | t.remainder) * c.inner; };
  for (int64_t row = 0; row < rows; ++row) widen_row(sum + row * t.width, row_of_y(row), t.width);
  for (int64_t j = 0; j < c.k; ++j, x += c.inner, index += c.inner)
    for (int64_t i = 0; i < t.width; ++i)
      if ((index[i] & mask) == t.remainder) accumulate(sum[(index[i] >> shift) * t.width + i], x[i]);
  for (int64_t row = 0; row < rows; ++row) round_row(row_of_y(row), sum + row * t.width, t.width);
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
    for_runs(outer, k, 2 * inner, [&](int64_t o, int64_t first, int64_t last) {
      const int64_t at = (o * k + first) * inner;
      gather_run(x.as<T>() + o * n * inner, index.as<int64_t>() + at, y.as<T>() + at, last - first, inner);
    });
  });
}

void index_add(View index, View x, View y) {
  if (x.numel() == 0) return;
  const int64_t outer = y.shape[0], n = y.shape[1], k = x.shape[1], inner = y.shape[2];
  with_type(y.dtype, [&](auto element) {
    using T = decltype(element);
    // A class costs one more look at each entry of the index: worth it where a row is long beside that.
    const int64_t columns = kIsHalf<T> ? 512 : 2048;
    const int64_t classes = min(min(columns, inner) / 32, ceil_div(k * min(columns, inner), 2 * kBlockWork));
    const Cut c = cut(outer, n, k, inner, columns, classes, kIsHalf<T>);
    parallel_for(c.tasks(), max(1, k * c.columns / c.classes), [&](int64_t id, int64_t end) {
      for (; id < end; ++id) {
        if constexpr (kIsHalf<T>) {
          index_add_half(c, Task(c, id), index.as<int64_t>(), x.as<T>(), y.as<T>());
        } else {
          index_add_task(c, Task(c, id), index.as<int64_t>(), x.as<T>(), y.as<T>());
        }
      }
    });
  });
}

void scatter_add(View index, View x, View y) {
  if (x.numel() == 0) return;
  const int64_t outer = y.shape[0], n = y.shape[1], k = x.shape[1], inner = y.shape[2];
  with_type(y.dtype, [&](auto element) {
    using T = decltype(element);
    const Cut c = cut(outer, n, k, inner, 64, 1, kIsHalf<T>);
    parallel_for(c.tasks(), max(1, 2 * k * c.columns), [&](int64_t id, int64_t end) {
      for (; id < end; ++id) {
        if constexpr (kIsHalf<T>) {
          scatter_add_half(c, Task(c, id), index.as<int64_t>(), x.as<T>(), y.as<T>());
        } else {
          scatter_add_task(c, Task(c, id), index.as<int64_t>(), x.as<T>(), y.as<T>());
        }
      }
    });
  });
}

}  // namespace pydl::PYDL_ISA

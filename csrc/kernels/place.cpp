// Values put, added, ... at indices along one axis. o runs over outer, j over the index axis (k places), i over inner;
// n is the size of the axis that is indexed. All arrays are dense.
//
// Deterministic: a destination belongs to one task, fixed by the sizes, and is met in the order of j. 16-bit floats
// meet in float32 and are rounded once.
#include "kernels/place.h"

#include <cstring>

#include "runtime/parallel.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kColumns = 2048;       // of inner in one task
constexpr int64_t kSumBytes = 32 << 20;  // of float32 sums that a task keeps
constexpr int kDigit = 11;               // bits of an index that one pass of sorting looks at
enum ScratchSlot { kSumSlot, kOrderSlot };

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t size_of_item(Dtype dtype) {
  switch (dtype) {
#define PYDL_CASE(name, T, ...) \
  case Dtype::name:             \
    return sizeof(T);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return 0;
}

template <class Op, class T>
inline void meet_row(T* __restrict y, const T* __restrict x, int64_t n) {
  if constexpr (std::is_same_v<Op, Put>) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(T));
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = Op::meet(y[i], x[i]);
  }
}

// ---- one index for a whole row

// How the work is cut: every task has one o, `columns` of inner, and those rows of n with row % classes == its class (a
// power of two). The remainder spreads rows that are used often, which tend to be neighbours, over the tasks.
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

template <class Op, class T>
void place_rows(const Cut& c, const Task& t, const int64_t* index, const T* x, T* y) {
  const int64_t mask = c.classes - 1;
  x += t.o * c.k * c.inner + t.first;
  y += t.o * c.n * c.inner + t.first;
  if (t.width == 1) {
    for (int64_t j = 0; j < c.k; ++j) {
      T& to = y[index[j] * c.inner];
      to = Op::meet(to, x[j * c.inner]);
    }
    return;
  }
  for (int64_t j = 0; j < c.k; ++j)
    if ((index[j] & mask) == t.remainder) meet_row<Op>(y + index[j] * c.inner, x + j * c.inner, t.width);
}

// A class costs one more look at each entry of the index: worth it where a row is long beside that.
template <class Op, class T>
void place_by_rows(const View& index, const View& x, const View& y) {
  const int64_t outer = y.shape[0], n = y.shape[1], k = x.shape[1], inner = y.shape[2];
  Cut c{outer, n, k, inner, min(kColumns, inner), 1};
  const int64_t wanted = min(c.columns / 32, ceil_div(k * c.columns, 2 * kBlockWork));
  while (2 * c.classes <= min(wanted, n)) c.classes *= 2;
  parallel_for(c.tasks(), max(1, k * c.columns / c.classes), [&](int64_t id, int64_t end) {
    for (; id < end; ++id) place_rows<Op>(c, Task(c, id), index.as<int64_t>(), x.as<const T>(), y.as<T>());
  });
}

// ---- 16-bit floats: the places of j in the order of their index, so that a row is widened and rounded once

// One pass of a stable radix sort of `from` by the digit at `shift` of the indices.
void sort_digit(const int64_t* index, int shift, int64_t k, const int64_t* from, int64_t* to) {
  int64_t start[1 << kDigit] = {};
  constexpr int64_t mask = (1 << kDigit) - 1;
  for (int64_t j = 0; j < k; ++j) ++start[index[j] >> shift & mask];
  int64_t sum = 0;
  for (int64_t& s : start) {
    const int64_t count = s;
    s = sum;
    sum += count;
  }
  for (int64_t j = 0; j < k; ++j) {
    const int64_t place = from ? from[j] : j;
    to[start[index[place] >> shift & mask]++] = place;
  }
}

// The numbers 0..k-1 sorted by index, equal ones in order.
const int64_t* sorted_places(const int64_t* index, int64_t n, int64_t k) {
  int64_t* to = static_cast<int64_t*>(scratch(kOrderSlot, static_cast<size_t>(2 * k) * sizeof(int64_t)));
  int64_t* other = to + k;
  const int64_t* from = nullptr;
  for (int shift = 0; shift == 0 || (n - 1) >> shift > 0; shift += kDigit) {
    sort_digit(index, shift, k, from, to);
    from = to;
    int64_t* next = other;
    other = to;
    to = next;
  }
  return from;
}

// The sorted places [from, to), where a run of equal indices is whole, of one strip of columns.
template <class Op, class T>
void place_runs(const int64_t* order, const int64_t* index, int64_t from, int64_t to, int64_t inner, int64_t width,
                const T* x, T* y) {
  float sum[kColumns];
  while (from < to) {
    const int64_t row = index[order[from]];
    T* line = y + row * inner;
    for (int64_t i = 0; i < width; ++i) sum[i] = widen(line[i]);
    for (; from < to && index[order[from]] == row; ++from) {
      const T* term = x + order[from] * inner;
      for (int64_t i = 0; i < width; ++i) sum[i] = Op::meet(sum[i], widen(term[i]));
    }
    for (int64_t i = 0; i < width; ++i) line[i] = narrow<T>(sum[i]);
  }
}

template <class Op, class T>
void place_half_rows(const View& index_view, const View& x, const View& y) {
  const int64_t outer = y.shape[0], n = y.shape[1], k = x.shape[1], inner = y.shape[2];
  const int64_t* index = index_view.as<const int64_t>();
  const int64_t* order = sorted_places(index, n, k);
  const int64_t columns = min(kColumns, inner), strips = ceil_div(inner, columns);
  const int64_t grain = max(1, kBlockWork / columns), blocks = ceil_div(k, grain);
  const auto start_of = [&](int64_t block) {  // runs that begin in a block belong to it
    int64_t j = min(block * grain, k);
    while (j > 0 && j < k && index[order[j]] == index[order[j - 1]]) ++j;
    return j;
  };
  parallel_for(outer * strips * blocks, grain * columns, [&](int64_t id, int64_t end) {
    for (; id < end; ++id) {
      const int64_t block = id % blocks, first = id / blocks % strips * columns, o = id / blocks / strips;
      place_runs<Op>(order, index, start_of(block), start_of(block + 1), inner, min(columns, inner - first),
                     x.as<const T>() + o * k * inner + first, y.as<T>() + o * n * inner + first);
    }
  });
}

// ---- an index for every element

struct Block {
  int64_t n, k, inner, width;  // width: of the strip of columns
};

template <class Op, class T>
void scatter_strip(const Block& b, const int64_t* __restrict index, const T* __restrict x, T* __restrict y) {
  if (b.inner == 1) {
    for (int64_t j = 0; j < b.k; ++j) y[index[j]] = Op::meet(y[index[j]], x[j]);
    return;
  }
  for (int64_t j = 0; j < b.k; ++j, x += b.inner, index += b.inner)
    for (int64_t i = 0; i < b.width; ++i) {
      T& to = y[index[i] * b.inner + i];
      to = Op::meet(to, x[i]);
    }
}

// Rows of `width` columns of y, in float32 and back.
template <class T>
void widen_rows(const T* y, int64_t pitch, int64_t rows, int64_t width, float* sum) {
  if (width == pitch) width *= rows, rows = 1;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i) sum[r * width + i] = widen(y[r * pitch + i]);
}
template <class T>
void round_rows(const float* sum, int64_t pitch, int64_t rows, int64_t width, T* y) {
  if (width == pitch) width *= rows, rows = 1;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < width; ++i) y[r * pitch + i] = narrow<T>(sum[r * width + i]);
}

// In float32: the rows of y that lie in [row, row + rows) are widened, met and rounded.
template <class Op, class T>
void scatter_half(const Block& b, int64_t row, int64_t rows, const int64_t* index, const T* x, T* y) {
  float* sum = static_cast<float*>(scratch(kSumSlot, static_cast<size_t>(rows * b.width) * sizeof(float)));
  widen_rows(y + row * b.inner, b.inner, rows, b.width, sum);
  const bool whole = rows == b.n;
  if (whole && b.inner == 1) {
    for (int64_t j = 0; j < b.k; ++j) sum[index[j]] = Op::meet(sum[index[j]], widen(x[j]));
  } else {
    for (int64_t j = 0; j < b.k; ++j, x += b.inner, index += b.inner)
      for (int64_t i = 0; i < b.width; ++i) {
        const int64_t r = index[i] - row;
        if (!whole && static_cast<uint64_t>(r) >= static_cast<uint64_t>(rows)) continue;
        sum[r * b.width + i] = Op::meet(sum[r * b.width + i], widen(x[i]));
      }
  }
  round_rows(sum, b.inner, rows, b.width, y + row * b.inner);
}

template <class Op, class T>
void scatter_as(const View& index, const View& x, const View& y) {
  const int64_t outer = y.shape[0], n = y.shape[1], k = x.shape[1], inner = y.shape[2];
  const int64_t columns = min(64, inner), strips = ceil_div(inner, columns);
  const int64_t fits = max(1, kSumBytes / static_cast<int64_t>(sizeof(float)) / columns);
  parallel_for(outer * strips, max(1, 2 * k * columns), [&](int64_t id, int64_t end) {
    for (; id < end; ++id) {
      const int64_t o = id / strips, first = id % strips * columns;
      const Block b{n, k, inner, min(columns, inner - first)};
      const int64_t* at = index.as<const int64_t>() + o * k * inner + first;
      const T* from = x.as<const T>() + o * k * inner + first;
      T* to = y.as<T>() + o * n * inner + first;
      if constexpr (kHalf<T>) {
        for (int64_t row = 0; row < n; row += fits) scatter_half<Op>(b, row, min(fits, n - row), at, from, to);
      } else {
        scatter_strip<Op>(b, at, from, to);
      }
    }
  });
}

}  // namespace

void index_place(Place how, View index, View x, View y) {
  if (x.numel() == 0) return;
  with_place(how, y.dtype, size_of_item(y.dtype), [&](auto op, auto element) {
    using T = decltype(element);
    if constexpr (kHalf<T>) {
      place_half_rows<decltype(op), T>(index, x, y);
    } else {
      place_by_rows<decltype(op), T>(index, x, y);
    }
  });
}

void scatter_place(Place how, View index, View x, View y) {
  if (x.numel() == 0) return;
  with_place(how, y.dtype, size_of_item(y.dtype),
             [&](auto op, auto element) { scatter_as<decltype(op), decltype(element)>(index, x, y); });
}

}  // namespace pydl::PYDL_ISA

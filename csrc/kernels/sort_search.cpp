// What is done with sorted rows and small integers: runs of equal slices, binary search, counting.
#include <cstring>

#include "kernels/element.h"
#include "runtime/parallel.h"
#include "runtime/table/sort.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kAbreast = 8;           // searches that wait for memory together
constexpr int64_t kCountChunk = 1 << 17;  // elements counted apart from the others
constexpr int64_t kMostBins = 1 << 15;    // of a count of one chunk

// ---- runs

// starts: the numbers of the slices that differ from the one before, count of them; NaN differs from NaN.
template <class T>
void run_starts_as(const View& x, int64_t* starts, int64_t* count) {
  const int64_t n = x.shape[0], m = x.shape[1];
  const T* p = x.as<const T>();
  int64_t found = 0;
  for (int64_t i = 0; i < n; ++i) {
    bool differs = i == 0;
    for (int64_t j = 0; j < m && !differs; ++j) differs = widened(p[i * m + j]) != widened(p[(i - 1) * m + j]);
    starts[found] = i;
    found += differs;
  }
  *count = found;
}

// ---- search

// How many edges are less than (right: at most) each of kAbreast values; every search takes the same steps, without
// branches. NaN is beyond every edge.
template <bool right, class T, class Edge>
inline void search_some(const Edge& edge, int64_t m, const T* x, int64_t count, int64_t* found) {
  int64_t at[kAbreast]{};
  Wide<T> value[kAbreast];
  for (int64_t j = 0; j < kAbreast; ++j) value[j] = widened(x[j < count ? j : 0]);
  const auto beyond = [&](int64_t i, Wide<T> v) -> int64_t { return right ? edge(i) <= v : edge(i) < v; };
  int64_t left = m;
  for (; left > 1; left -= left / 2) {
    const int64_t half = left / 2;
    for (int64_t j = 0; j < kAbreast; ++j) at[j] += -beyond(at[j] + half - 1, value[j]) & half;
  }
  for (int64_t j = 0; j < count; ++j) {
    found[j] = m > 0 ? at[j] + beyond(at[j], value[j]) : 0;
    if (value[j] != value[j]) found[j] = m;
  }
}

template <bool right, class T, class Y>
void search_rows(const View& edges, const View& order, const View& x, const View& y) {
  const int64_t rows = x.shape[0], k = x.shape[1], m = edges.shape[1];
  const bool shared = edges.shape[0] == 1;  // one row of edges for all
  int64_t cost = 1;
  while (int64_t(1) << cost < m) ++cost;
  const int64_t groups = (k + kAbreast - 1) / kAbreast;
  parallel_for(rows * groups, 4 * cost * kAbreast, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t r = item / groups, first = item % groups * kAbreast, own = shared ? 0 : r * m;
      const int64_t count = k - first < kAbreast ? k - first : kAbreast;
      int64_t found[kAbreast];
      const T *row = edges.as<const T>() + own, *from = x.as<const T>() + r * k + first;
      if (order.present()) {
        const int64_t* places = order.as<const int64_t>() + own;
        search_some<right>([&](int64_t i) { return widened(row[places[i]]); }, m, from, count, found);
      } else {
        search_some<right>([&](int64_t i) { return widened(row[i]); }, m, from, count, found);
      }
      for (int64_t j = 0; j < count; ++j) y.as<Y>()[r * k + first + j] = static_cast<Y>(found[j]);
    }
  });
}

template <class T>
void search_as(const View& edges, const View& order, const View& x, const View& y, bool right) {
  if (y.dtype == Dtype::i64)
    return right ? search_rows<true, T, int64_t>(edges, order, x, y)
                 : search_rows<false, T, int64_t>(edges, order, x, y);
  right ? search_rows<true, T, int32_t>(edges, order, x, y) : search_rows<false, T, int32_t>(edges, order, x, y);
}

// ---- counts

// Four counts side by side, since adding to one number twice in a row waits for the first addition.
template <class T>
void count_chunk(const T* x, int64_t n, uint32_t* count, int64_t bins) {
  std::memset(count, 0, static_cast<size_t>(4 * bins) * sizeof(uint32_t));
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int64_t j = 0; j < 4; ++j) ++count[j * bins + static_cast<int64_t>(x[i + j])];
  for (; i < n; ++i) ++count[static_cast<int64_t>(x[i])];
  for (int64_t b = 0; b < bins; ++b) count[b] += count[bins + b] + count[2 * bins + b] + count[3 * bins + b];
}

// The least and the greatest of at least one integer.
template <class T>
void bounds_as(const T* x, int64_t n, int64_t* low_high) {
  const int64_t chunks = (n + kCountChunk - 1) / kCountChunk;
  T* part = static_cast<T*>(scratch(0, static_cast<size_t>(2 * chunks) * sizeof(T)));
  parallel_for(chunks, kCountChunk, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t first = c * kCountChunk, last = first + kCountChunk < n ? first + kCountChunk : n;
      T low = x[first], high = x[first];
      for (int64_t i = first; i < last; ++i) {
        low = smaller(x[i], low);
        high = larger(x[i], high);
      }
      part[2 * c] = low;
      part[2 * c + 1] = high;
    }
  });
  for (int64_t c = 1; c < chunks; ++c) {
    part[0] = smaller(part[0], part[2 * c]);
    part[1] = larger(part[1], part[2 * c + 1]);
  }
  low_high[0] = static_cast<int64_t>(part[0]);
  low_high[1] = static_cast<int64_t>(part[1]);
}

template <class T>
void bincount_as(const T* x, int64_t n, int64_t* y, int64_t bins) {
  std::memset(y, 0, static_cast<size_t>(bins) * sizeof(int64_t));
  if (bins > kMostBins || bins > n) {
    for (int64_t i = 0; i < n; ++i) ++y[static_cast<int64_t>(x[i])];
    return;
  }
  const int64_t size = kCountChunk > 16 * bins ? kCountChunk : 16 * bins, chunks = (n + size - 1) / size;
  uint32_t* counts = static_cast<uint32_t*>(scratch(0, static_cast<size_t>(chunks * 4 * bins) * sizeof(uint32_t)));
  parallel_for(chunks, 2 * size, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      count_chunk(x + c * size, n - c * size < size ? n - c * size : size, counts + 4 * c * bins, bins);
  });
  for (int64_t c = 0; c < chunks; ++c)
    for (int64_t b = 0; b < bins; ++b) y[b] += counts[4 * c * bins + b];
}

}  // namespace

void run_starts(View x, View starts, View count) {
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return run_starts_as<type>(x, starts.as<int64_t>(), count.as<int64_t>());
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

void spread_runs(View starts, View order, View run, View size) {
  const int64_t runs = starts.shape[0], n = run.shape[0];
  const int64_t *start = starts.as<const int64_t>(), *from = order.as<const int64_t>();
  int64_t *to = run.as<int64_t>(), *length = size.as<int64_t>();
  parallel_for(runs, runs > 0 ? 2 * n / runs : 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t last = r + 1 < runs ? start[r + 1] : n;
      length[r] = last - start[r];
      for (int64_t i = start[r]; i < last; ++i) to[from ? from[i] : i] = r;
    }
  });
}

void search(View edges, View order, View x, View y, bool right) {
  if (x.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return search_as<type>(edges, order, x, y, right);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

void integer_bounds(View x, View low_high) {
  int64_t* to = low_high.as<int64_t>();
  if (x.dtype == Dtype::u8) return bounds_as(x.as<const uint8_t>(), x.shape[0], to);
  if (x.dtype == Dtype::i32) return bounds_as(x.as<const int32_t>(), x.shape[0], to);
  bounds_as(x.as<const int64_t>(), x.shape[0], to);
}

void bincount(View x, View y) {
  const int64_t n = x.shape[0], bins = y.shape[0];
  if (x.dtype == Dtype::u8) return bincount_as(x.as<const uint8_t>(), n, y.as<int64_t>(), bins);
  if (x.dtype == Dtype::i32) return bincount_as(x.as<const int32_t>(), n, y.as<int64_t>(), bins);
  bincount_as(x.as<const int64_t>(), n, y.as<int64_t>(), bins);
}

}  // namespace pydl::PYDL_ISA

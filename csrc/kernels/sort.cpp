// Sorted rows with the places that the elements came from, and the order of whole slices.
#include "kernels/sort.h"

#include "kernels/sort_long.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
void sort_as(const View& x, const View& y, const View& at, const View& work, bool descending) {
  const int64_t rows = x.shape[0], n = x.shape[1];
  const Key<T> flip = descending ? static_cast<Key<T>>(~Key<T>(0)) : 0;
  const T* from = x.as<const T>();
  T* to = y.as<T>();
  int64_t* places = at.as<int64_t>();
  if (!work.present())
    return order_each_row(from, rows, n, flip, [&](int64_t r, const uint64_t* words) {
      write_row(from + r * n, words, n, to + r * n, places + r * n);
    });
  for (int64_t r = 0; r < rows; ++r)
    order_long(from + r * n, n, flip, work.as<uint64_t>(),
               [&](int64_t first, const uint64_t* words, int64_t count, const Deal<T>& deal) {
                 write_long(deal, first, words, count, to + r * n, places + r * n);
               });
}

// -1, 0 or 1: how slice a of m elements stands to slice b.
template <class T>
inline int compare(const T* a, const T* b, int64_t m) {
  for (int64_t j = 0; j < m; ++j) {
    const Key<T> p = key_of(a[j]), q = key_of(b[j]);
    if (p != q) return p < q ? -1 : 1;
  }
  return 0;
}

// Merge sort from runs of one upwards: comparisons of whole slices are what costs.
template <class T>
void sort_slices_as(const View& x, int64_t* at, int64_t* spare) {
  const int64_t n = x.shape[0], m = x.shape[1];
  const T* p = x.as<const T>();
  int64_t *from = at, *to = spare;
  for (int64_t i = 0; i < n; ++i) at[i] = i;
  for (int64_t run = 1; run < n; run *= 2) {
    for (int64_t low = 0; low < n; low += 2 * run) {
      const int64_t middle = low + run < n ? low + run : n, high = middle + run < n ? middle + run : n;
      int64_t a = low, b = middle;
      for (int64_t i = low; i < high; ++i) {
        const bool left = b == high || (a < middle && compare(p + from[a] * m, p + from[b] * m, m) <= 0);
        to[i] = left ? from[a++] : from[b++];
      }
    }
    int64_t* const last = from;
    from = to;
    to = last;
  }
  if (from != at) std::memcpy(at, from, static_cast<size_t>(n) * sizeof(int64_t));
}

}  // namespace

void sort(View x, View y, View at, View work, bool descending) {
  if (x.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return sort_as<type>(x, y, at, work, descending);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

void sort_slices(View x, View at, View work) {
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return sort_slices_as<type>(x, at.as<int64_t>(), work.as<int64_t>());
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

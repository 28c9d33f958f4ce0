// The k-th smallest element of each row without sorting it, and the most frequent one of a sorted row.
//
// Selection by digits: the keys are counted by the leading digit of what they span, only those with the digit that the
// k-th has are kept, and so on. The place is found last: that of the element with as many equals before it as the rank
// among equals says.
#include "kernels/sort_long.h"

namespace pydl::PYDL_ISA {
namespace {

// Where the k-th key is: its digit, how many keys have a smaller one.
struct Digit {
  uint64_t value;
  int64_t before;
};

inline Digit find_digit(const uint32_t* count, int64_t k) {
  Digit d{0, 0};
  for (; d.before + count[d.value] <= k; ++d.value) d.before += count[d.value];
  return d;
}

// How keys that span `bits` bits are cut into digits of a first pass.
inline int leading(int bits, int64_t n) {
  const int width = n < 4096 ? 8 : 11;
  return bits > width ? bits - width : 0;
}

// The k-th of n keys, and how many are smaller. The keys are moved about.
template <class K>
K select_key(K* keys, int64_t n, int64_t k, int64_t* smaller) {
  *smaller = 0;
  for (;;) {
    const Range<K> range = range_of(keys, n);
    const int bits = range.bits(), shift = leading(bits, n);
    if (bits == 0) return range.low;
    uint32_t count[1 << 11];
    std::memset(count, 0, sizeof(uint32_t) << (bits - shift));
    for (int64_t i = 0; i < n; ++i) ++count[(keys[i] - range.low) >> shift];
    const Digit d = find_digit(count, k - *smaller);
    *smaller += d.before;
    if (shift == 0) return static_cast<K>(range.low + d.value);
    int64_t kept = 0;
    for (int64_t i = 0; i < n; ++i) {
      const K key = keys[i];
      keys[kept] = key;
      kept += static_cast<uint64_t>((key - range.low) >> shift) == d.value;
    }
    n = kept;
  }
}

// The rank that is asked for, where `nans` of n elements are NaN, which have the last ranks.
inline int64_t rank_of(int64_t n, int64_t nans, int64_t k, Nan nan) {
  if (k >= 0) return k;
  if (nan == Nan::result && nans > 0) return n - nans;
  const int64_t counted = nan == Nan::skip ? n - nans : n;
  return counted > 0 ? (counted - 1) / 2 : 0;
}

template <class T>
inline int64_t count_nan(const T* x, int64_t n) {
  int64_t nans = 0;
  if constexpr (kFloating<T>)
    for (int64_t i = 0; i < n; ++i) nans += key_of(x[i]) == kNanKey<Key<T>>;
  return nans;
}

// The place of the element equal to `key` that has `before` equals before it.
template <class T>
int64_t find_equal(const T* x, int64_t n, Key<T> key, int64_t before) {
  constexpr int64_t kBlock = 256;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    Key<T> equal = 0;
    for (int64_t j = 0; j < kBlock; ++j) equal += key_of(x[i + j]) == key;
    if (static_cast<int64_t>(equal) > before) break;
    before -= static_cast<int64_t>(equal);
  }
  while (key_of(x[i]) != key || before-- > 0) ++i;
  return i;
}

template <class T>
int64_t kth_place(const T* x, int64_t n, int64_t k, Nan nan) {
  using K = Key<T>;
  const int64_t rank = rank_of(n, k < 0 ? count_nan(x, n) : 0, k, nan);
  K* keys = static_cast<K*>(scratch(kKeys, static_cast<size_t>(n) * sizeof(K)));
  encode(x, keys, n, K(0));
  int64_t smaller;
  const K key = select_key(keys, n, rank, &smaller);
  return find_equal(x, n, key, rank - smaller);
}

// The keys of a long row with the leading digit of the k-th, in work; how many there are and how many are smaller.
template <class T>
int64_t keep_digit(const T* x, const Chunks& chunks, int64_t k, Key<T>* work, int64_t* smaller) {
  using K = Key<T>;
  const Range<K> range = range_of_row(x, K(0), chunks);
  const int bits = range.bits(), shift = leading(bits, chunks.n);
  const int64_t digits = int64_t(1) << (bits - shift);
  const size_t room = static_cast<size_t>(chunks.count * digits);
  uint32_t* count = static_cast<uint32_t*>(scratch(kPlaces, (room + digits) * sizeof(uint32_t)));
  uint32_t* total = count + room;
  std::memset(count, 0, (room + digits) * sizeof(uint32_t));
  chunks.each([&](int64_t c, int64_t begin, int64_t end) {
    uint32_t* own = count + c * digits;
    for (int64_t i = begin; i < end; ++i) ++own[(key_of(x[i]) - range.low) >> shift];
  });
  for (int64_t c = 0; c < chunks.count; ++c)
    for (int64_t v = 0; v < digits; ++v) total[v] += count[c * digits + v];
  const Digit d = find_digit(total, k);
  *smaller = d.before;
  int64_t kept = 0;
  for (int64_t c = 0; c < chunks.count; ++c) {  // from here on, where the keys of chunk c go
    uint32_t& own = count[c * digits + static_cast<int64_t>(d.value)];
    const uint32_t here = own;
    own = static_cast<uint32_t>(kept);
    kept += here;
  }
  chunks.each([&](int64_t c, int64_t begin, int64_t end) {
    K* to = work + count[c * digits + static_cast<int64_t>(d.value)];
    for (int64_t i = begin; i < end; ++i)
      if (const K key = key_of(x[i]); static_cast<uint64_t>((key - range.low) >> shift) == d.value) *to++ = key;
  });
  return kept;
}

template <class T>
int64_t kth_place_long(const T* x, int64_t n, int64_t k, Nan nan, Key<T>* work) {
  const Chunks chunks(n);
  int64_t nans = 0;
  if (kFloating<T> && k < 0) {
    auto* part = static_cast<int64_t*>(scratch(kCounts, static_cast<size_t>(chunks.count) * sizeof(int64_t)));
    chunks.each([&](int64_t c, int64_t begin, int64_t end) { part[c] = count_nan(x + begin, end - begin); });
    for (int64_t c = 0; c < chunks.count; ++c) nans += part[c];
  }
  const int64_t rank = rank_of(n, nans, k, nan);
  int64_t smaller, among;
  const int64_t kept = keep_digit(x, chunks, rank, work, &smaller);
  const Key<T> key = select_key(work, kept, rank - smaller, &among);
  return find_equal(x, n, key, rank - smaller - among);
}

template <class T>
void kth_as(const View& x, const View& y, const View& at, const View& work, int64_t k, Nan nan) {
  const int64_t rows = x.shape[0], n = x.shape[1];
  const T* from = x.as<const T>();
  T* to = y.as<T>();
  int64_t* places = at.as<int64_t>();
  const auto put = [&](int64_t r, int64_t found) {
    places[r] = found;
    to[r] = from[r * n + found];
  };
  if (n <= kSmall)
    return order_each_row(from, rows, n, Key<T>(0), [&](int64_t r, const uint64_t* words) {
      put(r, place(words[rank_of(n, k < 0 ? count_nan(from + r * n, n) : 0, k, nan)]));
    });
  if (!work.present())
    return parallel_for(rows, 8 * n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) put(r, kth_place(from + r * n, n, k, nan));
    });
  for (int64_t r = 0; r < rows; ++r) put(r, kth_place_long(from + r * n, n, k, nan, work.as<Key<T>>()));
}

// The last place of the longest run of equal elements, of the first such run. x is sorted.
template <class T>
int64_t longest(const T* x, int64_t n) {
  int64_t best = 0, end = 0;
  for (int64_t i = 0, next; i < n; i = next) {
    next = i + 1;
    while (next < n && key_of(x[next]) == key_of(x[i])) ++next;
    if (next - i > best) best = next - i, end = next - 1;
  }
  return end;
}

template <class T>
void longest_run_as(const View& x, int64_t* at) {
  const int64_t rows = x.shape[0], n = x.shape[1];
  parallel_for(rows, 2 * n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) at[r] = longest(x.as<const T>() + r * n, n);
  });
}

}  // namespace

void kth(View x, View y, View at, View work, int64_t k, Nan nan) {
  if (x.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return kth_as<type>(x, y, at, work, k, nan);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

void longest_run(View x, View at) {
  if (x.numel() == 0) return;
  switch (x.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return longest_run_as<type>(x, at.as<int64_t>());
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

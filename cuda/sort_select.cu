// The k-th smallest element of each row without sorting it, and the most frequent one of a sorted row. A block for each
// row; of few and long rows several blocks look for the k-th.
#include "rows.cuh"
#include "sort.cuh"

namespace pydl::cuda {
namespace {

// The rank that is asked for, where `nans` of n elements are NaN, which have the last ranks.
__device__ __forceinline__ int64_t rank_of(int64_t n, int64_t nans, int64_t k, Nan nan) {
  if (k >= 0) return k;
  if (nan == Nan::result && nans > 0) return n - nans;
  const int64_t counted = nan == Nan::skip ? n - nans : n;
  return counted > 0 ? (counted - 1) / 2 : 0;
}

// Where the results go.
struct Found {
  void* y;
  int64_t* at;
  int size;  // bytes of an element
};

// Of elements [first, first + n) of a row of `all`, the one that is equal to the key with `before` such before it.
template <class K>
__device__ __forceinline__ void emit_equal(const Keys<K>& x, int64_t row, int64_t all, int64_t first, int64_t n, K key,
                                           int64_t before, SelectRoom& room, const Found& to) {
  for (int64_t begin = 0; begin < n && before >= 0; begin += kSelectThreads) {
    const int64_t i = begin + threadIdx.x, at = row * all + first + i;
    const bool equal = i < n && x[at] == key;
    int some;
    if (votes_before<kSelectThreads>(equal, room.warps, &some) == before && equal) {
      to.at[row] = first + i;
      copy_element(to.y, row, x.data, at, to.size);
    }
    before -= some;
  }
}

template <class K>
__device__ __forceinline__ int64_t count_nans(const Keys<K>& x, int64_t base, int64_t n) {
  int64_t nans = 0;
  for (int64_t i = threadIdx.x; i < n; i += kSelectThreads) nans += x.is_nan(x[base + i]);
  return RowGroup<kSelectThreads>().sum(nans);
}

// Of the elements equal to the key of the rank, the one with as many equals before it as its rank among them says.
template <class K>
__global__ void __launch_bounds__(kSelectThreads, 4)
    kth_kernel(int64_t rows, int64_t n, int64_t k, Nan nan, Keys<K> x, Found to) {
  __shared__ SelectRoom room;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    int64_t smaller;
    const int64_t rank = rank_of(n, k < 0 ? count_nans(x, row * n, n) : 0, k, nan);
    const K key = select_key(x, row * n, n, rank, K(0), room, &smaller);
    emit_equal(x, row, n, 0, n, key, rank - smaller, room, to);
  }
}

// ---- few and long rows: blocks count the digits in parts of a row, then one block of the row adds them up

// What is known of the key in a row: its first digits, its rank, and how many keys are below those that begin so.
template <class K>
struct Search {
  K prefix;
  int64_t rank, smaller;
};

template <class K>
struct Parts {
  Keys<K> x;
  int64_t rows, n, parts, length;  // parts of a row, and elements of each but the last
  int* counts;                     // (rows, parts, digits)
  int64_t* nans;                   // (rows, parts)
  Search<K>* searches;             // (rows,), zeros at first

  __device__ __forceinline__ int64_t first(int64_t item) const { return item % parts * length; }
  __device__ __forceinline__ int64_t in_part(int64_t item) const {
    const int64_t left = n - first(item);
    return left < length ? left : length;
  }
};

template <class K>
constexpr int kTopShift = 8 * static_cast<int>(sizeof(K)) - kDigit;

template <class K>
__global__ void __launch_bounds__(kSelectThreads) parts_kernel(Parts<K> p, int shift, bool nans) {
  __shared__ SelectRoom room;
  const K mask = shift == kTopShift<K> ? K(0) : static_cast<K>(~K(0) << (shift + kDigit));
  for (int64_t item = blockIdx.x; item < p.rows * p.parts; item += gridDim.x) {
    const int64_t row = item / p.parts, base = row * p.n + p.first(item), n = p.in_part(item);
    if (nans) {
      const int64_t found = count_nans(p.x, base, n);
      if (threadIdx.x == 0) p.nans[item] = found;
    }
    count_digits(p.x, base, n, K(0), mask, p.searches[row].prefix, shift, room);
    p.counts[item * kSelectThreads + threadIdx.x] = room.counts[threadIdx.x];
  }
}

template <class K>
__global__ void __launch_bounds__(kSelectThreads) digit_kernel(Parts<K> p, int shift, int64_t k, Nan nan) {
  __shared__ SelectRoom room;
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    Search<K> search = p.searches[row];
    int own = 0;
    int64_t nans = 0;
    for (int64_t item = row * p.parts; item < (row + 1) * p.parts; ++item) {
      own += p.counts[item * kSelectThreads + threadIdx.x];
      if (k < 0) nans += p.nans[item];
    }
    if (shift == kTopShift<K>) search.rank = rank_of(p.n, nans, k, nan);
    search.prefix |= static_cast<K>(pick_digit(own, search.rank, room, &search.smaller)) << shift;
    if (threadIdx.x == 0) p.searches[row] = search;
  }
}

// From the counts of the last digit, the part with the element.
template <class K>
__global__ void __launch_bounds__(kSelectThreads) place_kernel(Parts<K> p, Found to) {
  __shared__ SelectRoom room;
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const K key = p.searches[row].prefix;
    int64_t before = p.searches[row].rank - p.searches[row].smaller, item = row * p.parts;
    for (;; ++item) {
      const int equal = p.counts[item * kSelectThreads + static_cast<int64_t>(key & 0xff)];
      if (before < equal) break;
      before -= equal;
    }
    emit_equal(p.x, row, p.n, p.first(item), p.in_part(item), key, before, room, to);
  }
}

template <class K>
void kth_by_parts(const View& x, int64_t parts, int64_t k, Nan nan, const Found& to) {
  const int64_t rows = x.shape[0], n = x.shape[1], length = ceil_div(n, parts);
  Parts<K> p{Keys<K>(x), rows, n, ceil_div(n, length), length, nullptr, nullptr, nullptr};
  const int64_t items = rows * p.parts, searches = rows * static_cast<int64_t>(sizeof(Search<K>));
  const Scratch room(static_cast<size_t>(searches + items * static_cast<int64_t>(sizeof(int64_t)) +
                                         items * kSelectThreads * static_cast<int64_t>(sizeof(int))));
  p.searches = room.as<Search<K>>();
  p.nans = reinterpret_cast<int64_t*>(p.searches + rows);
  p.counts = reinterpret_cast<int*>(p.nans + items);
  note(cudaMemsetAsync(p.searches, 0, static_cast<size_t>(searches), stream()));
  const Grid all{blocks_for(items, 1), kSelectThreads}, each{blocks_for(rows, 1), kSelectThreads};
  for (int shift = kTopShift<K>; shift >= 0; shift -= kDigit) {
    start(parts_kernel<K>, all, p, shift, k < 0 && shift == kTopShift<K>);
    start(digit_kernel<K>, each, p, shift, k, nan);
  }
  start(place_kernel<K>, each, p, to);
}

// The last place of the longest run of equal elements, of the first such run.
template <class K>
__global__ void __launch_bounds__(kRowThreads) longest_kernel(int64_t rows, int64_t n, Keys<K> x, int64_t* at) {
  RowGroup<kRowThreads> group;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const int64_t base = row * n;
    uint64_t best = 0;  // the length above, and below it what is larger for earlier runs
    for (int64_t i = threadIdx.x; i < n; i += kRowThreads) {
      const K key = x[base + i];
      if (i + 1 < n && x[base + i + 1] == key) continue;
      int64_t low = 0, high = i;
      while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (x[base + middle] < key)
          low = middle + 1;
        else
          high = middle;
      }
      const uint64_t found = static_cast<uint64_t>(i - low + 1) << 32 | (0xffffffffu - static_cast<uint32_t>(i));
      best = found > best ? found : best;
    }
    best = group.all(best, [](uint64_t a, uint64_t b) { return a > b ? a : b; });
    if (threadIdx.x == 0) at[row] = 0xffffffffu - static_cast<uint32_t>(best);
  }
}

}  // namespace

void kth(View x, View y, View at, View, int64_t k, Nan nan) {
  if (x.numel() == 0) return;
  const int64_t rows = x.shape[0], n = x.shape[1], parts = select_parts(rows, n, 1);
  const Found to{y.data, at.as<int64_t>(), bytes_of(x.dtype)};
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    if (parts > 1) return kth_by_parts<K>(x, parts, k, nan, to);
    start(kth_kernel<K>, {blocks_for(rows, 1), kSelectThreads}, rows, n, k, nan, Keys<K>(x), to);
  });
}

void longest_run(View x, View at) {
  if (x.numel() == 0) return;
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    start(longest_kernel<K>, {blocks_for(x.shape[0], 1), kRowThreads}, x.shape[0], x.shape[1], Keys<K>(x),
          at.as<int64_t>());
  });
}

}  // namespace pydl::cuda

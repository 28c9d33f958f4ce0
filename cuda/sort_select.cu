// The k-th smallest element of each row without sorting it, and the most frequent one of a sorted row. A block for each
// row.
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

template <class K>
__global__ void __launch_bounds__(kSelectThreads, 4)
    kth_kernel(int64_t rows, int64_t n, int64_t k, Nan nan, int size, Keys<K> x, void* y, int64_t* at) {
  __shared__ SelectRoom room;
  RowGroup<kSelectThreads> group;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    int64_t nans = 0, smaller;
    for (int64_t i = threadIdx.x; k < 0 && i < n; i += kSelectThreads) nans += x.is_nan(x[row * n + i]);
    const int64_t rank = rank_of(n, group.sum(nans), k, nan);
    const K key = select_key(x, row * n, n, rank, K(0), room, &smaller);
    // Of the elements equal to it, the one with as many equals before it as its rank among them says.
    int64_t before = rank - smaller;
    for (int64_t begin = 0; begin < n && before >= 0; begin += kSelectThreads) {
      const int64_t i = begin + threadIdx.x;
      const bool equal = i < n && x[row * n + i] == key;
      int some;
      if (votes_before<kSelectThreads>(equal, room.warps, &some) == before && equal) {
        at[row] = i;
        copy_element(y, row, x.data, row * n + i, size);
      }
      before -= some;
    }
  }
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
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    start(kth_kernel<K>, {blocks_for(x.shape[0], 1), kSelectThreads}, x.shape[0], x.shape[1], k, nan, bytes_of(x.dtype),
          Keys<K>(x), y.data, at.as<int64_t>());
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

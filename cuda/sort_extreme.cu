// Running extremes along the middle axis of a dense (outer, n, inner) block, and where each stands: the last of equal
// ones; from the first NaN on, NaN and the place of the latest. Rows are scanned by a warp, columns by a thread each.
#include "sort.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;

// The extreme so far: the later of two wins unless the earlier has the greater rank.
template <class K>
struct Leader {
  K rank;
  int64_t place;
  __device__ __forceinline__ void meet(const Leader& earlier) {
    if (earlier.rank > rank) *this = earlier;
  }
};

// Greater is better, and NaN the best of all.
template <class K>
__device__ __forceinline__ K rank_of(const Keys<K>& x, int64_t i, bool largest) {
  const K key = x[i];
  return largest || x.is_nan(key) ? key : static_cast<K>(~key);
}

template <class K>
__global__ void __launch_bounds__(kThreads)
    rows_kernel(int64_t rows, int64_t n, bool largest, int size, Keys<K> x, void* y, int64_t* at) {
  const int lane = threadIdx.x % 32;
  const int64_t step = int64_t{gridDim.x} * (kThreads / 32);
  for (int64_t row = int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32; row < rows; row += step) {
    Leader<K> carried{0, -1};
    for (int64_t begin = 0; begin < n; begin += 32) {
      const int64_t i = begin + lane, base = row * n;
      Leader<K> mine{i < n ? rank_of(x, base + i, largest) : K(0), i};
      for (int reach = 1; reach < 32; reach *= 2) {
        const Leader<K> earlier{__shfl_up_sync(~0u, mine.rank, reach), __shfl_up_sync(~0u, mine.place, reach)};
        if (lane >= reach) mine.meet(earlier);
      }
      if (carried.place >= 0) mine.meet(carried);
      if (i < n) {
        at[base + i] = mine.place;
        copy_element(y, base + i, x.data, base + mine.place, size);
      }
      carried = {__shfl_sync(~0u, mine.rank, 31), __shfl_sync(~0u, mine.place, 31)};
    }
  }
}

template <class K>
__global__ void __launch_bounds__(kThreads)
    columns_kernel(int64_t outer, int64_t n, int64_t inner, bool largest, int size, Keys<K> x, void* y, int64_t* at) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < outer * inner; c += step) {
    const int64_t base = c / inner * n * inner + c % inner;
    Leader<K> best{0, 0};
    for (int64_t i = 0; i < n; ++i) {
      Leader<K> mine{rank_of(x, base + i * inner, largest), i};
      if (i > 0) mine.meet(best);
      best = mine;
      at[base + i * inner] = best.place;
      copy_element(y, base + i * inner, x.data, base + best.place * inner, size);
    }
  }
}

}  // namespace

void cumulative_extreme(bool largest, View x, View y, View at) {
  if (x.numel() == 0) return;
  const int64_t outer = x.shape[0], n = x.shape[1], inner = x.shape[2];
  const int size = bytes_of(x.dtype);
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    if (inner == 1)
      return start(rows_kernel<K>, {blocks_for(outer, kThreads / 32), kThreads}, outer, n, largest, size, Keys<K>(x),
                   y.data, at.as<int64_t>());
    start(columns_kernel<K>, {blocks_for(outer * inner, kThreads), kThreads}, outer, n, inner, largest, size,
          Keys<K>(x), y.data, at.as<int64_t>());
  });
}

}  // namespace pydl::cuda

// What is done with sorted rows and small integers: runs of equal slices, binary search, counting.
#include "order.cuh"
#include "sort.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kSharedBins = 4096;  // of a count that each block makes for itself

Grid grid_for(int64_t n) { return {blocks_for(n, kThreads), kThreads}; }

// flags[i]: whether slice i differs from the one before; NaN differs from NaN. Behind the last there is a 0.
template <class K>
__global__ void __launch_bounds__(kThreads) differs_kernel(int64_t n, int64_t m, Keys<K> x, int64_t* flags) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i <= n; i += int64_t{gridDim.x} * kThreads) {
    bool differs = i == 0 && n > 0;
    for (int64_t j = 0; i > 0 && i < n && j < m && !differs; ++j) {
      const K key = x[i * m + j];
      differs = key != x[(i - 1) * m + j] || x.is_nan(key);
    }
    flags[i] = differs;
  }
}

__global__ void __launch_bounds__(kThreads)
    starts_kernel(int64_t n, const int64_t* sums, int64_t* starts, int64_t* count) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i <= n; i += int64_t{gridDim.x} * kThreads) {
    if (i == n)
      *count = sums[n];
    else if (sums[i + 1] != sums[i])
      starts[sums[i]] = i;
  }
}

__global__ void __launch_bounds__(kThreads)
    spread_kernel(int64_t runs, int64_t n, const int64_t* starts, const int64_t* order, int64_t* run, int64_t* size) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) {
    int64_t low = 0, high = runs;  // the last run that begins at i or before
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      if (starts[middle] <= i)
        low = middle;
      else
        high = middle;
    }
    run[order ? order[i] : i] = low;
    if (starts[low] == i) size[low] = (low + 1 < runs ? starts[low + 1] : n) - i;
  }
}

// How many edges are less than (right: at most) each value. NaN is beyond every edge.
template <class K>
__global__ void __launch_bounds__(kThreads)
    search_kernel(int64_t rows, int64_t m, int64_t k, bool shared, bool right, Keys<K> edges, const int64_t* order,
                  Keys<K> x, void* y, bool wide) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < rows * k; e += step) {
    const int64_t base = shared ? 0 : e / k * m;
    const K value = x[e];
    int64_t low = 0, high = m;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      const K edge = edges[base + (order ? order[base + middle] : middle)];
      if (x.is_nan(value) || edge < value || (right && edge == value))
        low = middle + 1;
      else
        high = middle;
    }
    if (wide)
      static_cast<int64_t*>(y)[e] = low;
    else
      static_cast<int32_t*>(y)[e] = static_cast<int32_t>(low);
  }
}

__device__ __forceinline__ long long integer_at(const void* x, Dtype dtype, int64_t i) {
  if (dtype == Dtype::i64) return static_cast<const int64_t*>(x)[i];
  if (dtype == Dtype::i32) return static_cast<const int32_t*>(x)[i];
  return static_cast<const uint8_t*>(x)[i];
}

__global__ void begin_bounds(long long* low_high) {
  low_high[0] = std::numeric_limits<long long>::max();
  low_high[1] = std::numeric_limits<long long>::min();
}

__global__ void __launch_bounds__(kThreads) bounds_kernel(int64_t n, const void* x, Dtype dtype, long long* low_high) {
  long long low = std::numeric_limits<long long>::max(), high = std::numeric_limits<long long>::min();
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) {
    const long long v = integer_at(x, dtype, i);
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  for (int reach = 16; reach > 0; reach /= 2) {
    const long long other_low = __shfl_xor_sync(~0u, low, reach), other_high = __shfl_xor_sync(~0u, high, reach);
    low = other_low < low ? other_low : low;
    high = other_high > high ? other_high : high;
  }
  if (threadIdx.x % 32 != 0) return;
  atomicMin(low_high, low);
  atomicMax(low_high + 1, high);
}

__global__ void __launch_bounds__(kThreads) zero_kernel(int64_t n, unsigned long long* y) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) y[i] = 0;
}

// Counts of integers do not depend on the order of the additions. Few bins: in shared memory first.
__global__ void __launch_bounds__(kThreads)
    count_kernel(int64_t n, int64_t bins, const void* x, Dtype dtype, unsigned long long* y) {
  unsigned* own = shared_memory<unsigned>();
  const bool shares = bins <= kSharedBins;
  for (int64_t b = threadIdx.x; shares && b < bins; b += kThreads) own[b] = 0;
  __syncthreads();
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kThreads) {
    const long long at = integer_at(x, dtype, i);
    if (shares)
      atomicAdd(&own[at], 1u);
    else
      atomicAdd(&y[at], 1ull);
  }
  __syncthreads();
  for (int64_t b = threadIdx.x; shares && b < bins; b += kThreads)
    if (own[b]) atomicAdd(&y[b], static_cast<unsigned long long>(own[b]));
}

}  // namespace

void run_starts(View x, View starts, View count) {
  const int64_t n = x.shape[0], m = x.shape[1];
  const Scratch memory(static_cast<size_t>(n + 1) * sizeof(int64_t));
  auto* sums = memory.as<int64_t>();
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    start(differs_kernel<K>, grid_for(n + 1), n, m, Keys<K>(x), sums);
  });
  exclusive_sums(sums, n + 1);
  start(starts_kernel, grid_for(n + 1), n, sums, starts.as<int64_t>(), count.as<int64_t>());
}

void spread_runs(View starts, View order, View run, View size) {
  const int64_t n = run.shape[0];
  if (n == 0) return;
  start(spread_kernel, grid_for(n), starts.shape[0], n, starts.as<const int64_t>(), order.as<const int64_t>(),
        run.as<int64_t>(), size.as<int64_t>());
}

void search(View edges, View order, View x, View y, bool right) {
  if (x.numel() == 0) return;
  with_keys(x.dtype, [&](auto zero) {
    using K = decltype(zero);
    start(search_kernel<K>, grid_for(x.numel()), x.shape[0], edges.shape[1], x.shape[1], edges.shape[0] == 1, right,
          Keys<K>(edges), order.as<const int64_t>(), Keys<K>(x), y.data, y.dtype == Dtype::i64);
  });
}

void integer_bounds(View x, View low_high) {
  auto* to = low_high.as<long long>();
  start(begin_bounds, {1, 1}, to);
  start(bounds_kernel, grid_for(x.shape[0]), x.shape[0], x.data, x.dtype, to);
}

void bincount(View x, View y) {
  const int64_t n = x.shape[0], bins = y.shape[0];
  if (bins == 0) return;
  auto* to = y.as<unsigned long long>();
  start(zero_kernel, grid_for(bins), bins, to);
  if (n == 0) return;
  const size_t shared = bins <= kSharedBins ? static_cast<size_t>(bins) * sizeof(unsigned) : 0;
  start(count_kernel, {blocks_for(n, kThreads), kThreads, shared}, n, bins, x.data, x.dtype, to);
}

}  // namespace pydl::cuda

#include "order.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kDigit = 8, kDigits = 1 << kDigit;  // bits of a key that one pass looks at
static_assert(kDigits == kThreads, "a thread counts one digit");

__global__ void __launch_bounds__(kThreads) exclusive_sums_kernel(int64_t* counts, int64_t n) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int64_t ends[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t carried = 0;
  for (int64_t begin = 0; begin < n; begin += kThreads) {
    const int64_t i = begin + threadIdx.x, own = i < n ? counts[i] : 0;
    int64_t total = own;
    for (int reach = 1; reach < 32; reach *= 2) {
      const int64_t before = __shfl_up_sync(~0u, total, reach);
      if (lane >= reach) total += before;
    }
    if (lane == 31) ends[warp] = total;
    __syncthreads();
    int64_t before = carried;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) before += ends[w];
      carried += ends[w];
    }
    if (i < n) counts[i] = before + total - own;
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kThreads) count_up(int64_t* order, int64_t k) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < k; i += int64_t{gridDim.x} * kThreads)
    order[i] = i;
}

__device__ __forceinline__ int digit_of(const int64_t* keys, const int64_t* order, int64_t i, int shift) {
  return static_cast<int>(keys[order[i]] >> shift) & (kDigits - 1);
}

// How often each digit is there in each tile of 256 keys: counts (digits, tiles).
__global__ void __launch_bounds__(kThreads)
    count_digits(const int64_t* keys, const int64_t* order, int64_t k, int shift, int64_t tiles, int64_t* counts) {
  __shared__ int seen[kDigits];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    seen[threadIdx.x] = 0;
    __syncthreads();
    const int64_t i = tile * kThreads + threadIdx.x;
    if (i < k) atomicAdd(&seen[digit_of(keys, order, i, shift)], 1);
    __syncthreads();
    counts[threadIdx.x * tiles + tile] = seen[threadIdx.x];
    __syncthreads();
  }
}

// Each place goes behind those of smaller digits, of earlier tiles, and of earlier threads.
__global__ void __launch_bounds__(kThreads)
    move_by_digit(const int64_t* keys, const int64_t* from, int64_t k, int shift, int64_t tiles, const int64_t* starts,
                  int64_t* to) {
  __shared__ int digits[kThreads];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t i = tile * kThreads + threadIdx.x;
    const int own = i < k ? digit_of(keys, from, i, shift) : -1;
    digits[threadIdx.x] = own;
    __syncthreads();
    int before = 0;
    for (unsigned t = 0; t < threadIdx.x; ++t) before += digits[t] == own;
    if (i < k) to[starts[own * tiles + tile] + before] = from[i];
    __syncthreads();
  }
}

}  // namespace

void exclusive_sums(int64_t* counts, int64_t n) { start(exclusive_sums_kernel, {1, kThreads}, counts, n); }

const int64_t* sorted_places(const int64_t* keys, int64_t n, int64_t k, int64_t* order, int64_t* other) {
  const int64_t tiles = ceil_div(k, kThreads);
  const Scratch counts(static_cast<size_t>(tiles * kDigits) * sizeof(int64_t));
  const unsigned blocks = blocks_for(tiles, 1);
  start(count_up, {blocks_for(k, kThreads), kThreads}, order, k);
  for (int shift = 0; shift < 63 && (n - 1) >> shift > 0; shift += kDigit) {
    start(count_digits, {blocks, kThreads}, keys, order, k, shift, tiles, counts.as<int64_t>());
    exclusive_sums(counts.as<int64_t>(), tiles * kDigits);
    start(move_by_digit, {blocks, kThreads}, keys, order, k, shift, tiles, counts.as<const int64_t>(), other);
    int64_t* next = order;
    order = other;
    other = next;
  }
  return order;
}

}  // namespace pydl::cuda

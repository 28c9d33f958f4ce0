// Kernels over dense rows: a row belongs to one warp, or, where it is long, to one block; sums over it are trees.
#pragma once

#include "device.cuh"

namespace pydl::cuda {

constexpr int kRowThreads = 256;
constexpr int64_t kWarpRow = 1024;  // up to this length a warp is enough

// The threads that share a row. kLanes: 32 (several rows to a block) or kRowThreads.
template <int kLanes>
struct RowGroup {
  static constexpr int kRows = kRowThreads / kLanes;
  int lane = static_cast<int>(threadIdx.x) % kLanes;
  int64_t row = int64_t{blockIdx.x} * kRows + threadIdx.x / kLanes;
  int64_t step = int64_t{gridDim.x} * kRows;

  // What all lanes' values make together, for every lane.
  template <class T, class F>
  __device__ __forceinline__ T all(T x, const F& combine) const {
#pragma unroll
    for (int reach = 16; reach > 0; reach /= 2) x = combine(x, __shfl_xor_sync(~0u, x, reach));
    if constexpr (kLanes > 32) {
      __shared__ T part[kLanes / 32];
      __syncthreads();  // the last values may still be read
      if (lane % 32 == 0) part[lane / 32] = x;
      __syncthreads();
      x = part[0];
      for (int w = 1; w < kLanes / 32; ++w) x = combine(x, part[w]);
    }
    return x;
  }
  template <class T>
  __device__ __forceinline__ T sum(T x) const {
    return all(x, [](T a, T b) { return a + b; });
  }
};

// Calls f with a RowGroup type's number of lanes, as a constant, and the blocks to start.
template <class F>
void with_lanes(int64_t rows, int64_t n, const F& f) {
  if (n <= kWarpRow) return f(std::integral_constant<int, 32>(), blocks_for(rows, kRowThreads / 32));
  f(std::integral_constant<int, kRowThreads>(), blocks_for(rows, 1));
}

}  // namespace pydl::cuda

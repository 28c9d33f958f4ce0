// How products of matrices are dealt out among blocks: a block makes the same tile of some products; sums that are long
// where tiles are few are cut into parts. And how a finished tile leaves its block.
#pragma once

#include "tile_half.cuh"

namespace pydl::cuda {

// The rows or columns of a tile that are there.
__device__ __forceinline__ int within(int64_t left, int tile) { return static_cast<int>(left < tile ? left : tile); }

// Parts of a sum.
struct Parts {
  int64_t count, terms;  // terms: of each
};

// Parts that are whole slices of `least` terms or more, so that about `wanted` blocks have work where one part of each
// sum makes `tiles`. By sizes alone: sums are the same bits on every device.
inline Parts parts_of(int64_t k, int64_t tiles, int64_t wanted, int64_t least) {
  const int64_t parts = smaller(wanted / tiles, k / least);
  if (parts < 2) return {1, k};
  const int64_t terms = ceil_div(ceil_div(k, parts), kHalfDepth<f16>) * kHalfDepth<f16>;
  return {ceil_div(k, terms), terms};
}

// A block for each tile of a matrix (m, n); along z blocks share `items`.
inline Grid tile_grid(int64_t m, int64_t n, int64_t items, int64_t tile, int threads, size_t shared) {
  const dim3 blocks(static_cast<unsigned>(ceil_div(n, tile)), static_cast<unsigned>(ceil_div(m, tile)),
                    static_cast<unsigned>(smaller(items, int64_t{65535})));
  return {blocks, static_cast<unsigned>(threads), shared};
}

// f(item, product, where its sums begin and end) for each product and part of its sums, of k terms, that is the
// block's.
template <class F>
__device__ __forceinline__ void each_product(int64_t products, int64_t k, const Parts& parts, const F& f) {
  for (int64_t item = blockIdx.z; item < products * parts.count; item += gridDim.z) {
    const int64_t begin = item / products * parts.terms, end = begin + parts.terms;
    f(item, item % products, begin, end < k ? end : k);
  }
}

// Calls f(row, column, sums) for every run of kRun neighbours of a tile, by way of shared memory: neighbouring threads
// have neighbouring runs.
template <class T, int kTile, int kThreads, int kRun, class Sums, class F>
__device__ __forceinline__ void each_run(const Sums& sums, const F& f) {
  using Row = T[kTile + kTilePad];
  Row* tile = shared_memory<Row>();
  sums.put(tile);
  __syncthreads();
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < kTile * kTile / kRun; at += kThreads) {
    const int i = at / (kTile / kRun), j = at % (kTile / kRun) * kRun;
    f(i, j, &tile[i][j]);
  }
  __syncthreads();
}

}  // namespace pydl::cuda

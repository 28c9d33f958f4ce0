// A tile of a product of 16-bit floats on tensor cores, summed in float32: slices of both factors pass through shared
// memory, several of them on their way at a time, and each of four warps keeps a quarter of the tile in registers. The
// same of float32 that may be rounded to TF32: slices of as many bytes, which are half as deep.
//
// What brings the slices is a parameter: a loader has
//   bool deep                          a slice lies as [outer][depth] in shared memory, else as [depth][outer]
//   void slice(S* to, int64_t k)       begins to bring columns k .. k + kHalfDepth<S>, zeros beyond the end
// "outer" is the axis of the tile: rows of the left factor, columns of the right one.
#pragma once

#include "mma.cuh"

namespace pydl::cuda {

constexpr int kHalfThreads = 128, kHalfStages = 4;
constexpr int kHalfPad = 8;  // elements behind each row: eight rows, 16 bytes of each, then lie in different banks

template <class S>
constexpr int kHalfRun = 16 / static_cast<int>(sizeof(S));  // elements that are brought, and read, at once
template <class S>
constexpr int kHalfDepth = 4 * kHalfRun<S>;
template <class S>
constexpr int kDeepRow = kHalfDepth<S> + kHalfRun<S>;

// Elements of a slice in shared memory, whichever way it lies.
template <class S, int kTile>
constexpr int kHalfSlice = kTile* kDeepRow<S>;

template <int kTile>
constexpr size_t kHalfShared = size_t{2} * kHalfStages* kHalfSlice<f16, kTile> * 2;

// Element (outer, depth) at p[outer * outer_step + depth * depth_step]. vector: 16 bytes are read at once.
template <class S, int kTile>
struct HalfMatrix {
  const S* p;
  int64_t outer_step, depth_step, depth_left;
  int outer_left;
  bool deep, vector;

  __device__ __forceinline__ void slice(S* to, int64_t k) const {
    constexpr int kRun = kHalfRun<S>, kRuns = kHalfDepth<S> / kRun, kEach = kTile * kRuns / kHalfThreads;
#pragma unroll
    for (int u = 0; u < kEach; ++u) {
      const int at = static_cast<int>(threadIdx.x) + u * kHalfThreads;
      const int o = deep ? at / kRuns : at % (kTile / kRun) * kRun;
      const int d = deep ? at % kRuns * kRun : at / (kTile / kRun);
      const int64_t along = depth_left - k - d;
      const int64_t left = o >= outer_left || along <= 0 ? 0 : deep ? along : outer_left - o;
      const S* from = left > 0 ? p + o * outer_step + (k + d) * depth_step : p;
      run(to + (deep ? o * kDeepRow<S> + d : d * (kTile + kHalfPad) + o), from,
          static_cast<int>(left < kRun ? left : kRun));
    }
  }

 private:
  __device__ __forceinline__ void run(S* to, const S* from, int there) const {
    if (vector) return copy_async(to, from, there * static_cast<int>(sizeof(S)));
    const int64_t step = deep ? depth_step : outer_step;
#pragma unroll
    for (int i = 0; i < kHalfRun<S>; ++i) to[i] = i < there ? from[i * step] : S{0};
  }
};

// Where a lane finds its rows of a slice: blocks of 16 by two runs along the depth are fragments.
template <class S, int kTile>
struct HalfFragments {
  static constexpr int kRow = kTile + kHalfPad;
  int begin, outer_step, depth_step;  // to the next block
  bool turned;

  __device__ __forceinline__ HalfFragments(bool deep, int first_outer) : turned(!deep) {
    const int lane = static_cast<int>(threadIdx.x) % 32, low = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16;
    if (deep)
      begin = (first_outer + low + second) * kDeepRow<S> + third * kHalfRun<S>;
    else if (kHalf<S>)
      begin = (low + third * 8) * kRow + first_outer + second;
    else
      begin = lane % 4 * kRow + first_outer + lane / 4;
    outer_step = deep ? 16 * kDeepRow<S> : 16;
    depth_step = 2 * kHalfRun<S> * (deep ? 1 : kRow);
  }
  // As the left factor's registers; of the right one, columns 0-7 are registers 0 and 2, columns 8-15 are 1 and 3.
  __device__ __forceinline__ void load(uint32_t (&to)[4], const S* slice, int outer, int depth) const {
    const S* from = slice + begin + outer * outer_step + depth * depth_step;
    if constexpr (kHalf<S>) {
      load_matrices(to, from, turned);
    } else {
      if (turned) {  // no instruction turns matrices of 32 bits
#pragma unroll
        for (int i = 0; i < 4; ++i) to[i] = __float_as_uint(from[i / 2 * 4 * kRow + i % 2 * 8]);
      } else {
        load_matrices(to, from, false);
      }
#pragma unroll
      for (uint32_t& x : to) x = to_tf32(__uint_as_float(x));
    }
  }
};

// Sums of a warp: blocks of 16 x 8 of its quarter of a tile of kTile x kTile.
template <int kTile>
struct HalfSums {
  static constexpr int kDown = kTile / 32, kAcross = kTile / 16;
  float of[kDown][kAcross][4] = {};

  // To shared memory, as [row][column] of the tile.
  __device__ __forceinline__ void put(float (*tile)[kTile + kTilePad]) const {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int row = warp / 2 * (kTile / 2) + lane / 4, column = warp % 2 * (kTile / 2) + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j)
#pragma unroll
        for (int h = 0; h < 2; ++h)
          *reinterpret_cast<float2*>(&tile[row + i * 16 + h * 8][column + j * 8]) =
              make_float2(of[i][j][2 * h], of[i][j][2 * h + 1]);
  }
};

template <class S, int kTile>
__device__ __forceinline__ void multiply_slice(const HalfFragments<S, kTile>& left,
                                               const HalfFragments<S, kTile>& right, const S* a, const S* b,
                                               HalfSums<kTile>& sums) {
  using Sums = HalfSums<kTile>;
#pragma unroll
  for (int d = 0; d < 2; ++d) {
    uint32_t af[Sums::kDown][4], bf[Sums::kAcross / 2][4];
#pragma unroll
    for (int i = 0; i < Sums::kDown; ++i) left.load(af[i], a, i, d);
#pragma unroll
    for (int j = 0; j < Sums::kAcross / 2; ++j) right.load(bf[j], b, j, d);
#pragma unroll
    for (int i = 0; i < Sums::kDown; ++i)
#pragma unroll
      for (int j = 0; j < Sums::kAcross; ++j) multiply<S>(sums.of[i][j], af[i], bf[j / 2][j % 2], bf[j / 2][j % 2 + 2]);
  }
}

// sums = columns begin .. end of the left factor by the same rows of the right one. shared: kHalfShared<kTile> bytes,
// which are free again when it returns.
template <class S, int kTile, class Left, class Right>
__device__ __forceinline__ void half_product(const Left& left, const Right& right, int64_t begin, int64_t end,
                                             S* shared, HalfSums<kTile>& sums) {
  const auto at = [&](int64_t i) { return shared + i % kHalfStages * 2 * kHalfSlice<S, kTile>; };
  const auto bring = [&](int64_t i) {
    const int64_t k = begin + i * kHalfDepth<S>;
    if (k < end) {
      left.slice(at(i), k);
      right.slice(at(i) + kHalfSlice<S, kTile>, k);
    }
    close_copies();
  };
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const HalfFragments<S, kTile> rows(left.deep, warp / 2 * (kTile / 2)), columns(right.deep, warp % 2 * (kTile / 2));
  for (int i = 0; i < kHalfStages - 1; ++i) bring(i);
  const int64_t slices = ceil_div(end - begin, kHalfDepth<S>);
  for (int64_t i = 0; i < slices; ++i) {
    wait_copies<kHalfStages - 2>();
    __syncthreads();
    bring(i + kHalfStages - 1);  // into the slice that all have read
    multiply_slice<S, kTile>(rows, columns, at(i), at(i) + kHalfSlice<S, kTile>, sums);
  }
  wait_copies<0>();
  __syncthreads();
}

}  // namespace pydl::cuda

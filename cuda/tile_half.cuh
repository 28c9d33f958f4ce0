// A tile of a product of 16-bit floats on tensor cores, summed in float32: slices of both factors pass through shared
// memory, several of them on their way at a time, and each of four warps keeps a quarter of the tile in registers.
//
// What brings the slices is a parameter: a loader has
//   bool deep                          a slice lies as [outer][depth] in shared memory, else as [depth][outer]
//   void slice(S* to, int64_t k)       begins to bring columns k .. k + kHalfDepth, zeros beyond the end
// "outer" is the axis of the tile: rows of the left factor, columns of the right one.
#pragma once

#include "mma.cuh"

namespace pydl::cuda {

constexpr int kHalfDepth = 32, kHalfThreads = 128, kHalfStages = 4;
constexpr int kHalfPad = 8;  // elements behind each row: eight rows, 16 bytes of each, then lie in different banks

constexpr int kDeepRow = kHalfDepth + kHalfPad;

// Elements of a slice in shared memory, whichever way it lies.
template <int kTile>
constexpr int kHalfSlice = kTile* kDeepRow;

template <int kTile>
constexpr size_t kHalfShared = size_t{2} * kHalfStages* kHalfSlice<kTile> * 2;

// Element (outer, depth) at p[outer * outer_step + depth * depth_step]. vector: eight neighbours are read at once.
template <class S, int kTile>
struct HalfMatrix {
  const S* p;
  int64_t outer_step, depth_step, depth_left;
  int outer_left;
  bool deep, vector;

  __device__ __forceinline__ void slice(S* to, int64_t k) const {
    constexpr int kEach = kTile * kHalfDepth / 8 / kHalfThreads;
#pragma unroll
    for (int u = 0; u < kEach; ++u) {
      const int at = static_cast<int>(threadIdx.x) + u * kHalfThreads;
      const int o = deep ? at / (kHalfDepth / 8) : at % (kTile / 8) * 8;
      const int d = deep ? at % (kHalfDepth / 8) * 8 : at / (kTile / 8);
      const int64_t along = depth_left - k - d;
      const int64_t left = o >= outer_left || along <= 0 ? 0 : deep ? along : outer_left - o;
      const S* from = left > 0 ? p + o * outer_step + (k + d) * depth_step : p;
      eight(to + (deep ? o * kDeepRow + d : d * (kTile + kHalfPad) + o), from, static_cast<int>(left < 8 ? left : 8));
    }
  }

 private:
  __device__ __forceinline__ void eight(S* to, const S* from, int there) const {
    if (vector) return copy_async(to, from, there * 2);
    const int64_t step = deep ? depth_step : outer_step;
#pragma unroll
    for (int i = 0; i < 8; ++i) to[i] = i < there ? from[i * step] : S{0};
  }
};

// Where a lane finds its rows of a slice: blocks of 16 along both axes are fragments.
template <int kTile>
struct HalfFragments {
  int begin, outer_step, depth_step;  // to the next 16
  bool turned;

  __device__ __forceinline__ HalfFragments(bool deep, int first_outer) : turned(!deep) {
    const int lane = static_cast<int>(threadIdx.x) % 32, low = lane % 8, second = lane / 8 % 2 * 8,
              third = lane / 16 * 8;
    constexpr int kRow = kTile + kHalfPad;
    begin = deep ? (first_outer + low + second) * kDeepRow + third : (low + third) * kRow + first_outer + second;
    outer_step = deep ? 16 * kDeepRow : 16;
    depth_step = deep ? 16 : 16 * kRow;
  }
  // As the left factor's registers; of the right one, columns 0-7 are registers 0 and 2, columns 8-15 are 1 and 3.
  template <class S>
  __device__ __forceinline__ void load(uint32_t (&to)[4], const S* slice, int outer, int depth) const {
    load_matrices(to, slice + begin + outer * outer_step + depth * depth_step, turned);
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
__device__ __forceinline__ void multiply_slice(const HalfFragments<kTile>& left, const HalfFragments<kTile>& right,
                                               const S* a, const S* b, HalfSums<kTile>& sums) {
  using Sums = HalfSums<kTile>;
#pragma unroll
  for (int d = 0; d < kHalfDepth / 16; ++d) {
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
  const auto at = [&](int64_t i) { return shared + i % kHalfStages * 2 * kHalfSlice<kTile>; };
  const auto bring = [&](int64_t i) {
    if (begin + i * kHalfDepth < end) {
      left.slice(at(i), begin + i * kHalfDepth);
      right.slice(at(i) + kHalfSlice<kTile>, begin + i * kHalfDepth);
    }
    close_copies();
  };
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const HalfFragments<kTile> rows(left.deep, warp / 2 * (kTile / 2)), columns(right.deep, warp % 2 * (kTile / 2));
  for (int i = 0; i < kHalfStages - 1; ++i) bring(i);
  const int64_t slices = ceil_div(end - begin, kHalfDepth);
  for (int64_t i = 0; i < slices; ++i) {
    wait_copies<kHalfStages - 2>();
    __syncthreads();
    bring(i + kHalfStages - 1);  // into the slice that all have read
    multiply_slice<S, kTile>(rows, columns, at(i), at(i) + kHalfSlice<kTile>, sums);
  }
  wait_copies<0>();
  __syncthreads();
}

}  // namespace pydl::cuda

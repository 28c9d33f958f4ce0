// A tile of a product in float32, float64 or 64-bit integers: slices of both factors pass from device memory through
// registers to shared memory while the slice before them is multiplied. float64 goes to tensor cores, float32 and
// integers are summed by threads that own 4 x 4 or 8 x 8 of the tile.
//
// What brings the slices is a parameter: a loader has
//   void fetch(int64_t k)                              columns k .. k + kDepth, the next ones, into registers, zeros
//                                                      beyond the end
//   void put(T (*to)[kTile + kWidePad]) const          from there to shared memory, as [depth][outer]
#pragma once

#include "mma.cuh"

namespace pydl::cuda {

constexpr int kWidePad = 4;  // so that rows keep 16-byte alignment and begin in other banks

template <class T>
struct alignas(16) Chunk {  // 16 bytes
  static constexpr int kCount = 16 / sizeof(T);
  T x[kCount];
};

// T: what is summed. float32: 256 threads, tiles of 128 x 128 or 64 x 64; float64: 4 warps of tensor cores.
template <class T, int kTile_>
struct WideTile {
  static constexpr int kTile = kTile_, kDepth = kTile == 128 ? 8 : 16;
  static constexpr int kThreads = std::is_same_v<T, double> ? 128 : 256;
  static constexpr int kRow = kTile + kWidePad;
  using Slice = T[kDepth][kRow];
  static constexpr size_t kSlices = 4 * sizeof(Slice), kSums = sizeof(T) * kTile * (kTile + kTilePad);
  static constexpr size_t kShared = kSlices > kSums ? kSlices : kSums;
};

// Element (outer, depth) at p[outer * outer_step + depth * depth_step]; deep: neighbours along depth are read together.
// vector: 16 bytes at a time.
template <class S, class T, class Shape>
struct WideMatrix {
  static constexpr int kEach = Shape::kTile * Shape::kDepth / Shape::kThreads, kRun = Chunk<T>::kCount;
  const S* p;  // the thread's next run; left: from there on
  int64_t outer_step, depth_step, depth_left;
  int outer_left;
  bool deep, vector;
  T own[kEach];

  __device__ __forceinline__ WideMatrix(const S* first, int64_t outer_step_, int64_t depth_step_, int64_t depth,
                                        int outer, bool deep_, bool vector_)
      : outer_step(outer_step_), depth_step(depth_step_), deep(deep_), vector(vector_) {
    int o, d;
    place(0, o, d);
    p = first + o * outer_step + d * depth_step;
    outer_left = outer - o, depth_left = depth - d;
  }
  __device__ __forceinline__ void place(int u, int& o, int& d) const {
    const int at = static_cast<int>(threadIdx.x) + u * Shape::kThreads;
    o = deep ? at / (Shape::kDepth / kRun) : at % (Shape::kTile / kRun) * kRun;
    d = deep ? at % (Shape::kDepth / kRun) * kRun : at / (Shape::kTile / kRun);
  }
  __device__ __forceinline__ void fetch(int64_t) {
    constexpr int kOuterApart = Shape::kThreads * kRun / Shape::kDepth;  // runs of a thread, if deep
    constexpr int kDepthApart = Shape::kThreads * kRun / Shape::kTile;
#pragma unroll
    for (int u = 0; u < kEach / kRun; ++u) {
      const int o = deep ? u * kOuterApart : 0, d = deep ? 0 : u * kDepthApart;
      const int64_t along = depth_left - d;
      const int64_t left = o >= outer_left || along <= 0 ? 0 : deep ? along : outer_left;
      const S* from = p + o * outer_step + d * depth_step;
      const int64_t step = deep ? depth_step : outer_step;
      if constexpr (std::is_same_v<S, T>) {
        if (vector && left >= kRun) {
          const auto all = *reinterpret_cast<const Chunk<T>*>(from);
#pragma unroll
          for (int i = 0; i < kRun; ++i) own[u * kRun + i] = all.x[i];
          continue;
        }
      }
#pragma unroll
      for (int i = 0; i < kRun; ++i) own[u * kRun + i] = i < left ? static_cast<T>(from[i * step]) : T(0);
    }
    p += Shape::kDepth * depth_step;
    depth_left -= Shape::kDepth;
  }
  __device__ __forceinline__ void put(T (*to)[Shape::kRow]) const {
#pragma unroll
    for (int u = 0; u < kEach / kRun; ++u) {
      int o, d;
      place(u, o, d);
      if (deep) {
#pragma unroll
        for (int i = 0; i < kRun; ++i) to[d + i][o] = own[u * kRun + i];
      } else {
        Chunk<T> all;
#pragma unroll
        for (int i = 0; i < kRun; ++i) all.x[i] = own[u * kRun + i];
        *reinterpret_cast<Chunk<T>*>(&to[d][o]) = all;
      }
    }
  }
};

template <class T, int kCount>
__device__ __forceinline__ void load_run(const T* from, T (&to)[kCount], int group) {
#pragma unroll
  for (int g = 0; g < kCount / 4; ++g)
#pragma unroll
    for (int c = 0; c < 4 / Chunk<T>::kCount; ++c) {
      const auto all = *reinterpret_cast<const Chunk<T>*>(from + g * group + c * Chunk<T>::kCount);
#pragma unroll
      for (int i = 0; i < Chunk<T>::kCount; ++i) to[g * 4 + c * Chunk<T>::kCount + i] = all.x[i];
    }
}

// The sums of a thread: runs of four rows and four columns, 64 apart.
template <class T, class Shape>
struct WideSums {
  static constexpr int kOwn = Shape::kTile / 16, kRun = 4;
  T of[kOwn][kOwn] = {};

  __device__ __forceinline__ void take(const T (*a)[Shape::kRow], const T (*b)[Shape::kRow]) {
    const int row = static_cast<int>(threadIdx.x) / 16 * 4, column = static_cast<int>(threadIdx.x) % 16 * 4;
#pragma unroll
    for (int d = 0; d < Shape::kDepth; ++d) {
      T left[kOwn], right[kOwn];
      load_run(&a[d][row], left, 64);
      load_run(&b[d][column], right, 64);
#pragma unroll
      for (int i = 0; i < kOwn; ++i)
#pragma unroll
        for (int j = 0; j < kOwn; ++j) of[i][j] += left[i] * right[j];
    }
  }
  // To shared memory, as [row][column] of the tile.
  __device__ __forceinline__ void put(T (*tile)[Shape::kTile + kTilePad]) const {
    const int row = static_cast<int>(threadIdx.x) / 16 * 4, column = static_cast<int>(threadIdx.x) % 16 * 4;
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
#pragma unroll
      for (int g = 0; g < kOwn / 4; ++g)
#pragma unroll
        for (int c = 0; c < 4; c += Chunk<T>::kCount) {
          Chunk<T> all;
#pragma unroll
          for (int j = 0; j < Chunk<T>::kCount; ++j) all.x[j] = of[i][g * 4 + c + j];
          *reinterpret_cast<Chunk<T>*>(&tile[row + i % 4 + i / 4 * 64][column + g * 64 + c]) = all;
        }
  }
};

// float64: each of four warps has a quarter of the tile as blocks of 8 x 8.
template <class Shape>
struct WideSums<double, Shape> {
  static constexpr int kBlocks = Shape::kTile / 16, kHalf = Shape::kTile / 2;
  double of[kBlocks][kBlocks][2] = {};

  __device__ __forceinline__ void take(const double (*a)[Shape::kRow], const double (*b)[Shape::kRow]) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int row = warp / 2 * kHalf + lane / 4, column = warp % 2 * kHalf + lane / 4;
#pragma unroll
    for (int d = 0; d < Shape::kDepth; d += 4) {
      double left[kBlocks], right[kBlocks];
#pragma unroll
      for (int i = 0; i < kBlocks; ++i) left[i] = a[d + lane % 4][row + i * 8];
#pragma unroll
      for (int j = 0; j < kBlocks; ++j) right[j] = b[d + lane % 4][column + j * 8];
#pragma unroll
      for (int i = 0; i < kBlocks; ++i)
#pragma unroll
        for (int j = 0; j < kBlocks; ++j) multiply(of[i][j], left[i], right[j]);
    }
  }
  __device__ __forceinline__ void put(double (*tile)[Shape::kTile + kTilePad]) const {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int row = warp / 2 * kHalf + lane / 4, column = warp % 2 * kHalf + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kBlocks; ++i)
#pragma unroll
      for (int j = 0; j < kBlocks; ++j)
        *reinterpret_cast<Chunk<double>*>(&tile[row + i * 8][column + j * 8]) = {of[i][j][0], of[i][j][1]};
  }
};

// sums = columns begin .. end of the left factor by the same rows of the right one. shared: Shape::kShared bytes, which
// are free again when it returns.
template <class T, class Shape, class Left, class Right>
__device__ __forceinline__ void wide_product(Left& left, Right& right, int64_t begin, int64_t end, T* shared,
                                             WideSums<T, Shape>& sums) {
  using Slice = typename Shape::Slice;
  if (begin >= end) return;
  Slice* slices = reinterpret_cast<Slice*>(shared);  // left, right, left, right
  left.fetch(begin);
  right.fetch(begin);
  left.put(slices[0]);
  right.put(slices[1]);
  __syncthreads();
  int now = 0;
  for (int64_t k = begin + Shape::kDepth;; k += Shape::kDepth, now ^= 2) {
    const bool more = k < end;
    if (more) {
      left.fetch(k);
      right.fetch(k);
    }
    sums.take(slices[now], slices[now + 1]);
    if (!more) break;
    left.put(slices[now ^ 2]);
    right.put(slices[(now ^ 2) + 1]);
    __syncthreads();
  }
  __syncthreads();
}

}  // namespace pydl::cuda

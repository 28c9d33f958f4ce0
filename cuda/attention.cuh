// What both ways of attention share. A warp holds 16 rows of scores against a tile of columns in registers, laid out as
// the sums of tensor cores (mma.cuh): with g = lane / 4 and q = lane % 4, number r of block j is row g + 8 (r / 2),
// column 8 j + 2 q + r % 2. f16 and bf16 are multiplied on tensor cores, float32 and float64 by the threads.
// Axes: b batch, h head, t query, s key, d feature of queries and keys, e feature of values.
#pragma once

#include "kernels/philox.h"
#include "mma.cuh"
#include "runtime/table/attention.h"

namespace pydl::cuda {
namespace {

constexpr int kWarpRows = 16;

// Elements behind each row in shared memory: eight rows, 16 bytes of each, then lie in different banks.
template <class S>
constexpr int kRowPad = 16 / sizeof(S);

__host__ __device__ constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Rows of one kind in device memory: neighbours within a row follow each other.
template <class S>
struct Heads {
  S* p;
  int64_t batch, head, row;  // strides
  bool vector;               // whether 16 bytes at a time lie at multiples of 16

  __device__ __forceinline__ S* at(int64_t b, int64_t h, int64_t t) const { return p + b * batch + h * head + t * row; }
};

template <class S>
Heads<S> heads_of(const View& x) {
  Heads<S> made{x.as<S>(), x.strides[0], x.strides[1], x.strides[2], false};
  const int64_t run = 16 / static_cast<int64_t>(sizeof(S));
  made.vector = reinterpret_cast<uintptr_t>(x.data) % 16 == 0 && made.batch % run == 0 && made.head % run == 0 &&
                made.row % run == 0;
  return made;
}

// Sizes and settings of one call.
struct Call {
  double scale;
  int64_t below, above, batch, heads, group, queries, keys;  // group: query heads to a head of keys
  int width, value_width;
  View mask;
  const int64_t* lengths;
  philox::Chance dropped{0};
  const uint64_t* rng;
  double kept_scale;

  __device__ __forceinline__ int64_t row(int64_t b, int64_t h, int64_t t) const {
    return (b * heads + h) * queries + t;
  }
  __device__ __forceinline__ int64_t length(int64_t b) const { return lengths ? lengths[b] : keys; }
};

inline Call call_of(const AttentionSpec& spec, const View& q, const View& k, const View& v, const View& mask,
                    const View& lengths, const View& rng) {
  Call c{};
  c.scale = spec.scale, c.below = spec.below, c.above = spec.above;
  c.batch = q.shape[0], c.heads = q.shape[1], c.queries = q.shape[2], c.keys = k.shape[2];
  c.group = k.shape[1] > 0 ? q.shape[1] / k.shape[1] : 1;
  c.width = static_cast<int>(q.shape[3]), c.value_width = static_cast<int>(v.shape[3]);
  c.mask = mask, c.lengths = lengths.as<const int64_t>();
  const double p = spec.dropout;
  c.dropped = philox::Chance(p), c.rng = rng.as<const uint64_t>();
  c.kept_scale = p < 1 ? 1 / (1 - p) : 0;
  return c;
}

// Whether dropout leaves weight (row, s): word s of the row's words, which begin at a whole counter.
__device__ __forceinline__ bool kept(const philox::Chance& dropped, const uint64_t* rng, int64_t row, int64_t s,
                                     int64_t keys) {
  uint32_t w[4];
  philox::words(rng[0], rng[1] + static_cast<uint64_t>(row * ((keys + 3) / 4) + s / 4), w);
  const int64_t at = s % 4;
  return !dropped(at == 0 ? w[0] : at == 1 ? w[1] : at == 2 ? w[2] : w[3]);
}

template <class T>
__device__ __forceinline__ T mask_at(const View& m, int64_t b, int64_t h, int64_t t, int64_t s) {
  const int64_t at = b * m.strides[0] + h * m.strides[1] + t * m.strides[2] + s * m.strides[3];
  switch (m.dtype) {
    case Dtype::b8:
      return static_cast<const bool*>(m.data)[at] ? T(0) : -infinity<T>();
    case Dtype::f16:
      return widened(static_cast<const f16*>(m.data)[at]);
    case Dtype::bf16:
      return widened(static_cast<const bf16*>(m.data)[at]);
    case Dtype::f64:
      return static_cast<T>(static_cast<const double*>(m.data)[at]);
    default:
      return static_cast<const float*>(m.data)[at];
  }
}

// exp(x) for x <= 0.
template <class S>
__device__ __forceinline__ Wide<S> weight(Wide<S> x) {
  if constexpr (kHalf<S>)
    return exp2f(x * 1.44269504f);
  else
    return std::exp(x);
}

// Rows of `from` to shared memory: `rows` of `columns` each, zeros where fewer are left.
template <class S>
__device__ __forceinline__ void bring_rows(const Heads<const S>& heads, const S* from, int64_t rows_left,
                                           int columns_left, int rows, int columns, S* to) {
  constexpr int kRun = 16 / sizeof(S);
  const int across = columns / kRun, pitch = columns + kRowPad<S>;
  for (int at = static_cast<int>(threadIdx.x); at < rows * across; at += static_cast<int>(blockDim.x)) {
    const int i = at / across, j = at % across * kRun;
    const int left = i < rows_left ? columns_left - j : 0, there = left < 0 ? 0 : left < kRun ? left : kRun;
    const S* source = there ? from + i * heads.row + j : heads.p;
    S* place = to + i * pitch + j;
    if (heads.vector) {
      copy_async(place, source, there * static_cast<int>(sizeof(S)));
    } else {
#pragma unroll
      for (int e = 0; e < kRun; ++e) place[e] = e < there ? source[e] : S{};
    }
  }
}

// sums (16, 8 kBlocks) += a (16, columns) b (8 kBlocks, columns)^T, both in shared memory.
template <class S, int kBlocks>
__device__ __forceinline__ void dots(const S* a, const S* b, int columns, Wide<S> (&sums)[kBlocks][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32, pitch = columns + kRowPad<S>;
  if constexpr (kHalf<S>) {
    const int at = (lane % 8 + lane / 8 % 2 * 8) * pitch + lane / 16 * 8;
    for (int k = 0; k < columns; k += 16) {
      uint32_t left[4], right[4];
      load_matrices(left, a + at + k, false);
#pragma unroll
      for (int j = 0; j < kBlocks; j += 2) {
        load_matrices(right, b + at + j * 8 * pitch + k, false);
        multiply<S>(sums[j], left, right[0], right[2]);
        multiply<S>(sums[j + 1], left, right[1], right[3]);
      }
    }
  } else {
    const S *upper = a + lane / 4 * pitch, *lower = upper + 8 * pitch, *across = b + lane % 4 * 2 * pitch;
    for (int k = 0; k < columns; ++k) {
      const S left[2] = {upper[k], lower[k]};
#pragma unroll
      for (int j = 0; j < kBlocks; ++j) {
        const S right[2] = {across[j * 8 * pitch + k], across[(j * 8 + 1) * pitch + k]};
#pragma unroll
        for (int r = 0; r < 4; ++r) sums[j][r] += left[r / 2] * right[r % 2];
      }
    }
  }
}

// sums (16, columns) += w (16, 8 kBlocks) b (8 kBlocks, columns), b in shared memory with rows `pitch` apart. own:
// shared memory of the warp, 16 rows of 8 kBlocks + 1, which 16-bit floats do not need.
template <class S, int kBlocks, int kOut>
__device__ __forceinline__ void combine(const Wide<S> (&w)[kBlocks][4], const S* b, int pitch, int columns,
                                        Wide<S>* own, Wide<S> (&sums)[kOut][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kHalf<S>) {
    const S* from = b + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < kBlocks; k += 2) {
      const uint32_t left[4] = {paired<S>(w[k][0], w[k][1]), paired<S>(w[k][2], w[k][3]),
                                paired<S>(w[k + 1][0], w[k + 1][1]), paired<S>(w[k + 1][2], w[k + 1][3])};
#pragma unroll
      for (int j = 0; j < kOut; j += 2) {
        if (j * 8 >= columns) continue;
        uint32_t right[4];
        load_matrices(right, from + k * 8 * pitch + j * 8, true);
        multiply<S>(sums[j], left, right[0], right[2]);
        multiply<S>(sums[j + 1], left, right[1], right[3]);
      }
    }
  } else {
    constexpr int kRow = 8 * kBlocks + 1;
    const int g = lane / 4, q = lane % 4;
#pragma unroll
    for (int j = 0; j < kBlocks; ++j)
#pragma unroll
      for (int r = 0; r < 4; ++r) own[(g + r / 2 * 8) * kRow + j * 8 + q * 2 + r % 2] = w[j][r];
    __syncwarp();
    for (int k = 0; k < 8 * kBlocks; ++k) {
      const S left[2] = {own[g * kRow + k], own[(g + 8) * kRow + k]}, *right = b + k * pitch + q * 2;
#pragma unroll
      for (int j = 0; j < kOut; ++j) {
        if (j * 8 >= columns) continue;
#pragma unroll
        for (int r = 0; r < 4; ++r) sums[j][r] += left[r / 2] * right[j * 8 + r % 2];
      }
    }
    __syncwarp();
  }
}

// What the four lanes of a row make together.
template <class T, class F>
__device__ __forceinline__ T of_row(T x, const F& f) {
  x = f(x, __shfl_xor_sync(~0u, x, 1));
  return f(x, __shfl_xor_sync(~0u, x, 2));
}

// Which query and key a score is of. kKeysDown: rows are keys and columns queries.
template <bool kKeysDown>
struct Places {
  int64_t b, h, row, column;  // of the warp's first score
  int64_t length;

  __device__ __forceinline__ int64_t down(int r) const { return row + threadIdx.x % 32 / 4 + r / 2 * 8; }
  __device__ __forceinline__ int64_t across(int j, int r) const { return column + j * 8 + threadIdx.x % 4 * 2 + r % 2; }
  __device__ __forceinline__ int64_t query(int j, int r) const { return kKeysDown ? across(j, r) : down(r); }
  __device__ __forceinline__ int64_t key(int j, int r) const { return kKeysDown ? down(r) : across(j, r); }
};

// Products become scores: scaled, with the mask; -inf where a query does not see a key or one of them is not there.
template <bool kKeysDown, class T, int kBlocks>
__device__ __forceinline__ void finish_scores(const Call& c, const Places<kKeysDown>& at, T (&s)[kBlocks][4]) {
#pragma unroll
  for (int j = 0; j < kBlocks; ++j)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int64_t t = at.query(j, r), key = at.key(j, r);
      const bool seen = t < c.queries && key < at.length && key >= t - c.below && key <= t + c.above;
      T score = s[j][r] * static_cast<T>(c.scale);
      if (seen && c.mask.data) score += mask_at<T>(c.mask, at.b, at.h, t, key);
      s[j][r] = seen ? score : -infinity<T>();
    }
}

// What dropout leaves of w becomes `by` times that, the rest 0.
template <bool kKeysDown, class T, int kBlocks>
__device__ __forceinline__ void drop(const Call& c, const Places<kKeysDown>& at, T by, T (&w)[kBlocks][4]) {
  if (!c.dropped.some) return;
#pragma unroll
  for (int j = 0; j < kBlocks; ++j)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const bool left = kept(c.dropped, c.rng, c.row(at.b, at.h, at.query(j, r)), at.key(j, r), c.keys);
      w[j][r] = left ? w[j][r] * by : T(0);
    }
}

// 16 rows of sums, each by its factor, to where they belong.
template <class S, int kOut>
__device__ __forceinline__ void put_rows(const Wide<S> (&sums)[kOut][4], const Wide<S> (&by)[2], S* to, int64_t step,
                                         int64_t rows, int columns) {
  const int g = static_cast<int>(threadIdx.x) % 32 / 4, q = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int j = 0; j < kOut; ++j)
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int i = g + r / 2 * 8, k = j * 8 + q * 2 + r % 2;
      if (i < rows && k < columns) to[i * step + k] = narrowed<S>(sums[j][r] * by[r / 2]);
    }
}

// The most warps to a block, up to four, whose shared memory there is; 0: not even for one.
template <class F>
int warps_for(int64_t rows, const F& shared) {
  constexpr size_t kMost = size_t{160} << 10;
  for (int warps = rows > 32 ? 4 : rows > 16 ? 2 : 1; warps > 0; warps /= 2)
    if (shared(warps) <= kMost) return warps;
  return 0;
}

// Columns that a block sums, of so many: as many as a warp's registers hold.
template <class S>
int chunk_of(int columns) {
  const int most = kHalf<S> && columns > 64 ? 128 : 64;
  return columns < 1 ? 1 : columns < most ? columns : most;
}

}  // namespace
}  // namespace pydl::cuda

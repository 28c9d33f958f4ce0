// The order of elements: unsigned keys, ascending as the elements are, -0 like 0 and NaN last. One kernel serves all
// dtypes of a key's size: it learns which when it runs.
#pragma once

#include "device.cuh"
#include "kernels/float_key.h"
#include "runtime/table/sort.h"

namespace pydl::cuda {

// The elements of an array as keys. K: uint64_t for 64-bit elements, else uint32_t.
template <class K>
struct Keys {
  const void* data;
  Dtype dtype;

  explicit Keys(const View& x) : data(x.data), dtype(x.dtype) {}

  __device__ __forceinline__ K operator[](int64_t i) const {
    if constexpr (sizeof(K) == 8) {
      const uint64_t u = static_cast<const uint64_t*>(data)[i];
      return dtype == Dtype::f64 ? float_key<K, uint64_t>(u, kInfinity64) : u ^ 0x8000000000000000ull;
    } else {
      switch (dtype) {
        case Dtype::f16:
          return float_key<K, uint16_t>(static_cast<const uint16_t*>(data)[i], kInfinity16);
        case Dtype::bf16:
          return float_key<K, uint16_t>(static_cast<const uint16_t*>(data)[i], kInfinityBrain);
        case Dtype::f32:
          return float_key<K, uint32_t>(static_cast<const uint32_t*>(data)[i], kInfinity32);
        case Dtype::i32:
          return static_cast<const uint32_t*>(data)[i] ^ 0x80000000u;
        default:
          return static_cast<const uint8_t*>(data)[i];
      }
    }
  }
  __device__ __forceinline__ bool is_nan(K key) const { return dtype >= Dtype::f16 && key == kNanKey<K>; }
};

template <class F>
void with_keys(Dtype dtype, const F& f) {
  return dtype == Dtype::f64 || dtype == Dtype::i64 ? f(uint64_t{}) : f(uint32_t{});
}

inline int bytes_of(Dtype dtype) {
  int bytes = 0;
  with_any(dtype, [&](auto zero) { bytes = static_cast<int>(sizeof(zero)); });
  return bytes;
}

// y[to] = x[from], elements of `size` bytes.
__device__ __forceinline__ void copy_element(void* y, int64_t to, const void* x, int64_t from, int size) {
  if (size == 8)
    static_cast<uint64_t*>(y)[to] = static_cast<const uint64_t*>(x)[from];
  else if (size == 4)
    static_cast<uint32_t*>(y)[to] = static_cast<const uint32_t*>(x)[from];
  else if (size == 2)
    static_cast<uint16_t*>(y)[to] = static_cast<const uint16_t*>(x)[from];
  else
    static_cast<uint8_t*>(y)[to] = static_cast<const uint8_t*>(x)[from];
}

// A key and where it stands: no two are alike, so that every way to sort them gives one result, the stable one.
template <class K>
struct Entry {
  K key;
  uint32_t place;
  __device__ __forceinline__ bool operator<(const Entry& other) const {
    return key < other.key || (key == other.key && place < other.place);
  }
};

// ---- for all threads of a block together

// How many threads before this one say yes; total: how many do at all. counts: memory of a number for each warp.
template <int kThreads>
__device__ __forceinline__ int votes_before(bool yes, int* counts, int* total) {
  constexpr int kWarps = kThreads / 32;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned votes = __ballot_sync(~0u, yes);
  __syncthreads();  // the last counts may still be read
  if (lane == 0) counts[warp] = __popc(votes);
  __syncthreads();
  int before = __popc(votes & ((1u << lane) - 1));
  *total = 0;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += counts[w];
    *total += counts[w];
  }
  return before;
}

constexpr int kSelectThreads = 256, kDigit = 8;
constexpr int64_t kSelectBlocks = 256, kSelectPart = 8192;  // blocks that select; elements of a part, at least
static_assert(kSelectThreads == 1 << kDigit, "a thread counts one digit");

struct SelectRoom {
  int counts[kSelectThreads], warps[kSelectThreads / 32];
  uint32_t digit;
  int64_t before;
};

// From how many keys have digit t, for each thread t, the digit of the key of this rank; smaller: grows by how many
// have a lesser one.
__device__ __forceinline__ uint32_t pick_digit(int own, int64_t rank, SelectRoom& room, int64_t* smaller) {
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  int sum = own;
  for (int reach = 1; reach < 32; reach *= 2) {
    const int before = __shfl_up_sync(~0u, sum, reach);
    if (lane >= reach) sum += before;
  }
  if (lane == 31) room.warps[t / 32] = sum;
  __syncthreads();
  int64_t before = *smaller + sum - own;
  for (int w = 0; w < t / 32; ++w) before += room.warps[w];
  if (before <= rank && rank < before + own) room.digit = static_cast<uint32_t>(t), room.before = before;
  __syncthreads();
  *smaller = room.before;
  const uint32_t digit = room.digit;
  __syncthreads();
  return digit;
}

// Adds the digits at `shift` of those of keys[base, base + n) ^ flip that are prefix where mask says.
template <class K>
__device__ __forceinline__ void count_digits(const Keys<K>& keys, int64_t base, int64_t n, K flip, K mask, K prefix,
                                             int shift, SelectRoom& room) {
  const int t = static_cast<int>(threadIdx.x);
  room.counts[t] = 0;
  __syncthreads();
  for (int64_t i = t; i < n; i += kSelectThreads) {
    const K key = keys[base + i] ^ flip;
    if ((key & mask) == prefix) atomicAdd(&room.counts[static_cast<uint32_t>(key >> shift) & 0xffu], 1);
  }
  __syncthreads();
}

// The key of rank `rank` among keys[base, base + n) ^ flip, digit by digit from the top; smaller: how many are less.
template <class K>
__device__ __forceinline__ K select_key(const Keys<K>& keys, int64_t base, int64_t n, int64_t rank, K flip,
                                        SelectRoom& room, int64_t* smaller) {
  K prefix = 0, mask = 0;
  *smaller = 0;
  for (int shift = 8 * static_cast<int>(sizeof(K)) - kDigit; shift >= 0; shift -= kDigit) {
    count_digits(keys, base, n, flip, mask, prefix, shift, room);
    prefix |= static_cast<K>(pick_digit(room.counts[threadIdx.x], rank, room, smaller)) << shift;
    mask |= static_cast<K>(0xff) << shift;
  }
  return prefix;
}

// ---- on the host

// The parts of a row of n elements whose best k are selected apart: several where rows are few and long. By sizes
// alone. The candidates of all parts are at most an eighth of the row.
inline int64_t select_parts(int64_t rows, int64_t n, int64_t k) {
  const int64_t wanted = ceil_div(kSelectBlocks, rows), most = n / (kSelectPart > 8 * k ? kSelectPart : 8 * k);
  const int64_t parts = wanted < most ? wanted : most;
  return parts < 1 ? 1 : parts;
}

}  // namespace pydl::cuda

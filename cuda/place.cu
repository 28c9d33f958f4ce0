// Values put, added, ... at indices, and what a mask selects. The values of one destination are brought together by a
// stable sort of their indices, and one thread lets them meet in their order: the same result on every run. 16-bit
// floats meet in float32 and are rounded once.
#include "formulas.cuh"
#include "order.cuh"
#include "runtime/table/place.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
using Wrapping = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

template <Place how, class A>
__device__ __forceinline__ A met(A y, A x) {
  if constexpr (how == Place::put) return x;
  if constexpr (how == Place::amax) return larger(y, x);
  if constexpr (how == Place::amin) return smaller(y, x);
  constexpr bool adds = how == Place::add;
  if constexpr (std::is_same_v<A, bool>)
    return adds ? y || x : y && x;
  else if constexpr (std::is_integral_v<A>)
    return static_cast<A>(adds ? Wrapping<A>(y) + Wrapping<A>(x) : Wrapping<A>(y) * Wrapping<A>(x));
  else
    return adds ? y + x : y * x;
}

struct Rows {
  int64_t outer, n, k, inner;
};

// The first of a run of equal indices works for all of it.
template <Place how, class T>
__global__ void __launch_bounds__(kThreads)
    place_runs(Rows r, const int64_t* index, const int64_t* order, const T* x, T* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < r.k * r.inner; e += step) {
    const int64_t first = e / r.inner, i = e - first * r.inner, row = index[order[first]];
    if (first > 0 && index[order[first - 1]] == row) continue;
    for (int64_t o = 0; o < r.outer; ++o) {
      T& to = y[(o * r.n + row) * r.inner + i];
      Wide<T> value = widened(to);
      for (int64_t p = first; p < r.k && index[order[p]] == row; ++p)
        value = met<how>(value, widened(x[(o * r.k + order[p]) * r.inner + i]));
      to = narrowed<T>(value);
    }
  }
}

template <class F>
void with_place(Place how, Dtype dtype, const F& f) {
  switch (how) {
    case Place::put:
      return with_bits(dtype, [&](auto zero) { f(std::integral_constant<Place, Place::put>(), zero); });
#define PYDL_CASE(name) \
  case Place::name:     \
    return with_any(dtype, [&](auto zero) { f(std::integral_constant<Place, Place::name>(), zero); });
      PYDL_CASE(add)
      PYDL_CASE(mul)
      PYDL_CASE(amax)
      PYDL_CASE(amin)
#undef PYDL_CASE
  }
}

void place(Place how, const Rows& r, const int64_t* index, const View& x, const View& y) {
  const Scratch memory(static_cast<size_t>(2 * r.k) * sizeof(int64_t));
  const int64_t* order = sorted_places(index, r.n, r.k, memory.as<int64_t>(), memory.as<int64_t>() + r.k);
  with_place(how, y.dtype, [&](auto op, auto zero) {
    using T = decltype(zero);
    start(place_runs<decltype(op)::value, T>, {blocks_for(r.k * r.inner, kThreads), kThreads}, r, index, order,
          x.as<const T>(), y.as<T>());
  });
}

// The place in y of every element of x.
__global__ void __launch_bounds__(kThreads) element_keys(Rows r, const int64_t* index, int64_t* keys) {
  const int64_t count = r.outer * r.k * r.inner, step = int64_t{gridDim.x} * kThreads;
  for (int64_t e = int64_t{blockIdx.x} * kThreads + threadIdx.x; e < count; e += step)
    keys[e] = (e / (r.k * r.inner) * r.n + index[e]) * r.inner + e % r.inner;
}

// ---- masks: runs of kMaskRun elements, each of one block

__global__ void __launch_bounds__(kThreads) count_kernel(const bool* mask, int64_t n, int64_t* counts) {
  __shared__ int total;
  if (threadIdx.x == 0) total = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * kMaskRun, end = begin + kMaskRun < n ? begin + kMaskRun : n;
  int own = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) own += mask[i];
  atomicAdd(&total, own);
  __syncthreads();
  if (threadIdx.x == 0) counts[blockIdx.x] = total;
}

struct Sizes {
  int32_t ndim;
  int64_t shape[kMaxAxes];
};

__global__ void __launch_bounds__(kThreads)
    positions_kernel(Sizes sizes, const bool* mask, int64_t n, const int64_t* starts, int64_t* y) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int counts[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t done = starts[blockIdx.x];
  const int64_t begin = blockIdx.x * kMaskRun, end = begin + kMaskRun < n ? begin + kMaskRun : n;
  for (int64_t tile = begin; tile < end; tile += kThreads) {
    const int64_t i = tile + threadIdx.x;
    const bool hit = i < end && mask[i];
    const unsigned votes = __ballot_sync(~0u, hit);
    if (lane == 0) counts[warp] = __popc(votes);
    __syncthreads();
    int64_t at = done + __popc(votes & ((1u << lane) - 1));
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) at += counts[w];
      done += counts[w];
    }
    int64_t left = i;
    if (hit)
      for (int a = sizes.ndim - 1; a >= 0; --a) {
        y[at * sizes.ndim + a] = left % sizes.shape[a];
        left /= sizes.shape[a];
      }
    __syncthreads();
  }
}

}  // namespace

void index_place(Place how, View index, View x, View y) {
  if (x.numel() == 0) return;
  place(how, {y.shape[0], y.shape[1], x.shape[1], y.shape[2]}, index.as<const int64_t>(), x, y);
}

void scatter_place(Place how, View index, View x, View y) {
  const int64_t count = x.numel();
  if (count == 0) return;
  const Scratch keys(static_cast<size_t>(count) * sizeof(int64_t));
  const Rows r{y.shape[0], y.shape[1], x.shape[1], y.shape[2]};
  start(element_keys, {blocks_for(count, kThreads), kThreads}, r, index.as<const int64_t>(), keys.as<int64_t>());
  place(how, {1, y.numel(), count, 1}, keys.as<const int64_t>(), x, y);
}

void count_true(View mask, View counts) {
  const int64_t n = mask.numel();
  if (n == 0) return;
  start(count_kernel, {static_cast<unsigned>(ceil_div(n, kMaskRun)), kThreads}, mask.as<const bool>(), n,
        counts.as<int64_t>());
}

void positions(View mask, View counts, View y) {
  const int64_t n = mask.numel();
  if (n == 0) return;
  Sizes sizes{mask.ndim, {}};
  for (int i = 0; i < mask.ndim; ++i) sizes.shape[i] = mask.shape[i];
  exclusive_sums(counts.as<int64_t>(), counts.numel());
  start(positions_kernel, {static_cast<unsigned>(ceil_div(n, kMaskRun)), kThreads}, sizes, mask.as<const bool>(), n,
        counts.as<const int64_t>(), y.as<int64_t>());
}

}  // namespace pydl::cuda

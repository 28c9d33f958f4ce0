// arg_reduce and scan along the middle axis of a dense (outer, n, inner) block.
#include "formulas.cuh"
#include "runtime/table/reduce.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 32;  // lanes of one output where outputs lie side by side: 8 outputs to a block

// ---- the place of the largest or smallest; the first of equal ones counts, NaN beats every number

template <class A>
struct Best {
  A value;
  int64_t at;  // negative: nothing seen yet
};

template <bool kLargest, class A>
__device__ __forceinline__ bool beats(const Best<A>& a, const Best<A>& b) {
  if (a.at < 0 || b.at < 0) return b.at < 0 && a.at >= 0;
  const bool nan_a = a.value != a.value, nan_b = b.value != b.value;
  if (nan_a || nan_b) return nan_a && (!nan_b || a.at < b.at);
  if (a.value == b.value) return a.at < b.at;
  return kLargest ? a.value > b.value : a.value < b.value;
}

// lanes: threads of one output; those of neighbouring outputs are neighbours unless inner is 1.
template <bool kLargest, class T>
__global__ void __launch_bounds__(kThreads)
    arg_reduce_kernel(int64_t outputs, int64_t n, int64_t inner, int lanes, const T* x, int64_t* y) {
  using A = Wide<T>;
  __shared__ Best<A> all[kThreads];
  const int t = static_cast<int>(threadIdx.x), width = kThreads / lanes;
  const bool rows = inner == 1;
  const int lane = rows ? t % lanes : t / width, own = rows ? t / lanes : t % width, step = rows ? 1 : width;
  for (int64_t first = int64_t{blockIdx.x} * width; first < outputs; first += int64_t{gridDim.x} * width) {
    const int64_t output = first + own;
    Best<A> best{A(0), -1};
    if (output < outputs) {
      const T* from = x + output / inner * n * inner + output % inner;
      for (int64_t i = lane; i < n; i += lanes) {
        const Best<A> here{widened(from[i * inner]), i};
        if (beats<kLargest>(here, best)) best = here;
      }
    }
    all[t] = best;
    __syncthreads();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (lane < half && beats<kLargest>(all[t + half * step], all[t])) all[t] = all[t + half * step];
      __syncthreads();
    }
    if (lane == 0 && output < outputs) y[output] = all[t].at;
    __syncthreads();
  }
}

template <bool kLargest>
void arg_reduce_of(const View& x, const View& y) {
  const int64_t outputs = x.shape[0] * x.shape[2], n = x.shape[1], inner = x.shape[2];
  const int lanes = inner == 1 && n > kLanes ? kThreads : kLanes;
  with_any(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    start(arg_reduce_kernel<kLargest, T>, {blocks_for(outputs, kThreads / lanes), kThreads}, outputs, n, inner, lanes,
          x.as<const T>(), y.as<int64_t>());
  });
}

// ---- running sums and products

template <class T>
using Total = std::conditional_t<kFloating<T>, Wide<T>, uint64_t>;
template <class T>
using Out = std::conditional_t<kFloating<T>, T, int64_t>;

template <bool kSum, class A>
__device__ __forceinline__ A joined(A a, A b) {
  return kSum ? a + b : a * b;
}

template <class T>
__device__ __forceinline__ Out<T> stored(Total<T> a) {
  if constexpr (kFloating<T>) return narrowed<T>(a);
  if constexpr (!kFloating<T>) return static_cast<int64_t>(a);
}

// One thread for each (outer, inner): neighbours in inner read neighbouring elements.
template <bool kSum, class T>
__global__ void __launch_bounds__(kThreads)
    scan_columns(int64_t columns, int64_t n, int64_t inner, const T* x, Out<T>* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t c = int64_t{blockIdx.x} * kThreads + threadIdx.x; c < columns; c += step) {
    const int64_t base = c / inner * n * inner + c % inner;
    Total<T> total = kSum ? 0 : 1;
    for (int64_t i = 0; i < n; ++i) {
      total = joined<kSum>(total, static_cast<Total<T>>(widened(x[base + i * inner])));
      y[base + i * inner] = stored<T>(total);
    }
  }
}

// One block for each row: pieces of 256 elements, each scanned by warps and carried on.
template <bool kSum, class T>
__global__ void __launch_bounds__(kThreads) scan_rows(int64_t rows, int64_t n, const T* x, Out<T>* y) {
  using A = Total<T>;
  constexpr int kWarps = kThreads / 32;
  __shared__ A ends[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    A carried = kSum ? 0 : 1;
    for (int64_t begin = 0; begin < n; begin += kThreads) {
      const int64_t i = begin + threadIdx.x;
      A total = i < n ? static_cast<A>(widened(x[row * n + i])) : A(kSum ? 0 : 1);
      for (int reach = 1; reach < 32; reach *= 2) {
        const A before = __shfl_up_sync(~0u, total, reach);
        if (lane >= reach) total = joined<kSum>(before, total);
      }
      if (lane == 31) ends[warp] = total;
      __syncthreads();
      A before = carried;
      for (int w = 0; w < warp; ++w) before = joined<kSum>(before, ends[w]);
      for (int w = 0; w < kWarps; ++w) carried = joined<kSum>(carried, ends[w]);
      if (i < n) y[row * n + i] = stored<T>(joined<kSum>(before, total));
      __syncthreads();
    }
  }
}

template <bool kSum>
void scan_of(const View& x, const View& y) {
  const int64_t outer = x.shape[0], n = x.shape[1], inner = x.shape[2];
  if (x.numel() == 0) return;
  with_any(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (inner == 1)
      start(scan_rows<kSum, T>, {blocks_for(outer, 1), kThreads}, outer, n, x.as<const T>(), y.as<Out<T>>());
    else
      start(scan_columns<kSum, T>, {blocks_for(outer * inner, kThreads), kThreads}, outer * inner, n, inner,
            x.as<const T>(), y.as<Out<T>>());
  });
}

}  // namespace

void arg_reduce(ArgReduce op, View x, View y) {
  if (y.numel() == 0) return;
  return op == ArgReduce::argmax ? arg_reduce_of<true>(x, y) : arg_reduce_of<false>(x, y);
}

void scan(Scan op, View x, View y) { return op == Scan::cumsum ? scan_of<true>(x, y) : scan_of<false>(x, y); }

}  // namespace pydl::cuda

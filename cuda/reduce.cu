// Reductions over any set of axes of a strided array, as trees whose shape depends on the sizes alone.
//
// The 256 threads of a block are `lanes` for each of `width` outputs. Where the innermost axis of x is reduced,
// neighbouring threads are lanes of one output; where it is kept, they work on neighbouring outputs: either way they
// read neighbouring elements. Long reductions of few outputs are cut into parts, which a second launch combines. A
// kernel knows all operations, by their code, and all dtypes that are computed in one type.
#include "formulas.cuh"
#include "pack.cuh"
#include "runtime/table/reduce.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFlight = 4;        // elements that a lane has under way, each with an accumulator of its own
constexpr int kColumnWidth = 32;  // neighbouring outputs of a block
constexpr int64_t kMostParts = 1024, kPartRounds = 16;

struct Axis {
  int64_t size, x, y;  // strides
};
struct Axes {
  int32_t n = 0;
  Axis axis[kMaxAxes];
  int64_t count = 1;

  void add(Axis a) {
    axis[n++] = a;
    count *= a.size;
  }
  __device__ __forceinline__ int64_t place(int64_t i, int64_t* y) const {
    int64_t x = 0;
    for (int a = n - 1; a > 0; --a) {
      const int64_t rest = i / axis[a].size, here = i - rest * axis[a].size;
      x += here * axis[a].x;
      *y += here * axis[a].y;
      i = rest;
    }
    if (n > 0) {
      x += i * axis[0].x;
      *y += i * axis[0].y;
    }
    return x;
  }
};

struct Plan {
  Axes kept, reduced;
  bool rows;  // neighbouring threads are lanes of one output
  int32_t lanes, width;
  int64_t parts, part;  // of a reduction, and the elements of each
};

// ---- operations, on A: float, double or int64, which wraps around

template <Reduce op, class A>
__device__ __forceinline__ A identity() {
  constexpr bool kInfinite = std::is_floating_point_v<A>;
  if constexpr (op == Reduce::prod || op == Reduce::all) return 1;
  if constexpr (op == Reduce::amax) return kInfinite ? -infinity<A>() : std::numeric_limits<A>::lowest();
  if constexpr (op == Reduce::amin) return kInfinite ? infinity<A>() : std::numeric_limits<A>::max();
  return 0;
}

template <class A>
using Wrapping = std::conditional_t<std::is_integral_v<A>, uint64_t, A>;
template <class A>
__device__ __forceinline__ A sum_of(A a, A b) {
  return static_cast<A>(static_cast<Wrapping<A>>(a) + static_cast<Wrapping<A>>(b));
}
template <class A>
__device__ __forceinline__ A product_of(A a, A b) {
  return static_cast<A>(static_cast<Wrapping<A>>(a) * static_cast<Wrapping<A>>(b));
}

template <Reduce op, class A>
__device__ __forceinline__ A taken(A x) {
  if constexpr (op == Reduce::norm) return product_of(x, x);
  if constexpr (op == Reduce::any || op == Reduce::all) return x != A(0);
  return x;
}

template <Reduce op, class A>
__device__ __forceinline__ A combined(A a, A b) {
  if constexpr (op == Reduce::prod || op == Reduce::all) return product_of(a, b);
  if constexpr (op == Reduce::amax || op == Reduce::any) return larger(a, b);
  if constexpr (op == Reduce::amin) return smaller(a, b);
  return sum_of(a, b);
}

template <Reduce op, class A>
__device__ __forceinline__ void put(void* y, Dtype dtype, int64_t at, A a) {
  if constexpr (op == Reduce::norm && std::is_floating_point_v<A>) a = std::sqrt(a);
  if constexpr (op == Reduce::any || op == Reduce::all)
    static_cast<bool*>(y)[at] = a != A(0);
  else
    store_element(y, dtype, at, a);
}

// Calls f with the operation of a code as a constant.
template <class F>
__device__ __forceinline__ void with_op(Reduce op, const F& f) {
  switch (op) {
#define PYDL_CASE(name) \
  case Reduce::name:    \
    return f(std::integral_constant<Reduce, Reduce::name>());
    PYDL_REDUCE(PYDL_CASE)
#undef PYDL_CASE
  }
}

// ---- kernels

struct Side {
  void* data;
  Dtype dtype;
};

// The lanes' accumulators of each output, combined by halves; the result is lane 0's.
template <Reduce op, class A>
__device__ __forceinline__ A combine_lanes(A mine, A* all, const Plan& p, int lane) {
  const int step = p.rows ? 1 : p.width;
  all[threadIdx.x] = mine;
  __syncthreads();
  for (int half = p.lanes / 2; half > 0; half /= 2) {
    if (lane < half) all[threadIdx.x] = combined<op>(all[threadIdx.x], all[threadIdx.x + half * step]);
    __syncthreads();
  }
  const A made = all[threadIdx.x];
  __syncthreads();
  return made;
}

// Elements [begin, end) of a reduction, every `lanes`-th from `lane` on.
template <Reduce op, class A, class T>
__device__ __forceinline__ A reduce_lane(const Plan& p, const T* x, int64_t begin, int64_t end, int lane) {
  A acc[kFlight];
#pragma unroll
  for (int k = 0; k < kFlight; ++k) acc[k] = identity<op, A>();
  int64_t unused = 0, r = begin + lane;
  for (; r + int64_t{kFlight - 1} * p.lanes < end; r += int64_t{kFlight} * p.lanes) {
    T loaded[kFlight];
#pragma unroll
    for (int k = 0; k < kFlight; ++k) loaded[k] = x[p.reduced.place(r + int64_t{k} * p.lanes, &unused)];
#pragma unroll
    for (int k = 0; k < kFlight; ++k) acc[k] = combined<op>(acc[k], taken<op>(static_cast<A>(widened(loaded[k]))));
  }
  for (; r < end; r += p.lanes)
    acc[0] = combined<op>(acc[0], taken<op>(static_cast<A>(widened(x[p.reduced.place(r, &unused)]))));
  return combined<op>(combined<op>(acc[0], acc[1]), combined<op>(acc[2], acc[3]));
}

template <Reduce op, class A>
__device__ __forceinline__ void reduce_outputs(const Plan& p, Side x, Side y, A* partial, A* all) {
  const int t = static_cast<int>(threadIdx.x);
  const int lane = p.rows ? t % p.lanes : t / p.width, own = p.rows ? t / p.lanes : t % p.width;
  const int64_t begin = blockIdx.y * p.part, stop = begin + p.part;
  const int64_t end = stop < p.reduced.count ? stop : p.reduced.count;
  for (int64_t first = int64_t{blockIdx.x} * p.width; first < p.kept.count; first += int64_t{gridDim.x} * p.width) {
    const int64_t output = first + own;
    const bool there = output < p.kept.count;
    int64_t to = 0;
    const int64_t from = there ? p.kept.place(output, &to) : 0;
    A mine = identity<op, A>();
    if (there)
      with_stored<A>(x.dtype, [&](auto type) {
        mine =
            reduce_lane<op, A>(p, static_cast<const typename decltype(type)::type*>(x.data) + from, begin, end, lane);
      });
    const A made = combine_lanes<op>(mine, all, p, lane);
    if (!there || lane != 0) continue;
    if (partial)
      partial[blockIdx.y * p.kept.count + output] = made;
    else
      put<op>(y.data, y.dtype, to, made);
  }
}

// Grid: outputs by parts. Writes outputs, or with several parts their accumulators, (parts, outputs).
template <class A>
__global__ void __launch_bounds__(kThreads, 2) reduce_kernel(Reduce op, Plan p, Side x, Side y, A* partial) {
  __shared__ A lanes[kThreads];
  A* const all = lanes;
  with_op(op, [&](auto code) { reduce_outputs<decltype(code)::value>(p, x, y, partial, all); });
}

template <class A>
__global__ void __launch_bounds__(kThreads) combine_kernel(Reduce op, Plan p, const A* partial, Side y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  with_op(op, [&](auto code) {
    constexpr Reduce kOp = decltype(code)::value;
    for (int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x; o < p.kept.count; o += step) {
      A even = identity<kOp, A>(), odd = even;
      for (int64_t i = 0; i < p.parts; i += 2) {
        even = combined<kOp>(even, partial[i * p.kept.count + o]);
        if (i + 1 < p.parts) odd = combined<kOp>(odd, partial[(i + 1) * p.kept.count + o]);
      }
      int64_t to = 0;
      p.kept.place(o, &to);
      put<kOp>(y.data, y.dtype, to, combined<kOp>(even, odd));
    }
  });
}

int32_t power_of_two(int64_t n, int32_t most) {  // the least that is not below n, but at most `most`
  int32_t p = 1;
  while (p < n && p < most) p *= 2;
  return p;
}

int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

Plan make_plan(const View& x, const View& y) {
  Plan p{};
  int inner = -1;
  for (int i = 0; i < x.ndim; ++i) {
    if (x.shape[i] == 1) continue;
    const bool kept = y.shape[i] != 1;
    (kept ? p.kept : p.reduced).add({x.shape[i], x.strides[i], kept ? y.strides[i] : 0});
    if (x.strides[i] != 0 && (inner < 0 || magnitude(x.strides[i]) <= magnitude(x.strides[inner]))) inner = i;
  }
  p.rows = inner < 0 || y.shape[inner] == 1;
  if (p.rows) {
    p.lanes = power_of_two(p.reduced.count, kThreads);
    p.width = kThreads / p.lanes;
  } else {
    p.width = power_of_two(p.kept.count, kColumnWidth);
    p.lanes = kThreads / p.width;
  }
  const int64_t blocks = ceil_div(p.kept.count, p.width), rounds = int64_t{p.lanes} * kFlight * kPartRounds;
  const int64_t spare = kMostParts / (blocks < kMostParts ? blocks : kMostParts);
  const int64_t wanted = ceil_div(p.reduced.count, rounds);
  p.parts = wanted < 1 ? 1 : wanted < spare ? wanted : spare;
  p.part = ceil_div(p.reduced.count, p.parts);
  return p;
}

}  // namespace

void reduce(Reduce op, View x, View y) {
  if (y.numel() == 0) return;
  with_computed(x.dtype, [&](auto zero) {
    using A = decltype(zero);
    const Plan p = make_plan(x, y);
    const Scratch partial(p.parts > 1 ? static_cast<size_t>(p.parts * p.kept.count) * sizeof(A) : 0);
    const Side from{x.data, x.dtype}, to{y.data, y.dtype};
    const dim3 blocks(blocks_for(p.kept.count, p.width), static_cast<unsigned>(p.parts));
    start(reduce_kernel<A>, {blocks, kThreads}, op, p, from, to, partial.as<A>());
    if (p.parts > 1)
      start(combine_kernel<A>, {blocks_for(p.kept.count, kThreads), kThreads}, op, p, partial.as<const A>(), to);
  });
}

}  // namespace pydl::cuda

// Reductions over any set of axes of a strided array, as trees whose shape depends on the sizes alone.
//
// The 256 threads of a block are `lanes` for each of `width` outputs. Where the innermost axis of x is reduced,
// neighbouring threads are lanes of one output; where it is kept, they work on neighbouring outputs: either way they
// read neighbouring elements. Long reductions of few outputs are cut into parts, which a second launch combines.
#include "formulas.cuh"
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

// ---- operations: what elements are combined in, and how

template <class T>
struct Arithmetic {
  using Acc = std::conditional_t<kFloating<T>, Wide<T>, uint64_t>;
  using Out = std::conditional_t<kFloating<T>, T, int64_t>;
  static __device__ Acc taken(T x) { return static_cast<Acc>(widened(x)); }
  static __device__ Out made(Acc a) {
    if constexpr (kFloating<T>) return narrowed<T>(a);
    if constexpr (!kFloating<T>) return static_cast<int64_t>(a);
  }
};
template <class T>
struct Order {
  using Acc = std::conditional_t<std::is_same_v<T, bool>, uint8_t, Wide<T>>;
  using Out = T;
  static __device__ Acc taken(T x) { return static_cast<Acc>(widened(x)); }
  static __device__ Out made(Acc a) {
    if constexpr (kHalf<T>) return narrowed<T>(a);
    if constexpr (!kHalf<T>) return static_cast<T>(a);
  }
};
template <class T>
struct Logic {
  using Acc = uint8_t;
  using Out = bool;
  static __device__ Acc taken(T x) { return widened(x) != Wide<T>(0); }
  static __device__ Out made(Acc a) { return a != 0; }
};

template <class T>
struct Sum : Arithmetic<T> {
  using A = typename Arithmetic<T>::Acc;
  static __device__ A identity() { return 0; }
  static __device__ A combined(A a, A b) { return a + b; }
};
template <class T>
struct Prod : Arithmetic<T> {
  using A = typename Arithmetic<T>::Acc;
  static __device__ A identity() { return 1; }
  static __device__ A combined(A a, A b) { return a * b; }
};
template <class T>
struct Max : Order<T> {
  using A = typename Order<T>::Acc;
  static __device__ A identity() {
    if constexpr (std::is_floating_point_v<A>) return -infinity<A>();
    return std::numeric_limits<A>::lowest();
  }
  static __device__ A combined(A a, A b) { return larger(a, b); }
};
template <class T>
struct Min : Order<T> {
  using A = typename Order<T>::Acc;
  static __device__ A identity() {
    if constexpr (std::is_floating_point_v<A>) return infinity<A>();
    return std::numeric_limits<A>::max();
  }
  static __device__ A combined(A a, A b) { return smaller(a, b); }
};
template <class T>
struct Any : Logic<T> {
  using A = uint8_t;
  static __device__ uint8_t identity() { return 0; }
  static __device__ uint8_t combined(uint8_t a, uint8_t b) { return a | b; }
};
template <class T>
struct All : Logic<T> {
  using A = uint8_t;
  static __device__ uint8_t identity() { return 1; }
  static __device__ uint8_t combined(uint8_t a, uint8_t b) { return a & b; }
};
template <class T>
struct Norm : Sum<T> {
  using A = typename Arithmetic<T>::Acc;
  static __device__ A taken(T x) { return Arithmetic<T>::taken(x) * Arithmetic<T>::taken(x); }
  static __device__ typename Arithmetic<T>::Out made(A a) {
    if constexpr (kFloating<T>) return narrowed<T>(std::sqrt(a));
    if constexpr (!kFloating<T>) return static_cast<int64_t>(a);
  }
};

// ---- kernels

// The lanes' accumulators of each output, combined by halves; the result is lane 0's.
template <class Op, class A>
__device__ __forceinline__ A combine_lanes(A mine, const Plan& p, int lane) {
  __shared__ A all[kThreads];
  const int step = p.rows ? 1 : p.width;
  all[threadIdx.x] = mine;
  __syncthreads();
  for (int half = p.lanes / 2; half > 0; half /= 2) {
    if (lane < half) all[threadIdx.x] = Op::combined(all[threadIdx.x], all[threadIdx.x + half * step]);
    __syncthreads();
  }
  const A made = all[threadIdx.x];
  __syncthreads();
  return made;
}

// Elements [begin, end) of a reduction, every `lanes`-th from `lane` on.
template <class Op, class T, class A>
__device__ __forceinline__ A reduce_lane(const Plan& p, const T* x, int64_t begin, int64_t end, int lane) {
  A acc[kFlight];
#pragma unroll
  for (int k = 0; k < kFlight; ++k) acc[k] = Op::identity();
  int64_t unused = 0, r = begin + lane;
  for (; r + int64_t{kFlight - 1} * p.lanes < end; r += int64_t{kFlight} * p.lanes) {
    T loaded[kFlight];
#pragma unroll
    for (int k = 0; k < kFlight; ++k) loaded[k] = x[p.reduced.place(r + int64_t{k} * p.lanes, &unused)];
#pragma unroll
    for (int k = 0; k < kFlight; ++k) acc[k] = Op::combined(acc[k], Op::taken(loaded[k]));
  }
  for (; r < end; r += p.lanes) acc[0] = Op::combined(acc[0], Op::taken(x[p.reduced.place(r, &unused)]));
  return Op::combined(Op::combined(acc[0], acc[1]), Op::combined(acc[2], acc[3]));
}

// Grid: outputs by parts. Writes outputs, or with several parts their accumulators, (parts, outputs).
template <class Op, class T, class Y, class A>
__global__ void __launch_bounds__(kThreads) reduce_kernel(Plan p, const T* x, Y* y, A* partial) {
  const int t = static_cast<int>(threadIdx.x);
  const int lane = p.rows ? t % p.lanes : t / p.width, own = p.rows ? t / p.lanes : t % p.width;
  const int64_t begin = blockIdx.y * p.part, stop = begin + p.part;
  const int64_t end = stop < p.reduced.count ? stop : p.reduced.count;
  for (int64_t first = int64_t{blockIdx.x} * p.width; first < p.kept.count; first += int64_t{gridDim.x} * p.width) {
    const int64_t output = first + own;
    const bool there = output < p.kept.count;
    int64_t to = 0;
    const int64_t from = there ? p.kept.place(output, &to) : 0;
    const A mine = there ? reduce_lane<Op, T, A>(p, x + from, begin, end, lane) : Op::identity();
    const A made = combine_lanes<Op>(mine, p, lane);
    if (!there || lane != 0) continue;
    if (partial)
      partial[blockIdx.y * p.kept.count + output] = made;
    else
      y[to] = Op::made(made);
  }
}

template <class Op, class Y, class A>
__global__ void __launch_bounds__(kThreads) combine_kernel(Plan p, const A* partial, Y* y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t o = int64_t{blockIdx.x} * kThreads + threadIdx.x; o < p.kept.count; o += step) {
    A acc[kFlight];
#pragma unroll
    for (int k = 0; k < kFlight; ++k) acc[k] = Op::identity();
    for (int64_t i = 0; i < p.parts; ++i)
      acc[i % kFlight] = Op::combined(acc[i % kFlight], partial[i * p.kept.count + o]);
    int64_t to = 0;
    p.kept.place(o, &to);
    y[to] = Op::made(Op::combined(Op::combined(acc[0], acc[1]), Op::combined(acc[2], acc[3])));
  }
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

template <class Op, class T>
void reduce_as(const View& x, const View& y) {
  using A = typename Op::A;
  using Y = typename Op::Out;
  const Plan p = make_plan(x, y);
  const Scratch partial(p.parts > 1 ? static_cast<size_t>(p.parts * p.kept.count) * sizeof(A) : 0);
  const dim3 blocks(blocks_for(p.kept.count, p.width), static_cast<unsigned>(p.parts));
  start(reduce_kernel<Op, T, Y, A>, {blocks, kThreads}, p, x.as<const T>(), y.as<Y>(), partial.as<A>());
  if (p.parts == 1) return;
  start(combine_kernel<Op, Y, A>, {blocks_for(p.kept.count, kThreads), kThreads}, p, partial.as<const A>(), y.as<Y>());
}

template <template <class> class Op>
void reduce_any(const View& x, const View& y) {
  with_any(x.dtype, [&](auto zero) { reduce_as<Op<decltype(zero)>, decltype(zero)>(x, y); });
}

}  // namespace

void reduce(Reduce op, View x, View y) {
  if (y.numel() == 0) return;
  switch (op) {
    case Reduce::sum:
      return reduce_any<Sum>(x, y);
    case Reduce::prod:
      return reduce_any<Prod>(x, y);
    case Reduce::amax:
      return reduce_any<Max>(x, y);
    case Reduce::amin:
      return reduce_any<Min>(x, y);
    case Reduce::any:
      return reduce_any<Any>(x, y);
    case Reduce::all:
      return reduce_any<All>(x, y);
    case Reduce::norm:
      return reduce_any<Norm>(x, y);
  }
}

}  // namespace pydl::cuda

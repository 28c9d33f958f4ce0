// c = activation(alpha a b + beta add + bias), batched, of any strides.
//   tile_half.cuh  f16, bf16, and float32 where it may be rounded: tensor cores, sums in float32
//   tile_wide.cuh  float32, float64, integers
// Blocks make tiles of 128 x 128, or of 64 x 64 where there are few. Where even those are few and the sums are long,
// the sums are cut into parts by the shape alone, and the parts joined in order.
#include "formulas.cuh"
#include "runtime/table/gemm.h"
#include "tile_half.cuh"
#include "tile_wide.cuh"
#include "tile_work.cuh"

namespace pydl::cuda {
namespace {

constexpr int kLarge = 128, kSmall = 64;
constexpr int64_t kFewBlocks = 128;   // fewer than these leave multiprocessors without work
constexpr int64_t kLeastPart = 256;   // of a sum
constexpr int64_t kRowsTogether = 8;  // tiles below each other that run at a time: they share the columns of b
constexpr int kJoinThreads = 256;

struct Matrix {
  int64_t rows, columns, batch[kMaxAxes - 2];  // strides
};

struct Problem {
  int64_t m, n, k;
  int32_t batch_axes;
  int64_t batch_shape[kMaxAxes - 2];
  int64_t batches;
  Matrix a, b, add, bias, c;
  double alpha, beta;
  Activation activation;
  bool a_deep, b_deep, a_vector, b_vector, c_runs;  // how factors are read; whether runs of c are written at once
  Parts parts;                                      // of a sum

  Grid grid(int64_t tile, int threads, size_t shared) const {
    return tile_grid(m, n, batches * parts.count, tile, threads, shared);
  }
};

// Where the matrices of one product of a batch begin.
struct Starts {
  int64_t a = 0, b = 0, add = 0, bias = 0, c = 0;
};

__device__ __forceinline__ Starts starts_of(const Problem& p, int64_t index) {
  Starts s;
  for (int i = p.batch_axes - 1; i >= 0; --i) {
    const int64_t rest = index / p.batch_shape[i], here = index - rest * p.batch_shape[i];
    s.a += here * p.a.batch[i];
    s.b += here * p.b.batch[i];
    s.add += here * p.add.batch[i];
    s.bias += here * p.bias.batch[i];
    s.c += here * p.c.batch[i];
    index = rest;
  }
  return s;
}

template <class T>
__device__ __forceinline__ T as_factor(double x) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(x);
  return static_cast<T>(static_cast<int64_t>(x));
}

// S: the elements; T: what they are summed in, unsigned for integers, which wrap around.
template <class S>
using SumOf = std::conditional_t<std::is_integral_v<S>, uint64_t, Wide<S>>;

template <class S>
struct Arrays {
  const S *a, *b, *add, *bias;
  S* c;
  SumOf<S>* parts;  // (parts, batches, m, n): sums without what follows them; null: there is one part
};

template <class S>
constexpr int kRun = 16 / (sizeof(S) == 8   ? 8
                           : sizeof(S) == 1 ? 4
                                            : sizeof(S));  // elements that a thread writes at once

template <class S>
struct alignas(kRun<S> * sizeof(S)) Run {
  S x[kRun<S>];
};

template <class S, class T>
__device__ __forceinline__ S finished(const Problem& p, const Arrays<S>& to, const Starts& s, int64_t r, int64_t q,
                                      T sum) {
  T y = as_factor<T>(p.alpha) * sum;
  if (to.add) y += as_factor<T>(p.beta) * static_cast<T>(widened(to.add[s.add + r * p.add.rows + q * p.add.columns]));
  if (to.bias) y += static_cast<T>(widened(to.bias[s.bias + r * p.bias.rows + q * p.bias.columns]));
  return narrowed<S>(activated(static_cast<Wide<S>>(y), p.activation));
}

// A run of sums of row r from column q on, to where they belong.
template <class S, class T>
__device__ __forceinline__ void emit(const Problem& p, const Arrays<S>& to, const Starts& s, int64_t item, int64_t r,
                                     int64_t q, const T* sums) {
  if (r >= p.m || q >= p.n) return;
  if (to.parts) {
    for (int i = 0; i < kRun<S> && q + i < p.n; ++i) to.parts[(item * p.m + r) * p.n + q + i] = sums[i];
    return;
  }
  S* c = to.c + s.c + r * p.c.rows + q * p.c.columns;
  Run<S> run;
#pragma unroll
  for (int i = 0; i < kRun<S>; ++i)
    if (q + i < p.n) run.x[i] = finished<S, T>(p, to, s, r, q + i, sums[i]);
  if (p.c_runs && q + kRun<S> <= p.n) {
    *reinterpret_cast<Run<S>*>(c) = run;
  } else {
#pragma unroll
    for (int i = 0; i < kRun<S>; ++i)
      if (q + i < p.n) c[i * p.c.columns] = run.x[i];
  }
}

// The tile of a block: those that run at a time share columns of b and rows of a.
__device__ __forceinline__ void tile_of(int64_t& down, int64_t& across) {
  const int64_t index = int64_t{blockIdx.y} * gridDim.x + blockIdx.x, group = index / (kRowsTogether * gridDim.x);
  const int64_t rest = int64_t{gridDim.y} - group * kRowsTogether, tall = rest < kRowsTogether ? rest : kRowsTogether;
  const int64_t within = index - group * kRowsTogether * gridDim.x;
  down = group * kRowsTogether + within % tall;
  across = within / tall;
}

template <class S, int kTile>
__global__ void __launch_bounds__(kHalfThreads, 2) half_kernel(Problem p, Arrays<S> x) {
  int64_t row, column;
  tile_of(row, column);
  row *= kTile, column *= kTile;
  each_product(p.batches, p.k, p.parts, [&](int64_t item, int64_t index, int64_t begin, int64_t end) {
    const Starts s = starts_of(p, index);
    const HalfMatrix<S, kTile> a{x.a + s.a + row * p.a.rows, p.a.rows, p.a.columns, p.k,
                                 within(p.m - row, kTile),   p.a_deep, p.a_vector};
    const HalfMatrix<S, kTile> b{x.b + s.b + column * p.b.columns, p.b.columns, p.b.rows,  p.k,
                                 within(p.n - column, kTile),      p.b_deep,    p.b_vector};
    HalfSums<kTile> sums;
    half_product<S, kTile>(a, b, begin, end, shared_memory<S>(), sums);
    each_run<float, kTile, kHalfThreads, kRun<S>>(
        sums, [&](int i, int j, const float* run) { emit(p, x, s, item, row + i, column + j, run); });
  });
}

template <class S, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, std::is_integral_v<S> ? 1 : 2) wide_kernel(Problem p, Arrays<S> x) {
  using T = SumOf<S>;
  int64_t row, column;
  tile_of(row, column);
  row *= Shape::kTile, column *= Shape::kTile;
  each_product(p.batches, p.k, p.parts, [&](int64_t item, int64_t index, int64_t begin, int64_t end) {
    const Starts from = starts_of(p, index);
    WideMatrix<S, T, Shape> a(x.a + from.a + row * p.a.rows + begin * p.a.columns, p.a.rows, p.a.columns, end - begin,
                              within(p.m - row, Shape::kTile), p.a_deep, p.a_vector);
    WideMatrix<S, T, Shape> b(x.b + from.b + column * p.b.columns + begin * p.b.rows, p.b.columns, p.b.rows,
                              end - begin, within(p.n - column, Shape::kTile), p.b_deep, p.b_vector);
    WideSums<T, Shape> sums;
    wide_product<T, Shape>(a, b, begin, end, shared_memory<T>(), sums);
    const Starts s = starts_of(p, index);
    each_run<T, Shape::kTile, Shape::kThreads, kRun<S>>(
        sums, [&](int i, int j, const T* run) { emit(p, x, s, item, row + i, column + j, run); });
  });
}

template <class S>
__global__ void __launch_bounds__(kJoinThreads, 2) join_kernel(Problem p, Arrays<S> x) {
  const int64_t all = p.batches * p.m * p.n, step = int64_t{gridDim.x} * kJoinThreads;
  for (int64_t i = int64_t{blockIdx.x} * kJoinThreads + threadIdx.x; i < all; i += step) {
    SumOf<S> sum = x.parts[i];
    for (int64_t part = 1; part < p.parts.count; ++part) sum += x.parts[part * all + i];
    const int64_t item = i / (p.m * p.n), r = i / p.n % p.m, q = i % p.n;
    const Starts s = starts_of(p, item);
    x.c[s.c + r * p.c.rows + q * p.c.columns] = finished<S>(p, x, s, r, q, sum);
  }
}

Matrix matrix_of(const View& x) {
  Matrix m{};
  if (!x.present()) return m;
  m.rows = x.strides[x.ndim - 2];
  m.columns = x.strides[x.ndim - 1];
  for (int i = 0; i < x.ndim - 2; ++i) m.batch[i] = x.strides[i];
  return m;
}

// Whether every run of `count` elements along the axis with a stride of 1 begins at a multiple of its size.
bool aligned(const Matrix& x, const void* data, int axes, bool along_columns, int64_t count, size_t size) {
  if ((along_columns ? x.columns : x.rows) != 1) return false;
  bool good = reinterpret_cast<uintptr_t>(data) % (static_cast<size_t>(count) * size) == 0;
  good = good && (along_columns ? x.rows : x.columns) % count == 0;
  for (int i = 0; i < axes; ++i) good = good && x.batch[i] % count == 0;
  return good;
}

Problem problem_of(const View& a, const View& b, const View& add, const View& bias, const View& c, int64_t size,
                   int64_t run) {
  Problem p{};
  p.m = c.shape[c.ndim - 2], p.n = c.shape[c.ndim - 1], p.k = a.shape[a.ndim - 1];
  p.batch_axes = c.ndim - 2, p.batches = 1;
  for (int i = 0; i < p.batch_axes; ++i) p.batches *= p.batch_shape[i] = c.shape[i];
  p.a = matrix_of(a), p.b = matrix_of(b), p.add = matrix_of(add), p.bias = matrix_of(bias), p.c = matrix_of(c);
  const int64_t chunk = 16 / size;
  p.a_deep = p.a.columns == 1 || p.a.rows != 1, p.b_deep = p.b.rows == 1 || p.b.columns != 1;
  p.a_vector = aligned(p.a, a.data, p.batch_axes, p.a_deep, chunk, static_cast<size_t>(size));
  p.b_vector = aligned(p.b, b.data, p.batch_axes, !p.b_deep, chunk, static_cast<size_t>(size));
  p.c_runs = aligned(p.c, c.data, p.batch_axes, true, run, static_cast<size_t>(size));
  p.parts = {1, p.k};
  return p;
}

int64_t tiles(const Problem& p, int64_t tile) { return ceil_div(p.m, tile) * ceil_div(p.n, tile) * p.batches; }

template <class S>
void start_on_cores(const Problem& p, const Arrays<S>& x, bool large) {
  if (large)
    start(half_kernel<S, kLarge>, p.grid(kLarge, kHalfThreads, kHalfShared<kLarge>), p, x);
  else
    start(half_kernel<S, kSmall>, p.grid(kSmall, kHalfThreads, kHalfShared<kSmall>), p, x);
}

// The kernel of a problem whose tiles are large or small. Kernels that use what only one architecture has (wgmma of
// sm_90a) join here, before those that all have.
template <class S>
void start_product(const Problem& p, const Arrays<S>& x, bool large) {
  const auto wide = [&](auto shape) {
    using Shape = decltype(shape);
    start(wide_kernel<S, Shape>, p.grid(Shape::kTile, Shape::kThreads, Shape::kShared), p, x);
  };
  if constexpr (kHalf<S>) {
    start_on_cores(p, x, large);
  } else if constexpr (std::is_same_v<S, float>) {
    if (tf32_products()) return start_on_cores(p, x, large);
    large ? wide(WideTile<float, kLarge>()) : wide(WideTile<float, kSmall>());
  } else {
    wide(WideTile<SumOf<S>, kSmall>());
  }
}

template <class S>
void product(Problem p, Arrays<S> x) {
  const bool large = tiles(p, kLarge) >= kFewBlocks;
  if constexpr (kFloating<S>) {
    if (!large) p.parts = parts_of(p.k, tiles(p, kSmall), kFewBlocks, kLeastPart);
  }
  const int64_t all = p.batches * p.m * p.n;
  const Scratch room(p.parts.count > 1 ? static_cast<size_t>(p.parts.count * all) * sizeof(SumOf<S>) : 0);
  x.parts = room.template as<SumOf<S>>();
  start_product(p, x, large);
  if constexpr (kFloating<S>) {
    if (p.parts.count > 1) start(join_kernel<S>, {blocks_for(all, kJoinThreads), kJoinThreads}, p, x);
  }
}

}  // namespace

void gemm(View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c) {
  if (c.numel() == 0) return;
  if (beta == 0) add = View{};
  if (ceil_div(c.shape[c.ndim - 2], kSmall) > 65535)
    return missing("matrices of more than 4 million rows have no CUDA kernel");
  with_number(c.dtype, [&](auto zero) {
    using S = decltype(zero);
    Problem p = problem_of(a, b, add, bias, c, sizeof(S), kRun<S>);
    p.alpha = alpha, p.beta = beta, p.activation = activation;
    product<S>(p, {a.as<const S>(), b.as<const S>(), add.as<const S>(), bias.as<const S>(), c.as<S>(), nullptr});
  });
}

}  // namespace pydl::cuda

// c = activation(alpha a b + beta add + bias), batched, of any strides.
//
// A block of 256 threads makes a tile of 64 x 64 of c: the slices of a and b that it needs pass through shared memory
// 16 columns at a time, and each thread keeps 4 x 4 sums in registers. Sums of 16-bit floats are float32.
#include "formulas.cuh"
#include "runtime/table/gemm.h"

namespace pydl::cuda {
namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256, kOwn = 4;
constexpr int kAcross = kTile / kOwn;  // threads along one side of the tile
constexpr int kPad = 1;                // so that a column of a tile lies in different banks

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
__device__ __forceinline__ T activated(T x, Activation f) {
  if constexpr (std::is_floating_point_v<T>) {
    switch (f) {
      case Activation::tanh:
        return std::tanh(x);
      case Activation::sigmoid:
        return sigmoid(x);
      case Activation::gelu:
        return gelu(x);
      case Activation::gelu_tanh:
        return gelu_tanh(x);
      case Activation::silu:
        return silu(x);
      default:
        break;
    }
  }
  return f == Activation::relu && x <= T(0) ? T(0) : x;
}

template <class T>
__device__ __forceinline__ T as_factor(double x) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<T>(x);
  return static_cast<T>(static_cast<int64_t>(x));
}

// A slice of kTile x kDepth into shared memory, transposed: to[depth][tile]. Neighbouring threads read neighbouring
// elements, whichever axis of the matrix that is; outside it there are zeros.
template <class S, class T>
__device__ __forceinline__ void load_slice(const S* x, int64_t tile_step, int64_t depth_step, int64_t tile_left,
                                           int64_t depth_left, T (*to)[kTile + kPad]) {
  const bool deep = depth_step == 1;
#pragma unroll
  for (int u = 0; u < kTile * kDepth / kThreads; ++u) {
    const int at = static_cast<int>(threadIdx.x) + u * kThreads;
    const int t = deep ? at / kDepth : at % kTile, d = deep ? at % kDepth : at / kTile;
    const bool inside = t < tile_left && d < depth_left;
    to[d][t] = inside ? static_cast<T>(widened(x[t * tile_step + d * depth_step])) : T(0);
  }
}

// S: the elements; T: what they are summed in, unsigned for integers, which wrap around.
template <class S, class T>
__global__ void __launch_bounds__(kThreads)
    gemm_kernel(Problem p, const S* a, const S* b, const S* add, const S* bias, S* c) {
  __shared__ T as[kDepth][kTile + kPad];
  __shared__ T bs[kDepth][kTile + kPad];
  const int tx = static_cast<int>(threadIdx.x) % kAcross, ty = static_cast<int>(threadIdx.x) / kAcross;
  const int64_t row = int64_t{blockIdx.y} * kTile, column = int64_t{blockIdx.x} * kTile;
  for (int64_t item = blockIdx.z; item < p.batches; item += gridDim.z) {
    const Starts s = starts_of(p, item);
    T sums[kOwn][kOwn] = {};
    for (int64_t k = 0; k < p.k; k += kDepth) {
      load_slice(a + s.a + row * p.a.rows + k * p.a.columns, p.a.rows, p.a.columns, p.m - row, p.k - k, as);
      load_slice(b + s.b + k * p.b.rows + column * p.b.columns, p.b.columns, p.b.rows, p.n - column, p.k - k, bs);
      __syncthreads();
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        T left[kOwn], right[kOwn];
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          left[i] = as[d][ty + i * kAcross];
          right[i] = bs[d][tx + i * kAcross];
        }
#pragma unroll
        for (int i = 0; i < kOwn; ++i)
#pragma unroll
          for (int j = 0; j < kOwn; ++j) sums[i][j] += left[i] * right[j];
      }
      __syncthreads();
    }
    for (int i = 0; i < kOwn; ++i)
      for (int j = 0; j < kOwn; ++j) {
        const int64_t r = row + ty + i * kAcross, q = column + tx + j * kAcross;
        if (r >= p.m || q >= p.n) continue;
        T y = as_factor<T>(p.alpha) * sums[i][j];
        if (add) y += as_factor<T>(p.beta) * static_cast<T>(widened(add[s.add + r * p.add.rows + q * p.add.columns]));
        if (bias) y += static_cast<T>(widened(bias[s.bias + r * p.bias.rows + q * p.bias.columns]));
        c[s.c + r * p.c.rows + q * p.c.columns] = narrowed<S>(activated(static_cast<Wide<S>>(y), p.activation));
      }
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

template <class S>
struct SumOf {
  using type = std::conditional_t<std::is_integral_v<S>, uint64_t, Wide<S>>;
};

}  // namespace

void gemm(View a, View b, View add, View bias, double alpha, double beta, Activation activation, View c) {
  if (c.numel() == 0) return;
  if (beta == 0) add = View{};
  Problem p{};
  p.m = c.shape[c.ndim - 2], p.n = c.shape[c.ndim - 1], p.k = a.shape[a.ndim - 1];
  p.batch_axes = c.ndim - 2, p.batches = 1;
  for (int i = 0; i < p.batch_axes; ++i) p.batches *= p.batch_shape[i] = c.shape[i];
  p.a = matrix_of(a), p.b = matrix_of(b), p.add = matrix_of(add), p.bias = matrix_of(bias), p.c = matrix_of(c);
  p.alpha = alpha, p.beta = beta, p.activation = activation;
  const int64_t depth = p.batches < 65535 ? p.batches : 65535;
  if (ceil_div(p.m, kTile) > 65535) return missing("matrices of more than 4 million rows have no CUDA kernel");
  const dim3 blocks(static_cast<unsigned>(ceil_div(p.n, kTile)), static_cast<unsigned>(ceil_div(p.m, kTile)),
                    static_cast<unsigned>(depth));
  with_number(c.dtype, [&](auto zero) {
    using S = decltype(zero);
    start(gemm_kernel<S, typename SumOf<S>::type>, {blocks, kThreads}, p, a.as<const S>(), b.as<const S>(),
          add.as<const S>(), bias.as<const S>(), c.as<S>());
  });
}

}  // namespace pydl::cuda

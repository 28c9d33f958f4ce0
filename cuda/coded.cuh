// Elementwise kernels of many operations: y[i] = f(a[i], b[i], c[i]), where f chooses by its op code and the dtypes are
// known only when the kernel runs. One compiled kernel serves all operations and dtypes of a kind; memory-bound as they
// are, they do not feel a branch that all threads take alike.
//
// A thread has several elements of each input under way before it computes: 16 bytes at a time where y is dense and
// every input is dense too or one number, else each by its index. They wait in shared memory, so that the code of an
// operation is there once and not once for each of them. A functor may give short and much used operations code for
// all of a thread's elements at once, by registers.
#pragma once

#include "map.cuh"
#include "pack.cuh"

namespace pydl::cuda {

template <class C>
constexpr int kEach = sizeof(C) == 8 ? 4 : 8;  // elements of an input that a thread has under way

struct CodedWalk {
  Walk walk;
  bool dense;
  unsigned numbers;  // bit k is set where input k is one number
  void* data[4];     // y, then the inputs
  Dtype dtype[4];
};

template <class C, int N>
__device__ __forceinline__ void load_side(const CodedWalk& w, int input, int64_t i, C (&v)[N]) {
  const void* x = w.data[1 + input];
  if (!(w.numbers >> input & 1)) return load_pack(x, w.dtype[1 + input], i, v);
  v[0] = load_element<C>(x, w.dtype[1 + input], 0);
#pragma unroll
  for (int k = 1; k < N; ++k) v[k] = v[0];
}

template <int kInputs, class F, class C>
__device__ __forceinline__ auto of_inputs(const F& f, const C (&v)[kInputs]) {
  if constexpr (kInputs == 1)
    return f(v[0]);
  else if constexpr (kInputs == 2)
    return f(v[0], v[1]);
  else
    return f(v[0], v[1], v[2]);
}

// A tile of elements. As packs, a thread's lie side by side; else those of neighbouring threads do.
template <int kInputs, class Y, class C, class F>
__device__ __forceinline__ void coded_tile(const F& f, const CodedWalk& w, int64_t tile, bool packs) {
  constexpr int N = kEach<C>;
  __shared__ C held[kInputs][N][kMapThreads];
  __shared__ Y made[N][kMapThreads];
  const int t = static_cast<int>(threadIdx.x), step = packs ? 1 : kMapThreads;
  const int64_t begin = tile + (packs ? t * N : t), left = ceil_div(w.walk.n - begin, step);
  const int count = left < 0 ? 0 : left < N ? static_cast<int>(left) : N;
  if (packs) {
#pragma unroll
    for (int j = 0; j < kInputs; ++j) {
      C v[N];
      load_side(w, j, begin, v);
#pragma unroll
      for (int k = 0; k < N; ++k) held[j][k][t] = v[k];
    }
  } else {
#pragma unroll 2
    for (int k = 0; k < count; ++k) {
      int64_t at[4];
      places_of(w.walk, begin + int64_t{k} * step, at);
#pragma unroll
      for (int j = 0; j < kInputs; ++j) held[j][k][t] = load_element<C>(w.data[1 + j], w.dtype[1 + j], at[1 + j]);
    }
  }
#pragma unroll 1
  for (int k = 0; k < count; ++k) {
    C v[kInputs];
#pragma unroll
    for (int j = 0; j < kInputs; ++j) v[j] = held[j][k][t];
    made[k][t] = static_cast<Y>(of_inputs<kInputs>(f, v));
  }
  if (packs) {
    Y v[N];
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = made[k][t];
    return store_pack(w.data[0], w.dtype[0], begin, v);
  }
#pragma unroll 1
  for (int k = 0; k < count; ++k) {
    int64_t at[4];
    places_of(w.walk, begin + int64_t{k} * step, at);
    store_element<Y>(w.data[0], w.dtype[0], at[0], made[k][t]);
  }
}

// Y, C: what the result and the inputs are computed in.
template <int kInputs, class Y, class C, class F>
__global__ void __launch_bounds__(kMapThreads) coded_kernel(F f, CodedWalk w) {
  constexpr int64_t kTile = int64_t{kMapThreads} * kEach<C>;
  for (int64_t tile = blockIdx.x * kTile; tile < w.walk.n; tile += gridDim.x * kTile)
    coded_tile<kInputs, Y, C>(f, w, tile, w.dense && tile + kTile <= w.walk.n);
}

// The whole tiles of a dense walk, of an operation that f.all computes.
template <int kInputs, class C, class F>
__global__ void __launch_bounds__(kMapThreads) quick_kernel(F f, CodedWalk w) {
  constexpr int N = kEach<C>;
  constexpr int64_t kTile = int64_t{kMapThreads} * N;
  for (int64_t tile = blockIdx.x * kTile; tile + kTile <= w.walk.n; tile += gridDim.x * kTile) {
    const int64_t begin = tile + static_cast<int64_t>(threadIdx.x) * N;
    C v[kInputs][N], y[N];
#pragma unroll
    for (int j = 0; j < kInputs; ++j) load_side(w, j, begin, v[j]);
    f.all(v, y);
    store_pack(w.data[0], w.dtype[0], begin, y);
  }
}

// The elements of a dense walk from `begin` on.
inline CodedWalk rest_of(CodedWalk w, int64_t begin) {
  w.walk.n -= begin;
  w.walk.shape[0] -= begin;
  for (int k = 0; k < 4; ++k)
    if (w.data[k] && (k == 0 || !(w.numbers >> (k - 1) & 1)))
      w.data[k] = static_cast<char*>(w.data[k]) + begin * static_cast<int64_t>(size_of(w.dtype[k]));
  return w;
}

template <class Y, class C, class F, class... Inputs>
void coded(const F& f, const View& y, const Inputs&... inputs) {
  constexpr int kInputs = sizeof...(Inputs), kViews = 1 + kInputs;
  constexpr int64_t kTile = int64_t{kMapThreads} * kEach<C>;
  if (y.numel() == 0) return;
  const View* views[] = {&y, &inputs...};
  CodedWalk w{};
  w.walk.ndim = y.ndim;
  w.walk.n = y.numel();
  w.dense = dense_walk(views, kViews, &w.numbers);
  for (int i = 0; i < y.ndim; ++i) w.walk.shape[i] = y.shape[i];
  for (int k = 0; k < kViews; ++k) {
    w.data[k] = views[k]->data;
    w.dtype[k] = views[k]->dtype;
    for (int i = 0; i < y.ndim; ++i) w.walk.strides[k][i] = views[k]->strides[i];
  }
  if constexpr (F::kQuick && std::is_floating_point_v<C>) {
    if (w.dense && w.walk.n >= kTile && f.quick()) {
      const int64_t whole = w.walk.n / kTile * kTile;
      start(quick_kernel<kInputs, C, F>, {blocks_for(whole, kTile), kMapThreads}, f, w);
      if (whole == w.walk.n) return;
      w = rest_of(w, whole);
    }
  }
  start(coded_kernel<kInputs, Y, C, F>, {blocks_for(w.walk.n, kTile), kMapThreads}, f, w);
}

}  // namespace pydl::cuda

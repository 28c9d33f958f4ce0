// Elementwise kernels: y[i] = f(a[i], b[i], c[i]) for up to three inputs of any strides.
//
// Where y is dense and every input is dense too or one number, a thread moves 16 bytes at a time and has several such
// loads under way before it computes; elsewhere it finds each element by its index.
#pragma once

#include "pack.cuh"

namespace pydl::cuda {

struct None {};  // an input that is not there

constexpr int kMapThreads = 256;
constexpr int kFlight = 2;  // vectors of each input that a thread loads before it computes

constexpr int larger_size(size_t a, size_t b) { return static_cast<int>(a > b ? a : b); }
template <class Y, class A, class B, class C>
constexpr int kLanes = 16 / larger_size(larger_size(sizeof(Y), sizeof(A)), larger_size(sizeof(B), sizeof(C)));

// How to walk through y and the inputs (in this order): strides in elements.
struct Walk {
  int32_t ndim;
  int64_t n;
  int64_t shape[kMaxAxes];
  int64_t strides[4][kMaxAxes];
};

// Where element i of y and of the inputs is.
__device__ __forceinline__ void places_of(const Walk& w, int64_t i, int64_t (&at)[4]) {
#pragma unroll
  for (int k = 0; k < 4; ++k) at[k] = 0;
#pragma unroll 1
  for (int axis = w.ndim - 1; axis >= 0; --axis) {
    // 64-bit division takes several times as long as that of 32 bits
    const int64_t size = w.shape[axis];
    const bool narrow = (i | size) >> 32 == 0;
    const int64_t rest = narrow ? static_cast<uint32_t>(i) / static_cast<uint32_t>(size) : i / size;
    const int64_t place = i - rest * size;
#pragma unroll
    for (int k = 0; k < 4; ++k) at[k] += place * w.strides[k][axis];
    i = rest;
  }
}

template <class F, class A, class B, class C>
__device__ __forceinline__ auto applied(const F& f, A a, B b, C c) {
  if constexpr (std::is_same_v<B, None>)
    return f(widened(a));
  else if constexpr (std::is_same_v<C, None>)
    return f(widened(a), widened(b));
  else
    return f(widened(a), widened(b), widened(c));
}

template <int N, class T>
__device__ __forceinline__ Pack<T, N> load_pack(const T* x, int64_t i, bool one) {
  if constexpr (std::is_same_v<T, None>) return {};
  if (!one) return *reinterpret_cast<const Pack<T, N>*>(x + i);
  Pack<T, N> p;
#pragma unroll
  for (int k = 0; k < N; ++k) p.at[k] = *x;
  return p;
}

template <class T>
__device__ __forceinline__ T load_one(const T* x, int64_t i) {
  if constexpr (std::is_same_v<T, None>)
    return {};
  else
    return x[i];
}

// numbers: bit k is set where input k is one number.
template <class F, class Y, class A, class B, class C>
__global__ void __launch_bounds__(kMapThreads)
    map_dense(F f, int64_t n, unsigned numbers, Y* y, const A* a, const B* b, const C* c) {
  constexpr int N = kLanes<Y, A, B, C>;
  constexpr int64_t kTile = int64_t{kMapThreads} * N * kFlight;
  const bool one_a = numbers & 1, one_b = numbers & 2, one_c = numbers & 4;
  for (int64_t tile = blockIdx.x * kTile; tile < n; tile += gridDim.x * kTile) {
    if (tile + kTile <= n) {
      Pack<A, N> pa[kFlight];
      Pack<B, N> pb[kFlight];
      Pack<C, N> pc[kFlight];
      const int64_t begin = tile + threadIdx.x * N;
#pragma unroll
      for (int u = 0; u < kFlight; ++u) {
        const int64_t i = begin + u * kMapThreads * N;
        pa[u] = load_pack<N>(a, i, one_a);
        pb[u] = load_pack<N>(b, i, one_b);
        pc[u] = load_pack<N>(c, i, one_c);
      }
#pragma unroll
      for (int u = 0; u < kFlight; ++u) {
        Pack<Y, N> py;
#pragma unroll
        for (int k = 0; k < N; ++k) py.at[k] = narrowed<Y>(applied(f, pa[u].at[k], pb[u].at[k], pc[u].at[k]));
        *reinterpret_cast<Pack<Y, N>*>(y + begin + u * kMapThreads * N) = py;
      }
    } else {
      for (int64_t i = tile + threadIdx.x; i < n; i += kMapThreads)
        y[i] =
            narrowed<Y>(applied(f, load_one(a, one_a ? 0 : i), load_one(b, one_b ? 0 : i), load_one(c, one_c ? 0 : i)));
    }
  }
}

template <class F, class Y, class A, class B, class C>
__global__ void __launch_bounds__(kMapThreads) map_strided(F f, Walk w, Y* y, const A* a, const B* b, const C* c) {
  for (int64_t i = int64_t{blockIdx.x} * kMapThreads + threadIdx.x; i < w.n; i += int64_t{gridDim.x} * kMapThreads) {
    int64_t at[4];
    places_of(w, i, at);
    y[at[0]] = narrowed<Y>(applied(f, load_one(a, at[1]), load_one(b, at[2]), load_one(c, at[3])));
  }
}

inline bool aligned(const View& x) { return reinterpret_cast<uintptr_t>(x.data) % 16 == 0; }

// Views have one shape and coalesced axes; views[0] is y. Whether the dense kernel fits, and which inputs are numbers.
inline bool dense_walk(const View* const* views, int count, unsigned* numbers) {
  const View& y = *views[0];
  if (y.ndim != 1 || (y.strides[0] != 1 && y.shape[0] != 1) || !aligned(y)) return false;
  for (int k = 1; k < count; ++k) {
    const bool one = views[k]->strides[0] == 0 && y.shape[0] != 1;
    if (one) *numbers |= 1u << (k - 1);
    if (!one && ((views[k]->strides[0] != 1 && y.shape[0] != 1) || !aligned(*views[k]))) return false;
  }
  return true;
}

// Y, A, B, C: the types of the elements; None for inputs that are not there, whose views are null.
template <class Y, class A, class B = None, class C = None, class F>
void map(const F& f, const View& y, const View& a, const View* b = nullptr, const View* c = nullptr) {
  const int64_t n = y.numel();
  if (n == 0) return;
  const View* views[] = {&y, &a, b, c};
  const int count = c ? 4 : b ? 3 : 2;
  const A* pa = a.as<const A>();
  const B* pb = b ? b->as<const B>() : nullptr;
  const C* pc = c ? c->as<const C>() : nullptr;
  unsigned numbers = 0;
  if (dense_walk(views, count, &numbers)) {
    const int64_t tile = int64_t{kMapThreads} * kLanes<Y, A, B, C> * kFlight;
    return start(map_dense<F, Y, A, B, C>, {blocks_for(n, tile), kMapThreads}, f, n, numbers, y.as<Y>(), pa, pb, pc);
  }
  Walk w{y.ndim, n, {}, {}};
  for (int i = 0; i < y.ndim; ++i) {
    w.shape[i] = y.shape[i];
    for (int k = 0; k < count; ++k) w.strides[k][i] = views[k]->strides[i];
  }
  start(map_strided<F, Y, A, B, C>, {blocks_for(n, kMapThreads), kMapThreads}, f, w, y.as<Y>(), pa, pb, pc);
}

}  // namespace pydl::cuda

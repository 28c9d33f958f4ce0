// Pooling: a thread for each output, or a warp where windows are long. Gradients are gathered: an element asks the
// windows that it lies in.
#include "floats.cuh"
#include "lists.cuh"
#include "runtime/table/pool.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kLongWindow = 64;  // places from which on a warp sums together

// Sizes within a plane are below 2^31.
struct Axis {
  int32_t n, out, size, stride, pad, dilation;
  bool adaptive;
};

// The places of a window that are not padding: `count` of them, from `at` on.
struct Places {
  int32_t at, count;
};

__device__ __forceinline__ int32_t share_begin(int64_t i, int64_t n, int64_t parts) {
  return static_cast<int32_t>(i * n / parts);
}
__device__ __forceinline__ int32_t share_end(int64_t i, int64_t n, int64_t parts) {
  return static_cast<int32_t>(((i + 1) * n + parts - 1) / parts);
}

__device__ __forceinline__ Places places_of(const Axis& a, int32_t o) {
  if (a.adaptive) {
    const int32_t begin = share_begin(o, a.n, a.out);
    return {begin, share_end(o, a.n, a.out) - begin};
  }
  const int64_t first = int64_t{o} * a.stride - a.pad;
  const int64_t skipped = first < 0 ? (-first + a.dilation - 1) / a.dilation : 0, at = first + skipped * a.dilation;
  const int64_t fitting = at < a.n ? (a.n - at + a.dilation - 1) / a.dilation : 0, left = a.size - skipped;
  const int64_t count = left < fitting ? left : fitting;
  return {static_cast<int32_t>(at < a.n ? at : a.n - 1), static_cast<int32_t>(count > 0 ? count : 0)};
}

// How many places an average divides by along an axis.
__device__ __forceinline__ int64_t divides_by(const Axis& a, int32_t o, bool count_pad) {
  if (a.adaptive) return places_of(a, o).count;
  const int64_t first = int64_t{o} * a.stride - a.pad, end = first + a.size, limit = count_pad ? a.n + a.pad : a.n;
  return (end < limit ? end : limit) - (count_pad || first > 0 ? first : 0);
}

// The windows [lo, hi) that element i lies in; averages have no dilation.
struct Span {
  int32_t lo, hi;
};
__device__ __forceinline__ Span windows_with(const Axis& a, int32_t i) {
  if (a.adaptive)
    return {static_cast<int32_t>(int64_t{i} * a.out / a.n),
            static_cast<int32_t>(((int64_t{i} + 1) * a.out - 1) / a.n) + 1};
  const int64_t at = int64_t{i} + a.pad, before = at - a.size;
  const int64_t lo = before < 0 ? 0 : before / a.stride + 1, hi = at / a.stride + 1;
  return {static_cast<int32_t>(lo), static_cast<int32_t>(hi < a.out ? hi : a.out)};
}

struct Windows {
  Axis d, h, w;
  Divisor by_w, by_h, by_d;  // of the outputs, or of the elements in a gradient
  int64_t n, m;              // elements and outputs of a plane
  int64_t count;             // outputs, or elements in a gradient, of all planes
  bool count_pad;
  int64_t divisor;

  __device__ __forceinline__ int64_t divides(int32_t od, int32_t oh, int32_t ow) const {
    if (divisor) return divisor;
    return divides_by(d, od, count_pad) * divides_by(h, oh, count_pad) * divides_by(w, ow, count_pad);
  }
};

struct Spot {
  int64_t plane;
  int32_t d, h, w;
};
__device__ __forceinline__ Spot spot_of(const Windows& p, int64_t i) {
  Spot s;
  s.w = static_cast<int32_t>(p.by_w.split(i));
  s.h = static_cast<int32_t>(p.by_h.split(i));
  s.d = static_cast<int32_t>(p.by_d.split(i));
  s.plane = i;
  return s;
}

// The first largest of a window, or its last NaN.
template <class C>
__global__ void __launch_bounds__(kThreads) max_kernel(Windows p, Source<C> x, Target<C> y, int32_t* index) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < p.count; i += step) {
    const Spot o = spot_of(p, i);
    const Places d = places_of(p.d, o.d), h = places_of(p.h, o.h), w = places_of(p.w, o.w);
    const int64_t plane = o.plane * p.n;
    C best = -infinity<C>();
    int32_t found = (d.at * p.h.n + h.at) * p.w.n + w.at;
#pragma unroll 1
    for (int32_t kd = 0; kd < d.count; ++kd)
#pragma unroll 1
      for (int32_t kh = 0; kh < h.count; ++kh) {
        const int32_t row = ((d.at + kd * p.d.dilation) * p.h.n + h.at + kh * p.h.dilation) * p.w.n + w.at;
#pragma unroll 1
        for (int32_t kw = 0; kw < w.count; ++kw) {
          const int32_t at = row + kw * p.w.dilation;
          const C v = x[plane + at];
          if (v > best || v != v) best = v, found = at;
        }
      }
    y.put(i, best);
    index[i] = found;
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads) avg_kernel(Windows p, Source<C> x, Target<C> y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < p.count; i += step) {
    const Spot o = spot_of(p, i);
    const Places d = places_of(p.d, o.d), h = places_of(p.h, o.h), w = places_of(p.w, o.w);
    C sum = 0;
#pragma unroll 1
    for (int32_t kd = 0; kd < d.count; ++kd)
#pragma unroll 1
      for (int32_t kh = 0; kh < h.count; ++kh) {
        const int64_t row = o.plane * p.n + ((d.at + kd) * p.h.n + h.at + kh) * p.w.n + w.at;
#pragma unroll 1
        for (int32_t kw = 0; kw < w.count; ++kw) sum += x[row + kw];
      }
    y.put(i, sum / static_cast<C>(p.divides(o.d, o.h, o.w)));
  }
}

// A warp for each output: its lanes walk through the window together.
template <class C>
__global__ void __launch_bounds__(kThreads) avg_long_kernel(Windows p, Source<C> x, Target<C> y) {
  const int lane = threadIdx.x % 32;
  const int64_t step = int64_t{gridDim.x} * (kThreads / 32);
  for (int64_t i = int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32; i < p.count; i += step) {
    const Spot o = spot_of(p, i);
    const Places d = places_of(p.d, o.d), h = places_of(p.h, o.h), w = places_of(p.w, o.w);
    const int32_t all = d.count * h.count * w.count;
    C sum = 0;
#pragma unroll 1
    for (int32_t k = lane; k < all; k += 32) {
      const int32_t rows = k / w.count, kw = k - rows * w.count, kd = rows / h.count, kh = rows - kd * h.count;
      sum += x[o.plane * p.n + ((d.at + kd) * p.h.n + h.at + kh) * p.w.n + w.at + kw];
    }
#pragma unroll
    for (int reach = 16; reach > 0; reach /= 2) sum += __shfl_xor_sync(~0u, sum, reach);
    if (lane == 0) y.put(i, sum / static_cast<C>(p.divides(o.d, o.h, o.w)));
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads, 4) avg_grad_kernel(Windows p, Source<C> g, Target<C> gx) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < p.count; i += step) {
    const Spot at = spot_of(p, i);
    const Span d = windows_with(p.d, at.d), h = windows_with(p.h, at.h), w = windows_with(p.w, at.w);
    C sum = 0;
#pragma unroll 1
    for (int32_t od = d.lo; od < d.hi; ++od)
#pragma unroll 1
      for (int32_t oh = h.lo; oh < h.hi; ++oh) {
        const int64_t row = at.plane * p.m + (int64_t{od} * p.h.out + oh) * p.w.out;
#pragma unroll 1
        for (int32_t ow = w.lo; ow < w.hi; ++ow) sum += g[row + ow] / static_cast<C>(p.divides(od, oh, ow));
      }
    gx.put(i, sum);
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    pick_kernel(int64_t count, int64_t n, Divisor by_m, Source<C> x, const int32_t* index, Target<C> y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step)
    y.put(i, x[by_m(i) * n + index[i]]);
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    place_kernel(Lists l, Divisor by_n, Source<C> g, Source<C> y, bool masked, Target<C> gx) {
  const int64_t count = l.groups * l.n, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t base = by_n(i) * l.sources;
    C sum = 0;
    for (int32_t e = sorted_list(l.first[i], l.next + base); e >= 0; e = l.next[base + e])
      if (!masked || y[base + e] > C(0)) sum += g[base + e];
    gx.put(i, sum);
  }
}

Axis axis_of(const PoolAxis& a) {
  const auto narrow = [](int64_t v) { return static_cast<int32_t>(v < INT32_MAX ? v : INT32_MAX); };
  return {narrow(a.n), narrow(a.out), narrow(a.size), narrow(a.stride), narrow(a.pad), narrow(a.dilation), a.adaptive};
}

// of: the outputs, or the elements, of every axis that the threads walk through.
Windows windows_of(const PoolWindow& w, const View& walked, int64_t PoolAxis::*of) {
  Windows p{};
  p.d = axis_of(w.axis[0]), p.h = axis_of(w.axis[1]), p.w = axis_of(w.axis[2]);
  p.by_d = Divisor(w.axis[0].*of), p.by_h = Divisor(w.axis[1].*of), p.by_w = Divisor(w.axis[2].*of);
  p.n = w.axis[0].n * w.axis[1].n * w.axis[2].n;
  p.m = w.axis[0].out * w.axis[1].out * w.axis[2].out;
  p.count = walked.numel();
  p.count_pad = w.count_pad;
  p.divisor = w.divisor;
  return p;
}

int64_t window_places(const PoolWindow& w) {
  int64_t places = 1;
  for (const PoolAxis& a : w.axis) places *= a.adaptive ? ceil_div(a.n, a.out) : a.size < a.n ? a.size : a.n;
  return places;
}

}  // namespace

void max_pool(PoolWindow w, View x, View y, View index) {
  if (y.numel() == 0) return;
  const Windows p = windows_of(w, y, &PoolAxis::out);
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(max_kernel<C>, {blocks_for(p.count, kThreads), kThreads}, p, Source<C>(x), Target<C>(y), index.as<int32_t>());
  });
}

void avg_pool(PoolWindow w, View x, View y) {
  if (y.numel() == 0) return;
  const Windows p = windows_of(w, y, &PoolAxis::out);
  const bool warps = window_places(w) >= kLongWindow;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(warps ? avg_long_kernel<C> : avg_kernel<C>, {blocks_for(p.count, warps ? kThreads / 32 : kThreads), kThreads},
          p, Source<C>(x), Target<C>(y));
  });
}

void avg_pool_grad(PoolWindow w, View g, View gx) {
  if (gx.numel() == 0) return;
  const Windows p = windows_of(w, gx, &PoolAxis::n);
  with_wide(g.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(avg_grad_kernel<C>, {blocks_for(p.count, kThreads), kThreads}, p, Source<C>(g), Target<C>(gx));
  });
}

void pool_pick(View x, View index, View y) {
  const int64_t count = y.numel();
  if (count == 0) return;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(pick_kernel<C>, {blocks_for(count, kThreads), kThreads}, count, x.shape[1], Divisor(y.shape[1]), Source<C>(x),
          index.as<const int32_t>(), Target<C>(y));
  });
}

void pool_place(PoolWindow, View g, View index, View y, View gx) {
  if (gx.numel() == 0) return;
  const int64_t planes = gx.shape[0], m = g.shape[1], n = gx.shape[1];
  const Scratch memory(Lists::bytes(planes, m, n));
  const Lists lists(planes, m, n, index.as<const int32_t>(), memory.as<int32_t>());
  make_lists(lists);
  with_wide(g.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(place_kernel<C>, {blocks_for(planes * n, kThreads), kThreads}, lists, Divisor(n), Source<C>(g),
          Source<C>(y.present() ? y : g), y.present(), Target<C>(gx));
  });
}

}  // namespace pydl::cuda

// Images read at free places. A thread finds the taps of its place once and uses them for every channel. The transpose
// gathers: each element of the image has a list of the taps that meet it (lists.cuh).
#include <cmath>

#include "floats.cuh"
#include "kernels/sampling.h"
#include "lists.cuh"
#include "runtime/table/resample.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChannels = 16;                       // that a thread works on before another could
constexpr int64_t kMostEntries = int64_t{1} << 26;  // taps that are kept at a time for a transpose

// K taps along an axis; slope is d weight / d grid.
template <class C, int K>
struct Taps {
  int32_t place[K];
  C weight[K], slope[K];
};

template <class C, int K>
__device__ __forceinline__ void make_taps(const GridSampling& s, C g, int64_t n, Taps<C, K>& taps) {
  const Point<C> free = pixels(g, n, s.align_corners);
  if constexpr (K == 4) {
    const C at = near(free.at), first = std::floor(at);
    cubic(at - first, taps.weight, taps.slope);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      taps.place[k] = pixel(padded<C>({first + static_cast<C>(k - 1), 1}, n, s).at, n);
      taps.slope[k] *= free.slope;
    }
    return;
  }
  const Point<C> p = padded(free, n, s);
  if constexpr (K == 2) {
    const C first = std::floor(near(p.at)), t = near(p.at) - first;
    taps.place[0] = pixel(first, n), taps.place[1] = pixel(first + 1, n);
    taps.weight[0] = 1 - t, taps.weight[1] = t;
    taps.slope[0] = -p.slope, taps.slope[1] = p.slope;
  } else if constexpr (K == 1) {
    taps.place[0] = pixel(std::rint(near(p.at)), n);
    taps.weight[0] = 1, taps.slope[0] = 0;
  }
}

struct Images {
  GridSampling s;
  int64_t channels, n, m, groups;  // groups: of channels
  Divisor by_m, by_groups;
};

// The taps of one place along depth, height and width; of images without depth there is one, with weight 1.
template <class C, int K>
struct Window {
  static constexpr int kDeep = K == 4 ? 1 : K;  // bicubic images have no depth
  Taps<C, K> d, h, w;
  int deep;

  __device__ __forceinline__ Window(const GridSampling& s, const Source<C>& grid, int64_t at)
      : deep(s.axes == 3 ? K : 1) {
    make_taps(s, grid[at * s.axes], s.size[2], w);
    make_taps(s, grid[at * s.axes + 1], s.size[1], h);
    d.place[0] = 0, d.weight[0] = 1, d.slope[0] = 0;
    if (s.axes == 3) make_taps(s, grid[at * s.axes + 2], s.size[0], d);
  }

  // Calls f(place, weight, kd, kh, kw) for every tap; the place is negative outside of the image.
  template <class F>
  __device__ __forceinline__ void each(const GridSampling& s, const F& f) const {
#pragma unroll
    for (int kd = 0; kd < kDeep; ++kd) {
      if (kd >= deep) continue;
#pragma unroll
      for (int kh = 0; kh < K; ++kh)
#pragma unroll
        for (int kw = 0; kw < K; ++kw) {
          const bool inside = d.place[kd] >= 0 && h.place[kh] >= 0 && w.place[kw] >= 0;
          const int64_t row = int64_t{d.place[kd]} * s.size[1] + h.place[kh];
          f(inside ? row * s.size[2] + w.place[kw] : -1, kd, kh, kw);
        }
    }
  }
};

template <class C, int K>
__global__ void __launch_bounds__(kThreads)
    sample_kernel(Images im, int64_t count, Source<C> x, Source<C> grid, Target<C> y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    int64_t b = i;
    const int64_t j = im.by_m.split(b), group = im.by_groups.split(b);
    const Window<C, K> window(im.s, grid, b * im.m + j);
    const int64_t first = group * kChannels, end = first + kChannels < im.channels ? first + kChannels : im.channels;
    for (int64_t c = first; c < end; ++c) {
      const int64_t plane = b * im.channels + c;
      C sum = 0;
      window.each(im.s, [&](int64_t at, int kd, int kh, int kw) {
        if (at >= 0) sum += window.d.weight[kd] * window.h.weight[kh] * window.w.weight[kw] * x[plane * im.n + at];
      });
      y.put(plane * im.m + j, sum);
    }
  }
}

// The places and weights of all taps of images [image, image + images): (images, m, taps).
template <class C, int K>
__global__ void __launch_bounds__(kThreads)
    entries_kernel(Images im, int64_t image, int64_t count, int taps, Source<C> grid, int32_t* place, C* weight) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const Window<C, K> window(im.s, grid, image * im.m + i);
    window.each(im.s, [&](int64_t at, int kd, int kh, int kw) {
      const int64_t e = i * taps + (kd * K + kh) * K + kw;
      place[e] = static_cast<int32_t>(at);
      weight[e] = window.d.weight[kd] * window.h.weight[kh] * window.w.weight[kw];
    });
  }
}

__global__ void __launch_bounds__(kThreads) sort_kernel(Lists l) {
  const int64_t count = l.groups * l.n, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step)
    l.first[i] = sorted_list(l.first[i], l.next + i / l.n * l.sources);
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    back_kernel(Images im, Lists l, int64_t image, Divisor by_n, Divisor by_channels, Divisor by_taps, const C* weight,
                Source<C> g, Target<C> gx) {
  const int64_t count = l.groups * im.channels * l.n, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    int64_t b = i;
    const int64_t at = by_n.split(b), c = by_channels.split(b), plane = (image + b) * im.channels + c;
    C sum = 0;
    for (int32_t e = l.first[b * l.n + at]; e >= 0; e = l.next[b * l.sources + e])
      sum += weight[b * l.sources + e] * g[plane * im.m + by_taps(e)];
    gx.put(plane * im.n + at, sum);
  }
}

template <class C, int K>
__global__ void __launch_bounds__(kThreads)
    move_kernel(Images im, int64_t count, Source<C> x, Source<C> grid, Source<C> g, Target<C> moved) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step) {
    const int64_t b = im.by_m(i), j = i - b * im.m;
    const Window<C, K> o(im.s, grid, i);
    C along[3] = {0, 0, 0};  // width, height, depth
    for (int64_t c = 0; c < im.channels; ++c) {
      const int64_t plane = b * im.channels + c;
      const C share = g[plane * im.m + j];
      o.each(im.s, [&](int64_t at, int kd, int kh, int kw) {
        if (at < 0) return;
        const C part = share * x[plane * im.n + at];
        along[0] += o.d.weight[kd] * o.h.weight[kh] * o.w.slope[kw] * part;
        along[1] += o.d.weight[kd] * o.h.slope[kh] * o.w.weight[kw] * part;
        along[2] += o.d.slope[kd] * o.h.weight[kh] * o.w.weight[kw] * part;
      });
    }
    moved.put(i * im.s.axes, along[0]);
    moved.put(i * im.s.axes + 1, along[1]);
    if (im.s.axes == 3) moved.put(i * im.s.axes + 2, along[2]);
  }
}

// Calls f with the taps along an axis, as a constant.
template <class F>
void with_taps(GridMode mode, const F& f) {
  switch (mode) {
    case kGridBilinear:
      return f(std::integral_constant<int, 2>());
    case kGridNearest:
      return f(std::integral_constant<int, 1>());
    case kGridBicubic:
      return f(std::integral_constant<int, 4>());
  }
}

Images images_of(const GridSampling& s, const View& x, int64_t m) {
  const int64_t groups = ceil_div(x.shape[1], kChannels);
  return {s, x.shape[1], x.shape[2], m, groups, Divisor(m), Divisor(groups)};
}

// The transpose for images [image, image + images).
template <class C, int K>
void sample_back(const Images& im, int64_t image, int64_t images, const View& g, const View& grid, const View& gx) {
  const int taps = im.s.axes == 3 ? K * K * K : K * K;
  const int64_t sources = im.m * taps, entries = images * sources;
  const Scratch weights(static_cast<size_t>(entries) * sizeof(C)),
      places(static_cast<size_t>(entries) * sizeof(int32_t));
  const Scratch memory(Lists::bytes(images, sources, im.n));
  const Lists lists(images, sources, im.n, places.as<const int32_t>(), memory.as<int32_t>());
  if (entries > 0)
    start(entries_kernel<C, K>, {blocks_for(images * im.m, kThreads), kThreads}, im, image, images * im.m, taps,
          Source<C>(grid), places.as<int32_t>(), weights.as<C>());
  make_lists(lists);
  start(sort_kernel, {blocks_for(images * im.n, kThreads), kThreads}, lists);
  start(back_kernel<C>, {blocks_for(images * im.channels * im.n, kThreads), kThreads}, im, lists, image, Divisor(im.n),
        Divisor(im.channels), Divisor(taps), weights.as<const C>(), Source<C>(g), Target<C>(gx));
}

}  // namespace

void grid_sample(GridSampling s, View x, View grid, View y) {
  if (y.numel() == 0) return;
  const Images im = images_of(s, x, y.shape[2]);
  const int64_t count = x.shape[0] * im.groups * im.m;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    with_taps(s.mode, [&](auto k) {
      start(sample_kernel<C, decltype(k)::value>, {blocks_for(count, kThreads), kThreads}, im, count, Source<C>(x),
            Source<C>(grid), Target<C>(y));
    });
  });
}

void grid_sample_back(GridSampling s, View g, View grid, View gx) {
  if (gx.numel() == 0) return;
  const Images im = images_of(s, gx, g.shape[2]);
  const int64_t each = im.m * 16 > im.n ? im.m * 16 : im.n, all = gx.shape[0];
  if (im.m * 64 > INT32_MAX) return missing("grids of more than 33 million places have no CUDA kernel");
  const int64_t share = each < kMostEntries ? kMostEntries / each : 1;
  with_wide(g.dtype, [&](auto zero) {
    with_taps(s.mode, [&](auto k) {
      for (int64_t image = 0; image < all; image += share)
        sample_back<decltype(zero), decltype(k)::value>(im, image, share < all - image ? share : all - image, g, grid,
                                                        gx);
    });
  });
}

void grid_sample_move(GridSampling s, View x, View grid, View g, View ggrid) {
  if (ggrid.numel() == 0) return;
  const Images im = images_of(s, x, g.shape[2]);
  const int64_t count = x.shape[0] * im.m;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    with_taps(s.mode, [&](auto k) {
      start(move_kernel<C, decltype(k)::value>, {blocks_for(count, kThreads), kThreads}, im, count, Source<C>(x),
            Source<C>(grid), Source<C>(g), Target<C>(ggrid));
    });
  });
}

}  // namespace pydl::cuda

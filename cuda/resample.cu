// Resampling along the axes of planes, and columns of windows. Where the taps of all axes together are few, a thread
// sums them for its output; else the axes go one after the other, those that shrink first. All is gathered: an element
// that many windows share asks them in turn.
#include "floats.cuh"
#include "kernels/sampling.h"
#include "runtime/table/resample.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostTaps = 32;  // of all axes together, in one pass

// uint8 beside the floats, rounded and clamped.
template <class C>
struct Pixels {
  Source<C> x;
  __device__ __forceinline__ C operator[](int64_t i) const {
    return x.dtype == Dtype::u8 ? static_cast<C>(static_cast<const uint8_t*>(x.data)[i]) : x[i];
  }
};
template <class C>
struct MadePixels {
  Target<C> y;
  __device__ __forceinline__ void put(int64_t i, C v) const {
    if (y.dtype != Dtype::u8) return y.put(i, v);
    const C near = std::rint(v);
    static_cast<uint8_t*>(y.data)[i] = static_cast<uint8_t>(near < 0 ? 0 : near > 255 ? 255 : near);
  }
};

// An axis whose tables, where it has any, lie on the device.
template <class C>
struct Axis {
  int64_t n, out, taps;
  const int32_t* place;
  const C* weight;

  __device__ __forceinline__ int64_t count() const { return taps ? taps : 1; }
  __device__ __forceinline__ int64_t from(int64_t k, int64_t o) const { return taps ? place[k * out + o] : o; }
  __device__ __forceinline__ C share(int64_t k, int64_t o) const { return taps ? weight[k * out + o] : C(1); }
};
template <class C>
struct Map {
  Axis<C> d, h, w;
  Divisor by_w, by_h, by_d;
  int64_t count;
};

// What a tap does not read, infinities included, never leaks in.
template <class C>
__global__ void __launch_bounds__(kThreads, 2) resample_kernel(Map<C> m, Pixels<C> x, MadePixels<C> y) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < m.count; i += step) {
    int64_t plane = i;
    const int64_t ow = m.by_w.split(plane), oh = m.by_h.split(plane), od = m.by_d.split(plane);
    C all = 0;
    for (int64_t kd = 0; kd < m.d.count(); ++kd) {
      const int64_t d = m.d.from(kd, od);
      if (d < 0) continue;
      C slice = 0;
      for (int64_t kh = 0; kh < m.h.count(); ++kh) {
        const int64_t h = m.h.from(kh, oh), row = ((plane * m.d.n + d) * m.h.n + h) * m.w.n;
        if (h < 0) continue;
        C line = 0;
        for (int64_t kw = 0; kw < m.w.count(); ++kw) {
          const int64_t w = m.w.from(kw, ow);
          if (w >= 0) line += m.w.share(kw, ow) * x[row + w];
        }
        slice += m.h.share(kh, oh) * line;
      }
      all += m.d.share(kd, od) * slice;
    }
    y.put(i, all);
  }
}

template <class C>
Axis<C> axis_of(const ResampleAxis& a) {
  return {a.n, a.out, a.taps, a.place, static_cast<const C*>(a.weight)};
}

template <class C>
void resample_pass(const ResampleAxis (&axis)[3], int64_t planes, const Source<C>& x, const Target<C>& y) {
  Map<C> m{axis_of<C>(axis[0]),
           axis_of<C>(axis[1]),
           axis_of<C>(axis[2]),
           Divisor(axis[2].out),
           Divisor(axis[1].out),
           Divisor(axis[0].out),
           planes * axis[0].out * axis[1].out * axis[2].out};
  start(resample_kernel<C>, {blocks_for(m.count, kThreads), kThreads}, m, Pixels<C>{x}, MadePixels<C>{y});
}

template <class C>
void resample_axes(const ResampleMap& map, int64_t planes, const View& x, const View& y) {
  int order[3];
  const int count = order_of(map, order);
  int64_t size[3] = {map.axis[0].n, map.axis[1].n, map.axis[2].n}, most = 0;
  for (int i = 0; i + 1 < count; ++i) {
    size[order[i]] = map.axis[order[i]].out;
    const int64_t made = planes * size[0] * size[1] * size[2];
    most = made > most ? made : most;
  }
  const Scratch memory(2 * static_cast<size_t>(most) * sizeof(C));
  for (int i = 0; i < 3; ++i) size[i] = map.axis[i].n;
  Source<C> from(x);
  for (int i = 0; i < count; ++i) {
    ResampleAxis axis[3];
    for (int a = 0; a < 3; ++a) axis[a].n = axis[a].out = size[a];
    axis[order[i]] = map.axis[order[i]];
    C* made = memory.as<C>() + i % 2 * most;
    resample_pass<C>(axis, planes, from, i + 1 == count ? Target<C>(y) : Target<C>(made));
    size[order[i]] = map.axis[order[i]].out;
    from = Source<C>(made);
  }
}

// ---- columns of windows

struct Fold {
  FoldAxis h, w;
  Divisor by_ow, by_oh, by_kw, by_kh;  // of columns
  Divisor by_w, by_h;                  // of the image
  int64_t count;
};

Fold fold_of(const FoldWindow& f, int64_t count) {
  return {f.h,
          f.w,
          Divisor(f.w.out),
          Divisor(f.h.out),
          Divisor(f.w.size),
          Divisor(f.h.size),
          Divisor(f.w.n),
          Divisor(f.h.n),
          count};
}

template <class C>
__global__ void __launch_bounds__(kThreads) unfold_kernel(Fold f, Source<C> x, Target<C> columns) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < f.count; i += step) {
    int64_t plane = i;
    const int64_t ow = f.by_ow.split(plane), oh = f.by_oh.split(plane), kw = f.by_kw.split(plane),
                  kh = f.by_kh.split(plane);
    const int64_t h = oh * f.h.stride + kh * f.h.dilation - f.h.pad, w = ow * f.w.stride + kw * f.w.dilation - f.w.pad;
    const bool inside = h >= 0 && h < f.h.n && w >= 0 && w < f.w.n;
    columns.put(i, inside ? x[(plane * f.h.n + h) * f.w.n + w] : C(0));
  }
}

// Which window reads place i by its place k; below 0: none.
__device__ __forceinline__ int64_t window_at(const FoldAxis& a, const Divisor& by_stride, int64_t i, int64_t k) {
  const int64_t at = i + a.pad - k * a.dilation;
  if (at < 0) return -1;
  const int64_t o = by_stride(at);
  return o * a.stride == at && o < a.out ? o : -1;
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    fold_kernel(Fold f, Divisor by_stride_h, Divisor by_stride_w, Source<C> columns, Target<C> x) {
  const int64_t step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < f.count; i += step) {
    int64_t plane = i;
    const int64_t w = f.by_w.split(plane), h = f.by_h.split(plane);
    C sum = 0;
    for (int64_t kh = 0; kh < f.h.size; ++kh) {
      const int64_t oh = window_at(f.h, by_stride_h, h, kh);
      if (oh < 0) continue;
      for (int64_t kw = 0; kw < f.w.size; ++kw) {
        const int64_t ow = window_at(f.w, by_stride_w, w, kw);
        if (ow >= 0) sum += columns[(((plane * f.h.size + kh) * f.w.size + kw) * f.h.out + oh) * f.w.out + ow];
      }
    }
    x.put(i, sum);
  }
}

}  // namespace

void resample(ResampleMap map, View x, View y) {
  if (y.numel() == 0) return;
  int64_t taps = 1;
  for (const ResampleAxis& a : map.axis) taps *= a.taps > 1 ? a.taps : 1;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    if (taps <= kMostTaps) return resample_pass<C>(map.axis, y.shape[0], Source<C>(x), Target<C>(y));
    resample_axes<C>(map, y.shape[0], x, y);
  });
}

void unfold(FoldWindow w, View x, View columns) {
  if (columns.numel() == 0) return;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(unfold_kernel<C>, {blocks_for(columns.numel(), kThreads), kThreads}, fold_of(w, columns.numel()),
          Source<C>(x), Target<C>(columns));
  });
}

void fold(FoldWindow w, View columns, View x) {
  if (x.numel() == 0) return;
  with_wide(x.dtype, [&](auto zero) {
    using C = decltype(zero);
    start(fold_kernel<C>, {blocks_for(x.numel(), kThreads), kThreads}, fold_of(w, x.numel()), Divisor(w.h.stride),
          Divisor(w.w.stride), Source<C>(columns), Target<C>(x));
  });
}

}  // namespace pydl::cuda

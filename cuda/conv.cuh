// The geometry of convolutions, and what their products read. An axis of the output reads an axis of the image: output
// o reads, for tap t, the image at o * step + shift + t * shift_step. A convolution is one such correlation; the
// gradient of its input is one for each remainder of the input's index by the stride, with the taps that reach it and
// step 1.
#pragma once

#include "floats.cuh"
#include "formulas.cuh"
#include "runtime/table/conv.h"
#include "tile_half.cuh"
#include "tile_wide.cuh"
#include "tile_work.cuh"

namespace pydl::cuda {

constexpr int kAxes = 3;                // z, y, x
constexpr int64_t kWantedBlocks = 256;  // with fewer, long sums are cut into parts
constexpr int64_t kLeastPart = 512;     // of a sum

struct ConvAxis {
  int32_t count, step, size;    // outputs; elements of the image from one to the next; of the image
  int32_t taps, tap, tap_step;  // how many reach an output, the first, from one to the next
  int32_t shift, shift_step;    // where the first reads, from one to the next
  int32_t start, pitch;         // output o lies at start + o * pitch
  Divisor by_count, by_taps;
};

// Of each group: rows of the output from channels of the image.
struct Correlation {
  ConvAxis axis[kAxes];
  int64_t images, groups, rows, channels, taps, pixels;
  Divisor by_pixels, by_taps;
  int64_t xb, xc, xs[kAxes];      // strides of the image
  int64_t yb, yr, ys[kAxes];      // of the output
  int64_t wg, wr, wc, ws[kAxes];  // of the weights: group, row, channel, taps
  int64_t bias_step;
  Activation activation;

  __device__ __forceinline__ int64_t outputs() const { return images * pixels; }
};

// Output number n of all images.
struct Spot {
  int64_t b;
  int32_t o[kAxes];

  __device__ __forceinline__ Spot(const Correlation& c, int64_t n) : b(n) {
    int64_t rest = c.by_pixels.split(b);
#pragma unroll
    for (int a = kAxes - 1; a >= 0; --a) o[a] = static_cast<int32_t>(c.axis[a].by_count.split(rest));
  }
  __device__ __forceinline__ void next(const Correlation& c) {
    if (++o[2] < c.axis[2].count) return;
    o[2] = 0;
    if (++o[1] < c.axis[1].count) return;
    o[1] = 0;
    if (++o[0] < c.axis[0].count) return;
    o[0] = 0;
    ++b;
  }
  __device__ __forceinline__ int64_t output(const Correlation& c, int64_t row) const {
    int64_t at = b * c.yb + row * c.yr;
#pragma unroll
    for (int a = 0; a < kAxes; ++a) at += int64_t{c.axis[a].start + o[a] * c.axis[a].pitch} * c.ys[a];
    return at;
  }
};

// Term k of a sum: a channel of the group, and where its tap reads from output 0.
struct Term {
  int64_t channel;
  int32_t shift[kAxes];

  __device__ __forceinline__ Term(const Correlation& c, int64_t k) : channel(k) {
    int64_t rest = c.by_taps.split(channel);
#pragma unroll
    for (int a = kAxes - 1; a >= 0; --a)
      shift[a] = c.axis[a].shift + static_cast<int32_t>(c.axis[a].by_taps.split(rest)) * c.axis[a].shift_step;
  }
  // Where output s reads it in the image; below 0: outside.
  __device__ __forceinline__ int64_t place(const Correlation& c, const Spot& s, int64_t first_channel) const {
    int64_t at = s.b * c.xb + (first_channel + channel) * c.xc;
    bool inside = true;
#pragma unroll
    for (int a = 0; a < kAxes; ++a) {
      const int32_t i = s.o[a] * c.axis[a].step + shift[a];
      inside = inside && i >= 0 && i < c.axis[a].size;
      at += i * c.xs[a];
    }
    return inside ? at : -1;
  }
};

// ---- runs of neighbours that the loaders read

// Term k of the sums of kRun outputs from s on, of which `left` are there.
template <class S, int kRun>
__device__ __forceinline__ void read_outputs(const Correlation& c, const S* x, int64_t first_channel, Spot s,
                                             int64_t left, int64_t k, int64_t end, S* to) {
  const Term term(c, k < end ? k : 0);
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    const int64_t at = i < left && k < end ? term.place(c, s, first_channel) : -1;
    to[i] = at >= 0 ? x[at] : S{};
    s.next(c);
  }
}

// Outputs n .. n + kRun, as they read one term; none where it is not there.
template <class S, int kRun>
__device__ __forceinline__ void read_term(const Correlation& c, const S* x, int64_t first_channel, int64_t k,
                                          bool there, int64_t n, int64_t end, S* to) {
  const Term term(c, there ? k : 0);
  Spot s(c, n < end ? n : 0);
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    const int64_t at = there && n + i < end ? term.place(c, s, first_channel) : -1;
    to[i] = at >= 0 ? x[at] : S{};
    s.next(c);
  }
}

// Row `row` of outputs n .. n + kRun.
template <class S, int kRun>
__device__ __forceinline__ void read_row(const Correlation& c, const S* y, int64_t row, bool there, int64_t n,
                                         int64_t end, S* to) {
  Spot s(c, n < end ? n : 0);
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    to[i] = there && n + i < end ? y[s.output(c, row)] : S{};
    s.next(c);
  }
}

// ---- loaders, as tile_wide.cuh and tile_half.cuh ask for. f(o, k, to): fills the run at outer o, column k.
// kDeep: runs lie along the columns.

template <class T, class Shape, bool kDeep, class F>
struct WideGather {
  using Matrix = WideMatrix<T, T, Shape>;
  F read;
  Matrix kept;  // how a slice is dealt out among the threads, and its way to shared memory

  __device__ __forceinline__ explicit WideGather(const F& f) : read(f), kept{nullptr, 0, 0, 0, 0, kDeep, false} {}
  __device__ __forceinline__ void fetch(int64_t k) {
#pragma unroll
    for (int u = 0; u < Matrix::kEach / Matrix::kRun; ++u) {
      int o, d;
      kept.place(u, o, d);
      read(o, k + d, kept.own + u * Matrix::kRun);
    }
  }
  __device__ __forceinline__ void put(T (*to)[Shape::kRow]) const { kept.put(to); }
};
template <class T, class Shape, bool kDeep, class F>
__device__ __forceinline__ WideGather<T, Shape, kDeep, F> wide_gather(const F& f) {
  return WideGather<T, Shape, kDeep, F>(f);
}

template <class S, int kTile, bool kDeep, class F>
struct HalfGather {
  static constexpr int kRun = kHalfRun<S>, kRuns = kHalfDepth<S> / kRun;
  F read;
  bool deep = kDeep;

  __device__ __forceinline__ explicit HalfGather(const F& f) : read(f) {}
  __device__ __forceinline__ void slice(S* to, int64_t k) const {
#pragma unroll
    for (int u = 0; u < kTile * kRuns / kHalfThreads; ++u) {
      const int at = static_cast<int>(threadIdx.x) + u * kHalfThreads;
      const int o = kDeep ? at / kRuns : at % (kTile / kRun) * kRun;
      const int d = kDeep ? at % kRuns * kRun : at / (kTile / kRun);
      Sixteen<S> run;
      read(o, k + d, run.at);
      *reinterpret_cast<Sixteen<S>*>(to + (kDeep ? o * kDeepRow<S> + d : d * (kTile + kHalfPad) + o)) = run;
    }
  }
};
template <class S, int kTile, bool kDeep, class F>
__device__ __forceinline__ HalfGather<S, kTile, kDeep, F> half_gather(const F& f) {
  return HalfGather<S, kTile, kDeep, F>(f);
}

// ---- from views to the geometry

inline int32_t narrow_size(int64_t x) { return static_cast<int32_t>(x < INT32_MAX ? x : INT32_MAX); }

// Of the forward product; the others change what differs.
inline Correlation correlation_of(const View& x, const View& w, const View& y, const ConvSpec& s) {
  Correlation c{};
  c.images = x.shape[0], c.groups = s.groups, c.rows = y.shape[1] / s.groups, c.channels = w.shape[1];
  c.xb = x.strides[0], c.xc = x.strides[1], c.yb = y.strides[0], c.yr = y.strides[1];
  c.wg = c.rows * w.strides[0], c.wr = w.strides[0], c.wc = w.strides[1];
  for (int a = 0; a < kAxes; ++a) {
    ConvAxis& axis = c.axis[a];
    axis.count = narrow_size(y.shape[2 + a]), axis.step = narrow_size(s.stride[a]);
    axis.size = narrow_size(x.shape[2 + a]);
    axis.taps = narrow_size(w.shape[2 + a]), axis.tap = 0, axis.tap_step = 1;
    axis.shift = narrow_size(-s.padding[a]), axis.shift_step = narrow_size(s.dilation[a]);
    axis.start = 0, axis.pitch = 1;
    c.xs[a] = x.strides[2 + a], c.ys[a] = y.strides[2 + a], c.ws[a] = w.strides[2 + a];
  }
  return c;
}

// After the axes are known.
inline void count_up(Correlation& c) {
  c.taps = c.pixels = 1;
  for (ConvAxis& axis : c.axis) {
    axis.by_count = Divisor(axis.count), axis.by_taps = Divisor(axis.taps);
    c.taps *= axis.taps;
    c.pixels *= axis.count;
  }
  c.by_taps = Divisor(c.taps), c.by_pixels = Divisor(c.pixels);
}

// Few channels and rows of each group: sums are short, and threads need nothing of each other's.
inline bool is_thin(const Correlation& c) { return c.rows <= 4 && c.channels <= 4; }

}  // namespace pydl::cuda

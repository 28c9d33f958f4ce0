// Convolutions and the gradients of their input, of 1 to 3 axes, as products whose right factor is read in the image as
// it is needed: rows are channels of the output, columns its pixels in all images, terms the channels of the image by
// the taps of the kernel. Channels that do not meet (depthwise) have a kernel of their own.
#include "conv.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLarge = 128, kSmall = 64;
constexpr int64_t kWeightsPad = 8;  // rows of weights are whole multiples of it, so that they are read as vectors

// The product of a correlation, of each group.
struct Product {
  int64_t m, n, k;
  int64_t pitch;      // of rows of weights
  bool vector, runs;  // how weights are read; whether neighbouring outputs are neighbours in memory
  Parts parts;        // of a sum

  Grid grid(int64_t groups, int64_t tile, int threads, size_t shared) const {
    return tile_grid(m, n, groups * parts.count, tile, threads, shared);
  }
};

template <class S>
struct Operands {
  const S *x, *w, *bias;
  S* y;
  Wide<S>* parts;  // (parts, groups, m, n): sums without what follows them; null: there is one part
};

template <class S, class T>
__device__ __forceinline__ S finished(const Correlation& c, const Operands<S>& p, int64_t row, T sum) {
  if (p.bias) sum += widened(p.bias[row * c.bias_step]);
  return narrowed<S>(activated(sum, c.activation));
}

// Neighbouring sums of row r of group g from column q on, to where they belong.
template <class S, class T>
__device__ __forceinline__ void emit(const Correlation& c, const Product& d, const Operands<S>& p, int64_t item,
                                     int64_t g, int64_t r, int64_t q, const T* sums) {
  constexpr int kRun = Chunk<S>::kCount;
  if (r >= d.m || q >= d.n) return;
  const int64_t row = g * d.m + r;
  if (p.parts) {
    for (int i = 0; i < kRun && q + i < d.n; ++i) p.parts[(item * d.m + r) * d.n + q + i] = sums[i];
    return;
  }
  Spot s(c, q);
  if (d.runs) {
    Chunk<S> run;
#pragma unroll
    for (int i = 0; i < kRun; ++i) run.x[i] = finished<S, T>(c, p, row, sums[i]);
    *reinterpret_cast<Chunk<S>*>(p.y + s.output(c, row)) = run;
    return;
  }
  for (int i = 0; i < kRun && q + i < d.n; ++i) {
    p.y[s.output(c, row)] = finished<S, T>(c, p, row, sums[i]);
    s.next(c);
  }
}

template <class S, class Shape>
__global__ void __launch_bounds__(Shape::kThreads) wide_kernel(Correlation c, Product d, Operands<S> p) {
  constexpr int kRun = Chunk<S>::kCount;
  const int64_t row = int64_t{blockIdx.y} * Shape::kTile, column = int64_t{blockIdx.x} * Shape::kTile;
  const int own = static_cast<int>(threadIdx.x) % (Shape::kTile / kRun) * kRun;
  const int64_t first = column + own;
  const Spot spot(c, first < d.n ? first : 0);
  each_product(c.groups, d.k, d.parts, [&](int64_t item, int64_t g, int64_t begin, int64_t end) {
    WideMatrix<S, S, Shape> w(p.w + (g * d.m + row) * d.pitch + begin, d.pitch, 1, end - begin,
                              within(d.m - row, Shape::kTile), true, d.vector);
    auto x = wide_gather<S, Shape, false>(
        [&](int, int64_t k, S* to) { read_outputs<S, kRun>(c, p.x, g * c.channels, spot, d.n - first, k, d.k, to); });
    WideSums<S, Shape> sums;
    wide_product<S, Shape>(w, x, begin, end, shared_memory<S>(), sums);
    each_run<S, Shape::kTile, Shape::kThreads, kRun>(
        sums, [&](int i, int j, const S* run) { emit(c, d, p, item, g, row + i, column + j, run); });
  });
}

template <class S, int kTile>
__global__ void __launch_bounds__(kHalfThreads, 2) half_kernel(Correlation c, Product d, Operands<S> p) {
  const int64_t row = int64_t{blockIdx.y} * kTile, column = int64_t{blockIdx.x} * kTile;
  const int64_t first = column + static_cast<int>(threadIdx.x) % (kTile / kHalfRun<S>)*kHalfRun<S>;
  const Spot spot(c, first < d.n ? first : 0);
  each_product(c.groups, d.k, d.parts, [&](int64_t item, int64_t g, int64_t begin, int64_t end) {
    const HalfMatrix<S, kTile> w{p.w + (g * d.m + row) * d.pitch, d.pitch, 1,       d.k,
                                 within(d.m - row, kTile),        true,    d.vector};
    const auto x = half_gather<S, kTile, false>([&](int, int64_t k, S* to) {
      read_outputs<S, kHalfRun<S>>(c, p.x, g * c.channels, spot, d.n - first, k, d.k, to);
    });
    HalfSums<kTile> sums;
    half_product<S, kTile>(w, x, begin, end, shared_memory<S>(), sums);
    each_run<float, kTile, kHalfThreads, Chunk<S>::kCount>(
        sums, [&](int i, int j, const float* run) { emit(c, d, p, item, g, row + i, column + j, run); });
  });
}

// The parts of each sum, in their order.
template <class S>
__global__ void __launch_bounds__(kThreads) join_kernel(Correlation c, Product d, Operands<S> p) {
  const int64_t all = c.groups * d.m * d.n, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < all; i += step) {
    Wide<S> sum = p.parts[i];
    for (int64_t part = 1; part < d.parts.count; ++part) sum += p.parts[part * all + i];
    const int64_t row = i / d.n;
    p.y[Spot(c, i - row * d.n).output(c, row)] = finished<S>(c, p, row, sum);
  }
}

// Weights as (groups, rows, pitch): the terms of a row side by side, then zeros.
template <class U>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(Correlation c, int64_t terms, int64_t pitch, const U* w, U* packed) {
  const int64_t all = c.groups * c.rows * pitch, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < all; i += step) {
    const int64_t row = i / pitch, g = row / c.rows;
    int64_t channel = i - row * pitch, at = g * c.wg + (row - g * c.rows) * c.wr;
    const bool there = channel < terms;
    int64_t rest = c.by_taps.split(channel);
#pragma unroll
    for (int a = kAxes - 1; a >= 0; --a)
      at += (c.axis[a].tap + c.axis[a].by_taps.split(rest) * c.axis[a].tap_step) * c.ws[a];
    packed[i] = there ? w[at + channel * c.wc] : U{};
  }
}

// One output of a thread.
template <class C>
__global__ void __launch_bounds__(kThreads, 4) thin_kernel(Correlation c, Divisor by_all_rows, Divisor by_rows,
                                                           Source<C> x, Source<C> w, Source<C> bias, Target<C> y) {
  const int64_t rows = c.groups * c.rows, all = c.images * rows * c.pixels, step = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < all; i += step) {
    int64_t b = i;
    const int64_t pixel = c.by_pixels.split(b), row = by_all_rows.split(b), g = by_rows(row);
    const Spot s(c, b * c.pixels + pixel);
    C sum = 0;
    int64_t at_w = g * c.wg + (row - g * c.rows) * c.wr, at_x = s.b * c.xb + g * c.channels * c.xc;
    for (int64_t channel = 0; channel < c.channels; ++channel, at_w += c.wc, at_x += c.xc)
      for (int32_t tz = 0; tz < c.axis[0].taps; ++tz) {
        const ConvAxis &az = c.axis[0], &ay = c.axis[1], &ax = c.axis[2];
        const int32_t z = s.o[0] * az.step + az.shift + tz * az.shift_step;
        if (z < 0 || z >= az.size) continue;
        for (int32_t ty = 0; ty < ay.taps; ++ty) {
          const int32_t line = s.o[1] * ay.step + ay.shift + ty * ay.shift_step;
          if (line < 0 || line >= ay.size) continue;
          const int64_t from = at_x + z * c.xs[0] + line * c.xs[1];
          const int64_t weights = at_w + (az.tap + tz * az.tap_step) * c.ws[0] + (ay.tap + ty * ay.tap_step) * c.ws[1];
          for (int32_t tx = 0; tx < ax.taps; ++tx) {
            const int32_t column = s.o[2] * ax.step + ax.shift + tx * ax.shift_step;
            if (column >= 0 && column < ax.size)
              sum += w[weights + (ax.tap + tx * ax.tap_step) * c.ws[2]] * x[from + column * c.xs[2]];
          }
        }
      }
    if (bias.data) sum += bias[row * c.bias_step];
    y.put(s.output(c, row), activated(sum, c.activation));
  }
}

int64_t tiles(const Correlation& c, const Product& d, int64_t tile) {
  return ceil_div(d.m, tile) * ceil_div(d.n, tile) * c.groups;
}

template <class S>
void start_on_cores(const Correlation& c, const Product& d, const Operands<S>& p, bool large) {
  if (large)
    start(half_kernel<S, kLarge>, d.grid(c.groups, kLarge, kHalfThreads, kHalfShared<kLarge>), c, d, p);
  else
    start(half_kernel<S, kSmall>, d.grid(c.groups, kSmall, kHalfThreads, kHalfShared<kSmall>), c, d, p);
}

template <class S>
void start_product(const Correlation& c, const Product& d, const Operands<S>& p, bool large) {
  const auto wide = [&](auto shape) {
    using Shape = decltype(shape);
    start(wide_kernel<S, Shape>, d.grid(c.groups, Shape::kTile, Shape::kThreads, Shape::kShared), c, d, p);
  };
  if constexpr (kHalf<S>) {
    start_on_cores(c, d, p, large);
  } else if constexpr (std::is_same_v<S, float>) {
    if (tf32_convolutions()) return start_on_cores(c, d, p, large);
    large ? wide(WideTile<float, kLarge>()) : wide(WideTile<float, kSmall>());
  } else {
    wide(WideTile<double, kSmall>());
  }
}

// Whether weights lie as the product wants them: the terms of a row side by side.
bool lies_packed(const Correlation& c, const View& w, int64_t bytes) {
  int64_t step = 1;
  bool good = on_vectors(w) && c.channels * c.taps * bytes % 16 == 0;
  for (int a = kAxes - 1; a >= 0; --a) {
    good = good && c.axis[a].tap == 0 && c.axis[a].tap_step == 1 && c.axis[a].taps == w.shape[2 + a];
    good = good && (c.axis[a].taps == 1 || c.ws[a] == step);
    step *= c.axis[a].taps;
  }
  good = good && (c.channels == 1 || c.wc == step);
  step *= c.channels;
  good = good && (c.rows == 1 || c.wr == step);
  return good && (c.groups == 1 || c.wg == step * c.rows);
}

// Outputs that neighbours write as vectors.
bool writes_runs(const Correlation& c, const View& y, int64_t run) {
  const ConvAxis *z = &c.axis[0], *line = &c.axis[1], *x = &c.axis[2];
  const bool whole = z->pitch == 1 && line->pitch == 1 && x->pitch == 1;
  return whole && on_vectors(y) && c.pixels % run == 0 && c.yr % run == 0 && c.yb % run == 0 && c.ys[2] == 1 &&
         c.ys[1] == x->count && c.ys[0] == int64_t{x->count} * line->count;
}

template <class S>
void run_product(const Correlation& c, const View& x, const View& w, const View& bias, const View& y) {
  Product d{c.rows, c.images * c.pixels, c.channels * c.taps, 0, true, writes_runs(c, y, Chunk<S>::kCount), {1, 0}};
  const bool packed = lies_packed(c, w, sizeof(S));
  d.pitch = packed ? d.k : ceil_div(d.k, kWeightsPad) * kWeightsPad;
  const Scratch weights(packed ? 0 : static_cast<size_t>(c.groups * c.rows * d.pitch) * sizeof(S));
  const int64_t all = c.groups * c.rows * d.pitch;
  if (!packed && all > 0)
    with_bits(w.dtype, [&](auto zero) {
      using U = decltype(zero);
      start(pack_kernel<U>, {blocks_for(all, kThreads), kThreads}, c, d.k, d.pitch, w.as<const U>(), weights.as<U>());
    });
  const bool large = tiles(c, d, kLarge) >= kWantedBlocks / 2;
  d.parts = parts_of(d.k, tiles(c, d, kSmall), large ? 1 : kWantedBlocks, kLeastPart);
  const Scratch sums(d.parts.count > 1 ? static_cast<size_t>(d.parts.count * c.groups * d.m * d.n) * sizeof(Wide<S>)
                                       : 0);
  const Operands<S> p{x.as<const S>(), packed ? w.as<const S>() : weights.as<const S>(), bias.as<const S>(), y.as<S>(),
                      sums.as<Wide<S>>()};
  start_product(c, d, p, large);
  if (d.parts.count > 1) start(join_kernel<S>, {blocks_for(c.groups * d.m * d.n, kThreads), kThreads}, c, d, p);
}

void correlate(Correlation& c, const View& x, const View& w, const View& bias, const View& y) {
  count_up(c);
  if (c.images * c.pixels * c.rows == 0) return;
  if (is_thin(c))
    return with_wide(y.dtype, [&](auto zero) {
      using C = decltype(zero);
      start(thin_kernel<C>, {blocks_for(c.images * c.groups * c.rows * c.pixels, kThreads), kThreads}, c,
            Divisor(c.groups * c.rows), Divisor(c.rows), Source<C>(x), Source<C>(w), Source<C>(bias), Target<C>(y));
    });
  with_floating(y.dtype, [&](auto zero) { run_product<decltype(zero)>(c, x, w, bias, y); });
}

// The axis of the outputs whose index leaves `rest` by the stride. Tap t reaches them where rest + padding - t dilation
// is a multiple of the stride: every few taps from the first on.
ConvAxis backward_axis(const ConvSpec& s, int a, int64_t in, int64_t out, int64_t kernel, int64_t rest) {
  const int64_t stride = s.stride[a], reach = rest + s.padding[a];
  const auto fits = [&](int64_t t) { return (reach - t * s.dilation[a]) % stride == 0; };
  int64_t first = 0;
  while (first < kernel && first < stride && !fits(first)) ++first;
  if (first < kernel && !fits(first)) first = kernel;
  int64_t every = 1;
  while (every * s.dilation[a] % stride != 0) ++every;
  ConvAxis axis{};
  axis.count = narrow_size(ceil_div(in - rest, stride)), axis.step = 1, axis.size = narrow_size(out);
  axis.taps = narrow_size(first < kernel ? ceil_div(kernel - first, every) : 0);
  axis.tap = narrow_size(first), axis.tap_step = narrow_size(every);
  axis.shift = narrow_size(first < kernel ? (reach - first * s.dilation[a]) / stride : 0);
  axis.shift_step = narrow_size(-(every * s.dilation[a] / stride));
  axis.start = narrow_size(rest), axis.pitch = narrow_size(stride);
  return axis;
}

}  // namespace

void conv(View x, View w, View bias, ConvSpec spec, Activation activation, View y) {
  if (y.numel() == 0) return;
  Correlation c = correlation_of(x, w, y, spec);
  c.bias_step = bias.strides[0], c.activation = activation;
  correlate(c, x, w, bias, y);
}

void conv_input_grad(View y, View w, View bias, ConvSpec spec, Activation activation, View x) {
  if (x.numel() == 0) return;
  Correlation c = correlation_of(y, w, x, spec);
  c.channels = y.shape[1] / spec.groups, c.rows = w.shape[1];
  c.wg = c.channels * w.strides[0], c.wr = w.strides[1], c.wc = w.strides[0];
  c.bias_step = bias.strides[0], c.activation = activation;
  const auto rests = [&](int a) { return spec.stride[a] < x.shape[2 + a] ? spec.stride[a] : x.shape[2 + a]; };
  const auto axis = [&](int a, int64_t rest) {
    c.axis[a] = backward_axis(spec, a, x.shape[2 + a], y.shape[2 + a], w.shape[2 + a], rest);
  };
  for (int64_t z = 0; z < rests(0); ++z)
    for (int64_t line = 0; line < rests(1); ++line)
      for (int64_t column = 0; column < rests(2); ++column) {
        axis(0, z), axis(1, line), axis(2, column);
        correlate(c, y, w, bias, x);
      }
}

void conv_path(ConvProduct, View, View, ConvSpec, View, ConvPath* path) { *path = ConvPath::packed; }

}  // namespace pydl::cuda

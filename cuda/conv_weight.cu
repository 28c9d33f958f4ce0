// The gradients of a convolution's weights: rows are channels of the output, columns the channels of the image by the
// taps, terms the pixels of all images. Sums are long and weights few, so sums are cut into parts by their sizes alone,
// which a second launch adds in their order.
#include "conv.cuh"
#include "rows.cuh"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256, kTile = 64;

struct Product {
  int64_t m, n, k;  // of each group
  Parts parts;      // of a sum
};

template <class S>
struct Operands {
  const S *x, *y;
  S* w;
  Wide<S>* parts;  // (parts, groups, m, n); null: there is one part
};

template <class S, class T>
__device__ __forceinline__ void emit(const Correlation& c, const Product& d, const Operands<S>& p, int64_t item,
                                     int64_t r, int64_t q, const T* sums) {
  if (r >= d.m) return;
  const int64_t to = (p.parts ? item : item % c.groups) * d.m + r;
  for (int i = 0; i < Chunk<S>::kCount && q + i < d.n; ++i) {
    if (p.parts)
      p.parts[to * d.n + q + i] = sums[i];
    else
      p.w[to * d.n + q + i] = narrowed<S>(sums[i]);
  }
}

template <class S, class Shape>
__global__ void __launch_bounds__(Shape::kThreads) wide_kernel(Correlation c, Product d, Operands<S> p) {
  constexpr int kRun = Chunk<S>::kCount;
  const int64_t row = int64_t{blockIdx.y} * Shape::kTile, column = int64_t{blockIdx.x} * Shape::kTile;
  each_product(c.groups, d.k, d.parts, [&](int64_t item, int64_t g, int64_t begin, int64_t end) {
    auto y = wide_gather<S, Shape, true>(
        [&](int o, int64_t k, S* to) { read_row<S, kRun>(c, p.y, g * d.m + row + o, row + o < d.m, k, end, to); });
    auto x = wide_gather<S, Shape, true>([&](int o, int64_t k, S* to) {
      read_term<S, kRun>(c, p.x, g * c.channels, column + o, column + o < d.n, k, end, to);
    });
    WideSums<S, Shape> sums;
    wide_product<S, Shape>(y, x, begin, end, shared_memory<S>(), sums);
    each_run<S, kTile, Shape::kThreads, kRun>(
        sums, [&](int i, int j, const S* run) { emit(c, d, p, item, row + i, column + j, run); });
  });
}

template <class S>
__global__ void __launch_bounds__(kHalfThreads, 2) half_kernel(Correlation c, Product d, Operands<S> p) {
  const int64_t row = int64_t{blockIdx.y} * kTile, column = int64_t{blockIdx.x} * kTile;
  each_product(c.groups, d.k, d.parts, [&](int64_t item, int64_t g, int64_t begin, int64_t end) {
    const auto y = half_gather<S, kTile, true>([&](int o, int64_t k, S* to) {
      read_row<S, kHalfRun<S>>(c, p.y, g * d.m + row + o, row + o < d.m, k, end, to);
    });
    const auto x = half_gather<S, kTile, true>([&](int o, int64_t k, S* to) {
      read_term<S, kHalfRun<S>>(c, p.x, g * c.channels, column + o, column + o < d.n, k, end, to);
    });
    HalfSums<kTile> sums;
    half_product<S, kTile>(y, x, begin, end, shared_memory<S>(), sums);
    each_run<float, kTile, kHalfThreads, Chunk<S>::kCount>(
        sums, [&](int i, int j, const float* run) { emit(c, d, p, item, row + i, column + j, run); });
  });
}

template <class S>
__global__ void __launch_bounds__(kThreads) join_kernel(int64_t all, int64_t parts, const Wide<S>* sums, S* w) {
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < all; i += int64_t{gridDim.x} * kThreads) {
    Wide<S> sum = sums[i];
    for (int64_t part = 1; part < parts; ++part) sum += sums[part * all + i];
    w[i] = narrowed<S>(sum);
  }
}

// A block for each weight.
template <class C>
__global__ void __launch_bounds__(kRowThreads) thin_kernel(Correlation c, Source<C> x, Source<C> y, Target<C> w) {
  RowGroup<kRowThreads> group;
  const int64_t columns = c.channels * c.taps, all = c.groups * c.rows * columns, outputs = c.outputs();
  for (int64_t i = blockIdx.x; i < all; i += gridDim.x) {
    const int64_t row = i / columns;
    const Term term(c, i - row * columns);
    C sum = 0;
    for (int64_t n = threadIdx.x; n < outputs; n += kRowThreads) {
      const Spot s(c, n);
      const int64_t at = term.place(c, s, row / c.rows * c.channels);
      if (at >= 0) sum += x[at] * y[s.output(c, row)];
    }
    sum = group.sum(sum);
    if (threadIdx.x == 0) w.put(i, sum);
  }
}

Product product_of(const Correlation& c) {
  const int64_t m = c.rows, n = c.channels * c.taps, k = c.images * c.pixels;
  return {m, n, k, parts_of(k, ceil_div(m, kTile) * ceil_div(n, kTile) * c.groups, kWantedBlocks, kLeastPart)};
}

template <class S>
void run_product(const Correlation& c, const View& x, const View& y, const View& w) {
  const Product d = product_of(c);
  const int64_t all = c.groups * d.m * d.n;
  const Scratch sums(d.parts.count > 1 ? static_cast<size_t>(d.parts.count * all) * sizeof(Wide<S>) : 0);
  const Operands<S> p{x.as<const S>(), y.as<const S>(), w.as<S>(), sums.as<Wide<S>>()};
  const auto grid = [&](int threads, size_t shared) {
    return tile_grid(d.m, d.n, c.groups * d.parts.count, kTile, threads, shared);
  };
  bool rounded = kHalf<S>;
  if constexpr (!std::is_same_v<S, double>) {
    rounded = rounded || tf32_convolutions();
    if (rounded) start(half_kernel<S>, grid(kHalfThreads, kHalfShared<kTile>), c, d, p);
  }
  if constexpr (!kHalf<S>) {
    using Shape = WideTile<S, kTile>;
    if (!rounded) start(wide_kernel<S, Shape>, grid(Shape::kThreads, Shape::kShared), c, d, p);
  }
  if (d.parts.count > 1)
    start(join_kernel<S>, {blocks_for(all, kThreads), kThreads}, all, d.parts.count, sums.as<const Wide<S>>(), p.w);
}

}  // namespace

void conv_weight_grad(View x, View y, ConvSpec spec, View w) {
  if (w.numel() == 0) return;
  Correlation c = correlation_of(x, w, y, spec);
  count_up(c);
  if (is_thin(c))
    return with_wide(w.dtype, [&](auto zero) {
      using C = decltype(zero);
      start(thin_kernel<C>, {blocks_for(w.numel(), 1), kRowThreads}, c, Source<C>(x), Source<C>(y), Target<C>(w));
    });
  with_floating(w.dtype, [&](auto zero) { run_product<decltype(zero)>(c, x, y, w); });
}

}  // namespace pydl::cuda

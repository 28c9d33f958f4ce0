// The gradient of a 3 by 3 kernel by Winograd's way (winograd.h): w = G' [sum
// over tiles of (A g A') * (B' x B)] G. The sum is again 36 matrix products, of
// channels (channels, tiles) and the gradient of the outputs (tiles, rows). All
// threads share each piece, a step after the other, and a product's sums gather
// piece after piece.
#pragma once

#include "kernels/conv/weight_grad.h"
#include "kernels/conv/winograd.h"

namespace pydl::PYDL_ISA {
namespace {

inline bool takes_winograd(const WeightGrad<float>& w) {
  return w.groups == 1 && w.x.x == 1 && w.g.x == 1 && suits_winograd(w.axis, w.images, w.channels, w.rows);
}

// A along one axis.
template <class T>
inline void spread(const Vec<T> (&y)[kOutputs], Side<T>& q) {
  const Vec<T> two(T(2)), four(T(4)), eight(T(8));
  const Vec<T> s = y[0] + y[2], d = y[1] + y[3], s2 = fma(four, y[2], y[0]), d2 = fma(eight, y[3], two * y[1]);
  q[0] = y[0];
  q[1] = s + d;
  q[2] = s - d;
  q[3] = s2 + d2;
  q[4] = s2 - d2;
  q[5] = y[3];
}

// G' along one axis.
template <class T>
inline void gather(const Side<T>& m, Vec<T> (&g)[3]) {
  const Vec<T> sixth(T(1) / 6), twelfth(T(1) / 12), small(T(1) / 24), quarter(T(0.25));
  const Vec<T> s = (m[1] + m[2]) * sixth, s2 = m[3] + m[4];
  g[0] = fma(m[0], quarter, fma(s2, small, -s));
  g[1] = fma(m[2] - m[1], sixth, (m[3] - m[4]) * twelfth);
  g[2] = fma(s2, sixth, m[5] - s);
}

// `from`: a vector of tiles of the gradient, of which `high` rows and `wide`
// columns are there.
template <class T>
inline void spread_tiles(const T* from, int64_t y_step, int64_t high, int64_t wide, T* to, int64_t plane, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  Vec<T> y[kOutputs][kOutputs];
  for (int64_t r = 0; r < least(high, kOutputs); ++r) {
    for (int64_t j = 0; j < kOutputs && j * N < wide; ++j)
      y[r][j] = load<T>(from + r * y_step + j * N, least(N, wide - j * N));
    split_by_four(y[r]);
  }
  Side<T> half[kOutputs];  // by column
#pragma GCC unroll 4
  for (int x = 0; x < kOutputs; ++x) {
    const Vec<T> column[kOutputs] = {y[0][x], y[1][x], y[2][x], y[3][x]};
    spread<T>(column, half[x]);
  }
#pragma GCC unroll 6
  for (int r = 0; r < kSide; ++r) {
    const Vec<T> row[kOutputs] = {half[0][r], half[1][r], half[2][r], half[3][r]};
    Side<T> q;
    spread<T>(row, q);
#pragma GCC unroll 6
    for (int x = 0; x < kSide; ++x)
      n == N ? store(to + (r * kSide + x) * plane, q[x]) : store(to + (r * kSide + x) * plane, q[x], n);
  }
}

template <class T>
void transform_gradient(const WinogradJob<T>& q, const Image<T>& g, const Piece& p, int64_t row) {
  constexpr int64_t N = Vec<T>::N;
  const Axis &y = q.c->axis[1], &x = q.c->axis[2];
  T* to = q.sums_of(0, row);
  int64_t tile = 0;
  for (int64_t b = p.b; b < p.b + p.images; ++b)
    for (int64_t ty = p.y; ty < p.y + p.high; ++ty, tile += q.plan.wide)
      for (int64_t tx = 0; tx < q.plan.wide; tx += N)
        spread_tiles(g.p + b * g.image + row * g.channel + kOutputs * (ty * g.y + tx), g.y, y.count - kOutputs * ty,
                     x.count - kOutputs * tx, to + tile + tx, q.plan.pitch, least(N, q.plan.pitch - tile - tx));
}

// total (channel, row) of one product += tiles (channel, tile) sums (row,
// tile)'; `width` from channel to channel, `at`: of each tile.
template <class T>
void add_products(const WinogradJob<T>& q, int64_t product, int64_t tiles, bool adds, int64_t width, const int64_t* at,
                  T* total) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t channels = q.c->channels, high = even_rows<T>(channels);
  T* packed = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(2 * N * tiles + N)));
  for (int64_t j = 0; j < q.c->rows; j += 2 * N) {
    const int64_t lanes = least(2 * N, q.c->rows - j), cols = round_up(lanes, N);
    pack(q.sums_of(product, j), q.step(), int64_t{1}, lanes, tiles, cols, packed);
    for (int64_t c = 0; c < channels; c += high) {
      const int64_t rows = least(high, channels - c);
      T* to = total + c * width + j;
      const Pairs<T> pairs{tiles, q.tiles_of(product, c), q.step(), nullptr, at, packed};
      pair_kernel<T>(true, rows, cols / N)(pairs,
                                           {{to, to + N}, {N, N}, width, adds, false, nullptr, Activation::none});
    }
  }
}

// Channels [from, end) of the sums to the gradient of the weights, by way of
// (channel, tap, row).
template <class T>
void gather_weights(const WeightGrad<T>& w, const T* total, int64_t plane, int64_t width, int64_t from, int64_t end) {
  constexpr int64_t N = Vec<T>::N;
  T* taps = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>((end - from) * 9 * width + N)));
  for (int64_t c = from; c < end; ++c)
    for (int64_t m = 0; m < width; m += N) {
      const T* at = total + c * width + m;
      Vec<T> half[kSide][3];  // by column
#pragma GCC unroll 6
      for (int x = 0; x < kSide; ++x) {
        Side<T> column;
#pragma GCC unroll 6
        for (int y = 0; y < kSide; ++y) column[y] = load<T>(at + (y * kSide + x) * plane);
        gather<T>(column, half[x]);
      }
#pragma GCC unroll 3
      for (int y = 0; y < 3; ++y) {
        const Side<T> row = {half[0][y], half[1][y], half[2][y], half[3][y], half[4][y], half[5][y]};
        Vec<T> g[3];
        gather<T>(row, g);
        for (int x = 0; x < 3; ++x) store(taps + ((c - from) * 9 + y * 3 + x) * width + m, g[x]);
      }
    }
  transpose_to<T>(taps, width, (end - from) * 9, w.rows, w.w + from * 9, w.channels * 9, (end - from) * 9);
}

template <class T>
void winograd_weights(const WeightGrad<T>& w) {
  Correlation<T> c{};
  for (int i = 0; i < kAxes; ++i) c.axis[i] = w.axis[i];
  c.images = w.images, c.channels = w.channels, c.rows = w.rows, c.groups = 1, c.x = w.x;
  WinogradJob<T> q{&c, plan_winograd<T>(c.axis, c.images, c.channels, c.rows), nullptr, nullptr, nullptr, nullptr};
  cut_tiles<T>(q.plan, c.axis, c.images, WinogradPlan::kGradientRoom / (c.channels + c.rows));
  const int64_t width = round_up(c.rows, Vec<T>::N), plane = plane_of<T>(c.channels * width);
  T* total = static_cast<T*>(scratch(kWeightSlot, sizeof(T) * static_cast<size_t>(kProducts * plane)));
  const int64_t room = (c.channels + c.rows) * q.step() + Vec<T>::N;
  q.tiles = static_cast<T*>(scratch(kImageSlot, sizeof(T) * static_cast<size_t>(room)));
  q.sums = q.tiles_of(0, c.channels);
  const int64_t* at = evenly_apart(q.plan.pitch, 1);
  for (int64_t i = 0; i < q.plan.pieces.count(); ++i) {
    const Piece p = q.plan.pieces.at(i);
    const int64_t tiles = p.images * p.high * q.plan.wide;
    parallel_for(c.channels + c.rows, kProducts * tiles, [&](int64_t at, int64_t end) {
      for (; at < end; ++at)
        at < c.channels ? transform_image(q, p, at) : transform_gradient(q, w.g, p, at - c.channels);
    });
    parallel_for(kProducts, tiles * c.rows * c.channels / 8, [&](int64_t t, int64_t end) {
      for (; t < end; ++t) add_products(q, t, tiles, i > 0, width, at, total + t * plane);
    });
  }
  constexpr int64_t kBlock = 16;
  parallel_for(ceil_div(c.channels, kBlock), kBlock * kProducts * width, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      gather_weights(w, total, plane, width, t * kBlock, least((t + 1) * kBlock, c.channels));
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

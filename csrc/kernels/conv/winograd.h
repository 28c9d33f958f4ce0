// Winograd's F(4x4, 3x3): y = A' [(G w G') * (B' x B)] A gives 4 by 4 outputs
// of a 3 by 3 kernel for 36 products instead of 144. Images are cut into tiles
// of 6 by 6 that overlap by 2; the products of one place in the tile, summed
// over channels, are a matrix product: weights (rows, channels) times tiles
// (channels, tiles). Vectors hold neighbouring tiles. A task takes some tiles
// through all three steps while they are in the second-level cache; where tiles
// are too few for that, each step is shared out by itself. float32 alone: the
// transforms cost two to three bits (tests/ops/test_conv.py), and an infinity
// spreads over its tile as NaN. Source: Lavin & Gray 2016 (arXiv:1509.09308).
#pragma once

#include "kernels/conv/correlate.h"
#include "simd/interleave.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kSide = 6, kProducts = kSide * kSide;  // of a tile
constexpr int64_t kOutputs = 4;                      // along each axis

template <class T>
using Side = Vec<T>[kSide];

// B' along one axis.
template <class T>
inline void enter(const Side<T>& d, Side<T>& t) {
  const Vec<T> two(T(2)), four(T(4)), five(T(5));
  const Vec<T> a = fma(-four, d[2], d[4]), b = fma(-four, d[1], d[3]), c = d[4] - d[2], e = two * (d[3] - d[1]);
  t[0] = fma(four, d[0], fma(-five, d[2], d[4]));
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = fma(four, d[1], fma(-five, d[3], d[5]));
}

// A' along one axis.
template <class T>
inline void leave(const Side<T>& m, Vec<T> (&y)[kOutputs]) {
  const Vec<T> two(T(2)), four(T(4)), eight(T(8));
  const Vec<T> s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
  y[0] = m[0] + s + s2;
  y[1] = fma(two, d2, d);
  y[2] = fma(four, s2, s);
  y[3] = fma(eight, d2, d) + m[5];
}

// G along one axis.
template <class T>
inline void weigh(Vec<T> g0, Vec<T> g1, Vec<T> g2, Side<T>& u) {
  const Vec<T> sixth(T(1) / 6), twelfth(T(1) / 12), small(T(1) / 24);
  const Vec<T> s = (g0 + g2) * sixth, h = g1 * sixth, p = fma(g0, small, g2 * sixth), q = g1 * twelfth;
  u[0] = g0 * Vec<T>(T(0.25));
  u[1] = -s - h;
  u[2] = h - s;
  u[3] = p + q;
  u[4] = p - q;
  u[5] = g2;
}

// Whether a correlation goes this way.
inline bool takes_winograd(const Correlation<float>& c) {
  return c.groups == 1 && c.x.x == 1 && suits_winograd(c.axis, c.images, c.channels, c.rows);
}

// From product to product of the weights: an odd number of lines, so that the
// 36 that are written together fall on different ones of the cache.
template <class T>
inline int64_t plane_of(int64_t size) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  return (ceil_div(size, line) | 1) * line;
}

template <class T>
struct WinogradJob {
  const Correlation<T>* c;
  WinogradPlan plan;
  const T* weights;   // (product, tile of rows, channel, row)
  T *tiles, *sums;    // of a piece: (channel, product, tile) and (row, product,
  const int64_t* at;  // of each channel, in the tiles
                      // tile), written and read in their order

  // From channel to channel and row to row: an odd number of lines.
  int64_t step() const { return kProducts * plan.pitch + 64 / static_cast<int64_t>(sizeof(T)); }
  T* tiles_of(int64_t product, int64_t channel) const { return tiles + channel * step() + product * plan.pitch; }
  T* sums_of(int64_t product, int64_t row) const { return sums + row * step() + product * plan.pitch; }
};

// 0, step, 2 step, ...: where a tile of sums finds its operands.
inline const int64_t* evenly_apart(int64_t n, int64_t step) {
  int64_t* at = static_cast<int64_t*>(scratch(kTableSlot, sizeof(int64_t) * static_cast<size_t>(n)));
  for (int64_t i = 0; i < n; ++i) at[i] = i * step;
  return at;
}

// Rows [i, i + rows) of the weights for channels [from, end), transformed.
template <class T>
void transform_weights(const Correlation<T>& c, int64_t i, int64_t rows, int64_t from, int64_t end, T* to) {
  const bool flips[2] = {c.axis[1].shift[0] > c.axis[1].shift[2], c.axis[2].shift[0] > c.axis[2].shift[2]};
  T* g = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(9 * rows + Vec<T>::N)));
  const int64_t plane = plane_of<T>(c.rows * c.channels);
  const bool dense = c.w.x == 1 && c.w.y == 3;
  for (int64_t ch = from; ch < end; ++ch) {
    const T* w = c.w.p + i * c.w.row + ch * c.w.channel;
    if (dense) pack(w, c.w.row, int64_t{1}, rows, int64_t{9}, rows, g);
    for (int64_t t = 0; t < 9 && !dense; ++t)
      pack(w + t / 3 * c.w.y + t % 3 * c.w.x, c.w.row, int64_t{0}, rows, int64_t{1}, rows, g + t * rows);
    Side<T> columns[3], u;
#pragma GCC unroll 6
    for (int x = 0; x < 3; ++x) {
      const auto at = [&](int y) {
        const int t = (flips[0] ? 2 - y : y) * 3 + (flips[1] ? 2 - x : x);
        return load<T>(g + t * rows, rows);
      };
      weigh<T>(at(0), at(1), at(2), columns[x]);
    }
#pragma GCC unroll 6
    for (int y = 0; y < kSide; ++y) {
      weigh<T>(columns[0][y], columns[1][y], columns[2][y], u);
#pragma GCC unroll 6
      for (int x = 0; x < kSide; ++x) store(to + (y * kSide + x) * plane + i * c.channels + ch * rows, u[x], rows);
    }
  }
}

// All rows of one image that the tiles of a piece read, each as four: one for
// each remainder of x by 4, `pitch` apart. They are copied with their border to
// the second half of `to` first: split at once, loads would wait for the
// stores.
template <class T>
void split_image(const Correlation<T>& c, const Piece& p, int64_t b, int64_t channel, int64_t pitch, T* to) {
  constexpr int64_t N = Vec<T>::N;
  const Axis &y = c.axis[1], &x = c.axis[2];
  const int64_t rows = kOutputs * p.high + 2, wide = 4 * pitch;
  const int64_t first = most(0, x.lowest), begin = first - x.lowest;
  const int64_t n = most(0, least(x.size - first, wide - begin));
  const T* image = c.x.p + b * c.x.image + channel * c.x.channel + first;
  T* plain = to + rows * wide;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = p.y * kOutputs + y.lowest + r;
    const bool inside = at >= 0 && at < y.size;
    T* row = plain + r * wide;
    clear(row, inside ? begin : wide);
    if (!inside) continue;
    copy_row(image + at * c.x.y, 1, n, row + begin);
    clear(row + begin + n, wide - begin - n);
  }
  for (int64_t r = 0; r < rows; ++r, to += wide, plain += wide)
    for (int64_t i = 0; i < pitch; i += N) {
      Vec<T> v[4];
      for (int64_t j = 0; j < 4; ++j) v[j] = load<T>(plain + 4 * i + j * N);
      split_by_four(v);
      for (int64_t j = 0; j < 4; ++j) store(to + j * pitch + i, v[j]);
    }
}

// A vector of tiles, the first at `from`; the first n lanes to product after
// product of `to`.
template <class T>
inline void enter_tiles(const T* from, int64_t pitch, T* to, int64_t plane, int64_t n) {
  Side<T> half[kSide];  // by column
#pragma GCC unroll 6
  for (int x = 0; x < kSide; ++x) {
    Side<T> d;
#pragma GCC unroll 6
    for (int y = 0; y < kSide; ++y) d[y] = load<T>(from + (4 * y + x % 4) * pitch + x / 4);
    enter<T>(d, half[x]);
  }
#pragma GCC unroll 6
  for (int y = 0; y < kSide; ++y) {
    Side<T> d, t;
#pragma GCC unroll 6
    for (int x = 0; x < kSide; ++x) d[x] = half[x][y];
    enter<T>(d, t);
#pragma GCC unroll 6
    for (int x = 0; x < kSide; ++x)
      n == Vec<T>::N ? store(to + (y * kSide + x) * plane, t[x]) : store(to + (y * kSide + x) * plane, t[x], n);
  }
}

template <class T>
void transform_image(const WinogradJob<T>& q, const Piece& p, int64_t channel) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t pitch = round_up(q.plan.wide + 1, N), rows = kOutputs * p.high + 2;
  T* image = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(2 * rows * 4 * pitch + N)));
  T* to = q.tiles_of(0, channel);
  int64_t tile = 0;
  for (int64_t b = 0; b < p.images; ++b) {
    split_image(*q.c, p, p.b + b, channel, pitch, image);
    for (int64_t y = 0; y < p.high; ++y, tile += q.plan.wide)
      for (int64_t x = 0; x < q.plan.wide; x += N)  // what the last vector holds too much, the next row overwrites
        enter_tiles(image + y * kOutputs * 4 * pitch + x, pitch, to + tile + x, q.plan.pitch,
                    least(N, q.plan.pitch - tile - x));
  }
}

// The sums over channels for one product.
template <class T>
void multiply_tiles(const WinogradJob<T>& q, int64_t product, int64_t count) {
  constexpr int64_t N = Vec<T>::N;
  const Correlation<T>& c = *q.c;
  const T* weights = q.weights + product * plane_of<T>(c.rows * c.channels);
  for (int64_t j = 0; j < count; j += 2 * N) {
    const int64_t vectors = count - j > N ? 2 : 1;
    for (int64_t i = 0; i < c.rows; i += q.plan.tile) {
      const int64_t rows = least(q.plan.tile, c.rows - i);
      T* sums = q.sums_of(product, i) + j;
      Target<T> to{{sums, sums + N}, {N, N}, q.step(), false, false, nullptr, Activation::none};
      for (int64_t p = 0; p < c.channels; p += WinogradPlan::kDepth, to.adds = true) {
        const T* tiles = q.tiles_of(product, p) + j;
        const int64_t k = least(WinogradPlan::kDepth, c.channels - p);
        const Steps<T> steps{k, weights + i * c.channels + p * rows, {tiles, tiles + N}, q.at, tiles, 0};
        correlate_kernel<T>(rows, vectors)(steps, to);
      }
    }
  }
}

// A vector of tiles to the outputs: 4 rows, each of 4 vectors in memory order.
template <class T>
inline void leave_tiles(const T* from, int64_t plane, Vec<T> (&y)[kOutputs][kOutputs]) {
  Vec<T> half[kSide][kOutputs];  // by column
#pragma GCC unroll 6
  for (int x = 0; x < kSide; ++x) {
    Side<T> m;
#pragma GCC unroll 6
    for (int r = 0; r < kSide; ++r) m[r] = load<T>(from + (r * kSide + x) * plane);
    leave<T>(m, half[x]);
  }
#pragma GCC unroll 6
  for (int r = 0; r < kOutputs; ++r) {
    Side<T> m;
#pragma GCC unroll 6
    for (int x = 0; x < kSide; ++x) m[x] = half[x][r];
    leave<T>(m, y[r]);
    join_by_four(y[r]);
  }
}

// Outputs of row `row` from tile column x on, `high` rows of them.
template <class T>
inline void put_tiles(const Correlation<T>& c, Vec<T> (&v)[kOutputs][kOutputs], T bias, int64_t high, int64_t wide,
                      T* y) {
  constexpr int64_t N = Vec<T>::N;
  const bool relu = c.activation == Activation::relu;
  for (int64_t r = 0; r < high; ++r)
    for (int64_t j = 0; j < kOutputs && j * N < wide; ++j) {
      Vec<T> value = v[r][j] + Vec<T>(bias);
      if (relu) value = max(value, Vec<T>());
      T* to = y + r * c.y_y + j * N;
      wide - j* N >= N ? store(to, value) : store(to, value, wide - j * N);
    }
  if (c.activation > Activation::relu) activate(y, c.y_y, high, least(wide, kOutputs * N), c.activation);
}

template <class T>
void transform_sums(const WinogradJob<T>& q, const Piece& p, int64_t row) {
  constexpr int64_t N = Vec<T>::N;
  const Correlation<T>& c = *q.c;
  const T bias = c.bias ? c.bias[row * c.bias_stride] : T(0);
  const T* from = q.sums_of(0, row);
  for (int64_t b = 0; b < p.images; ++b)
    for (int64_t y = p.y; y < p.y + p.high; ++y, from += q.plan.wide)
      for (int64_t x = 0; x < q.plan.wide; x += N) {
        Vec<T> v[kOutputs][kOutputs];
        leave_tiles(from + x, q.plan.pitch, v);
        put_tiles(c, v, bias, least(kOutputs, c.axis[1].count - kOutputs * y), c.axis[2].count - kOutputs * x,
                  c.y + (p.b + b) * c.y_image + row * c.y_channel + kOutputs * (y * c.y_y + x));
      }
}

template <class T>
const T* transform_all_weights(const Correlation<T>& c, const WinogradPlan& plan) {
  constexpr int64_t kBlock = 16;  // channels of a task
  T* to = static_cast<T*>(
      scratch(kWeightSlot, sizeof(T) * static_cast<size_t>(kProducts * plane_of<T>(c.rows * c.channels) + Vec<T>::N)));
  const int64_t tiles = ceil_div(c.rows, plan.tile), blocks = ceil_div(c.channels, kBlock);
  parallel_for(tiles * blocks, kBlock * plan.tile * kProducts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = t / blocks * plan.tile, from = t % blocks * kBlock;
      transform_weights(c, i, least(plan.tile, c.rows - i), from, least(from + kBlock, c.channels), to);
    }
  });
  return to;
}

// One piece by all threads, a step after the other.
template <class T>
void share_piece(const WinogradJob<T>& q, const Piece& p, int64_t tiles) {
  const Correlation<T>& c = *q.c;
  parallel_for(c.channels, kProducts * tiles, [&](int64_t ch, int64_t end) {
    for (; ch < end; ++ch) transform_image(q, p, ch);
  });
  parallel_for(kProducts, tiles * c.rows * c.channels / 8, [&](int64_t t, int64_t end) {
    for (; t < end; ++t) multiply_tiles(q, t, tiles);
  });
  parallel_for(c.rows, kProducts * tiles, [&](int64_t row, int64_t end) {
    for (; row < end; ++row) transform_sums(q, p, row);
  });
}

template <class T>
void run_piece(const WinogradJob<T>& q, const Piece& p, int64_t tiles) {
  for (int64_t ch = 0; ch < q.c->channels; ++ch) transform_image(q, p, ch);
  for (int64_t t = 0; t < kProducts; ++t) multiply_tiles(q, t, tiles);
  for (int64_t row = 0; row < q.c->rows; ++row) transform_sums(q, p, row);
}

template <class T>
void winograd(const Correlation<T>& c, const WinogradPlan& plan) {
  const Pieces& pieces = plan.pieces;
  const T* weights = transform_all_weights(c, plan);
  WinogradJob<T> plain{&c, plan, weights, nullptr, nullptr, nullptr};
  plain.at = evenly_apart(WinogradPlan::kDepth, plain.step());
  const auto job = [&] {
    const int64_t room = (c.channels + c.rows) * plain.step() + Vec<T>::N;
    WinogradJob<T> q = plain;
    q.tiles = static_cast<T*>(scratch(kImageSlot, sizeof(T) * static_cast<size_t>(room)));
    q.sums = q.tiles_of(0, c.channels);
    return q;
  };
  const auto tiles = [&](const Piece& p) { return p.images * p.high * plan.wide; };
  if (plan.shared) {
    const WinogradJob<T> q = job();
    for (int64_t i = 0; i < pieces.count(); ++i) share_piece(q, pieces.at(i), tiles(pieces.at(i)));
    return;
  }
  const int64_t cost = kProducts * tiles(pieces.full) * (c.rows * c.channels / 8 + c.rows + c.channels);
  parallel_for(pieces.count(), cost, [&](int64_t begin, int64_t end) {
    const WinogradJob<T> q = job();
    for (int64_t i = begin; i < end; ++i) run_piece(q, pieces.at(i), tiles(pieces.at(i)));
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

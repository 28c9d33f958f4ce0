// The gradient of the weights: w[m, c, t] = sum over outputs of g[m, o] x[c, o + shift[t]]. The sum runs over outputs,
// so a panel holds `vectors` vectors of output channels for each of them, transposed from g, and x is read where it is
// staged, an element at a time: a tile is some channels for one tap, or, where channels are few, any rows of (c, t). A
// task sums over a part of the outputs for some rows of w and channels of x; parts are added in order at the end.
#pragma once

#include "kernels/conv/correlate.h"
#include "kernels/turn.h"

namespace pydl::PYDL_ISA {
namespace {

template <class S>
struct WeightGrad {
  Axis axis[kAxes];
  int64_t images, channels, rows, groups;  // channels of x and of g, of one group
  Image<S> x, g;
  S* w;  // dense (group * row, channel, tap)

  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
};

template <class S, class T>
struct WeightJob : WeightGrad<S> {
  WeightPlan plan;
  Layout layout;
  const int64_t* reads;  // of each tap, or of each (channel of a block, tap) where rows are scattered
  T* sums;               // (group, block of rows, block of channels, part): each plan.sums() elements

  int64_t row_blocks() const { return ceil_div(this->rows, plan.rows); }
  int64_t channel_blocks() const { return ceil_div(this->channels, plan.channels); }
};

// Where the sums of a block begin: (channel, tap, row), rows padded to whole panels.
template <class T>
struct WeightTask {
  int64_t group, row, rows, channel, channels, part;
  T* sums;
  T* panel;
};

// Where each output of a piece reads, and the image that it reads from.
template <class S, class T>
const T* image_of(const WeightJob<S, T>& q, const WeightTask<T>& k, const Piece& p) {
  const int64_t c0 = k.group * q.channels + k.channel;
  if constexpr (std::is_same_v<S, T>) {
    if (q.plan.in_place)
      return q.x.p + p.b * q.x.image + c0 * q.x.channel + (p.z * q.axis[0].step + q.axis[0].lowest) * q.x.z +
             (p.y * q.axis[1].step + q.axis[1].lowest) * q.x.y + q.axis[2].lowest * q.x.x;
  }
  T* image = static_cast<T*>(scratch(kImageSlot, sizeof(T) * static_cast<size_t>(q.layout.image * p.images + 1)));
  stage(q.x, q.axis, p, c0, k.channels, q.layout, image);
  return image;
}

template <class S, class T>
const int64_t* places_of(const WeightJob<S, T>& q, const Piece& p) {
  const int64_t count = p.images * p.deep * p.high * q.axis[2].count;
  int64_t* at = static_cast<int64_t*>(scratch(kStripSlot, sizeof(int64_t) * static_cast<size_t>(count + 1)));
  const int64_t step = q.axis[2].step * (q.plan.in_place ? q.x.x : 1);
  int64_t o = 0;
  for (int64_t b = 0; b < p.images; ++b)
    for (int64_t z = 0; z < p.deep; ++z)
      for (int64_t y = 0; y < p.high; ++y) {
        const int64_t row = b * q.layout.image + z * q.axis[0].step * q.layout.z + y * q.axis[1].step * q.layout.y;
        for (int64_t x = 0; x < q.axis[2].count; ++x) at[o++] = row + x * step;
      }
  return at;
}

// Outputs [o, o + n) of a piece for one panel of rows, transposed to (n, vectors * N).
template <class S, class T>
void pack_gradient(const WeightJob<S, T>& q, const WeightTask<T>& k, const Piece& p, int64_t row, int64_t o,
                   int64_t n) {
  const int64_t width = q.plan.vectors * Vec<T>::N, lanes = least(width, k.rows - row);
  const bool whole = q.g.y == q.axis[2].count * q.g.x;  // rows of the gradient follow one another
  const int64_t run = (whole ? p.high : 1) * q.axis[2].count, runs = whole ? 1 : p.high;
  const S* from = q.g.p + (k.group * q.rows + k.row + row) * q.g.channel;
  T* to = k.panel;
  while (n > 0) {
    const int64_t r = o / run, at = o % run, count = least(n, run - at);
    const int64_t y = p.y + r % runs, z = p.z + r / runs % p.deep, b = p.b + r / runs / p.deep;
    pack(from + b * q.g.image + z * q.g.z + y * q.g.y + at * q.g.x, q.g.channel, q.g.x, lanes, count, width, to);
    to += count * width;
    o += count;
    n -= count;
  }
}

// All tiles of a block of outputs and a panel of rows: sums += image * panel.
template <class S, class T>
void multiply_pairs(const WeightJob<S, T>& q, const WeightTask<T>& k, Pairs<T> pairs, const T* image, int64_t row,
                    bool adds) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t taps = q.taps(), pitch = q.plan.pitch(), vectors = q.plan.vectors;
  Target<T> to{{}, {N, N, N, N}, q.plan.even ? taps * pitch : pitch, adds, false, nullptr, Activation::none};
  const auto run = [&](int64_t first, int64_t rows) {
    for (int64_t j = 0; j < vectors; ++j) to.c[j] = k.sums + first * pitch + row + j * N;
    pair_kernel<T>(q.plan.even, rows, vectors)(pairs, to);
  };
  pairs.rs = q.layout.channel;
  if (!q.plan.even) {
    pairs.a = image;
    for (int64_t r = 0; r < k.channels * taps; r += q.plan.tile) {
      pairs.rows = q.reads + r;
      run(r, least(q.plan.tile, k.channels * taps - r));
    }
    return;
  }
  for (int64_t c = 0; c < k.channels; c += q.plan.tile)
    for (int64_t t = 0; t < taps; ++t) {
      pairs.a = image + c * q.layout.channel + q.reads[t];
      run(c * taps + t, least(q.plan.tile, k.channels - c));
    }
}

template <class S, class T>
void sum_piece(const WeightJob<S, T>& q, const WeightTask<T>& k, const Piece& p, bool adds) {
  const T* image = image_of(q, k, p);
  const int64_t* at = places_of(q, p);
  const int64_t count = p.images * p.deep * p.high * q.axis[2].count, width = q.plan.vectors * Vec<T>::N;
  const int64_t depth = even_share(count, WeightPlan::kDepth);
  for (int64_t o = 0; o < count; o += depth)
    for (int64_t row = 0; row < k.rows; row += width) {
      const int64_t n = least(depth, count - o);
      pack_gradient(q, k, p, row, o, n);
      multiply_pairs(q, k, {n, nullptr, 0, nullptr, at + o, k.panel}, image, row, adds || o > 0);
    }
}

template <class S, class T>
void run_task(const WeightJob<S, T>& q, WeightTask<T>& k) {
  const int64_t pieces = q.plan.pieces.count(), each = ceil_div(pieces, q.plan.parts);
  const int64_t panel = WeightPlan::kDepth * q.plan.vectors * Vec<T>::N;
  k.panel = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(panel)));
  for (int64_t i = k.part * each; i < least(pieces, (k.part + 1) * each); ++i)
    sum_piece(q, k, q.plan.pieces.at(i), i > k.part * each);
}

// The parts added, and transposed to where the weights lie.
template <class S, class T>
void write_weights(const WeightJob<S, T>& q, const WeightTask<T>& k) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t taps = q.taps(), pitch = q.plan.pitch(), size = q.plan.sums(taps);
  const int64_t parts = ceil_div(q.plan.pieces.count(), ceil_div(q.plan.pieces.count(), q.plan.parts));
  for (int64_t i = 0; i < k.channels * taps * pitch && parts > 1; i += N) {
    Vec<T> sum = load<T>(k.sums + i);
    for (int64_t p = 1; p < parts; ++p) sum = sum + load<T>(k.sums + p * size + i);
    store(k.sums + i, sum);
  }
  S* to = q.w + ((k.group * q.rows + k.row) * q.channels + k.channel) * taps;
  transpose_to<T>(k.sums, pitch, k.channels * taps, k.rows, to, q.channels * taps, k.channels * taps);
}

// The offsets of taps, or of scattered rows.
template <class S, class T>
const int64_t* read_offsets(const WeightJob<S, T>& q) {
  const int64_t taps = q.taps(), channels = q.plan.even ? 1 : q.plan.channels;
  int64_t* reads = static_cast<int64_t*>(scratch(kTableSlot, sizeof(int64_t) * static_cast<size_t>(channels * taps)));
  int64_t r = 0;
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t z = 0; z < q.axis[0].taps; ++z)
      for (int64_t y = 0; y < q.axis[1].taps; ++y)
        for (int64_t x = 0; x < q.axis[2].taps; ++x)
          reads[r++] = c * q.layout.channel + (q.axis[0].shift[z] - q.axis[0].lowest) * q.layout.z +
                       (q.axis[1].shift[y] - q.axis[1].lowest) * q.layout.y +
                       (q.axis[2].shift[x] - q.axis[2].lowest) * (q.plan.in_place ? q.x.x : 1);
  return reads;
}

template <class S, class T>
void weight_gradient(const WeightGrad<S>& w) {
  WeightJob<S, T> q{w, {}, {}, nullptr, nullptr};
  bool plain = std::is_same_v<S, T>;
  for (const Axis& a : w.axis) plain = plain && a.lowest >= 0 && a.lowest + a.reach(a.count) <= a.size;
  plain = plain && w.x.channel * static_cast<int64_t>(sizeof(T)) % 1024 != 0;
  q.plan = plan_weight_gradient<T>(w.axis, {w.images, w.channels, w.rows, w.groups, w.taps(), plain});
  q.layout = plain ? Layout{w.x.image, w.x.channel, w.x.z, w.x.y, 0, 1}
                   : layout<T>(w.axis, q.plan.pieces.full, q.plan.channels, 1);
  q.reads = read_offsets(q);
  const int64_t rb = q.row_blocks(), cb = q.channel_blocks(), parts = q.plan.parts, size = q.plan.sums(w.taps());
  const int64_t blocks = w.groups * rb * cb;
  q.sums = static_cast<T*>(scratch(kWeightSlot, sizeof(T) * static_cast<size_t>(blocks * parts * size)));
  const auto task = [&](int64_t block, int64_t part) {
    WeightTask<T> k{block / cb / rb,
                    block / cb % rb * q.plan.rows,
                    0,
                    block % cb * q.plan.channels,
                    0,
                    part,
                    q.sums + (block * parts + part) * size,
                    nullptr};
    k.rows = least(q.plan.rows, w.rows - k.row);
    k.channels = least(q.plan.channels, w.channels - k.channel);
    return k;
  };
  const double outputs = static_cast<double>(w.images) * w.axis[0].count * w.axis[1].count * w.axis[2].count;
  const double macs = outputs * q.plan.rows * q.plan.channels * w.taps() / parts;
  parallel_for(blocks * parts, static_cast<int64_t>(macs / 8) + 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      WeightTask<T> k = task(t / parts, t % parts);
      run_task(q, k);
      if (parts == 1) write_weights(q, k);
    }
  });
  if (parts == 1) return;
  parallel_for(blocks, parts * size / 4, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) write_weights(q, task(t, 0));
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

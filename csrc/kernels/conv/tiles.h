// Correlation on the matrix unit (gemm/tiles.h: floats as sums of bfloat16). A task stages its piece of the image
// as what tiles of b are made of: the channels of a block of 32 in pairs, 16 apart, a plane of pairs after the other
// for each part. A row of a tile is then 16 neighbours of such a plane, whatever the tap: each element is split once.
// Tiles of a are weights of 16 rows and one tap, packed ahead. Where a sum is no number, all of the product is computed
// again by the micro-kernel.
#pragma once

#include "kernels/conv/correlate.h"
#include "kernels/gemm/pack_tiles.h"
#include "kernels/gemm/strips.h"

namespace pydl::PYDL_ISA {
namespace {

struct TileLimits {
  static constexpr double kMacs = 4e6;         // less work does not pay for packing the weights
  static constexpr double kWeights = 7.5e6;    // bytes: more come too slowly from the third level
  static constexpr int64_t kRoom = 768 << 10;  // bytes of a staged image, which stays in the second level
  static constexpr int64_t kOutputs = 256;     // of a piece, if that is possible
  static constexpr int64_t kSteps = 24;        // that are summed up in one go, of 32 products each
  static constexpr int64_t kTasks = 8;         // wanted for several threads
  // Against one of the micro-kernel: a multiply-add, the staging of a channel's element, the writing of an output.
  static constexpr double kProduct = 0.5, kStaging = 16, kWriting = 16, kGain = 0.82;
};

// Lanes of tiles that the outputs of an image take.
inline int64_t tile_lanes(const Axis (&axis)[kAxes]) {
  constexpr int64_t N = Tile::kLanes;
  const Axis &z = axis[0], &y = axis[1], &x = axis[2];
  if (x.step > 1 || y.step > 1 || z.step > 1) return z.count * y.count * round_up(x.count, N);
  const int64_t row = x.count + x.span, plane = row * (y.count + y.span), size = z.count * y.count * x.count;
  return x.span + y.span == 0 ? size : z.count * round_up(least(plane, (y.count - 1) * row + x.count), N);
}

// Whether a correlation goes this way, by its shape alone.
template <class S>
bool takes_tiles(const Correlation<S>& c) {
  using L = TileLimits;
  const double outputs = static_cast<double>(c.axis[0].count) * c.axis[1].count * c.axis[2].count;
  const double taps = c.taps(), channels = c.channels, rows = c.rows, macs = channels * rows * taps;
  if (outputs <= 0 || outputs * c.images * macs < L::kMacs) return false;
  const double wide = round_up(c.channels, Tile::kSteps), high = round_up(c.rows, Tile::kLanes);
  if (2 * kParts<S> * wide * high * taps > L::kWeights) return false;
  const double lanes = static_cast<double>(tile_lanes(c.axis)) / outputs;
  return lanes * (L::kProduct * wide * high * taps + L::kStaging * wide + L::kWriting * high) < L::kGain * macs;
}

template <class S>
struct TileJob : Correlation<S> {
  static constexpr int P = kParts<S>;

  Pieces pieces;
  Layout layout;  // of the pairs of two channels
  Grid grid;      // of the output
  int64_t plane;  // from one pair of channels to the next
  int64_t blocks, steps;
  int64_t task_rows;
  const Tile* weights;  // (group, strip of 16 rows, block of channels, tap, part)
  const int64_t* at;    // where each step reads in the staged image
  bool fills;           // places between outputs along x take the bias
  bool* odd;            // set where a sum is no number

  int64_t strips() const { return ceil_div(this->rows, Tile::kLanes); }
  int64_t part() const { return Tile::kLanes * plane; }
};

// ---- staging

// n pairs of elements `step` apart, to P planes; `second` may be null.
template <int P, class S>
void stage_pairs(const S* first, const S* second, int64_t step, int64_t n, int64_t part, float* to) {
  using V = Vec<float>;
  for (int64_t i = 0; i < n; i += V::N, first += V::N * step, to += V::N) {
    const int64_t some = least(V::N, n - i);
    V::UBits low[P], high[P];
    split<P>(load_apart<float>(first, step, some), low);
    split<P>(second ? load_apart<float>(second, step, some) : V(), high);
    if (second) second += V::N * step;
#pragma GCC unroll 3
    for (int p = 0; p < P; ++p) {
      const V both(reinterpret_cast<V::Raw>((low[p] >> 16) | high[p]));
      some == V::N ? store(to + p * part, both) : store(to + p * part, both, some);
    }
  }
}

// What a piece reads of the channels of a group from c0 on.
template <class S>
void stage_tiles(const TileJob<S>& q, const Piece& p, int64_t c0, float* to) {
  constexpr int P = TileJob<S>::P;
  constexpr int64_t half = Tile::kLanes;
  const Layout& l = q.layout;
  for (int64_t c = 0; c < q.blocks * Tile::kSteps; c += c % half == half - 1 ? half + 1 : 1) {
    float* pairs = to + c / Tile::kSteps * P * q.part() + c % half * q.plane;
    const auto each_part = [&](auto&& f) {
      for (int i = 0; i < P; ++i) f(pairs + i * q.part());
    };
    if (c >= q.channels) {
      each_part([&](float* x) { clear(x, q.plane); });
      continue;
    }
    const int64_t other = c + half < q.channels ? half * q.x.channel : 0;
    for (int64_t r = 0; r < l.split; ++r) {
      if (l.split > 1 && !is_read(q.axis[2], r)) continue;
      const Inside in = inside(q.axis[2], l, r);
      each_row(q.x, q.axis, p, c0 + c, 1, l, pairs + r * l.rest, [&](const S* from, float* row) {
        for (int i = 0; i < P; ++i)
          from ? clear_border(in, l.rest, row + i * q.part()) : clear(row + i * q.part(), l.rest);
        if (!from) return;
        from += in.first * q.x.x;
        stage_pairs<P>(from, other ? from + other : nullptr, l.split * q.x.x, in.end - in.begin, q.part(),
                       row + in.begin);
      });
    }
  }
}

// The outputs of a piece, 16 places of a staged plane at a time: those that lie between rows are no outputs.
template <class S>
Strips tile_strips(const TileJob<S>& q, const Piece& p) {
  constexpr int64_t N = Tile::kLanes;
  const size_t strips = sizeof(Strip) * static_cast<size_t>(most_strips(q.axis, p, N));
  const size_t segments = sizeof(Segment) * static_cast<size_t>(most_segments(q.axis, p, N));
  char* room = static_cast<char*>(scratch(kStripSlot, strips + segments));
  Strips s{reinterpret_cast<Strip*>(room), reinterpret_cast<Segment*>(room + strips), 0};
  int64_t end = 0, next = 0;  // of the open strip, and of the segments
  const auto append_row = [&](int64_t from, int64_t to) {
    for (int64_t left = q.axis[2].count; left > 0;) {
      if (s.count == 0 || from >= end) {
        s.strip[s.count++] = {next, 0, N};
        end = from + N;
      }
      const int64_t n = least(left, end - from);
      s.segment[next++] = {from + N - end, n, from, to};
      ++s.strip[s.count - 1].segments;
      from += n, to += n * q.grid.x, left -= n;
    }
  };
  for (int64_t b = 0; b < p.images; ++b)
    for (int64_t z = 0; z < p.deep; ++z)
      for (int64_t y = 0; y < p.high; ++y)
        append_row(b * q.layout.image + z * q.axis[0].step * q.layout.z + y * q.axis[1].step * q.layout.y,
                   b * q.grid.image + z * q.grid.z + y * q.grid.y);
  return s;
}

// ---- products

// Up to two strips of the image, in whose planes rows of a tile are `row` apart.
struct InPlanes {
  const float* p[2];
  int64_t part, row;

  template <int Register>
  void load(int64_t which, int64_t i) const {
    load_tile<Register>(p[i] + which * part, row);
  }
};

// sums (16 R, 16 C) of some steps, which read at `at`; image: where each strip begins.
template <int R, int C, class S>
void sum_steps(const TileJob<S>& q, const Tile* a, const float* const (&image)[2], const int64_t* at, int64_t steps,
               float* sums) {
  constexpr int P = TileJob<S>::P;
  sum_tiles<R, C>(steps, sums, [&, strip = q.steps * P, part = q.part(), row = q.plane](int64_t s) {
    multiply_parts<P, R, C>(Packed{a + s * P, strip}, InPlanes{{image[0] + at[s], image[1] + at[s]}, part, row});
  });
}

template <class S>
inline auto sum_steps_of(bool tall, bool wide) {
  if (tall) return wide ? sum_steps<2, 2, S> : sum_steps<2, 1, S>;
  return wide ? sum_steps<1, 2, S> : sum_steps<1, 1, S>;
}

// What a task works on, and where its outputs go.
template <class S>
struct TileTask {
  int64_t group, row, rows;
  Piece piece;
  Strips strips;
  const float* image;
  S* y;
};

// An activation beyond relu takes the sums themselves; what is no number stays none.
template <class S>
void add_bias(float* sums, int64_t rows, const S* bias, int64_t stride, Activation f) {
  constexpr int64_t rs = kStripSums;
  for (int64_t r = 0; r < rows && bias; ++r)
    for (int64_t j = 0; j < rs; j += Vec<float>::N)
      store(sums + r * rs + j, load<float>(sums + r * rs + j) + Vec<float>(widen<float>(bias[r * stride])));
  activate(sums, rs, rows, rs, f);
}

// Rows of sums from row i of the task on to the outputs of `count` strips. False: some are no numbers.
template <class S>
bool put_sums(const TileJob<S>& q, const TileTask<S>& k, int64_t i, int64_t strip, int64_t count, float* sums) {
  constexpr int64_t rs = kStripSums;
  using V = Vec<float>;
  const int64_t rows = least(rs, k.rows - i);
  const Strip& last = k.strips.strip[strip + count - 1];
  const Segment* segment = k.strips.segment + k.strips.strip[strip].first;
  const int64_t segments = k.strips.segment + last.first + last.segments - segment, second = last.first;
  const S* bias = q.bias ? q.bias + (k.group * q.rows + k.row + i) * q.bias_stride : nullptr;
  S* y = k.y + i * q.y_channel;
  const bool relu = q.activation == Activation::relu, late = q.activation > Activation::relu;
  if (late) add_bias(sums, rows, bias, q.bias_stride, q.activation);
  V zero;
  for (int64_t r = 0; r < rows; ++r, sums += rs, y += q.y_channel) {
    const V add(bias && !late ? widen<float>(bias[r * q.bias_stride]) : 0.0f);
    for (int64_t s = 0; s < segments; ++s) {
      const Segment& e = segment[s];
      const float* from = sums + (count > 1 && &e >= k.strips.segment + second ? 16 : 0) + e.lane;
      V v = e.count == V::N ? load<float>(from) : load<float>(from, e.count);
      zero = fma(v, V(), zero);
      v = v + add;
      if (relu) v = max(v, V());
      if (q.fills) {
        store_pairs(y + e.to, 2 * e.count, v, relu ? max(add, V()) : add);
      } else {
        store_apart(y + e.to, q.grid.x, v, e.count);
      }
    }
  }
  return sum(zero) == 0;
}

template <class S>
void multiply_task(const TileJob<S>& q, const TileTask<S>& k) {
  constexpr int P = TileJob<S>::P;
  constexpr int64_t block = kStripSums, N = Tile::kLanes;
  alignas(64) float sums[block * block], part[block * block];
  const MatrixUnit unit;
  for (int64_t i = 0; i < k.rows; i += block) {
    const Tile* a = q.weights + (k.group * q.strips() + (k.row + i) / N) * q.steps * P;
    for (int64_t s = 0; s < k.strips.count; s += 2) {
      const int64_t count = least(2, k.strips.count - s);
      const auto begin = [&](int64_t j) { return k.image + k.strips.segment[k.strips.strip[j].first].from; };
      const float* const image[2] = {begin(s), begin(s + count - 1)};
      const auto sum_some = sum_steps_of<S>(k.rows - i > N, count > 1);
      for (int64_t t = 0; t < q.steps; t += TileLimits::kSteps) {
        sum_some(q, a + t * P, image, q.at + t, least(TileLimits::kSteps, q.steps - t), t == 0 ? sums : part);
        if (t > 0) add_sums(part, least(block, k.rows - i), count * N, sums);
      }
      if (!put_sums(q, k, i, s, count, sums) && P > 1) __atomic_store_n(q.odd, true, __ATOMIC_RELAXED);
    }
  }
}

template <class S>
void run_task(const TileJob<S>& q, TileTask<S>& k) {
  const int64_t size = q.blocks * TileJob<S>::P * q.part();
  float* image = static_cast<float*>(scratch(kImageSlot, sizeof(float) * static_cast<size_t>(size)));
  stage_tiles(q, k.piece, k.group * q.channels, image);
  k.strips = tile_strips(q, k.piece);
  k.image = image;
  k.y = q.y + (k.group * q.rows + k.row) * q.y_channel + k.piece.b * q.y_image + k.piece.z * q.grid.z +
        k.piece.y * q.grid.y;
  multiply_task(q, k);
}

// The weights as tiles, and where each step reads.
template <class S>
void make_tile_tables(TileJob<S>& q) {
  constexpr int P = TileJob<S>::P;
  const int64_t taps = q.taps(), strips = q.strips();
  int64_t* places = static_cast<int64_t*>(scratch(kTableSlot, sizeof(int64_t) * static_cast<size_t>(taps + q.steps)));
  int64_t *at = places + taps, t = 0;
  for (int64_t z = 0; z < q.axis[0].taps; ++z)
    for (int64_t y = 0; y < q.axis[1].taps; ++y)
      for (int64_t x = 0; x < q.axis[2].taps; ++x, ++t) {
        places[t] = q.axis[0].tap[z] * q.w.z + q.axis[1].tap[y] * q.w.y + q.axis[2].tap[x] * q.w.x;
        at[t] = tap_offset(q.axis, q.layout, z, y, x);
      }
  for (int64_t s = taps; s < q.steps; ++s) at[s] = at[s - taps] + P * q.part();
  Tile* to =
      static_cast<Tile*>(scratch(kWeightSlot, sizeof(Tile) * static_cast<size_t>(q.groups * strips * q.steps * P)));
  q.at = at;
  q.weights = to;
  parallel_for(q.groups * strips, q.steps * 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t s = 0; s < q.steps; ++s) {
        const int64_t row = i % strips * Tile::kLanes, c = s / taps * Tile::kSteps;
        const S* from = q.w.p + i / strips * q.w.group + row * q.w.row + c * q.w.channel + places[s % taps];
        pack_tile<P>(from, from, q.w.row, q.w.channel, least(Tile::kLanes, q.rows - row),
                     least(Tile::kSteps, q.channels - c), false, to + (i * q.steps + s) * P);
      }
  });
}

// fills: the places between outputs along x are written too, and hold the bias. False: there is a sum that is no
// number, and outputs are not to be used.
template <class S>
bool correlate_tiles(const Correlation<S>& c, bool fills = false) {
  using L = TileLimits;
  bool odd = false;
  TileJob<S> q{c, {}, {}, {}, 0, ceil_div(c.channels, Tile::kSteps), 0, 0, nullptr, nullptr, fills, &odd};
  q.steps = q.blocks * c.taps();
  const int64_t row = q.blocks * Tile::kLanes * TileJob<S>::P * axis_bytes<float>(c.axis[2]);
  q.pieces = cut(c.axis, c.images, row, L::kRoom, L::kOutputs, L::kTasks);
  q.layout = layout<float>(c.axis, q.pieces.full, 1, c.axis[2].step);
  q.plane = (ceil_div(q.layout.image * q.pieces.full.images, 16) | 1) * 16 + 32;
  q.grid = {c.y_image, c.axis[0].pitch * c.y_z, c.axis[1].pitch * c.y_y, c.axis[2].pitch};
  q.y += c.axis[0].start * c.y_z + c.axis[1].start * c.y_y + c.axis[2].start;
  make_tile_tables(q);
  const int64_t count = q.pieces.count(), strips = ceil_div(c.rows, kStripSums);
  const int64_t parts = least(ceil_div(L::kTasks, count * c.groups), most(1, strips / 4));
  q.task_rows = ceil_div(strips, parts) * kStripSums;
  const int64_t blocks = ceil_div(c.rows, q.task_rows);
  const double outputs = static_cast<double>(c.images) * c.axis[0].count * c.axis[1].count * c.axis[2].count;
  const double macs = outputs * c.rows * c.channels * c.taps() / static_cast<double>(count * blocks);
  parallel_for(count * blocks * c.groups, static_cast<int64_t>(macs / 24) + 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      TileTask<S> k{
          t / count / blocks, t / count % blocks * q.task_rows, 0, q.pieces.at(t % count), {}, nullptr, nullptr};
      k.rows = least(q.task_rows, c.rows - k.row);
      run_task(q, k);
    }
  });
  return !odd;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

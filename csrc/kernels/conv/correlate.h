// Correlation by the micro-kernel: y[m, o] = activation(sum over channels and taps of w[m, c, t] x[c, o + shift[t]] +
// bias[m]). Weights are packed once. A task is a piece of the output and some rows of weights: its image is staged, and
// for one block of channels after the other each panel of strips meets the rows of weights. The vectors of a panel are
// read in the staged image where each strip lies in one row (direct), else they are packed for all rows of weights.
#pragma once

#include "kernels/conv/path.h"

namespace pydl::PYDL_ISA {
namespace {

// The buffers in runtime/parallel.h: what all threads read, and what belongs to one task.
constexpr int kTableSlot = 0, kWeightSlot = 1, kStripSlot = 2, kImageSlot = 3, kPanelSlot = 4, kGeometrySlot = 5;
constexpr int kTurnTableSlot = 6, kTurnWeightSlot = 7;  // of the other half of a pair

template <class S>
struct Weights {
  const S* p;
  int64_t group, row, channel, z, y, x;  // strides
};

template <class S>
struct Correlation {
  Axis axis[kAxes];
  int64_t images, channels, rows, groups;  // channels of the image and of the output, of one group
  Image<S> x;
  Weights<S> w;
  S* y;
  int64_t y_image, y_channel, y_z, y_y;  // strides; that of x is 1
  const S* bias;
  int64_t bias_stride;
  Activation activation;

  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
};

// A correlation with all that is settled before the tasks begin.
template <class S, class T>
struct Job : Correlation<S> {
  CorrelatePlan plan;
  Layout layout;          // of a full piece
  Grid grid;              // of the output
  bool scatters;          // sums are kept in a buffer until they are complete, then copied where they belong
  int64_t blocks;         // of channels
  const T* weights;       // packed: (group, block of channels, tile of rows, k, row)
  const T* bias_t;        // of all groups, in T; null: none
  const int64_t* places;  // of each tap in the weights
  const int64_t* reads;   // of each step of a block, in the staged image
  const int64_t* packed;  // of each step of a block, in a packed panel
  const Job* turn;        // the product whose outputs take turns with these along x; or null

  int64_t depth(int64_t block) const {
    return least(plan.channels, this->channels - block * plan.channels) * this->taps();
  }
  const T* weights_of(int64_t group, int64_t block, int64_t row) const {
    const int64_t steps = this->taps();
    return weights + (group * this->channels + block * plan.channels) * steps * this->rows + row * depth(block);
  }
};

template <class S, class T>
void pack_weights(const Job<S, T>& q, int64_t group, int64_t block, int64_t i, T* to) {
  const int64_t taps = q.taps(), rows = least(q.plan.tile, q.rows - i), channels = q.depth(block) / most(1, taps);
  const S* from = q.w.p + group * q.w.group + i * q.w.row + block * q.plan.channels * q.w.channel;
  bool dense = true;  // the taps lie one behind the other
  for (int64_t t = 0; t < taps; ++t) dense = dense && q.places[t] == t;
  if (dense && q.w.channel == taps) return pack(from, q.w.row, int64_t{1}, rows, channels * taps, rows, to);
  for (int64_t c = 0; c < channels; ++c, from += q.w.channel, to += taps * rows) {
    if (dense && taps > 1) {
      pack(from, q.w.row, int64_t{1}, rows, taps, rows, to);
      continue;
    }
    for (int64_t t = 0; t < taps; ++t)
      pack(from + q.places[t], q.w.row, int64_t{0}, rows, int64_t{1}, rows, to + t * rows);
  }
}

template <class S, class T>
const T* pack_all_weights(const Job<S, T>& q, int slot) {
  const int64_t tiles = ceil_div(q.rows, q.plan.tile), size = q.groups * q.rows * q.channels * q.taps();
  T* to = static_cast<T*>(scratch(slot, sizeof(T) * static_cast<size_t>(size + Vec<T>::N)));
  Job<S, T> with = q;
  with.weights = to;
  parallel_for(q.groups * q.blocks * tiles, 2 * q.plan.tile * q.depth(0), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = t % tiles * q.plan.tile, block = t / tiles % q.blocks, group = t / tiles / q.blocks;
      pack_weights(q, group, block, i, const_cast<T*>(with.weights_of(group, block, i)));
    }
  });
  return to;
}

// The tables of taps and steps, and the bias in T.
template <class S, class T>
void make_tables(Job<S, T>& q, int slot) {
  const int64_t taps = q.taps(), steps = q.plan.channels * taps, biases = q.bias ? q.groups * q.rows : 0;
  int64_t* places = static_cast<int64_t*>(
      scratch(slot, sizeof(int64_t) * static_cast<size_t>(taps + 2 * steps + 1) + sizeof(T) * biases));
  int64_t *reads = places + taps, *packed = reads + steps, t = 0;
  for (int64_t z = 0; z < q.axis[0].taps; ++z)
    for (int64_t y = 0; y < q.axis[1].taps; ++y)
      for (int64_t x = 0; x < q.axis[2].taps; ++x, ++t) {
        places[t] = q.axis[0].tap[z] * q.w.z + q.axis[1].tap[y] * q.w.y + q.axis[2].tap[x] * q.w.x;
        reads[t] = tap_offset(q.axis, q.layout, z, y, x);
      }
  for (int64_t k = taps; k < steps; ++k) reads[k] = reads[k - taps] + q.layout.channel;
  for (int64_t k = 0; k < steps; ++k) packed[k] = k * q.plan.vectors * Vec<T>::N;
  T* bias = reinterpret_cast<T*>(packed + steps);
  for (int64_t i = 0; i < biases; ++i) bias[i] = widen<T>(q.bias[i * q.bias_stride]);
  q.places = places;
  q.reads = reads;
  q.packed = packed;
  q.bias_t = q.bias ? bias : nullptr;
}

// Memory that is about to be read: runs of it, equally far apart.
template <class T>
struct Ahead {
  const T* p = nullptr;
  int64_t runs = 0, length = 0, apart = 0;  // in elements
  int64_t run = 0, at = 0;

  // Lets a tile of k steps fetch what comes next.
  void share(Steps<T>& steps) {
    steps.ahead = steps.a;
    steps.ahead_step = 0;
    if (run == runs) return;
    steps.ahead = p + run * apart + at;
    steps.ahead_step = Steps<T>::kLine;
    at += steps.k / Steps<T>::kFetchSteps * Steps<T>::kLine;
    if (at < length) return;
    at = 0;
    ++run;
  }
};

// What a task works on.
template <class T>
struct Task {
  int64_t group, row, rows;
  Piece piece;
  Strips strips;
  const T* image;
  T* panel;        // where vectors are packed
  T* buffer;       // where sums are kept if they are scattered at the end: (rows, strips * N)
  Ahead<T> ahead;  // the image of the next
};

template <class S, class T>
void pack_panel(const Job<S, T>& q, const Task<T>& k, int64_t strip, int64_t vectors, const T* image, int64_t depth) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t width = q.plan.vectors * N;
  for (int64_t j = 0; j < vectors; ++j) {
    const Strip& s = k.strips.strip[strip + j];
    for (int64_t g = s.first; g < s.first + s.segments; ++g) {
      const Segment segment = k.strips.segment[g];
      const T* from = image + segment.from;
      T* to = k.panel + j * N + segment.lane;
      if (segment.count == N) {
        for (int64_t p = 0; p < depth; ++p, to += width) store(to, load<T>(from + q.reads[p]));
      } else {
        for (int64_t p = 0; p < depth; ++p, to += width) store(to, load<T>(from + q.reads[p]), segment.count);
      }
    }
    T* rest = k.panel + j * N + s.count;
    for (int64_t p = 0; p < depth && s.count < N; ++p, rest += width) store(rest, Vec<T>(), N - s.count);
  }
}

// One panel of strips, one block of channels, and `count` rows of the task from `first_row` on.
template <class S, class T>
void correlate_panel(const Job<S, T>& q, Task<T>& k, int64_t block, int64_t strip, int64_t vectors, int64_t first_row,
                     int64_t count) {
  constexpr int64_t N = Vec<T>::N;
  const T* image = k.image + block * q.plan.channels * q.layout.channel;
  Steps<T> steps{q.depth(block), nullptr, {}, q.plan.direct ? q.reads : q.packed, nullptr, 0};
  if (!q.plan.direct) pack_panel(q, k, strip, vectors, image, steps.k);
  Target<T> to{{}, {}, q.y_channel, block > 0, block + 1 == q.blocks, nullptr, q.activation};
  T* y = reinterpret_cast<T*>(first_output(q, k)) + first_row * q.y_channel;
  if (q.scatters) to.rs = k.strips.count * N;
  for (int64_t j = 0; j < vectors; ++j) {
    const Strip& s = k.strips.strip[strip + j];
    const Segment& first = k.strips.segment[s.first];
    steps.b[j] = q.plan.direct ? image + first.from : k.panel + j * N;
    to.c[j] = q.scatters ? k.buffer + first_row * to.rs + (strip + j) * N : y + first.to;
    to.count[j] = q.scatters ? N : s.count;
  }
  for (int64_t i = first_row; i < first_row + count; i += q.plan.tile) {
    const int64_t rows = least(q.plan.tile, first_row + count - i);
    steps.a = q.weights_of(k.group, block, k.row + i);
    to.bias = q.bias_t ? q.bias_t + k.group * q.rows + k.row + i : nullptr;
    k.ahead.share(steps);
    correlate_kernel<T>(rows, vectors)(steps, to);
    for (int64_t j = 0; j < vectors; ++j) to.c[j] += rows * to.rs;
  }
}

// Where a task writes its first output of its first row.
template <class S, class T>
S* first_output(const Job<S, T>& q, const Task<T>& k) {
  return q.y + (k.group * q.rows + k.row) * q.y_channel + k.piece.b * q.y_image + k.piece.z * q.grid.z +
         k.piece.y * q.grid.y;
}

template <class S, class T>
void scatter(const Job<S, T>& q, const Task<T>& k) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t pitch = q.grid.x;
  for (int64_t i = 0; i < k.rows; ++i) {
    S* y = first_output(q, k) + i * q.y_channel;
    const T* row = k.buffer + i * k.strips.count * N;
    for (int64_t j = 0; j < k.strips.count; ++j, row += N) {
      const Strip& s = k.strips.strip[j];
      for (int64_t g = s.first; g < s.first + s.segments; ++g) {
        const Segment& e = k.strips.segment[g];
        store_apart(y + e.to, pitch, load<T>(row + e.lane, e.count), e.count);
      }
    }
  }
}

// The sums of both halves of a pair: `other` holds those that take turns with the task's own.
template <class S, class T>
void scatter_in_turns(const Job<S, T>& q, const Task<T>& k, const T* other) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t apart = other - k.buffer;
  for (int64_t i = 0; i < k.rows; ++i) {
    S* y = first_output(q, k) + i * q.y_channel;
    const T* row = k.buffer + i * k.strips.count * N;
    for (int64_t j = 0; j < k.strips.count; ++j, row += N) {
      const Strip& s = k.strips.strip[j];
      for (const Segment* e = k.strips.segment + s.first; e < k.strips.segment + s.first + s.segments; ++e) {
        const Vec<T> a = load<T>(row + e->lane, e->count), b = load<T>(row + apart + e->lane, e->count);
        store_pairs(y + e->to, 2 * e->count, a, b);
      }
    }
  }
}

// The image of a task, where its first output reads with the smallest shifts.
template <class S, class T>
const T* image_of(const Job<S, T>& q, const Task<T>& k) {
  const Piece& p = k.piece;
  const int64_t c0 = k.group * q.channels;
  if constexpr (std::is_same_v<S, T>) {
    if (q.plan.in_place)
      return q.x.p + p.b * q.x.image + c0 * q.x.channel + (p.z * q.axis[0].step + q.axis[0].lowest) * q.x.z +
             (p.y * q.axis[1].step + q.axis[1].lowest) * q.x.y + q.axis[2].lowest * q.x.x;
  }
  const int64_t size = q.layout.image * p.images;
  T* image = static_cast<T*>(scratch(kImageSlot, sizeof(T) * static_cast<size_t>(size + Vec<T>::N)));
  if (q.taps() > 0 || q.turn) stage(q.x, q.axis, p, c0, q.channels, q.layout, image);
  clear(image + size,
        Vec<T>::N);  // vectors that begin in the last row may end here
  return image;
}

template <class S, class T>
Strips strips_of(const Job<S, T>& q, const Piece& p) {
  constexpr int64_t N = Vec<T>::N;
  const size_t strips = sizeof(Strip) * static_cast<size_t>(most_strips(q.axis, p, N));
  const size_t segments = sizeof(Segment) * static_cast<size_t>(most_segments(q.axis, p, N));
  char* room = static_cast<char*>(scratch(kStripSlot, strips + segments));
  Strips s{reinterpret_cast<Strip*>(room), reinterpret_cast<Segment*>(room + strips), 0};
  make_strips(q.axis, p, q.layout, q.grid, q.plan.joining, N, s);
  return s;
}

// All rows and blocks of a task.
template <class S, class T>
void sum_strips(const Job<S, T>& q, Task<T>& k) {
  // Where little is summed, writing is what takes time: a tile's rows of the output are then written one vector after
  // the other, else all rows of weights meet a panel while it is in the first-level cache.
  const int64_t rows = q.plan.direct && q.taps() == 1 ? q.plan.tile : k.rows;
  for (int64_t block = 0; block < q.blocks; ++block)
    for (int64_t i = 0; i < k.rows; i += rows)
      for (int64_t strip = 0; strip < k.strips.count;) {
        const int64_t left = k.strips.count - strip;
        const int64_t vectors = left >= q.plan.vectors ? q.plan.vectors : left >= 2 ? 2 : 1;
        correlate_panel(q, k, block, strip, vectors, i, least(rows, k.rows - i));
        strip += vectors;
      }
}

template <class S, class T>
void run_task(const Job<S, T>& q, Task<T>& k) {
  constexpr int64_t N = Vec<T>::N;
  k.strips = strips_of(q, k.piece);
  k.image = image_of(q, k);
  const int64_t depth = q.turn ? most(q.depth(0), q.turn->depth(0)) : q.depth(0);
  const int64_t panel = q.plan.direct ? 0 : depth * q.plan.vectors * N;
  const int64_t buffer = q.scatters ? k.rows * k.strips.count * N : 0;
  k.panel = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(panel + 2 * buffer + N)));
  k.buffer = k.panel + panel;
  sum_strips(q, k);
  if (q.turn) {
    Task<T> other = k;
    other.buffer += buffer;
    sum_strips(*q.turn, other);
    scatter_in_turns(q, k, other.buffer);
  } else if (q.scatters) {
    scatter(q, k);
  }
}

// Settles the plan and the layout.
template <class S, class T>
Job<S, T> make_job(const Correlation<S>& c) {
  Job<S, T> q{c, {}, {}, {}, false, 1, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr};
  const bool inside = [&] {
    for (const Axis& a : c.axis)
      if (a.lowest < 0 || a.lowest + a.reach(a.count) > a.size) return false;
    return true;
  }();
  const bool plain = std::is_same_v<S, T> && c.x.x == 1 && c.axis[2].step == 1 && inside && c.taps() > 0;
  q.plan = plan_correlation<T>(c.axis, {c.images, c.channels, c.rows, c.groups, c.taps(), plain});
  q.layout = q.plan.in_place ? Layout{c.x.image, c.x.channel, c.x.z, c.x.y, 0, 1}
                             : layout<T>(c.axis, q.plan.pieces.full, c.channels, c.axis[2].step);
  q.grid = {c.y_image, c.axis[0].pitch * c.y_z, c.axis[1].pitch * c.y_y, c.axis[2].pitch};
  const bool whole = c.axis[0].pitch == 1 && c.axis[1].pitch == 1 && c.axis[2].pitch == 1;
  q.scatters = !std::is_same_v<S, T> || !whole || q.plan.joining == Joining::piece;
  q.blocks = most(1, ceil_div(c.channels, most(1, q.plan.channels)));
  return q;
}

// What image_of reads for a piece, in runs: a channel's rows each, or images where they are in one piece.
template <class S, class T>
Ahead<T> image_ahead(const Job<S, T>& q, const Piece& p, int64_t group) {
  Ahead<T> a;
  if constexpr (std::is_same_v<S, T>) {
    const Axis& y = q.axis[1];
    if (q.plan.in_place || p.deep > 1 || q.x.channel <= 0 || q.x.y <= 0) return a;
    const int64_t y0 = p.y * y.step + y.lowest, first = most(0, y0), last = least(y.size, y0 + y.reach(p.high));
    a.p = q.x.p + p.b * q.x.image + group * q.channels * q.x.channel + first * q.x.y;
    a.length = (last - first) * q.x.y;
    const bool whole = a.length == q.x.channel;
    a.runs = whole ? p.images : q.channels;
    a.apart = whole ? q.x.image : q.x.channel;
    if (whole) a.length *= q.channels;
  }
  return a;
}

// The job of a pair's other half, by the plan of the half with more taps.
template <class S, class T>
Job<S, T> join_jobs(Job<S, T>& q, const Correlation<S>& turn) {
  Job<S, T> other = make_job<S, T>(turn);
  const Job<S, T>& more = other.taps() > q.taps() ? other : q;
  q.plan = other.plan = more.plan;
  q.layout = other.layout = more.layout;
  q.blocks = other.blocks = more.blocks;
  make_tables(other, kTurnTableSlot);
  other.weights = pack_all_weights(other, kTurnWeightSlot);
  return other;
}

// turn: a product of the same image whose outputs lie between those of c along x; both have equally many.
template <class S, class T>
void correlate(const Correlation<S>& c, const Correlation<S>* turn = nullptr) {
  if (c.axis[0].count <= 0 || c.axis[1].count <= 0 || c.axis[2].count <= 0) return;
  Job<S, T> q = make_job<S, T>(c), other;
  if (turn) {
    other = join_jobs(q, *turn);
    q.turn = &other;
  }
  q.y += c.axis[0].start * c.y_z + c.axis[1].start * c.y_y + c.axis[2].start;
  make_tables(q, kTableSlot);
  q.weights = pack_all_weights(q, kWeightSlot);
  const Pieces& pieces = q.plan.pieces;
  const int64_t blocks = ceil_div(c.rows, q.plan.rows), count = pieces.count();
  const double outputs = static_cast<double>(c.images) * c.axis[0].count * c.axis[1].count * c.axis[2].count;
  const int64_t taps = c.taps() + (turn ? turn->taps() : 0);
  const double macs = outputs * c.rows * c.channels * taps / (count * blocks);
  parallel_for(count * blocks * c.groups, static_cast<int64_t>(macs / 8) + 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      Task<T> k{t / count / blocks, t / count % blocks * q.plan.rows, 0, pieces.at(t % count), {}, {}, {}, {}, {}};
      if (t + 1 < end) k.ahead = image_ahead(q, pieces.at((t + 1) % count), (t + 1) / count / blocks);
      k.rows = least(q.plan.rows, c.rows - k.row);
      run_task(q, k);
    }
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

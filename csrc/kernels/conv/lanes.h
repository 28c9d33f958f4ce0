// Images in the lanes. Where rows of outputs are short and channels few, vectors along x stay half empty and what is
// packed serves few products. Here lane l of every vector belongs to image l of a block: staging turns a block's images
// over, products and sums then know no tails, and taps that lie in the border of an image are left out.
#pragma once

#include "kernels/conv/planes_grad.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kLaneSums = 16 << 10;  // bytes of outputs that are turned over at a time

// Strides of a staged block; those of a row are of vectors.
template <class T>
Layout lane_layout(const Axis (&axis)[kAxes], const Piece& p, int64_t channels) {
  constexpr int64_t N = Vec<T>::N;
  Layout l = layout<T>(axis, p, channels, 1);
  l.image *= N, l.channel *= N, l.z *= N, l.y *= N;
  return l;
}

// Blocks of images, cut along z and y where they are few.
template <class T>
Pieces lane_pieces(const Axis (&axis)[kAxes], int64_t images, int64_t channels) {
  constexpr int64_t N = Vec<T>::N;
  Pieces p =
      cut(axis, ceil_div(images, N), channels * N * axis_bytes<T>(axis[2]), LaneLimits::kRoom, 1, LaneLimits::kTasks);
  p.full.images = 1;
  return p;
}

// to[j * N + l] = from[l * apart + j] for n elements of each of `lanes` images, and 0 for other lanes. What follows is
// fetched meanwhile: no prefetcher follows so many streams.
template <bool Full, class S, class T>
void turn_block(const S* from, int64_t apart, int64_t lanes, int64_t n, T* to) {
  constexpr int64_t N = Vec<T>::N, kAhead = 2 * N;
  for (int64_t j = 0; j < n; j += N, from += N, to += N * N) {
    const int64_t steps = least(N, n - j);
    Vec<T> v[N];
#pragma GCC unroll 16
    for (int l = 0; l < N; ++l) {
      const S* row = from + l * apart;
      if (!Full && l >= lanes) continue;
      __builtin_prefetch(row + kAhead);
      v[l] = steps == N ? load<T>(row) : load<T>(row, steps);
    }
    transpose<N / 2>(v);
#pragma GCC unroll 16
    for (int k = 0; k < N; ++k)
      if (k < steps) store(to + k * N, v[k]);
  }
}

template <class S, class T>
void turn_block(const S* from, int64_t apart, int64_t step, int64_t lanes, int64_t n, T* to) {
  if (step != 1) return pack(from, apart, step, lanes, n, Vec<T>::N, to);
  lanes == Vec<T>::N ? turn_block<true>(from, apart, lanes, n, to) : turn_block<false>(from, apart, lanes, n, to);
}

// What a piece reads of the channels from c0 on, turned over; p.b counts blocks of images.
template <class S, class T>
const T* stage_lanes(const Image<S>& x, const Axis (&axis)[kAxes], Piece p, int64_t images, int64_t c0,
                     int64_t channels, const Layout& l) {
  constexpr int64_t N = Vec<T>::N;
  T* image = static_cast<T*>(scratch(kImageSlot, sizeof(T) * static_cast<size_t>(l.image)));
  const Inside in = inside(axis[2], l, 0);
  p.b *= N;
  const int64_t lanes = least(N, images - p.b);
  each_row(x, axis, p, c0, channels, l, image, [&](const S* from, T* row) {
    if (!from) return clear(row, l.y);
    clear(row, in.begin * N);
    turn_block(from + in.first * x.x, x.image, x.x, lanes, in.end - in.begin, row + in.begin * N);
    clear(row + in.end * N, l.y - in.end * N);
  });
  return image;
}

// Where each tap of each channel reads, seen from an output's place.
template <class T>
const int64_t* lane_reads(const Axis (&axis)[kAxes], const Layout& l, int64_t channels) {
  const int64_t steps = axis[0].taps * axis[1].taps * axis[2].taps * channels;
  auto* reads = static_cast<int64_t*>(scratch(kTableSlot, sizeof(int64_t) * static_cast<size_t>(steps)));
  int64_t step = 0;
  for (int64_t z = 0; z < axis[0].taps; ++z)
    for (int64_t y = 0; y < axis[1].taps; ++y)
      for (int64_t x = 0; x < axis[2].taps; ++x)
        for (int64_t c = 0; c < channels; ++c)
          reads[step++] = c * l.channel + (axis[0].shift[z] - axis[0].lowest) * l.z +
                          (axis[1].shift[y] - axis[1].lowest) * l.y + (axis[2].shift[x] - axis[2].lowest) * Vec<T>::N;
  return reads;
}

// ---- forward, and the gradient of the input

struct Taps {
  int64_t first, end;
};

// Those that any of n outputs from `at` on finds inside the image.
inline Taps taps_inside(const Axis& a, int64_t at, int64_t n) {
  const auto reads = [&](int64_t t) {
    return (at + n - 1) * a.step + a.shift[t] >= 0 && at * a.step + a.shift[t] < a.size;
  };
  Taps r{0, a.taps};
  while (r.first < r.end && !reads(r.first)) ++r.first;
  while (r.first < r.end && !reads(r.end - 1)) --r.end;
  return r;
}

// Steps are by tap, then by channel; a (step, R) packed.
template <class T>
struct LaneSteps {
  const T* a;
  const T* b;         // what the first output reads
  int64_t apart;      // from one output's to the next one's
  const int64_t* at;  // where each step reads
  Taps z, y, x;
  int64_t high, wide, channels;
};

// R rows by V neighbouring outputs.
template <class T, int R, int V>
void lane_tile(const LaneSteps<T>& s, const Target<T>& to) {
  Register<T> acc[R][V];
  each<T, R, V>(acc, [](Vec<T>, int, int) { return Vec<T>(); });
  const T* b[V];
#pragma GCC unroll 4
  for (int j = 0; j < V; ++j) b[j] = s.b + j * s.apart;
  for (int64_t z = s.z.first; z < s.z.end; ++z)
    for (int64_t y = s.y.first; y < s.y.end; ++y) {
      const int64_t row = (z * s.high + y) * s.wide, first = (row + s.x.first) * s.channels;
      const T* a = s.a + first * R;
      for (const int64_t *at = s.at + first, *end = s.at + (row + s.x.end) * s.channels; at < end; ++at, a += R) {
        Vec<T> bv[V];
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) bv[j] = load<T>(b[j] + *at);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
          const Vec<T> av(a[i]);
#pragma GCC unroll 4
          for (int j = 0; j < V; ++j) acc[i][j] = fma(av, bv[j], Vec<T>(acc[i][j])).v;
        }
      }
    }
  put<T, R, V>(acc, to);
}

template <class T>
struct LaneTiles {
  using Function = void (*)(const LaneSteps<T>& steps, const Target<T>& to);
  template <int R, int V>
  static constexpr Function tile = lane_tile<T, R, V>;
};

template <class S, class T>
struct LaneJob {
  const Correlation<S>* c;
  Pieces pieces;
  Layout layout;
  int64_t tile, vectors;
  const T *weights, *bias;  // (step, row of a tile) of each tile; and null, or in T
  const int64_t* reads;     // of each step
};

template <class S, class T>
void make_lane_tables(LaneJob<S, T>& q) {
  const Correlation<S>& c = *q.c;
  const int64_t steps = c.taps() * c.channels;
  auto* weights = static_cast<T*>(scratch(kWeightSlot, sizeof(T) * static_cast<size_t>((steps + 1) * c.rows)));
  int64_t step = 0;
  for (int64_t z = 0; z < c.axis[0].taps; ++z)
    for (int64_t y = 0; y < c.axis[1].taps; ++y)
      for (int64_t x = 0; x < c.axis[2].taps; ++x)
        for (int64_t channel = 0; channel < c.channels; ++channel, ++step) {
          const S* from = c.w.p + channel * c.w.channel + c.axis[0].tap[z] * c.w.z + c.axis[1].tap[y] * c.w.y +
                          c.axis[2].tap[x] * c.w.x;
          for (int64_t r = 0; r < c.rows; ++r) {
            const int64_t first = r / q.tile * q.tile, rows = least(q.tile, c.rows - first);
            weights[first * steps + step * rows + r - first] = widen<T>(from[r * c.w.row]);
          }
        }
  T* bias = weights + steps * c.rows;
  for (int64_t r = 0; r < c.rows && c.bias; ++r) bias[r] = widen<T>(c.bias[r * c.bias_stride]);
  q.reads = lane_reads<T>(c.axis, q.layout, c.channels);
  q.weights = weights;
  q.bias = c.bias ? bias : nullptr;
}

// Some rows of outputs of a plane, from row y of the piece on, for a tile of weights; turned over at the end.
template <class S, class T>
struct LaneRows {
  const LaneJob<S, T>& q;
  const Piece& p;
  const T* image;
  T* sums;  // (row of the tile, output)

  void make(int64_t tile, int64_t z, int64_t y, int64_t high) const {
    constexpr int64_t N = Vec<T>::N;
    const Correlation<S>& c = *q.c;
    const int64_t count = c.axis[2].count, size = high * count, rows = least(q.tile, c.rows - tile);
    const int64_t lanes = least(N, c.images - p.b * N);
    S* to = c.y + p.b * N * c.y_image + tile * c.y_channel + (p.z + z) * c.y_z + (p.y + y) * c.y_y;
    for (int64_t i = 0; i < high; ++i) add_row(tile, rows, z, y + i, sums + i * count * N, size * N);
    for (int64_t r = 0; r < rows; ++r, to += c.y_channel)
      transpose_to<T>(sums + r * size * N, N, size, lanes, to, c.y_image, size);
  }

  void add_row(int64_t tile, int64_t rows, int64_t z, int64_t y, T* to, int64_t rs) const {
    constexpr int64_t N = Vec<T>::N;
    const Correlation<S>& c = *q.c;
    const Axis& across = c.axis[2];
    const T* row = image + z * c.axis[0].step * q.layout.z + y * c.axis[1].step * q.layout.y;
    LaneSteps<T> s{
        q.weights + tile * c.taps() * c.channels, row, across.step * N, q.reads,     taps_inside(c.axis[0], p.z + z, 1),
        taps_inside(c.axis[1], p.y + y, 1),       {},  c.axis[1].taps,  across.taps, c.channels};
    Target<T> t{{}, {N, N, N, N}, rs, false, true, q.bias ? q.bias + tile : nullptr, c.activation};
    for (int64_t x = 0, n; x < across.count; x += n) {
      const int64_t left = across.count - x;
      n = left >= q.vectors ? q.vectors : left >= 2 ? 2 : 1;
      s.b = row + x * s.apart;
      s.x = taps_inside(across, x, n);
      for (int64_t j = 0; j < n; ++j) t.c[j] = to + (x + j) * N;
      tile_kernel<T, LaneTiles<T>>(rows, n)(s, t);
    }
  }
};

template <class S, class T>
void correlate_lanes(const Correlation<S>& c) {
  LaneJob<S, T> q{&c, lane_pieces<T>(c.axis, c.images, c.channels), {}, even_rows<T>(c.rows), 0, {}, {}, {}};
  q.layout = lane_layout<T>(c.axis, q.pieces.full, c.channels);
  q.vectors = q.tile <= ConvTiling<T>::kFewRows ? 4 : 2;
  make_lane_tables(q);
  const int64_t count = c.axis[2].count, vector = sizeof(T) * Vec<T>::N;
  const int64_t some = most(1, kLaneSums / (vector * q.tile * count)), pieces = q.pieces.count();
  const int64_t outputs = c.axis[0].count * c.axis[1].count * count * Vec<T>::N * q.pieces.images / pieces;
  parallel_for(pieces, outputs * c.rows * c.channels * c.taps() / 8, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const Piece p = q.pieces.at(t);
      const T* image = stage_lanes<S, T>(c.x, c.axis, p, c.images, 0, c.channels, q.layout);
      T* sums =
          static_cast<T*>(scratch(kPanelSlot, static_cast<size_t>(vector * q.tile * least(some, p.high) * count)));
      const LaneRows<S, T> rows{q, p, image, sums};
      for (int64_t tile = 0; tile < c.rows; tile += q.tile)
        for (int64_t z = 0; z < p.deep; ++z)
          for (int64_t y = 0; y < p.high; y += some) rows.make(tile, z, y, least(some, p.high - y));
    }
  });
}

// ---- the gradient of the weights

// A vector of sums for each weight, over some pieces; its lanes are added at the end.
template <class S, class T>
struct LaneSums {
  static constexpr int64_t N = Vec<T>::N;

  const WeightGrad<S>& w;
  Axis axis[kAxes];  // with a staged row's elements as outputs
  Pieces pieces;
  Layout layout;
  const int64_t* reads;  // of each tap

  int64_t size() const { return w.rows * w.channels * w.taps(); }

  // What g has for some rows of outputs, turned over: (channel, output).
  const T* stage_gradient(const Piece& p) const {
    const int64_t count = w.axis[2].count, lanes = least(N, w.images - p.b * N);
    T* room = static_cast<T*>(scratch(kPanelSlot, sizeof(T) * static_cast<size_t>(w.rows * p.high * count * N)));
    const bool whole = w.g.y == count * w.g.x;  // rows follow one another
    const int64_t runs = whole ? 1 : p.high, length = whole ? p.high * count : count;
    T* to = room;
    for (int64_t r = 0; r < w.rows; ++r) {
      const S* from = w.g.p + p.b * N * w.g.image + r * w.g.channel + p.z * w.g.z + p.y * w.g.y;
      for (int64_t i = 0; i < runs; ++i, to += length * N)
        turn_block(from + i * w.g.y, w.g.image, w.g.x, lanes, length, to);
    }
    return room;
  }

  // What some rows of outputs of a staged piece add; image: what the first of them reads.
  void add_rows(const Piece& p, const T* image, Vec<T>* sums) const {
    const T* g = stage_gradient(p);
    const int64_t taps = w.taps(), plane = p.high * axis[2].count, share = even_share(w.rows, kSharing<T>);
    for (int64_t c = 0; c < w.channels; ++c) {
      const Plane<T> x{axis, layout, {0, 0, 0, 1, 1, p.high}, image + c * layout.channel, reads, taps};
      for (int64_t r = 0; r < w.rows; r += share) {
        const int64_t some = least(share, w.rows - r);
        Rows<T> rows[kSharing<T>];
        for (int64_t k = 0; k < some; ++k) rows[k] = {g + (r + k) * plane, 0};
        sum_channels(some, x, rows, w.channels * taps, sums + (r * w.channels + c) * taps,
                     std::make_integer_sequence<int, kSharing<T>>{});
      }
    }
  }

  void add_piece(const Piece& p, Vec<T>* sums) const {
    const T* image = stage_lanes<S, T>(w.x, w.axis, p, w.images, 0, w.channels, layout);
    const int64_t row = static_cast<int64_t>(sizeof(T)) * w.rows * axis[2].count, some = most(1, kPlaneRoom / row);
    for (int64_t z = 0; z < p.deep; ++z)
      for (int64_t y = 0; y < p.high; y += some) {
        const Piece rows{p.b, p.z + z, p.y + y, 1, 1, least(some, p.high - y)};
        add_rows(rows, image + z * axis[0].step * layout.z + y * axis[1].step * layout.y, sums);
      }
  }

  // The sums of pieces [first, last), each of all lanes.
  void add(int64_t first, int64_t last, T* to) const {
    const int64_t whole = round_up(size(), N);
    auto* sums = static_cast<Vec<T>*>(scratch(kStripSlot, sizeof(Vec<T>) * static_cast<size_t>(whole)));
    for (int64_t i = 0; i < whole; ++i) sums[i] = Vec<T>();
    for (int64_t i = first; i < last; ++i) add_piece(pieces.at(i), sums);
    for (int64_t i = 0; i < whole; i += N) {
      Vec<T> v[N];
      for (int k = 0; k < N; ++k) v[k] = sums[i + k];
      transpose<N / 2>(v);
      for (int step = 1; step < N; step *= 2)
        for (int k = 0; k < N; k += 2 * step) v[k] = v[k] + v[k + step];
      store(to + i, v[0], least(N, size() - i));
    }
  }
};

// A task for each part of the pieces; parts are added in order.
template <class S, class T>
void weight_lanes(const WeightGrad<S>& w) {
  LaneSums<S, T> q{w, {w.axis[0], w.axis[1], w.axis[2]}, lane_pieces<T>(w.axis, w.images, w.channels), {}, nullptr};
  q.layout = lane_layout<T>(w.axis, q.pieces.full, w.channels);
  q.axis[2].count *= Vec<T>::N;
  const int64_t size = q.size(), count = q.pieces.count(), each = ceil_div(count, least(count, ConvLimits::kTasks));
  const int64_t parts = ceil_div(count, each);
  q.reads = lane_reads<T>(w.axis, q.layout, 1);
  T* sums = static_cast<T*>(scratch(kWeightSlot, sizeof(T) * static_cast<size_t>(parts * size)));
  const int64_t outputs = w.axis[0].count * w.axis[1].count * q.axis[2].count * ceil_div(w.images, Vec<T>::N);
  parallel_for(parts, outputs / parts * size / 8, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) q.add(t * each, least(count, (t + 1) * each), sums + t * size);
  });
  for (int64_t i = 0; i < size; ++i) {
    T total = sums[i];
    for (int64_t p = 1; p < parts; ++p) total += sums[p * size + i];
    w.w[i] = narrow<S>(total);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

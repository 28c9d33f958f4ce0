// Which way a product is computed: the one place where that is decided, by
// shapes, strides and dtypes alone.
#pragma once

#include "kernels/conv/micro.h"
#include "kernels/conv/strips.h"

namespace pydl::PYDL_ISA {
namespace {

struct ConvLimits {
  static constexpr int64_t kDepth = 384;        // steps of k between passes over the output: as in gemm/blocked.h
  static constexpr int64_t kDirectDepth = 640;  // the same where nothing is packed and rows of weights are few
  static constexpr int64_t kFewRows = 256;
  static constexpr int64_t kRoom = 768 << 10;  // bytes of a staged image: with the
                                               // weights, the second-level cache
  static constexpr int64_t kLanes = 256;       // outputs that share one pass over the weights, if that is possible
  static constexpr int64_t kBlockRows = 560;   // rows of weights, kDepth deep, that stay in the second level
  static constexpr int64_t kTasks = 8;         // wanted for several threads
};

// Groups of one channel on both sides, or of few: no operand is shared.
inline bool is_depthwise(int64_t channels, int64_t rows, int64_t groups) {
  return groups > 1 && channels == 1 && rows <= 4;
}

// Where rows and channels are few, tiles of the weights' gradient would stay empty, as their vectors lie along the
// rows: it takes planes one by one, whose vectors lie along x.
template <class T>
bool sums_planes(int64_t channels, int64_t rows, const Axis& x) {
  constexpr int64_t N = Vec<T>::N;
  const bool wide = x.step == 1 && 2 * x.count >= N && 2 * rows < N;
  return (channels <= 2 && rows <= 16) || (channels <= 4 && wide);
}

// Images in the lanes (conv/lanes.h): small images in batches that fill vectors. Few channels leave the other ways with
// tiles half empty; many would make turning the images over worth the same for all ways.
struct LaneLimits {
  static constexpr int64_t kRoom = 1 << 20;  // bytes of a staged block, and of all outputs: written in as many streams
                                             // as there are lanes, they are slow beyond the second-level cache
  static constexpr int64_t kMost = 16;       // channels and rows
  static constexpr int64_t kTasks = 4;       // each task stages the rows that it shares with the next
  static constexpr int64_t kShared = 12;     // products of the weights' gradient for each element that is turned over
};

template <class T>
bool fills_lanes(const Axis (&axis)[kAxes], int64_t images, int64_t channels, int64_t rows, int64_t groups) {
  constexpr int64_t N = Vec<T>::N, size = static_cast<int64_t>(sizeof(T));
  int64_t plane = size * most(channels, 1) * N, taps = 1;
  for (const Axis& a : axis) {
    if (a.pitch != 1 || a.count <= 0 || a.taps == 0 || a.reach(a.count) > LaneLimits::kRoom / plane) return false;
    plane *= a.reach(a.count);
    taps *= a.taps;
  }
  const bool few = groups == 1 && taps > 1 && least(channels, rows) > 0 && most(channels, rows) <= LaneLimits::kMost;
  return few && 4 * images >= 3 * round_up(images, N);
}

template <class T>
bool correlates_lanes(const Axis (&axis)[kAxes], int64_t images, int64_t channels, int64_t rows, int64_t groups) {
  const int64_t outputs = axis[0].count * axis[1].count * axis[2].count, size = static_cast<int64_t>(sizeof(T));
  return fills_lanes<T>(axis, images, channels, rows, groups) && images * rows * outputs * size <= LaneLimits::kRoom;
}

// With more rows, vectors along the rows are filled without turning anything over.
template <class T>
bool sums_lanes(const Axis (&axis)[kAxes], int64_t images, int64_t channels, int64_t rows, int64_t groups) {
  const int64_t products = rows * channels * axis[0].taps * axis[1].taps * axis[2].taps;
  return axis[2].step == 1 && 3 * rows <= 2 * Vec<T>::N && products >= LaneLimits::kShared * (rows + channels) &&
         fills_lanes<T>(axis, images, channels, rows, groups);
}

struct CorrelatePlan {
  bool direct;       // vectors are read in the staged image, not packed
  bool in_place;     // the image needs no staging
  Joining joining;   // of outputs to strips
  int64_t vectors;   // of a panel
  int64_t tile;      // rows of a tile
  int64_t rows;      // of a task
  int64_t channels;  // of a block of k
  Pieces pieces;

  ConvPath path(int64_t taps) const {
    return taps == 1 ? ConvPath::pointwise : direct ? ConvPath::direct : ConvPath::packed;
  }
};

struct CorrelateShape {
  int64_t images, channels, rows, groups, taps;
  bool plain;  // the image is in T with unit steps along x, and no output reads
               // its border
};

// Packing costs about 1.5 cycles per vector and segment, a vector of outputs
// half a cycle per row of weights. Direct reading leaves lanes idle where rows
// end.
template <class T>
bool reads_direct(const Axis& x, int64_t rows) {
  constexpr int64_t N = Vec<T>::N;
  const int64_t width = round_up(x.count, N);
  return rows * width <= rows * x.count + 3 * (x.count + N);
}

template <class T>
CorrelatePlan plan_correlation(const Axis (&axis)[kAxes], const CorrelateShape& s) {
  constexpr int64_t N = Vec<T>::N;
  using L = ConvLimits;
  CorrelatePlan p;
  const int64_t pixels = axis[0].count * axis[1].count * axis[2].count;
  // Many channels are staged all the same: long runs of each are read in one
  // go, and no two fall on one cache line.
  p.in_place = s.plain && axis[2].count % N == 0 && s.channels <= 16;
  p.direct = reads_direct<T>(axis[2], s.rows);
  const bool crosses = !p.direct && round_up(pixels, N) * 8 > pixels * 9;
  p.joining = p.direct ? Joining::row : crosses ? Joining::piece : Joining::image;
  p.tile = even_rows<T>(s.rows);
  p.vectors = s.rows <= ConvTiling<T>::kFewRows ? 4 : 2;
  const int64_t depth = p.direct && s.rows <= L::kFewRows ? L::kDirectDepth : L::kDepth;
  const int64_t fitting = most(1, depth / most(1, s.taps));
  p.channels = ceil_div(s.channels, most(1, ceil_div(s.channels, fitting)));
  const int64_t row_bytes = s.channels * axis_bytes<T>(axis[2]);
  p.pieces = cut(axis, s.images, p.in_place ? 0 : row_bytes, L::kRoom, L::kLanes, L::kTasks);
  const int64_t tiles = ceil_div(s.rows, p.tile);
  const int64_t wanted = ceil_div(L::kTasks, p.pieces.count() * s.groups);
  const int64_t blocks = most(ceil_div(s.rows, L::kBlockRows), least(wanted, tiles / 2));
  p.rows = ceil_div(tiles, most(1, blocks)) * p.tile;
  return p;
}

// Winograd's way (conv/winograd.h): a 3 by 3 kernel without gaps, in float32,
// where sums are long enough to pay for the transforms.
struct WinogradPlan {
  static constexpr int64_t kDepth = 512;             // channels per pass over the sums
  static constexpr int64_t kFewest = 32;             // channels and rows, and tiles of all images
  static constexpr int64_t kTiles = 32;              // of a task: they and their sums stay in the second-level cache
  static constexpr int64_t kRoom = 1 << 18;          // tiles times channels of a piece that all threads share: 36 MiB
  static constexpr int64_t kGradientRoom = 1 << 16;  // the same for the gradient of the weights: 9 MiB

  int64_t wide;   // tiles along x
  int64_t tile;   // rows of weights that are multiplied at a time
  int64_t pitch;  // room for the tiles of a piece: whole vectors
  bool shared;    // pieces are too few for the threads: they share each
  Pieces pieces;  // of tiles
};

inline bool is_window_of_three(const Axis& a) {
  return a.taps == 3 && a.span == 2 && a.step == 1 && a.pitch == 1 && a.count >= 4;
}

inline bool suits_winograd(const Axis (&axis)[kAxes], int64_t images, int64_t channels, int64_t rows) {
  const Axis& z = axis[0];
  const bool flat = z.count == 1 && z.taps == 1 && z.size == 1 && z.shift[0] == 0;
  if (!flat || !is_window_of_three(axis[1]) || !is_window_of_three(axis[2])) return false;
  const int64_t tiles = images * ceil_div(axis[1].count, 4) * ceil_div(axis[2].count, 4);
  return least(least(channels, rows), tiles) >= WinogradPlan::kFewest;
}

// Cuts into pieces of about so many tiles.
template <class T>
void cut_tiles(WinogradPlan& p, const Axis (&axis)[kAxes], int64_t images, int64_t tiles) {
  const int64_t high = ceil_div(axis[1].count, 4);
  const int64_t some = most(1, least(images, tiles / (high * p.wide)));
  const int64_t few = some > 1 ? high : least(high, most(1, tiles / p.wide));
  p.pieces = {images, 1, high, {0, 0, 0, some, 1, ceil_div(high, ceil_div(high, few))}};
  p.pitch = round_up(p.pieces.full.images * p.pieces.full.high * p.wide, Vec<T>::N);
}

template <class T>
WinogradPlan plan_winograd(const Axis (&axis)[kAxes], int64_t images, int64_t channels, int64_t rows) {
  using P = WinogradPlan;
  P p;
  p.wide = ceil_div(axis[2].count, 4);
  p.tile = even_rows<T>(rows);
  cut_tiles<T>(p, axis, images, P::kTiles);
  p.shared = p.pieces.count() < 2 * ConvLimits::kTasks;
  if (p.shared) cut_tiles<T>(p, axis, images, P::kRoom / (channels + rows));
  return p;
}

struct WeightPlan {
  static constexpr int64_t kDepth = 256;       // outputs per pass over the sums: a panel is 32 KiB (avx512)
  static constexpr int64_t kRoom = 512 << 10;  // bytes of a staged image, and of a block's sums
  static constexpr int64_t kMostRows = 128;    // output channels of a block
  static constexpr int64_t kFewChannels = 6;   // below, tiles take rows of (channel, tap) as they come

  bool in_place,
      even;                // the image needs no staging; rows of a tile are evenly apart
  int64_t vectors, tile;   // of a panel; rows of a tile
  int64_t rows, channels;  // of a block
  int64_t parts;           // of the outputs
  int64_t width;           // rows of a block, padded to whole panels
  Pieces pieces;

  int64_t pitch() const { return width; }
  int64_t sums(int64_t taps) const { return channels * taps * width; }
};

template <class T>
WeightPlan plan_weight_gradient(const Axis (&axis)[kAxes], const CorrelateShape& s) {
  constexpr int64_t N = Vec<T>::N, size = static_cast<int64_t>(sizeof(T));
  WeightPlan p;
  p.in_place = s.plain;
  p.even = s.channels > WeightPlan::kFewChannels || s.taps == 1;
  p.vectors = s.rows > N ? 2 : 1;
  const int64_t panel = p.vectors * N;
  p.rows = round_up(even_share(s.rows, WeightPlan::kMostRows), panel);
  p.width = p.rows;
  const int64_t fitting = most(p.even ? Tiling<T>::kRows : 1, WeightPlan::kRoom / (s.taps * p.width * size));
  p.channels = even_share(s.channels, fitting);
  if (p.even && p.channels < s.channels) p.channels = least(s.channels, round_up(p.channels, Tiling<T>::kRows));
  p.tile = even_rows<T>(p.even ? p.channels : p.channels * s.taps);
  const int64_t blocks = s.groups * ceil_div(s.rows, p.rows) * ceil_div(s.channels, p.channels);
  p.parts = ceil_div(ConvLimits::kTasks, blocks);
  const int64_t row_bytes = p.channels * axis_bytes<T>(axis[2]);
  p.pieces = cut(axis, s.images, p.in_place ? 0 : row_bytes, WeightPlan::kRoom, WeightPlan::kDepth, p.parts);
  p.parts = least(p.parts, p.pieces.count());
  return p;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

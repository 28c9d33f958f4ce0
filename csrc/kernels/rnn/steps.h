// The walk over packed steps: which rows each holds, and which state each row had before.
#pragma once

#include "kernels/rnn/gates.h"
#include "kernels/rnn/panels.h"
#ifdef __AMX_BF16__
#include "kernels/rnn/tiles.h"
#endif
#include "kernels/rnn/walk.h"

namespace pydl::PYDL_ISA {
namespace {

// Slots of runtime/parallel.h: of the packed weights, and of what passes from step to step.
constexpr int kWeightSlot = 5, kSecondSlot = 4, kStageSlot = 3, kTileSlot = 2, kScaledTileSlot = 1;

template <class T>
inline T* data(const View& x) {
  return x.as<T>();
}

// The state before a step: rows that were there in the step before have its result, new ones their initial state.
template <class T>
struct Before {
  const T* states = nullptr;
  int64_t width = 0, rows = 0;
  const T* initial;
  int64_t initial_width;

  const T* row(int64_t r) const { return r < rows ? states + r * width : initial + r * initial_width; }
};

template <class T>
Before<T> before(const Steps& steps, const Step& s, const View& states, const View& initial, int64_t width,
                 const T* zeros) {
  Before<T> b;
  b.initial = initial.present() ? data<T>(initial) : zeros;
  b.initial_width = initial.present() ? width : 0;
  if (s.i == 0) return b;
  const Step earlier = steps.back(s);
  b.states = data<T>(states) + earlier.at * width;
  b.width = width;
  b.rows = earlier.rows;
  return b;
}

// Two buffers of rows for the left side of products: one is read while the other is written. Rows are not a multiple
// of 4 KiB apart, so that they fall on different lines of the first level cache. With a weight for the matrix unit the
// rows are there as tiles too, strip after strip of 16 rows.
template <class T>
struct Stage {
  T *now = nullptr, *next = nullptr;
  int64_t rs = 0, rows = 0, width = 0;
  Tile *now_tiles = nullptr, *next_tiles = nullptr;

  static int64_t stride(int64_t width) { return round_up(width, 64 / sizeof(T)) + 64 / sizeof(T); }
  Left<T> left() const { return {now, rs, now_tiles}; }
  void swap() {
    std::swap(now, next);
    std::swap(now_tiles, next_tiles);
  }
  void skip(int64_t n) {
    now += n * rs, next += n * rs, rows -= n;
    if (now_tiles) now_tiles += n / Tile::kLanes * strip(), next_tiles += n / Tile::kLanes * strip();
  }

  // Tiles of a strip, and of all rows.
  int64_t strip() const { return width / Tile::kSteps * kParts<T>; }
  int64_t tiles() const { return ceil_div(rows, Tile::kLanes) * strip(); }
  // Columns j .. j + n, whole tiles of them, of the first `count` rows of what is written.
  void pack(int64_t count, int64_t j, int64_t n) const {
    if constexpr (kTiled<T>) {
      for (int64_t i = 0; i < count && next_tiles; i += Tile::kLanes)
        pack_tiles(Matrix<const T>{next + i * rs + j, rs, 1}, least(Tile::kLanes, rows - i), n, false,
                   next_tiles + i / Tile::kLanes * strip() + j / Tile::kSteps * kParts<T>);
    }
  }
};

// Room for the tiles of both buffers, which may be one.
template <class T>
void give_tiles(Stage<T>& s, int slot) {
  const int64_t apart = s.next == s.now ? 0 : s.tiles();
  s.now_tiles = static_cast<Tile*>(scratch(slot, sizeof(Tile) * static_cast<size_t>(apart + s.tiles())));
  s.next_tiles = s.now_tiles + apart;
}

// Whether rows and units fill tiles: their columns are packed as the gates of 32 units are made.
template <class T>
inline bool suits_tiles(int64_t rows, int64_t units, const View& proj) {
  return kTiled<T> && rows >= 12 && units >= 64 && units % Tile::kSteps == 0 && !proj.present();
}

// The weight whose element (unit u of group g, step p of k) lies at (g * units + u) * lane_stride + p * k_stride.
template <class T>
inline Panels<T> panels(int64_t groups, int64_t units, int64_t k, int64_t rows, bool tiled, int slot, const View& from,
                        int64_t lane_stride, int64_t k_stride) {
  Panels<T> w{groups, units, k, rows <= kFewRows, tiled, nullptr, data<T>(from), lane_stride, k_stride};
  w.p = static_cast<T*>(scratch(slot, sizeof(T) * static_cast<size_t>(w.room() + 1)));
  return w;
}

// The rows of a gru's weight that make n.
template <class T>
inline View candidate(View weight) {
  weight.shape[0] /= 3;
  weight.data = data<T>(weight) + 2 * weight.shape[0] * weight.shape[1];
  return weight;
}

// Rows of a batch know nothing of each other. Where the packed weights stay in the cache of each core, a thread walks
// all steps with rows of its own and waits for no other; elsewhere threads share the units of a step.
constexpr int64_t kPartRows = 16, kTiledPartRows = 32;

template <class T>
inline int64_t part_rows(const Steps& steps, const Panels<T>& w, const Panels<T>& second) {
  const int64_t least_rows = w.tiled ? kTiledPartRows : kPartRows, parts = steps.most / least_rows;
  const int64_t bytes = (w.size() + second.size()) * static_cast<int64_t>(sizeof(T));
  if (parts <= 1 || 2 * bytes > second_level_cache()) return steps.most;
  return w.tiled ? round_up(ceil_div(steps.most, parts), Tile::kLanes) : ceil_div(steps.most, parts);
}

// f(from, until) for the parts of the batch.
template <class T, class F>
void each_part(const Steps& steps, const Panels<T>& w, const Panels<T>& second, const F& f) {
  const int64_t rows = part_rows(steps, w, second), parts = ceil_div(steps.most, rows);
  parallel_for(parts, steps.count * w.blocks() * w.cost(rows), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i * rows, least(steps.most, (i + 1) * rows));
  });
}

// An array with a row for each of the batch, from row `from` on.
template <class T>
inline void skip_rows(View& x, int64_t from) {
  if (x.present()) x.data = data<T>(x) + from * x.shape[x.ndim - 1];
}

template <class T>
inline T* zeroed(T* p, int64_t n) {
  std::memset(p, 0, sizeof(T) * static_cast<size_t>(n));
  return p + n;
}

template <class T>
inline void copy_row(const T* from, T* to, int64_t n) {
  std::memcpy(to, from, sizeof(T) * static_cast<size_t>(n));
}

}  // namespace
}  // namespace pydl::PYDL_ISA

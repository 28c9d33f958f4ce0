// How an elementwise kernel walks over its arrays: up to four operands of one shape with free strides, cut into rows
// that a row function computes. The row function sees, per operand, a pointer and a step: 1 for adjacent elements, 0
// for one value that stands for all (then kSplat copies of it are at the pointer). Everything else is brought into that
// form here, through small buffers: broadcast values are repeated, strided ones gathered, strided outputs scattered.
#pragma once

#include <cstdint>
#include <cstring>

#include "array/view.h"
#include "kernels/blocks.h"
#include "runtime/parallel.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kMaxOperands = 4;
constexpr int64_t kSplat = 64;         // a row function reads at most so many elements of a repeated value at once
constexpr int64_t kTileBytes = 16384;  // one operand's part of a tile; a few of them stay in the first-level cache
constexpr int64_t kTileColumns = 128;
constexpr int64_t kShortRow = 32;     // shorter rows are joined to tiles
constexpr int64_t kRowChunk = 16384;  // longer rows are cut

// What a row function needs besides its operands: the numbers of a function that has some, and whether the output is
// so large that it should go past the caches.
struct Context {
  const double* numbers;
  bool stream;
};

using RowFn = void (*)(char* const* p, const int64_t* step, int64_t n, const Context& context);

struct Operand {
  char* data;
  int64_t size;  // bytes of an element
  int64_t strides[kMaxAxes];
};

// The last operand is the output.
struct Nest {
  int64_t shape[kMaxAxes];
  int ndim = 0;
  int count = 0;
  Operand operand[kMaxOperands];

  int64_t stride(int k, int axis) const { return operand[k].strides[axis]; }
};

inline int64_t item_size(Dtype t) {
  switch (t) {
#define PYDL_SIZE(name, type, ...) \
  case Dtype::name:                \
    return sizeof(type);
    PYDL_DTYPES(PYDL_SIZE)
#undef PYDL_SIZE
  }
  return 0;
}

// Axes of size 1 are dropped; false if there is nothing to do.
inline bool make_nest(const View* const* views, int count, Nest& nest) {
  const View& y = *views[count - 1];
  nest.count = count;
  for (int k = 0; k < count; ++k) {
    nest.operand[k].data = static_cast<char*>(views[k]->data);
    nest.operand[k].size = item_size(views[k]->dtype);
  }
  for (int axis = 0; axis < y.ndim; ++axis) {
    if (y.shape[axis] == 0) return false;
    if (y.shape[axis] == 1) continue;
    nest.shape[nest.ndim] = y.shape[axis];
    for (int k = 0; k < count; ++k) nest.operand[k].strides[nest.ndim] = views[k]->strides[axis];
    ++nest.ndim;
  }
  return true;
}

inline void add_axis(Nest& nest, int64_t stride) {
  nest.shape[nest.ndim] = 1;
  for (int k = 0; k < nest.count; ++k) nest.operand[k].strides[nest.ndim] = stride;
  ++nest.ndim;
}

// Moves an axis to a later place; the elements are independent, so any order of axes will do.
inline void move_axis(Nest& nest, int from, int to) {
  for (int axis = from; axis < to; ++axis) {
    const int64_t n = nest.shape[axis];
    nest.shape[axis] = nest.shape[axis + 1];
    nest.shape[axis + 1] = n;
    for (int k = 0; k < nest.count; ++k) {
      int64_t* s = nest.operand[k].strides;
      const int64_t t = s[axis];
      s[axis] = s[axis + 1];
      s[axis + 1] = t;
    }
  }
}

// The axis before `end` along which operand k lies closest together (0 is no distance); the last of equals.
inline int closest_axis(const Nest& nest, int k, int end) {
  int best = end - 1;
  for (int axis = end - 2; axis >= 0; --axis) {
    const int64_t d = distance(nest.stride(k, axis)), least = distance(nest.stride(k, best));
    if (d != 0 && (d < least || least == 0)) best = axis;
  }
  return best;
}

// Walks over the first `axes` axes of a nest, keeping each operand's address.
struct Counter {
  const Nest& nest;
  int axes;
  int64_t index[kMaxAxes];
  char* p[kMaxOperands];

  Counter(const Nest& n, int axes, int64_t start) : nest(n), axes(axes) {
    for (int k = 0; k < nest.count; ++k) p[k] = nest.operand[k].data;
    for (int axis = axes - 1; axis >= 0; --axis) {
      index[axis] = start % nest.shape[axis];
      start /= nest.shape[axis];
      move(axis, index[axis]);
    }
  }
  void move(int axis, int64_t steps) {
    for (int k = 0; k < nest.count; ++k) p[k] += steps * nest.stride(k, axis) * nest.operand[k].size;
  }
  void next() {
    for (int axis = axes - 1; axis >= 0; --axis) {
      move(axis, 1);
      if (++index[axis] < nest.shape[axis]) return;
      move(axis, -nest.shape[axis]);
      index[axis] = 0;
    }
  }
};

// Rows of adjacent elements and of repeated values: nothing is copied but the repeated values.
inline void run_rows(const Nest& nest, RowFn fn, int64_t cost, const Context& context) {
  const int last = nest.ndim - 1;
  const int64_t n = nest.shape[last];
  const int64_t chunk = n > 2 * kRowChunk ? kRowChunk : n;
  const int64_t chunks = (n + chunk - 1) / chunk;
  int64_t rows = 1;
  for (int axis = 0; axis < last; ++axis) rows *= nest.shape[axis];
  parallel_for(rows * chunks, chunk * cost, [&](int64_t begin, int64_t end) {
    alignas(64) char splat[kMaxOperands][kSplat * 8];
    char* filled[kMaxOperands] = {};
    Counter at(nest, last, begin / chunks);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = i % chunks * chunk;
      char* p[kMaxOperands];
      int64_t step[kMaxOperands];
      for (int k = 0; k < nest.count; ++k) {
        const int64_t size = nest.operand[k].size;
        step[k] = nest.stride(k, last);
        p[k] = at.p[k] + step[k] * c * size;
        if (step[k] != 0) continue;
        if (filled[k] != at.p[k]) move_block(size, {at.p[k], 0, 0}, {splat[k], 0, 1}, 1, n < kSplat ? n : kSplat);
        filled[k] = at.p[k];
        p[k] = splat[k];
      }
      fn(p, step, n - c < chunk ? n - c : chunk, context);
      if (c + chunk >= n) at.next();
    }
  });
}

// How the last two axes are cut into tiles. `flat`: a tile is whole rows, one after the other without gaps.
struct Tiling {
  int64_t rows, columns, row_blocks, column_blocks;
  bool flat;
  bool direct[kMaxOperands];  // operands that the row function reaches where they lie
};

inline Tiling make_tiling(const Nest& nest) {
  const int row = nest.ndim - 2, column = nest.ndim - 1;
  Tiling t;
  const int64_t n = nest.shape[column], m = nest.shape[row];
  t.flat = n <= kShortRow;
  t.columns = n < kTileColumns ? n : kTileColumns;
  int64_t largest = 1;
  for (int k = 0; k < nest.count; ++k) {
    largest = nest.operand[k].size > largest ? nest.operand[k].size : largest;
    t.direct[k] = nest.stride(k, column) == 1 && (!t.flat || nest.stride(k, row) == n);
  }
  const int64_t rows = t.flat ? kTileBytes / 8 / n : kTileBytes / 2 / largest / kTileColumns;
  t.rows = rows < m ? rows : m;
  t.row_blocks = (m + t.rows - 1) / t.rows;
  t.column_blocks = (n + t.columns - 1) / t.columns;
  return t;
}

// One tile of `rows` x `columns` with operands at p: gather, compute, scatter. `filled` remembers what a buffer holds.
inline void run_tile(const Nest& nest, const Tiling& t, char* const* p, int64_t rows, int64_t columns, char* buffers,
                     char** filled, RowFn fn, const Context& context) {
  const int row = nest.ndim - 2, column = nest.ndim - 1, output = nest.count - 1;
  constexpr int64_t step[kMaxOperands] = {1, 1, 1, 1};
  char* at[kMaxOperands];
  int64_t pitch[kMaxOperands];
  for (int k = 0; k < nest.count; ++k) {
    char* buffer = buffers + k * kTileBytes;
    const int64_t size = nest.operand[k].size;
    at[k] = t.direct[k] ? p[k] : buffer;
    pitch[k] = (t.direct[k] ? nest.stride(k, row) : t.columns) * size;
    if (t.direct[k] || k == output || filled[k] == p[k]) continue;
    move_block(size, {p[k], nest.stride(k, row), nest.stride(k, column)}, {buffer, t.columns, 1}, rows, columns);
    filled[k] = rows == t.rows && columns == t.columns ? p[k] : nullptr;
  }
  if (t.flat) {
    fn(at, step, rows * columns, context);
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      fn(at, step, columns, context);
      for (int k = 0; k < nest.count; ++k) at[k] += pitch[k];
    }
  }
  if (t.direct[output]) return;
  move_block(nest.operand[output].size, {buffers + output * kTileBytes, t.columns, 1},
             {p[output], nest.stride(output, row), nest.stride(output, column)}, rows, columns);
}

inline void run_tiles(const Nest& nest, RowFn fn, int64_t cost, const Context& context) {
  const int row = nest.ndim - 2, column = nest.ndim - 1;
  const Tiling t = make_tiling(nest);
  const int64_t blocks = t.row_blocks * t.column_blocks;
  int64_t outer = 1;
  for (int axis = 0; axis < row; ++axis) outer *= nest.shape[axis];
  parallel_for(outer * blocks, t.rows * t.columns * (cost + 2), [&](int64_t begin, int64_t end) {
    alignas(64) char buffers[kMaxOperands * kTileBytes];
    char* filled[kMaxOperands] = {};
    Counter at(nest, row, begin / blocks);
    for (int64_t i = begin; i < end; ++i) {
      // Rows first: the next tile of a transposed operand is in the same pages, right behind this one.
      const int64_t r = i % blocks % t.row_blocks * t.rows, c = i % blocks / t.row_blocks * t.columns;
      char* p[kMaxOperands];
      for (int k = 0; k < nest.count; ++k)
        p[k] = at.p[k] + (r * nest.stride(k, row) + c * nest.stride(k, column)) * nest.operand[k].size;
      const int64_t rows = nest.shape[row] - r, columns = nest.shape[column] - c;
      run_tile(nest, t, p, rows < t.rows ? rows : t.rows, columns < t.columns ? columns : t.columns, buffers, filled,
               fn, context);
      if ((i + 1) % blocks == 0) at.next();
    }
  });
}

// Whether the output is so large that nobody will find it in a cache, in rows long enough to have few lines that are
// written in part, and not in the place of an input: then its lines need not be fetched before they are written.
constexpr int64_t kStreamBytes = int64_t(24) << 20;
constexpr int64_t kStreamRow = 1024;
inline bool streams(const Nest& nest) {
  const Operand& output = nest.operand[nest.count - 1];
  int64_t bytes = output.size;
  for (int axis = 0; axis < nest.ndim; ++axis) bytes *= nest.shape[axis];
  bool in_place = false;
  for (int k = 0; k < nest.count - 1; ++k) in_place |= nest.operand[k].data == output.data;
  return bytes >= kStreamBytes && nest.shape[nest.ndim - 1] >= kStreamRow && !in_place;
}

// Runs fn over all elements of views of one shape, the output last; `cost` is the work of one in the units of
// parallel_for.
inline void run(const View* const* views, int count, RowFn fn, int64_t cost, const double* numbers = nullptr) {
  const Context context{numbers, false};
  Nest nest;
  if (!make_nest(views, count, nest)) return;
  if (nest.ndim == 0) add_axis(nest, 1);
  move_axis(nest, closest_axis(nest, nest.count - 1, nest.ndim), nest.ndim - 1);
  const int last = nest.ndim - 1;
  int strided = -1;
  for (int k = nest.count - 1; k >= 0; --k) {
    const int64_t s = nest.stride(k, last);
    if (s != 1 && (s != 0 || k == nest.count - 1)) strided = k;
  }
  if (strided < 0 && (nest.shape[last] > kShortRow || nest.ndim == 1))
    return run_rows(nest, fn, cost, {numbers, streams(nest)});
  if (nest.ndim == 1) {
    add_axis(nest, 0);
    move_axis(nest, 0, 1);
  } else if (strided >= 0) {
    move_axis(nest, closest_axis(nest, strided, last), last - 1);
  }
  run_tiles(nest, fn, cost, context);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

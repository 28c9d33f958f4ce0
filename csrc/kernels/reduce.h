// How a reduction walks through x: which axes in which order, and how the work is cut into chunks. See reduce.cpp.
#pragma once

#include "runtime/reduce_run.h"
#include "runtime/table/reduce.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kRun = kReduceRun;  // elements of a line in one chunk
constexpr int64_t kLines = 256;       // lines in one chunk
constexpr int64_t kColumns = 2048;    // accumulators of a chunk of columns
constexpr int64_t kNarrow = 64;       // columns below this count are folded: several lines are read as one
constexpr int64_t kFolded = 128;      // about the width of a folded line
constexpr int64_t kFoldRun = 16384;   // elements in one chunk of folded lines

struct Axis {
  int64_t size, x, y;  // strides of x and y; y is 0 where x is reduced
  bool kept;
};

struct Axes {
  int n = 0;
  Axis axis[kMaxAxes];

  int64_t count() const {
    int64_t c = 1;
    for (int a = 0; a < n; ++a) c *= axis[a].size;
    return c;
  }
  // Where the i-th index is, counted with the strides that `stride` points at.
  int64_t at(int64_t i, int64_t Axis::*stride) const {
    return n == 1 ? i * (axis[0].*stride) : n == 0 ? 0 : at_any(i, stride);
  }
  [[gnu::noinline]] int64_t at_any(int64_t i, int64_t Axis::*stride) const {
    int64_t offset = 0;
    for (int a = n - 1; a > 0; --a) {
      offset += i % axis[a].size * (axis[a].*stride);
      i /= axis[a].size;
    }
    return offset + i * (axis[0].*stride);
  }
};

struct Plan {
  Axes kept, reduced;         // without the innermost axis; an index of `reduced` is a line
  Axis inner;                 // n elements of a line
  int64_t x0 = 0, y0 = 0;     // where the walk begins
  int64_t outer, lines;       // sizes of kept and reduced
  int64_t blocks, width;      // blocks of columns and their width; 1, 1 for rows
  int64_t runs, chunk_lines;  // pieces of a line in different chunks; lines in one chunk
  int64_t chunks;             // of one output (rows) or one block of outputs (columns)
  int64_t fold = 1;           // lines that are read as one

  // Every output is one line of adjacent elements, and outputs are evenly spaced.
  bool short_lines() const { return !inner.kept && inner.x == 1 && lines == 1 && chunks == 1 && kept.n == 1; }
};

inline bool merges(const Axis& outer, const Axis& inner) {
  return outer.kept == inner.kept && outer.x == inner.x * inner.size && outer.y == inner.y * inner.size;
}

// The axes of x by falling stride; flipped ones are walked from their other end; adjacent ones are merged.
inline Axes sorted_axes(const View& x, const View& y, Plan* p) {
  Axes axes;
  for (int a = 0; a < x.ndim; ++a) {
    if (x.shape[a] == 1) continue;
    const bool kept = y.shape[a] != 1;
    Axis axis{x.shape[a], x.strides[a], kept ? y.strides[a] : 0, kept};
    if (axis.x < 0) {
      p->x0 += (axis.size - 1) * axis.x;
      p->y0 += (axis.size - 1) * axis.y;
      axis.x = -axis.x;
      axis.y = -axis.y;
    }
    int to = axes.n++;  // a stride of 0 counts as the largest
    for (; to > 0 && axes.axis[to - 1].x != 0 && (axis.x == 0 || axes.axis[to - 1].x < axis.x); --to)
      axes.axis[to] = axes.axis[to - 1];
    axes.axis[to] = axis;
  }
  int n = 0;
  for (int a = 0; a < axes.n; ++a) {
    const Axis axis = axes.axis[a];
    if (n > 0 && merges(axes.axis[n - 1], axis)) {
      axes.axis[n - 1] = {axes.axis[n - 1].size * axis.size, axis.x, axis.y, axis.kept};
    } else {
      axes.axis[n++] = axis;
    }
  }
  axes.n = n;
  return axes;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

[[gnu::noinline]] Plan make_plan(const View& x, const View& y) {
  Plan p;
  const Axes axes = sorted_axes(x, y, &p);
  p.inner = axes.n ? axes.axis[axes.n - 1] : Axis{1, 1, 1, false};
  for (int a = 0; a + 1 < axes.n; ++a) {
    Axes& group = axes.axis[a].kept ? p.kept : p.reduced;
    group.axis[group.n++] = axes.axis[a];
  }
  const int64_t n = p.inner.size;
  p.outer = p.kept.count();
  p.lines = n == 0 ? 0 : p.reduced.count();
  if (p.inner.kept) {
    p.blocks = ceil_div(n, kColumns);
    p.width = p.blocks > 1 ? kColumns : n;
    p.runs = 1;
    p.chunk_lines = kLines;
    const bool dense = p.inner.x == 1 && p.reduced.n == 1 && p.reduced.axis[0].x == n;
    if (dense && n < kNarrow) {
      p.fold = kFolded / n;
      p.chunk_lines = kFoldRun / n;
    }
  } else {
    p.blocks = p.width = 1;
    p.runs = n > kRun ? ceil_div(n, kRun) : 1;
    p.chunk_lines = n > kRun ? 1 : n * kLines > kRun ? kRun / n : kLines;
  }
  p.chunks = p.lines == 0 ? 1 : p.runs * ceil_div(p.lines, p.chunk_lines);
  return p;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

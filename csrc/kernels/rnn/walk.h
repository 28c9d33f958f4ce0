// The walk over packed steps, for the CPU's kernels and the GPU's.
#pragma once

#include <cstdint>

#include "array/view.h"
#include "kernels/host_device.h"

namespace pydl::PYDL_ISA {
namespace {

// A step on the walk, the i-th taken: its rows begin at row `at` of the packed arrays.
struct Step {
  int64_t i, rows, at;
};

struct Steps {
  const int64_t* sizes;        // null: all steps have `most` rows
  int64_t count, most, total;  // steps, rows of the first of them, and of all
  bool reverse;
  int64_t from, until;  // of the batch, the rows that are walked

  PYDL_HD int64_t all(int64_t i) const {
    if (i < 0 || i >= count) return 0;
    return sizes ? sizes[reverse ? count - 1 - i : i] : most;
  }
  PYDL_HD int64_t rows(int64_t i) const {
    const int64_t end = all(i) < until ? all(i) : until;
    return end > from ? end - from : 0;
  }
  PYDL_HD Step first() const { return {0, rows(0), from + (reverse ? total - all(0) : 0)}; }
  PYDL_HD Step last() const { return {count - 1, rows(count - 1), from + (reverse ? 0 : total - all(count - 1))}; }
  PYDL_HD Step next(const Step& s) const {
    return {s.i + 1, rows(s.i + 1), reverse ? s.at - all(s.i + 1) : s.at + all(s.i)};
  }
  PYDL_HD Step back(const Step& s) const {
    return {s.i - 1, rows(s.i - 1), reverse ? s.at + all(s.i) : s.at - all(s.i - 1)};
  }
  // The rows of a step from here on have their last step there.
  PYDL_HD int64_t kept(const Step& s) const { return reverse && s.i + 1 < count ? s.rows : rows(s.i + 1); }
};

inline Steps steps_of(const View& sizes, const View& y, bool reverse) {
  const auto* rows = sizes.as<int64_t>();
  const int64_t most = sizes.shape[0] ? rows[0] : 0;
  return {rows, sizes.shape[0], most, y.numel() / y.shape[y.ndim - 1], reverse, 0, most};
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// The taps of a block of outputs of grid_sample: places, weights and their derivatives, made once, axis by axis.
#pragma once

#include <cmath>

#include "kernels/sampling.h"
#include "kernels/taps.h"
#include "runtime/parallel.h"

namespace pydl::PYDL_ISA {
namespace {

enum ScratchSlot { kTapSlot, kAxisSlot, kPlaneSlot, kTurnedSlot };

constexpr int64_t kBlock = 64;  // outputs; the taps of a block stay in the first-level cache

// The taps of a block along one axis: [tap][output].
template <class C>
struct AxisTaps {
  int32_t place[4][kBlock];
  C weight[4][kBlock], slope[4][kBlock];  // slope: d weight / d grid
};

template <class C>
void cubic_taps(const GridSampling& s, const C* grid, int64_t n, int64_t count, AxisTaps<C>& taps) {
  for (int64_t i = 0; i < count; ++i) {
    const Point<C> p = pixels(grid[i], n, s.align_corners);
    const C at = near(p.at), first = std::floor(at);
    C w[4], slope[4];
    cubic(at - first, w, slope);
    for (int k = 0; k < 4; ++k) {
      const Point<C> tap = padded<C>({first + static_cast<C>(k - 1), 1}, n, s);
      taps.place[k][i] = pixel(tap.at, n);
      taps.weight[k][i] = w[k];
      taps.slope[k][i] = slope[k] * p.slope;
    }
  }
}

template <class C>
void linear_taps(const GridSampling& s, const C* grid, int64_t n, int64_t count, AxisTaps<C>& taps) {
  for (int64_t i = 0; i < count; ++i) {
    const Point<C> p = padded(pixels(grid[i], n, s.align_corners), n, s);
    const C at = near(p.at), first = std::floor(at), t = at - first;
    const int32_t left = static_cast<int32_t>(first), size = static_cast<int32_t>(n);
    taps.place[0][i] = left >= 0 && left < size ? left : -1;
    taps.place[1][i] = left >= -1 && left + 1 < size ? left + 1 : -1;
    taps.weight[0][i] = 1 - t, taps.weight[1][i] = t;
    taps.slope[0][i] = -p.slope, taps.slope[1][i] = p.slope;
  }
}

template <class C>
void nearest_taps(const GridSampling& s, const C* grid, int64_t n, int64_t count, AxisTaps<C>& taps) {
  for (int64_t i = 0; i < count; ++i) {
    const Point<C> p = padded(pixels(grid[i], n, s.align_corners), n, s);
    taps.place[0][i] = pixel(std::nearbyint(near(p.at)), n);
    taps.weight[0][i] = 1, taps.slope[0][i] = 0;
  }
}

// The taps of a block over all axes, [tap][output]; slope[axis] are the derivatives of weight in that axis of the grid.
template <class C>
struct Taps {
  int64_t count;
  int32_t* place;
  C *weight, *slope[3];
};

int64_t taps_along(const GridSampling& s) { return s.mode == kGridNearest ? 1 : s.mode == kGridBilinear ? 2 : 4; }

int64_t taps_of(const GridSampling& s) {
  int64_t count = 1;
  for (int a = 0; a < s.axes; ++a) count *= taps_along(s);
  return count;
}

// Tap k of all axes from its digits, one for each axis; `a` is the axis whose derivative is taken, -1 for none.
template <class C>
void combine(const AxisTaps<C>* const* axis, const int* digit, int axes, int a, C* weight) {
  for (int64_t i = 0; i < kBlock; ++i) weight[i] = 1;
  for (int b = 0; b < axes; ++b) {
    const C* factor = a == b ? axis[b]->slope[digit[b]] : axis[b]->weight[digit[b]];
    for (int64_t i = 0; i < kBlock; ++i) weight[i] *= factor[i];
  }
}

template <class C>
void combine_places(const AxisTaps<C>* const* axis, const int* digit, const int64_t* size, int axes, int32_t* place) {
  for (int64_t i = 0; i < kBlock; ++i) place[i] = axis[0]->place[digit[0]][i];
  for (int b = 1; b < axes; ++b) {
    const int32_t* next = axis[b]->place[digit[b]];
    const int32_t n = static_cast<int32_t>(size[b]);
    for (int64_t i = 0; i < kBlock; ++i) {
      const int32_t at = place[i] < 0 ? -1 : place[i] * n + next[i];
      place[i] = next[i] < 0 ? -1 : at;
    }
  }
}

// The taps of outputs [first, first + count) of a grid (m, axes); slopes only if asked for.
template <class T>
Taps<Wide<T>> make_taps(const GridSampling& s, const T* grid, int64_t first, int64_t count, bool slopes) {
  using C = Wide<T>;
  AxisTaps<C>* along = static_cast<AxisTaps<C>*>(scratch(kAxisSlot, 3 * sizeof(AxisTaps<C>)));
  const AxisTaps<C>* axis[3];
  const int64_t* size = s.size + 3 - s.axes;
  for (int a = 0; a < s.axes; ++a) {
    C at[kBlock];
    for (int64_t i = 0; i < kBlock; ++i)  // beyond the end of the grid: any place will do
      at[i] = i < count ? widened(grid[(first + i) * s.axes + s.axes - 1 - a]) : C(-1);
    if (s.mode == kGridBilinear) linear_taps(s, at, size[a], kBlock, along[a]);
    if (s.mode == kGridNearest) nearest_taps(s, at, size[a], kBlock, along[a]);
    if (s.mode == kGridBicubic) cubic_taps(s, at, size[a], kBlock, along[a]);
    axis[a] = along + a;
  }
  Taps<C> taps;
  taps.count = taps_of(s);
  const int64_t each = taps.count * kBlock;
  C* space = static_cast<C*>(scratch(kTapSlot, each * (4 * sizeof(C) + sizeof(int32_t))));
  taps.weight = space;
  for (int a = 0; a < 3; ++a) taps.slope[a] = space + (a + 1) * each;
  taps.place = reinterpret_cast<int32_t*>(space + 4 * each);
  const int64_t per_axis = taps_along(s);
  for (int64_t k = 0; k < taps.count; ++k) {
    int digit[3] = {0, 0, 0};
    int64_t rest = k;
    for (int a = s.axes - 1; a >= 0; --a) digit[a] = static_cast<int>(rest % per_axis), rest /= per_axis;
    combine_places(axis, digit, size, s.axes, taps.place + k * kBlock);
    if (!slopes) combine(axis, digit, s.axes, -1, taps.weight + k * kBlock);
    for (int a = 0; slopes && a < s.axes; ++a) combine(axis, digit, s.axes, a, taps.slope[a] + k * kBlock);
  }
  return taps;
}

// Calls f(image b, first output, how many) for the blocks of all images.
template <class F>
void for_blocks(int64_t images, int64_t m, int64_t cost, const F& f) {
  const int64_t blocks = (m + kBlock - 1) / kBlock;
  parallel_for(images * blocks, kBlock * cost, [&](int64_t q, int64_t end) {
    for (; q < end; ++q) {
      const int64_t first = q % blocks * kBlock;
      f(q / blocks, first, m - first < kBlock ? m - first : kBlock);
    }
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

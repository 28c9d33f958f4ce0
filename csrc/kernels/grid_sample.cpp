// Images read at free places, in blocks of outputs: places, weights and their derivatives are made once for a block,
// axis by axis, and serve every channel.
#include <cmath>

#include "kernels/sampling.h"
#include "kernels/taps.h"
#include "runtime/parallel.h"
#include "runtime/table/resample.h"

namespace pydl::PYDL_ISA {
namespace {

enum ScratchSlot { kTapSlot, kAxisSlot, kPlaneSlot };

constexpr int64_t kBlock = 64;  // outputs; the taps of a block stay in the first-level cache
constexpr int64_t kGroup = 16;  // channels that share the taps of a transpose

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

template <class T>
void sample(const GridSampling& s, View x, View grid, View y) {
  using C = Wide<T>;
  const int64_t c = x.shape[1], n = x.shape[2], m = y.shape[2], taps = taps_of(s);
  for_blocks(x.shape[0], m, taps * (c + 4), [&](int64_t b, int64_t first, int64_t count) {
    const Taps<C> t = make_taps(s, grid.as<T>() + b * m * s.axes, first, count, false);
    for (int64_t i = b * c; i < (b + 1) * c; ++i) {
      T* to = y.as<T>() + i * m + first;
      if constexpr (kHalf<T>) {
        C sum[kBlock];
        sum_all_taps(taps, t.place, t.weight, kBlock, x.as<T>() + i * n, sum, 0, count);
        for (int64_t j = 0; j < count; ++j) to[j] = narrow<T>(sum[j]);
      } else {
        sum_all_taps(taps, t.place, t.weight, kBlock, x.as<T>() + i * n, to, 0, count);
      }
    }
  });
}

template <class T>
void give(const Taps<Wide<T>>& t, const T* g, int64_t count, Wide<T>* gx) {
  for (int64_t i = 0; i < count; ++i) {
    const Wide<T> share = widened(g[i]);
    for (int64_t k = 0; k < t.count; ++k) {
      const int32_t at = t.place[k * kBlock + i];
      if (at >= 0) gx[at] += t.weight[k * kBlock + i] * share;
    }
  }
}

// A group of channels of image b: each output gives to its places, in the order of the outputs.
template <class T>
void sample_back(const GridSampling& s, const T* g, const T* grid, int64_t m, int64_t n, int64_t channels, T* gx) {
  using C = Wide<T>;
  C* sum;
  if constexpr (kHalf<T>)
    sum = static_cast<C*>(scratch(kPlaneSlot, channels * n * sizeof(C)));
  else
    sum = gx;
  for (int64_t i = 0; i < channels * n; ++i) sum[i] = 0;
  for (int64_t first = 0; first < m; first += kBlock) {
    const int64_t count = m - first < kBlock ? m - first : kBlock;
    const Taps<C> t = make_taps(s, grid, first, count, false);
    for (int64_t i = 0; i < channels; ++i) give(t, g + i * m + first, count, sum + i * n);
  }
  if constexpr (kHalf<T>)
    for (int64_t i = 0; i < channels * n; ++i) gx[i] = narrow<T>(sum[i]);
}

// move[axis][output] += g times the derivative of one channel.
template <class T>
void add_moves(const GridSampling& s, const Taps<Wide<T>>& t, const T* x, const T* g, int64_t count,
               Wide<T> (*move)[kBlock]) {
  for (int64_t k = 0; k < t.count; ++k) {
    const int32_t* __restrict place = t.place + k * kBlock;
    Wide<T> part[kBlock];
    for (int64_t i = 0; i < count; ++i) part[i] = widened(g[i]) * read(x, place[i]);
    for (int a = 0; a < s.axes; ++a) {
      const Wide<T>* __restrict slope = t.slope[a] + k * kBlock;
      for (int64_t i = 0; i < count; ++i) move[a][i] += slope[i] * part[i];
    }
  }
}

template <class T>
void sample_move(const GridSampling& s, View x, View grid, View g, View ggrid) {
  using C = Wide<T>;
  const int64_t c = x.shape[1], n = x.shape[2], m = g.shape[2], taps = taps_of(s);
  for_blocks(x.shape[0], m, taps * s.axes * (c + 4), [&](int64_t b, int64_t first, int64_t count) {
    const Taps<C> t = make_taps(s, grid.as<T>() + b * m * s.axes, first, count, true);
    C move[3][kBlock] = {};
    for (int64_t i = b * c; i < (b + 1) * c; ++i)
      add_moves(s, t, x.as<T>() + i * n, g.as<T>() + i * m + first, count, move);
    T* to = ggrid.as<T>() + (b * m + first) * s.axes;
    for (int64_t i = 0; i < count; ++i)
      for (int a = 0; a < s.axes; ++a) to[i * s.axes + s.axes - 1 - a] = narrow<T>(move[a][i]);
  });
}

}  // namespace

void grid_sample(GridSampling s, View x, View grid, View y) {
  with_floating(x.dtype, [&](auto type) { sample<decltype(type)>(s, x, grid, y); });
}

void grid_sample_back(GridSampling s, View g, View grid, View gx) {
  const int64_t c = gx.shape[1], n = gx.shape[2], m = g.shape[2], groups = (c + kGroup - 1) / kGroup;
  with_floating(g.dtype, [&](auto type) {
    using T = decltype(type);
    const int64_t cost = kGroup * (n + 4 * m * taps_of(s));
    parallel_for(gx.shape[0] * groups, cost, [&](int64_t q, int64_t end) {
      for (; q < end; ++q) {
        const int64_t b = q / groups, first = q % groups * kGroup, left = c - first;
        sample_back(s, g.as<T>() + (b * c + first) * m, grid.as<T>() + b * m * s.axes, m, n,
                    left < kGroup ? left : kGroup, gx.as<T>() + (b * c + first) * n);
      }
    });
  });
}

void grid_sample_move(GridSampling s, View x, View grid, View g, View ggrid) {
  with_floating(x.dtype, [&](auto type) { sample_move<decltype(type)>(s, x, grid, g, ggrid); });
}

}  // namespace pydl::PYDL_ISA

// Where images are read at free places, and the order in which the axes of a map are resampled: what the CPU's kernels
// and the GPU's share. C: float or double.
// Cubic weights: Keys 1981, with a = -0.75.
#pragma once

#include <cmath>

#include "kernels/host_device.h"
#include "runtime/table/resample.h"

namespace pydl::PYDL_ISA {
namespace {

// A coordinate in pixels and its derivative.
template <class C>
struct Point {
  C at, slope;
};

template <class C>
PYDL_HD inline Point<C> clipped(Point<C> p, int64_t n) {
  const C last = static_cast<C>(n - 1);
  if (p.at <= 0) return {0, 0};
  return p.at >= last ? Point<C>{last, 0} : p;
}

// Mirrored at the middles (align_corners) or the edges of the outer pixels, as often as needed.
template <class C>
PYDL_HD inline Point<C> reflected(Point<C> p, int64_t n, bool align) {
  const C low = align ? C(0) : C(-0.5), span = static_cast<C>(align ? n - 1 : n);
  if (span == 0) return {0, 0};
  C at = p.at - low;
  const C sign = at < 0 ? C(-1) : C(1);
  at *= sign;
  const C turns = std::floor(at / span), rest = at - turns * span;
  const bool even = turns - 2 * std::floor(turns / 2) == 0;
  return {(even ? rest : span - rest) + low, p.slope * (even ? sign : -sign)};
}

template <class C>
PYDL_HD inline Point<C> padded(Point<C> p, int64_t n, const GridSampling& s) {
  if (s.padding == kGridReflection) p = reflected(p, n, s.align_corners);
  if (s.padding != kGridZeros) p = clipped(p, n);
  return p;
}

// Of a coordinate of the grid, -1 and 1 at the borders; what is not a number counts as -1.
template <class C>
PYDL_HD inline Point<C> pixels(C g, int64_t n, bool align) {
  const C size = static_cast<C>(n);
  const C v = g == g ? g : C(-1);
  return align ? Point<C>{(v + 1) / 2 * (size - 1), (size - 1) / 2} : Point<C>{((v + 1) * size - 1) / 2, size / 2};
}

// Coordinates that no image reaches are all alike, so that they fit an integer.
template <class C>
PYDL_HD inline C near(C at) {
  const C far = 1 << 30;
  return at > -far && at < far ? at : C(-100);
}

// The pixel at a whole coordinate; -1 outside of the image.
template <class C>
PYDL_HD inline int32_t pixel(C at, int64_t n) {
  const int64_t i = static_cast<int64_t>(near(at));
  return i >= 0 && i < n ? static_cast<int32_t>(i) : -1;
}

// The weights of the four pixels around a place t beyond the second, and their derivatives.
template <class C>
PYDL_HD inline void cubic(C t, C* w, C* slope) {
  const C a = C(-0.75), u = 1 - t, far = 1 + t, far_u = 1 + u;
  w[0] = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a;
  w[1] = ((a + 2) * t - (a + 3)) * t * t + 1;
  w[2] = ((a + 2) * u - (a + 3)) * u * u + 1;
  w[3] = ((a * far_u - 5 * a) * far_u + 8 * a) * far_u - 4 * a;
  slope[0] = (3 * a * far - 10 * a) * far + 8 * a;
  slope[1] = (3 * (a + 2) * t - 2 * (a + 3)) * t;
  slope[2] = -(3 * (a + 2) * u - 2 * (a + 3)) * u;
  slope[3] = -((3 * a * far_u - 10 * a) * far_u + 8 * a);
}

// The axes that a map changes, 0, 1, 2 for depth, height, width: those that shrink first, and those that grow last, the
// innermost first. Returns how many there are.
inline int order_of(const ResampleMap& map, int* order) {
  int count = 0;
  for (int i = 0; i < 3; ++i)
    if (map.axis[i].taps && map.axis[i].out < map.axis[i].n) order[count++] = i;
  for (int i = 2; i >= 0; --i)
    if (map.axis[i].taps && map.axis[i].out >= map.axis[i].n) order[count++] = i;
  return count;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

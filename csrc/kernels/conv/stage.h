// Staging: the part of the image that a piece of the output reads, copied with its zero border into memory of the
// thread's own, in T, with unit steps along x. The products read it there without looking at borders, strides of the
// image or its dtype. Where outputs step by s along x, a row is stored as s rows, one for each remainder by s, so that
// neighbouring outputs read neighbouring elements.
#pragma once

#include "kernels/conv/axis.h"

namespace pydl::PYDL_ISA {
namespace {

// Strides of the staged image. Tap and output add up: see tap_offset and the strips of correlate.h.
struct Layout {
  int64_t image, channel, z, y, rest;  // rest: from one remainder to the next
  int64_t split;                       // remainders: the step along x, or 1 where rows are kept whole
};

template <class T>
inline Layout layout(const Axis (&axis)[kAxes], const Piece& p, int64_t channels, int64_t split) {
  Layout l;
  l.split = split;
  l.rest = ceil_div(axis[2].reach(axis[2].count), split);
  l.y = l.rest * split;
  l.z = l.y * axis[1].reach(p.high);
  l.channel = l.z * axis[0].reach(p.deep);
  if (l.channel * sizeof(T) % 1024 == 0) l.channel += Vec<T>::N;  // lines 4 KiB apart fall on one another in the cache
  l.image = l.channel * channels;
  return l;
}

// Where a tap of channel 0 reads, seen from an output's place in the staged image.
inline int64_t tap_offset(const Axis (&axis)[kAxes], const Layout& l, int64_t z, int64_t y, int64_t x) {
  const int64_t at = axis[2].shift[x] - axis[2].lowest;
  return (axis[0].shift[z] - axis[0].lowest) * l.z + (axis[1].shift[y] - axis[1].lowest) * l.y + at % l.split * l.rest +
         at / l.split;
}

template <class S>
struct Image {
  const S* p;
  int64_t image, channel, z, y, x;  // strides
};

// n elements `step` apart, widened.
template <class S, class T>
inline void copy_row(const S* from, int64_t step, int64_t n, T* to) {
  constexpr int64_t N = Vec<T>::N;
  int64_t i = 0;
  if (step == 1) {
    for (; i + N <= n; i += N) store(to + i, load<T>(from + i));
    if (i < n) store(to + i, load<T>(from + i, n - i), n - i);
    return;
  }
  for (; i < n; ++i) to[i] = widen<T>(from[i * step]);
}

template <class T>
inline void clear(T* to, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) store(to + i, Vec<T>());
  if (i < n) store(to + i, Vec<T>(), n - i);
}

// Whether a tap of this axis ever reads element `at` of the staged image.
inline bool is_read(const Axis& a, int64_t at) {
  if (a.step == 1) return true;
  for (int64_t t = 0; t < a.taps; ++t)
    if ((at - (a.shift[t] - a.lowest)) % a.step == 0) return true;
  return false;
}

// Which elements of a row with remainder r come from the image; the others are its border.
struct Inside {
  int64_t first, begin, end;
};

inline Inside inside(const Axis& x, const Layout& l, int64_t r) {
  const int64_t first = x.lowest + r;  // element i holds index first + i * split
  const int64_t begin = least(l.rest, most(0, ceil_div(-first, l.split)));
  const int64_t end = most(begin, least(l.rest, floor_div(x.size - 1 - first, l.split) + 1));
  return {first + begin * l.split, begin, end};
}

// The rows of channels [c0, c0 + channels) that a piece reads, those elements whose index along x leaves r.
template <class S, class T>
void stage_rest(const Image<S>& x, const Axis (&axis)[kAxes], const Piece& p, int64_t c0, int64_t channels,
                const Layout& l, int64_t r, T* to) {
  const int64_t deep = axis[0].reach(p.deep), high = axis[1].reach(p.high);
  const int64_t z0 = p.z * axis[0].step + axis[0].lowest, y0 = p.y * axis[1].step + axis[1].lowest;
  const Inside in = inside(axis[2], l, r);
  const S* from = x.p + p.b * x.image + c0 * x.channel + in.first * x.x;
  for (int64_t y = 0; y < high; ++y) {
    if (!is_read(axis[1], y)) continue;
    for (int64_t z = 0; z < deep; ++z) {
      if (!is_read(axis[0], z)) continue;
      const bool outside = z0 + z < 0 || z0 + z >= axis[0].size || y0 + y < 0 || y0 + y >= axis[1].size;
      for (int64_t b = 0; b < p.images; ++b)
        for (int64_t c = 0; c < channels; ++c) {
          T* row = to + b * l.image + c * l.channel + z * l.z + y * l.y + r * l.rest;
          if (outside) {
            clear(row, l.rest);
            continue;
          }
          const S* source = from + b * x.image + c * x.channel + (z0 + z) * x.z + (y0 + y) * x.y;
          if (in.begin > 0) clear(row, in.begin);
          copy_row(source, l.split * x.x, in.end - in.begin, row + in.begin);
          if (in.end < l.rest) clear(row + in.end, l.rest - in.end);
        }
    }
  }
}

template <class S, class T>
void stage(const Image<S>& x, const Axis (&axis)[kAxes], const Piece& p, int64_t c0, int64_t channels, const Layout& l,
           T* to) {
  for (int64_t r = 0; r < l.split; ++r)
    if (l.split == 1 || is_read(axis[2], r)) stage_rest(x, axis, p, c0, channels, l, r, to);
}

}  // namespace
}  // namespace pydl::PYDL_ISA

// Staging: the part of the image that a piece of the output reads, copied with its zero border into memory of the
// thread's own, in T, with unit steps along x. The products read it there without looking at borders, strides of the
// image or its dtype. Where outputs step by s along x, a row is stored as s rows, one for each remainder by s, so that
// neighbouring outputs read neighbouring elements.
#pragma once

#include "kernels/conv/axis.h"
#include "simd/interleave.h"

namespace pydl::PYDL_ISA {
namespace {

// Strides of the staged image. Tap and output add up: see tap_offset and the strips of correlate.h.
struct Layout {
  int64_t image, channel, z, y, rest;  // rest: from one remainder to the next
  int64_t split;                       // remainders: the step along x, or 1 where rows are kept whole
};

// unit: of the length of a row.
template <class T>
inline Layout layout(const Axis (&axis)[kAxes], const Piece& p, int64_t channels, int64_t split, int64_t unit = 1) {
  Layout l;
  l.split = split;
  l.rest = round_up(ceil_div(axis[2].reach(axis[2].count), split), unit);
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
  if (step == 2) {
    for (; i < n; i += N) {
      const int64_t kept = least(N, n - i);
      store(to + i, load_apart<T>(from + 2 * i, 2, kept), kept);
    }
    return;
  }
  for (; i < n; ++i) to[i] = widen<T>(from[i * step]);
}

template <class T>
inline void clear(T* to, int64_t n) {
  constexpr int64_t N = Vec<T>::N;
  if (n < N) return store(to, Vec<T>(), n);
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

// Whether some tap reads each.
inline bool all_read(const Axis& a) {
  for (int64_t r = 0; r < a.step; ++r)
    if (!is_read(a, r)) return false;
  return true;
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

// The elements of a row of `size`, in turn to two rows.
template <class T>
inline void copy_halves(const T* from, int64_t size, T* first, T* second) {
  constexpr int64_t N = Vec<T>::N;
  for (int64_t i = 0; 2 * i < size; i += N, from += 2 * N) {
    const int64_t left = least(2 * N, size - 2 * i);
    Vec<T> even, odd;
    load_pairs(from, left, &even, &odd);
    left == 2 * N ? store(first + i, even) : store(first + i, even, (left + 1) / 2);
    left == 2 * N ? store(second + i, odd) : store(second + i, odd, left / 2);
  }
}

// Calls f(from, to) for the rows of channels [c0, c0 + channels) that a piece reads; from is null in the border.
template <class S, class T, class F>
void each_row(const Image<S>& x, const Axis (&axis)[kAxes], const Piece& p, int64_t c0, int64_t channels,
              const Layout& l, T* to, const F& f) {
  const int64_t deep = axis[0].reach(p.deep), high = axis[1].reach(p.high);
  const int64_t z0 = p.z * axis[0].step + axis[0].lowest, y0 = p.y * axis[1].step + axis[1].lowest;
  const bool all_z = all_read(axis[0]), all_y = all_read(axis[1]);
  for (int64_t b = 0; b < p.images; ++b)
    for (int64_t c = 0; c < channels; ++c) {
      const S* from = x.p + (p.b + b) * x.image + (c0 + c) * x.channel;
      for (int64_t z = 0; z < deep; ++z) {
        if (!all_z && !is_read(axis[0], z)) continue;
        const bool outside = z0 + z < 0 || z0 + z >= axis[0].size;
        for (int64_t y = 0; y < high; ++y) {
          if (!all_y && !is_read(axis[1], y)) continue;
          const bool border = outside || y0 + y < 0 || y0 + y >= axis[1].size;
          f(border ? nullptr : from + (z0 + z) * x.z + (y0 + y) * x.y,
            to + b * l.image + c * l.channel + z * l.z + y * l.y);
        }
      }
    }
}

template <class T>
inline void clear_border(const Inside& in, int64_t n, T* row) {
  if (in.begin > 0) clear(row, in.begin);
  if (in.end < n) clear(row + in.end, n - in.end);
}

// What a piece reads of the channels from c0 on. inner: the border is there already, from a piece that lay alike.
template <class S, class T>
void stage(const Image<S>& x, const Axis (&axis)[kAxes], const Piece& p, int64_t c0, int64_t channels, const Layout& l,
           T* to, bool inner = false) {
  if constexpr (std::is_same_v<S, T>) {
    if (l.split == 2 && x.x == 1 && is_read(axis[2], 0) && is_read(axis[2], 1)) {
      const Inside in[2] = {inside(axis[2], l, 0), inside(axis[2], l, 1)};
      const int first = in[0].first < in[1].first ? 0 : 1;
      const int64_t size = in[0].end - in[0].begin + in[1].end - in[1].begin;
      return each_row(x, axis, p, c0, channels, l, to, [&](const S* from, T* row) {
        if (!from && !inner) clear(row, l.y);
        if (!from) return;
        T* const half[2] = {row + in[0].begin, row + l.rest + in[1].begin};
        if (!inner) clear_border(in[0], l.rest, row);
        if (!inner) clear_border(in[1], l.rest, row + l.rest);
        copy_halves(from + in[first].first, size, half[first], half[1 - first]);
      });
    }
  }
  for (int64_t r = 0; r < l.split; ++r) {
    if (l.split > 1 && !is_read(axis[2], r)) continue;
    const Inside in = inside(axis[2], l, r);
    each_row(x, axis, p, c0, channels, l, to + r * l.rest, [&](const S* from, T* row) {
      if (!from && !inner) clear(row, l.rest);
      if (!from) return;
      if (!inner) clear_border(in, l.rest, row);
      copy_row(from + in.first * x.x, l.split * x.x, in.end - in.begin, row + in.begin);
    });
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

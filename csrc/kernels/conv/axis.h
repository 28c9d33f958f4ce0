// The geometry that all products share. An axis of the output reads an axis of the image: output o reads, for tap t,
// the image at o * step + shift[t]. A convolution is one such correlation; the gradient of its input is one for each
// remainder of the input's index by the stride, with the taps that reach it and step 1.
#pragma once

#include "kernels/gemm/pack.h"
#include "runtime/table/conv.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int kAxes = 3;  // z, y, x

inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

struct Axis {
  int64_t count, step;   // outputs, and elements of the image from one to the next
  int64_t size;          // of the image
  int64_t taps;          // how many there are
  int64_t *shift, *tap;  // of each: where it reads, and its place in the kernel
  int64_t lowest, span;  // the smallest shift, and how far the largest lies from it
  int64_t start, pitch;  // output o lies at start + o * pitch

  // Elements of the image that n outputs in a row reach over.
  int64_t reach(int64_t n) const { return (n - 1) * step + span + 1; }
};

// Bytes of one staged row.
template <class T>
inline int64_t axis_bytes(const Axis& x) {
  return static_cast<int64_t>(sizeof(T)) * x.reach(x.count);
}

inline void set_span(Axis& a) {
  int64_t highest = a.taps ? a.shift[0] : 0;
  a.lowest = highest;
  for (int64_t t = 1; t < a.taps; ++t) {
    a.lowest = least(a.lowest, a.shift[t]);
    highest = most(highest, a.shift[t]);
  }
  a.span = highest - a.lowest;
}

// All n of them, axis(0) and on, read one staged image: from the smallest of their shifts to the largest.
template <class F>
void join_spans(int64_t n, const F& axis) {
  int64_t lowest = 0, highest = 0;
  bool any = false;
  for (int64_t k = 0; k < n; ++k) {
    const Axis& a = axis(k);
    if (a.taps == 0) continue;
    lowest = any ? least(lowest, a.lowest) : a.lowest;
    highest = any ? most(highest, a.lowest + a.span) : a.lowest + a.span;
    any = true;
  }
  for (int64_t k = 0; k < n; ++k) axis(k).lowest = lowest, axis(k).span = highest - lowest;
}

// room: two numbers for each tap.
inline Axis forward_axis(const ConvSpec& s, int i, int64_t in, int64_t out, int64_t kernel, int64_t* room) {
  Axis a{out, s.stride[i], in, kernel, room, room + kernel, 0, 0, 0, 1};
  for (int64_t t = 0; t < kernel; ++t) {
    a.shift[t] = t * s.dilation[i] - s.padding[i];
    a.tap[t] = t;
  }
  set_span(a);
  return a;
}

// The outputs are the elements of the input whose index leaves `rest` by the stride; the image is the gradient.
inline Axis backward_axis(const ConvSpec& s, int i, int64_t in, int64_t out, int64_t kernel, int64_t rest,
                          int64_t* room) {
  const int64_t stride = s.stride[i];
  Axis a{ceil_div(in - rest, stride), 1, out, 0, room, room + kernel, 0, 0, rest, stride};
  for (int64_t t = 0; t < kernel; ++t) {
    const int64_t at = rest + s.padding[i] - t * s.dilation[i], o = floor_div(at, stride);
    if (o * stride != at) continue;
    a.shift[a.taps] = o;
    a.tap[a.taps++] = t;
  }
  set_span(a);
  return a;
}

// A block of outputs: some images, and of each a box of whole rows.
struct Piece {
  int64_t b, z, y;             // the first
  int64_t images, deep, high;  // how many
};

// Pieces of one size, but for the last in each direction.
struct Pieces {
  int64_t images, depth, height;  // of everything
  Piece full;                     // b = z = y = 0

  int64_t along_b() const { return ceil_div(images, full.images); }
  int64_t along_z() const { return ceil_div(depth, full.deep); }
  int64_t along_y() const { return ceil_div(height, full.high); }
  int64_t count() const { return along_b() * along_z() * along_y(); }

  Piece at(int64_t i) const {
    Piece p;
    p.y = i % along_y() * full.high;
    p.z = i / along_y() % along_z() * full.deep;
    p.b = i / along_y() / along_z() * full.images;
    p.images = least(full.images, images - p.b);
    p.deep = least(full.deep, depth - p.z);
    p.high = least(full.high, height - p.y);
    return p;
  }
};

inline bool same_size(const Piece& a, const Piece& b) {
  return a.images == b.images && a.deep == b.deep && a.high == b.high;
}

// Cuts outputs into pieces whose images take no more than `room` bytes (one row at least), of `lanes` outputs or more
// where that is possible, and into `pieces` of them at least where there are rows enough.
inline Pieces cut(const Axis (&axis)[kAxes], int64_t images, int64_t row_bytes, int64_t room, int64_t lanes,
                  int64_t pieces) {
  Pieces p{images, axis[0].count, axis[1].count, {0, 0, 0, 1, axis[0].count, axis[1].count}};
  const auto bytes = [&](int64_t z, int64_t y) { return row_bytes * axis[0].reach(z) * axis[1].reach(y); };
  const int64_t pixels = axis[0].count * axis[1].count * axis[2].count;
  if (bytes(p.depth, p.height) <= room && images * 2 > pieces) {
    const int64_t fitting = room / most(1, bytes(p.depth, p.height));
    const int64_t wanted = least(ceil_div(lanes, most(1, pixels)), ceil_div(images, pieces));
    p.full.images = most(1, least(fitting, wanted));
    return p;
  }
  const auto few = [&] { return images * p.along_z() * p.along_y() < pieces; };
  while (p.full.deep > 1 && (few() || bytes(p.full.deep, p.height) > room)) p.full.deep = (p.full.deep + 1) / 2;
  while (p.full.high > 1 && (few() || bytes(p.full.deep, p.full.high) > room)) p.full.high = (p.full.high + 1) / 2;
  return p;
}

}  // namespace
}  // namespace pydl::PYDL_ISA

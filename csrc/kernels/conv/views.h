// From the views and the dtype that a kernel is called with to the geometry and the types of the products.
#pragma once

#include "kernels/conv/correlate.h"

namespace pydl::PYDL_ISA {
namespace {

// z, y and x of a 1 by 1 convolution as one axis, where all its views allow it.
inline bool mergeable(const View& v) {
  return v.strides[2] == v.shape[3] * v.strides[3] && v.strides[3] == v.shape[4] * v.strides[4];
}

inline void merge(View& v) {
  v.shape[4] *= v.shape[2] * v.shape[3];
  v.shape[2] = v.shape[3] = 1;
}

inline void flatten(View& x, const View& w, const ConvSpec& s, View& y) {
  for (int i = 0; i < kAxes; ++i)
    if (w.shape[2 + i] != 1 || s.stride[i] != 1 || s.padding[i] != 0 || x.shape[2 + i] != y.shape[2 + i]) return;
  if (!mergeable(x) || !mergeable(y)) return;
  merge(x);
  merge(y);
}

template <class S>
Image<S> image(const View& v) {
  return {v.as<const S>(), v.strides[0], v.strides[1], v.strides[2], v.strides[3], v.strides[4]};
}

inline int64_t* geometry_room(const View& w) {
  const int64_t taps = w.shape[2] + w.shape[3] + w.shape[4];
  return static_cast<int64_t*>(scratch(kGeometrySlot, sizeof(int64_t) * static_cast<size_t>(2 * taps)));
}

// The places for the taps of axis i.
inline int64_t* room_of(int64_t* room, const View& w, int i) {
  for (int a = 0; a < i; ++a) room += 2 * w.shape[2 + a];
  return room;
}

// Calls f with the type in memory and the type of the arithmetic.
template <class F>
void with_types(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::f32:
      return f(float{}, float{});
    case Dtype::f64:
      return f(double{}, double{});
    case Dtype::f16:
      return f(f16{}, float{});
    case Dtype::bf16:
      return f(bf16{}, float{});
    default:
      return;  // no others are asked for
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

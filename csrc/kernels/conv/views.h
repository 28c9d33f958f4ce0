// From the views and the dtype that a kernel is called with to the geometry and the types of the products.
#pragma once

#include "kernels/conv/weight_grad.h"

namespace pydl::PYDL_ISA {
namespace {

// The length of rows that an image of n elements is cut into where it need not keep its own: whole vectors, and short
// enough that a piece of few rows fits into the cache; 0 if there is none.
inline int64_t even_row(int64_t n) {
  for (int64_t x = 512; x >= 64; x -= 16)
    if (n % x == 0) return x;
  return n <= 512 ? n : 0;
}

inline bool mergeable(const View& v) {
  return (v.shape[2] == 1 || v.strides[2] == v.shape[3] * v.strides[3]) &&
         (v.shape[3] == 1 || v.strides[3] == v.shape[4] * v.strides[4]);
}

inline void set_rows(View& v, int64_t n, int64_t row) {
  v.shape[2] = 1;
  v.shape[3] = n / row;
  v.shape[4] = row;
  v.strides[3] = row * v.strides[4];
  v.strides[2] = n * v.strides[4];
}

inline bool is_pointwise(const View& w, const ConvSpec& s) {
  for (int i = 0; i < kAxes; ++i)
    if (w.shape[2 + i] != 1 || s.padding[i] != 0) return false;
  return true;
}

// A 1 by 1 convolution with a stride is one without, of the pixels that it reads.
inline void leave_out_unread(View& x, const View& w, ConvSpec& s, const View& y) {
  if (!is_pointwise(w, s)) return;
  for (int i = 0; i < kAxes; ++i) {
    x.shape[2 + i] = y.shape[2 + i];
    x.strides[2 + i] *= s.stride[i];
    s.stride[i] = 1;
  }
}

// A 1 by 1 convolution knows no neighbours: its rows are cut anew, where all views allow it.
inline void flatten(View& x, const View& w, const ConvSpec& s, View& y) {
  if (!is_pointwise(w, s)) return;
  for (int i = 0; i < kAxes; ++i)
    if (s.stride[i] != 1 || x.shape[2 + i] != y.shape[2 + i]) return;
  const int64_t n = x.shape[2] * x.shape[3] * x.shape[4], row = even_row(n);
  if (row == 0 || !mergeable(x) || !mergeable(y)) return;
  set_rows(x, n, row);
  set_rows(y, n, row);
}

template <class S>
Image<S> image(const View& v) {
  return {v.as<const S>(), v.strides[0], v.strides[1], v.strides[2], v.strides[3], v.strides[4]};
}

// Numbers that the tables of a product's axes take.
inline int64_t geometry(const View& w) { return 2 * (w.shape[2] + w.shape[3] + w.shape[4]); }

inline int64_t* geometry_room(const View& w, int64_t products = 1) {
  return static_cast<int64_t*>(scratch(kGeometrySlot, sizeof(int64_t) * static_cast<size_t>(products * geometry(w))));
}

// The places for the taps of axis i.
inline int64_t* room_of(int64_t* room, const View& w, int i) {
  for (int a = 0; a < i; ++a) room += 2 * w.shape[2 + a];
  return room;
}

template <class S>
Correlation<S> forward(const View& x, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& y) {
  int64_t* room = geometry_room(w);
  const auto axis = [&](int i) {
    return forward_axis(s, i, x.shape[2 + i], y.shape[2 + i], w.shape[2 + i], room_of(room, w, i));
  };
  const int64_t rows = y.shape[1] / s.groups;
  return {{axis(0), axis(1), axis(2)},
          x.shape[0],
          w.shape[1],
          rows,
          s.groups,
          image<S>(x),
          {w.as<const S>(), rows * w.strides[0], w.strides[0], w.strides[1], w.strides[2], w.strides[3], w.strides[4]},
          y.as<S>(),
          y.strides[0],
          y.strides[1],
          y.strides[2],
          y.strides[3],
          bias.as<const S>(),
          bias.strides[0],
          f};
}

// The same for the gradient of the input: its image is y, channels and rows change places. rest: of each axis; room:
// for the tables of the axes.
template <class S>
Correlation<S> backward(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& x,
                        const int64_t (&rest)[kAxes], int64_t* room) {
  const auto axis = [&](int i) {
    return backward_axis(s, i, x.shape[2 + i], y.shape[2 + i], w.shape[2 + i], rest[i], room_of(room, w, i));
  };
  const int64_t channels = y.shape[1] / s.groups;
  return {
      {axis(0), axis(1), axis(2)},
      x.shape[0],
      channels,
      w.shape[1],
      s.groups,
      image<S>(y),
      {w.as<const S>(), channels * w.strides[0], w.strides[1], w.strides[0], w.strides[2], w.strides[3], w.strides[4]},
      x.as<S>(),
      x.strides[0],
      x.strides[1],
      x.strides[2],
      x.strides[3],
      bias.as<const S>(),
      bias.strides[0],
      f};
}

template <class S>
WeightGrad<S> weight_product(const View& x, const View& y, const ConvSpec& s, const View& w) {
  int64_t* room = geometry_room(w);
  const auto axis = [&](int i) {
    return forward_axis(s, i, x.shape[2 + i], y.shape[2 + i], w.shape[2 + i], room_of(room, w, i));
  };
  return {{axis(0), axis(1), axis(2)},
          x.shape[0],
          w.shape[1],
          y.shape[1] / s.groups,
          s.groups,
          image<S>(x),
          image<S>(y),
          w.as<S>()};
}

// What no tap reaches holds the bias: with strides beyond the kernel that is most of it. Of the rows of a remainder.
template <class S>
void fill_rows(const View& x, const View& bias, const ConvSpec& s, const int64_t (&rest)[kAxes]) {
  const int64_t plane = x.shape[3] * x.shape[4];
  parallel_for(x.shape[0] * x.shape[1], x.shape[2] * plane / 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const S value = bias.present() ? bias.as<const S>()[i % x.shape[1] * bias.strides[0]] : S{};
      for (int64_t z = rest[0]; z < x.shape[2]; z += s.stride[0])
        for (int64_t row = rest[1]; row < x.shape[3]; row += s.stride[1]) {
          S* to = x.as<S>() + (i * x.shape[2] + z) * plane + row * x.shape[4];
          for (int64_t o = 0; o < x.shape[4]; ++o) to[o] = value;
        }
    }
  });
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

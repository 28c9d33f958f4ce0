// Convolutions and their gradients, of 1 to 3 axes, with stride, padding, dilation and groups. The three products are
// each other's derivatives; none of them makes a matrix of patches in memory.
//   conv/path.h         which way a product goes     conv/micro.h        tiles of sums in registers
//   conv/axis.h         what an output reads         conv/correlate.h    forward, and the gradient of the input
//   conv/stage.h        images with their borders    conv/weight_grad.h  the gradient of the weights
//   conv/strips.h       outputs as vectors
#include "runtime/table/conv.h"

#include "kernels/conv/correlate.h"
#include "kernels/conv/views.h"

namespace pydl::PYDL_ISA {
namespace {

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

// The same for the gradient of the input: its image is y, channels and rows change places. rest: of each axis.
template <class S>
Correlation<S> backward(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& x,
                        const int64_t (&rest)[kAxes]) {
  int64_t* room = geometry_room(w);
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

template <class S, class T>
void input_gradient(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& x) {
  int64_t rest[kAxes];
  for (rest[0] = 0; rest[0] < least(s.stride[0], x.shape[2]); ++rest[0])
    for (rest[1] = 0; rest[1] < least(s.stride[1], x.shape[3]); ++rest[1])
      for (rest[2] = 0; rest[2] < least(s.stride[2], x.shape[4]); ++rest[2])
        correlate<S, T>(backward<S>(y, w, bias, s, f, x, rest));
}

}  // namespace

void conv(View x, View w, View bias, ConvSpec spec, Activation activation, View y) {
  if (y.numel() == 0) return;
  flatten(x, w, spec, y);
  with_types(y.dtype, [&](auto stored, auto computed) {
    using S = decltype(stored);
    correlate<S, decltype(computed)>(forward<S>(x, w, bias, spec, activation, y));
  });
}

void conv_input_grad(View y, View w, View bias, ConvSpec spec, Activation activation, View x) {
  if (x.numel() == 0) return;
  flatten(x, w, spec, y);
  with_types(x.dtype, [&](auto stored, auto computed) {
    input_gradient<decltype(stored), decltype(computed)>(y, w, bias, spec, activation, x);
  });
}

void conv_path(ConvProduct product, View x, View w, ConvSpec spec, View y, ConvPath* path) {
  flatten(x, w, spec, y);
  const int64_t taps = w.shape[2] * w.shape[3] * w.shape[4];
  *path = ConvPath::packed;
  if (product == ConvProduct::forward)
    *path = make_job<float, float>(forward<float>(x, w, {}, spec, {}, y)).plan.path(taps);
}

}  // namespace pydl::PYDL_ISA

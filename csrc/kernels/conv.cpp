// Convolutions and their gradients, of 1 to 3 axes, with stride, padding, dilation and groups. The three products are
// each other's derivatives; none of them makes a matrix of patches in memory.
//   conv/path.h         which way a product goes     conv/micro.h        tiles of sums in registers
//   conv/axis.h         what an output reads         conv/correlate.h    forward, and the gradient of the input
//   conv/stage.h        images with their borders    conv/weight_grad.h  the gradient of the weights
//   conv/strips.h       outputs as vectors           conv/planes.h       channels that do not meet
//   conv/winograd.h     kernels of 3 by 3 with a quarter of the products; conv/winograd_grad.h: of their weights
//   conv/planes_grad.h  the gradient of few weights
//   conv/lanes.h        small images of few channels, as many at a time as a vector has lanes
// Where there is AMX, conv_tiles.cpp takes some of them before (conv/tiles.h).
#include "runtime/table/conv.h"

#include "kernels/conv/lanes.h"
#include "kernels/conv/views.h"
#include "kernels/conv/winograd.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kMostProducts = 64;

template <class S, class T>
void run_correlation(const Correlation<S>& c) {
  if constexpr (std::is_same_v<S, float>) {
    if (takes_winograd(c)) return winograd(c, plan_winograd<T>(c.axis, c.images, c.channels, c.rows));
  }
  if (correlates_lanes<T>(c.axis, c.images, c.channels, c.rows, c.groups)) return correlate_lanes<S, T>(c);
  is_depthwise(c.channels, c.rows, c.groups) ? correlate_planes<S, T>(&c, 1) : correlate<S, T>(c);
}

// Both remainders by a stride of 2 along x at a time, so that whole rows are written; false if that cannot be.
template <class S, class T>
bool correlate_in_turns(Correlation<S>& even, Correlation<S>& odd) {
  if (even.axis[2].count != odd.axis[2].count) return false;
  if constexpr (std::is_same_v<S, float>) {
    if (takes_winograd(even) || takes_winograd(odd)) return false;
  }
  join_spans(2, [&](int64_t k) -> Axis& { return (k ? odd : even).axis[2]; });
  correlate<S, T>(even, &odd);
  return true;
}

// The rows of a remainder by the strides along z and y.
template <class S, class T>
void input_gradient_rows(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& x,
                         int64_t (&rest)[kAxes]) {
  int64_t* room = geometry_room(w, 2);
  const auto product = [&](int64_t at) {
    rest[2] = at;
    return backward<S>(y, w, bias, s, f, x, rest, room + at % 2 * geometry(w));
  };
  Correlation<S> even = product(0);
  if (f == Activation::none && even.axis[0].taps * even.axis[1].taps == 0) return fill_rows<S>(x, bias, s, rest);
  if (s.stride[2] == 2 && x.shape[4] > 1) {
    Correlation<S> odd = product(1);
    if (correlate_in_turns<S, T>(even, odd)) return;
  }
  const bool gaps = f == Activation::none && s.stride[2] > w.shape[4];
  if (gaps) fill_rows<S>(x, bias, s, rest);
  for (int64_t i = 0; i < least(s.stride[2], x.shape[4]); ++i) {
    const Correlation<S> c = product(i);
    if (!gaps || c.taps() > 0) run_correlation<S, T>(c);
  }
}

// All remainders of a plane while it is in the first-level cache; false if there are too many.
template <class S, class T>
bool input_gradient_planes(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f,
                           const View& x) {
  int64_t n[kAxes], products = 1;
  for (int i = 0; i < kAxes; ++i) products *= n[i] = least(s.stride[i], x.shape[2 + i]);
  if (!is_depthwise(y.shape[1] / s.groups, w.shape[1], s.groups) || products > kMostProducts) return false;
  int64_t* room = geometry_room(w, products);
  auto* c = static_cast<Correlation<S>*>(scratch(kWeightSlot, sizeof(Correlation<S>) * static_cast<size_t>(products)));
  for (int64_t k = 0; k < products; ++k) {
    const int64_t rest[kAxes] = {k / n[2] / n[1], k / n[2] % n[1], k % n[2]};
    c[k] = backward<S>(y, w, bias, s, f, x, rest, room + k * geometry(w));
  }
  for (int i = 0; i < kAxes; ++i) join_spans(products, [&](int64_t k) -> Axis& { return c[k].axis[i]; });
  correlate_planes<S, T>(c, products);
  return true;
}

template <class S, class T>
void input_gradient(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& x) {
  if (input_gradient_planes<S, T>(y, w, bias, s, f, x)) return;
  int64_t rest[kAxes];
  for (rest[0] = 0; rest[0] < least(s.stride[0], x.shape[2]); ++rest[0])
    for (rest[1] = 0; rest[1] < least(s.stride[1], x.shape[3]); ++rest[1])
      input_gradient_rows<S, T>(y, w, bias, s, f, x, rest);
}

}  // namespace

void conv(View x, View w, View bias, ConvSpec spec, Activation activation, View y) {
  if (y.numel() == 0) return;
  leave_out_unread(x, w, spec, y);
  flatten(x, w, spec, y);
  with_types(y.dtype, [&](auto stored, auto computed) {
    using S = decltype(stored);
    run_correlation<S, decltype(computed)>(forward<S>(x, w, bias, spec, activation, y));
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
  if (product != ConvProduct::input_grad) leave_out_unread(x, w, spec, y);
  flatten(x, w, spec, y);
  const int64_t taps = w.shape[2] * w.shape[3] * w.shape[4], rows = y.shape[1] / spec.groups;
  const bool forward_like = product != ConvProduct::input_grad;
  const int64_t channels = forward_like ? w.shape[1] : rows, others = forward_like ? rows : w.shape[1];
  const int64_t rest[kAxes] = {0, 0, 0};
  if (product == ConvProduct::weight_grad) {
    const auto c = forward<float>(x, w, {}, spec, {}, y);
    *path = y.strides[4] == 1 && takes_winograd(c)                               ? ConvPath::winograd
            : sums_lanes<float>(c.axis, c.images, channels, others, spec.groups) ? ConvPath::lanes
            : sums_planes<float>(channels, others, c.axis[2])                    ? ConvPath::planes
            : taps == 1                                                          ? ConvPath::pointwise
                                                                                 : ConvPath::direct;
  } else if (is_depthwise(channels, others, spec.groups)) {
    *path = ConvPath::planes;
  } else {
    const auto c = forward_like ? forward<float>(x, w, {}, spec, {}, y)
                                : backward<float>(y, w, {}, spec, {}, x, rest, geometry_room(w));
    *path = takes_winograd(c) ? ConvPath::winograd
            : correlates_lanes<float>(c.axis, c.images, channels, others, spec.groups)
                ? ConvPath::lanes
                : make_job<float, float>(c).plan.path(taps);
  }
}

}  // namespace pydl::PYDL_ISA

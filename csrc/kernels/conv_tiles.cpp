// What of the convolutions goes by the matrix unit, where there is AMX; all else is left to the kernels of avx512.
#ifdef __AMX_BF16__
#include "kernels/conv/tiles.h"
#include "kernels/conv/views.h"
#include "kernels/conv/winograd.h"

namespace pydl::PYDL_ISA {
namespace {

template <class S>
bool takes(const Correlation<S>& c) {
  if constexpr (std::is_same_v<S, float>) {
    if (takes_winograd(c)) return false;
  }
  return takes_tiles(c);
}

template <class S>
Correlation<S> forward_product(View x, const View& w, const View& bias, ConvSpec s, Activation f, View y) {
  leave_out_unread(x, w, s, y);
  flatten(x, w, s, y);
  return forward<S>(x, w, bias, s, f, y);
}

// Of the first remainder by the strides.
template <class S>
Correlation<S> backward_product(View y, const View& w, const View& bias, const ConvSpec& s, Activation f, View x) {
  flatten(x, w, s, y);
  const int64_t rest[kAxes] = {0, 0, 0};
  return backward<S>(y, w, bias, s, f, x, rest, geometry_room(w));
}

inline bool has_strides(const ConvSpec& s) { return s.stride[0] * s.stride[1] * s.stride[2] != 1; }

// Whether the gradient of the input goes this way. With strides it does where the kernel is 1 by 1 and its outputs lie
// two apart along x: what lies between them, and the rows between theirs, hold the bias.
template <class S>
bool takes_gradient(const Correlation<S>& c, const View& w, const ConvSpec& s, Activation f, const View& x) {
  const bool spread = is_pointwise(w, s) && s.stride[2] == 2 && x.shape[4] % 2 == 0 && f == Activation::none;
  return (spread || !has_strides(s)) && takes(c);
}

// False: nothing has been computed.
template <class S>
bool input_gradient(const View& y, const View& w, const View& bias, const ConvSpec& s, Activation f, const View& x) {
  const Correlation<S> c = backward_product<S>(y, w, bias, s, f, x);
  if (!takes_gradient(c, w, s, f, x) || !correlate_tiles(c, has_strides(s))) return false;
  int64_t rest[kAxes] = {0, 0, 0};
  for (; rest[0] < least(s.stride[0], x.shape[2]); ++rest[0])
    for (rest[1] = rest[0] == 0 ? 1 : 0; rest[1] < least(s.stride[1], x.shape[3]); ++rest[1])
      fill_rows<S>(x, bias, s, rest);
  return true;
}

// f of a number of the dtype, or false where it has no parts.
template <class F>
bool with_parts(Dtype dtype, const F& f) {
  if (dtype == Dtype::f32) return f(float{});
  if (dtype == Dtype::f16) return f(f16{});
  return dtype == Dtype::bf16 && f(bf16{});
}

}  // namespace

void conv(View x, View w, View bias, ConvSpec spec, Activation activation, View y) {
  const bool done = y.numel() > 0 && with_parts(y.dtype, [&](auto number) {
                      const auto c = forward_product<decltype(number)>(x, w, bias, spec, activation, y);
                      return takes(c) && correlate_tiles(c);
                    });
  if (!done) avx512::conv(x, w, bias, spec, activation, y);
}

void conv_input_grad(View y, View w, View bias, ConvSpec spec, Activation activation, View x) {
  const bool done = x.numel() > 0 && with_parts(x.dtype, [&](auto number) {
                      return input_gradient<decltype(number)>(y, w, bias, spec, activation, x);
                    });
  if (!done) avx512::conv_input_grad(y, w, bias, spec, activation, x);
}

void conv_path(ConvProduct product, View x, View w, ConvSpec spec, View y, ConvPath* path) {
  const bool tiles = product == ConvProduct::forward ? takes(forward_product<float>(x, w, {}, spec, {}, y))
                     : product == ConvProduct::input_grad
                         ? takes_gradient(backward_product<float>(y, w, {}, spec, {}, x), w, spec, {}, x)
                         : false;
  if (tiles) {
    *path = ConvPath::tiles;
  } else {
    avx512::conv_path(product, x, w, spec, y, path);
  }
}

}  // namespace pydl::PYDL_ISA
#endif

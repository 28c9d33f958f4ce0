// The gradient of a convolution's weights: see conv.cpp.
#include "kernels/conv/lanes.h"
#include "kernels/conv/views.h"
#include "kernels/conv/winograd_grad.h"
#include "runtime/table/conv.h"

namespace pydl::PYDL_ISA {

void conv_weight_grad(View x, View y, ConvSpec spec, View w) {
  if (w.numel() == 0) return;
  leave_out_unread(x, w, spec, y);
  flatten(x, w, spec, y);
  with_types(w.dtype, [&](auto stored, auto computed) {
    using S = decltype(stored);
    using T = decltype(computed);
    const WeightGrad<S> g = weight_product<S>(x, y, spec, w);
    if constexpr (std::is_same_v<S, float>) {
      if (takes_winograd(g)) return winograd_weights(g);
    }
    if (sums_lanes<T>(g.axis, g.images, g.channels, g.rows, g.groups)) return weight_lanes<S, T>(g);
    sums_planes<T>(g.channels, g.rows, g.axis[2]) ? weight_planes<S, T>(g) : weight_gradient<S, T>(g);
  });
}

}  // namespace pydl::PYDL_ISA

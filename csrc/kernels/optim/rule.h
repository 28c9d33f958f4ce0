// What an update rule of an optimizer is made of, for the CPU's kernels and the GPU's.
//
// A rule is a functor: the host constructs it from the hyperparameters (runtime/table/optim.h) when a step is launched;
// rule(p, d, s) returns the new p, given the direction d of Common, and changes the kSlots elements of state s. It is
// written once, for vectors and for single numbers.
#pragma once

#include <cmath>

#include "kernels/numbers.h"
#include "kernels/types.h"
#include "runtime/table/optim.h"

namespace pydl::PYDL_ISA {
namespace {

// Its sign; zeros and NaN stay.
template <class V>
PYDL_HD inline V sign_of(V x) {
  return select(x > V(), number<V>(1), select(x < V(), number<V>(-1), x));
}

// What all rules share: the direction d = +-g, plus weight_decay p if that is coupled; and p, shrunk if it is
// decoupled.
struct Common {
  explicit Common(const double* h) {
    const double decay = h[step_hyper::weight_decay];
    const bool decoupled = h[step_hyper::decoupled] != 0;
    sign = h[step_hyper::maximize] != 0 ? -1.0 : 1.0;
    coupled_decay = decoupled ? 0.0 : decay;
    keep = decoupled ? 1.0 - h[step_hyper::lr] * decay : 1.0;
  }
  double sign, coupled_decay, keep;
};

// The dtypes of a parameter and of its state: the same, or 16 bits with a state of float32.
template <class F>
void with_dtypes(Dtype parameter, Dtype state, const F& f) {
  with_floating(parameter, [&](auto p) {
    if constexpr (kHalf<decltype(p)>)
      if (state == Dtype::f32) return f(p, float{});
    f(p, p);
  });
}

}  // namespace
}  // namespace pydl::PYDL_ISA

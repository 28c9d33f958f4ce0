// Update rules along the gradient or its sign: SGD, averaged SGD, Rprop, Lion.
#pragma once

#include "kernels/optim/rule.h"

namespace pydl::PYDL_ISA {
namespace {

// Source: torch.optim.SGD's documented update (Sutskever et al. 2013 for the momentum). With rate_inside the buffer
// holds steps, not gradients: b = momentum b + lr d, as Polyak 1964 and Rumelhart et al. 1986 write it.
struct Sgd {
  static constexpr int kSlots = 1;
  explicit Sgd(const double* h) {
    const bool inside = h[sgd_hyper::rate_inside] != 0;
    const double lr = h[step_hyper::lr];
    momentum = h[sgd_hyper::momentum];
    first = h[sgd_hyper::first_step] != 0;
    fresh = (first ? 1.0 : 1.0 - h[sgd_hyper::dampening]) * (inside ? lr : 1.0);
    own = inside ? lr : 1.0;  // times the gradient in Nesterov's sum
    nesterov = h[sgd_hyper::nesterov] != 0;
    minus_lr = inside ? -1.0 : -lr;
  }
  double momentum, fresh, own, minus_lr;
  bool first, nesterov;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    if (momentum != 0) {
      const V old = first ? V() : number<V>(momentum) * s[0];
      s[0] = fma(number<V>(fresh), d, old);
      d = nesterov ? fma(number<V>(momentum), s[0], number<V>(own) * d) : s[0];
    }
    return fma(number<V>(momentum != 0 ? minus_lr : minus_lr * own), d, p);
  }
};

// Source: Polyak & Juditsky 1992, with the schedules of Xu 2011 (arXiv:1107.2490), in the form of torch.optim.ASGD.
// eta and mu are those of this step; the optimizer computes them.
struct Asgd {
  static constexpr int kSlots = 1;
  explicit Asgd(const double* h) {
    minus_eta = -h[asgd_hyper::eta], mu = h[asgd_hyper::mu];
    shrink = 1.0 - h[asgd_hyper::lambd] * h[asgd_hyper::eta];
  }
  double minus_eta, mu, shrink;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    const V next = fma(number<V>(minus_eta), d, number<V>(shrink) * p);
    s[0] = mu == 1 ? next : fma(number<V>(mu), next - s[0], s[0]);
    return next;
  }
};

// Source: Riedmiller & Braun 1993, in the form of torch.optim.Rprop: after a change of sign the step is left out.
struct Rprop {
  static constexpr int kSlots = 2;  // the last gradient, the sizes of the steps
  explicit Rprop(const double* h) {
    shrink = h[rprop_hyper::shrink], grow = h[rprop_hyper::grow];
    least = h[rprop_hyper::least], most = h[rprop_hyper::most];
  }
  double shrink, grow, least, most;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    const V agreement = d * s[0];
    const auto turned = agreement < V();
    const V factor = select(agreement > V(), number<V>(grow), select(turned, number<V>(shrink), number<V>(1)));
    s[1] = min(max(s[1] * factor, number<V>(least)), number<V>(most));
    s[0] = select(turned, V(), d);
    return fma(-sign_of(s[0]), s[1], p);
  }
};

// Source: Chen et al. 2023 (arXiv:2302.06675), program 1.
struct Lion {
  static constexpr int kSlots = 1;
  explicit Lion(const double* h) {
    fresh1 = 1.0 - h[lion_hyper::beta1], fresh2 = 1.0 - h[lion_hyper::beta2];
    minus_lr = -h[step_hyper::lr];
  }
  double fresh1, fresh2, minus_lr;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    const V gap = d - s[0], direction = sign_of(fma(number<V>(fresh1), gap, s[0]));
    s[0] = fma(number<V>(fresh2), gap, s[0]);
    return fma(number<V>(minus_lr), direction, p);
  }
};

}  // namespace
}  // namespace pydl::PYDL_ISA

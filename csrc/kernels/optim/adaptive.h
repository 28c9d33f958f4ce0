// Update rules whose steps adapt to each element: Adagrad, Adadelta, RMSprop.
#pragma once

#include "kernels/optim/rule.h"

namespace pydl::PYDL_ISA {
namespace {

// sqrt(x) + eps, or sqrt(x + eps) as some texts write it.
template <class V>
PYDL_HD inline V root(V x, double eps, bool inside) {
  return inside ? sqrt(x + number<V>(eps)) : sqrt(x) + number<V>(eps);
}

// Source: Duchi, Hazan & Singer 2011, figure 1 with the diagonal matrix.
struct Adagrad {
  static constexpr int kSlots = 1;
  explicit Adagrad(const double* h) {
    minus_lr = -h[step_hyper::lr] / (1.0 + (h[adagrad_hyper::step] - 1.0) * h[adagrad_hyper::lr_decay]);
    eps = h[adagrad_hyper::eps], inside = h[adagrad_hyper::eps_inside] != 0;
  }
  double minus_lr, eps;
  bool inside;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    s[0] = fma(d, d, s[0]);
    return fma(number<V>(minus_lr), d / root(s[0], eps, inside), p);
  }
};

// Source: Zeiler 2012 (arXiv:1212.5701), algorithm 1. Without eps the first step, and so every other, would be 0.
struct Adadelta {
  static constexpr int kSlots = 2;  // the mean squares of the gradients, and of the steps
  explicit Adadelta(const double* h) {
    rho = h[adadelta_hyper::rho], eps = h[adadelta_hyper::eps], minus_lr = -h[step_hyper::lr];
  }
  double rho, eps, minus_lr;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    const V fresh = number<V>(1.0 - rho), old = number<V>(rho), e = number<V>(eps);
    s[0] = fma(fresh * d, d, old * s[0]);
    const V change = sqrt(s[1] + e) / sqrt(s[0] + e) * d;
    s[1] = fma(fresh * change, change, old * s[1]);
    return fma(number<V>(minus_lr), change, p);
  }
};

// Source: Hinton 2012 (lecture 6e); centred as in Graves 2013 (arXiv:1308.0850), in the form of torch.optim.RMSprop.
struct Rmsprop {
  static constexpr int kSlots = 3;  // the mean square of the gradient, the momentum, the mean of the gradient
  explicit Rmsprop(const double* h) {
    alpha = h[rmsprop_hyper::alpha], eps = h[rmsprop_hyper::eps], momentum = h[rmsprop_hyper::momentum];
    inside = h[rmsprop_hyper::eps_inside] != 0, centered = h[rmsprop_hyper::centered] != 0;
    minus_lr = -h[step_hyper::lr];
  }
  double alpha, eps, momentum, minus_lr;
  bool inside, centered;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    const V fresh = number<V>(1.0 - alpha);
    s[0] = fma(fresh * d, d, number<V>(alpha) * s[0]);
    V second = s[0];
    if (centered) {
      s[2] = fma(fresh, d - s[2], s[2]);
      second = fma(-s[2], s[2], second);
    }
    V change = d / root(second, eps, inside);
    if (momentum != 0) change = s[1] = fma(number<V>(momentum), s[1], change);
    return fma(number<V>(minus_lr), change, p);
  }
};

}  // namespace
}  // namespace pydl::PYDL_ISA

// The update rules of Adam and its kin: running means m of the gradient and v of its square, both without their bias
// towards zero.
#pragma once

#include "kernels/optim/rule.h"

namespace pydl::PYDL_ISA {
namespace {

// The two running means that all of these have in s[0] and s[1], and what removes their bias.
struct Moments {
  Moments(const double* h, int beta1_at, int beta2_at, double step) {
    const double beta1 = h[beta1_at];
    beta2 = h[beta2_at];
    fresh1 = 1.0 - beta1, fresh2 = 1.0 - beta2;
    correction1 = 1.0 - std::pow(beta1, step), correction2 = 1.0 - std::pow(beta2, step);
  }
  double beta2, fresh1, fresh2, correction1, correction2;

  template <class V>
  PYDL_HD inline void first(V d, V* s) const {
    s[0] = fma(number<V>(fresh1), d - s[0], s[0]);
  }
  template <class V>
  PYDL_HD inline void second(V d, V* s) const {
    s[1] = fma(number<V>(fresh2) * d, d, number<V>(beta2) * s[1]);
  }
};

// Source: Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (decoupled decay), Reddi et al. 2018 (AMSGrad), in the form
// of torch.optim.Adam: p -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps).
struct Adam : Moments {
  static constexpr int kSlots = 3;
  explicit Adam(const double* h) : Moments(h, adam_hyper::beta1, adam_hyper::beta2, h[adam_hyper::step]) {
    eps = h[adam_hyper::eps], inside = h[adam_hyper::eps_inside] != 0, amsgrad = h[adam_hyper::amsgrad] != 0;
    minus_step = -h[step_hyper::lr] / correction1;
    scale2 = inside ? 1.0 / correction2 : 1.0 / std::sqrt(correction2);
  }
  double eps, minus_step, scale2;
  bool inside, amsgrad;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    first(d, s);
    second(d, s);
    V v = s[1];
    if (amsgrad) v = s[2] = max(s[2], v);
    const V scale = number<V>(scale2), e = number<V>(eps);
    const V denominator = inside ? sqrt(fma(v, scale, e)) : fma(sqrt(v), scale, e);
    return fma(number<V>(minus_step), s[0] / denominator, p);
  }
};

// Source: Kingma & Ba 2015, algorithm 2: the largest |gradient|, fading, in place of the root of v.
struct Adamax : Moments {
  static constexpr int kSlots = 2;
  explicit Adamax(const double* h) : Moments(h, adamax_hyper::beta1, adamax_hyper::beta2, h[adamax_hyper::step]) {
    eps = h[adamax_hyper::eps], minus_step = -h[step_hyper::lr] / correction1;
  }
  double eps, minus_step;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    first(d, s);
    s[1] = max(number<V>(beta2) * s[1], abs(d) + number<V>(eps));
    return fma(number<V>(minus_step), s[0] / s[1], p);
  }
};

// Source: Dozat 2016, with the momentum schedule in the form of torch.optim.NAdam.
struct Nadam : Moments {
  static constexpr int kSlots = 2;
  explicit Nadam(const double* h) : Moments(h, nadam_hyper::beta1, nadam_hyper::beta2, h[nadam_hyper::step]) {
    const double step = h[nadam_hyper::step], lr = h[step_hyper::lr], product = h[nadam_hyper::mu_product];
    const double mu = momentum(h, step), next = momentum(h, step + 1.0);
    eps = h[nadam_hyper::eps], scale2 = 1.0 / std::sqrt(correction2);
    of_gradient = -lr * (1.0 - mu) / (1.0 - product);
    of_mean = -lr * next / (1.0 - product * next);
  }
  static double momentum(const double* h, double step) {
    return h[nadam_hyper::beta1] * (1.0 - 0.5 * std::pow(0.96, step * h[nadam_hyper::momentum_decay]));
  }
  double eps, scale2, of_gradient, of_mean;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    first(d, s);
    second(d, s);
    const V denominator = fma(sqrt(s[1]), number<V>(scale2), number<V>(eps));
    return p + fma(number<V>(of_gradient), d, number<V>(of_mean) * s[0]) / denominator;
  }
};

// Source: Liu et al. 2020 (arXiv:1908.03265), algorithm 2: plain momentum until the variance of v is tractable.
struct Radam : Moments {
  static constexpr int kSlots = 2;
  explicit Radam(const double* h) : Moments(h, radam_hyper::beta1, radam_hyper::beta2, h[radam_hyper::step]) {
    const double step = h[radam_hyper::step], most = 2.0 / fresh2 - 1.0;
    const double length = most - 2.0 * step * std::pow(beta2, step) / correction2;
    eps = h[radam_hyper::eps], minus_step = -h[step_hyper::lr] / correction1;
    adapts = length > 5.0;
    if (adapts)
      rectified = minus_step * std::sqrt(correction2 * (length - 4.0) * (length - 2.0) * most /
                                         ((most - 4.0) * (most - 2.0) * length));
  }
  double eps, minus_step, rectified = 0;
  bool adapts;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    first(d, s);
    second(d, s);
    if (!adapts) return fma(number<V>(minus_step), s[0], p);
    return fma(number<V>(rectified), s[0] / (sqrt(s[1]) + number<V>(eps)), p);
  }
};

// Source: You et al. 2020 (arXiv:1904.00962), algorithm 2, up to the trust ratio, which needs the norms of p and s[2].
struct LambDirection : Moments {
  static constexpr int kSlots = 3;
  explicit LambDirection(const double* h) : Moments(h, lamb_hyper::beta1, lamb_hyper::beta2, h[lamb_hyper::step]) {
    eps = h[lamb_hyper::eps], decay = h[lamb_hyper::decay];
    scale1 = 1.0 / correction1, scale2 = 1.0 / std::sqrt(correction2);
  }
  double eps, decay, scale1, scale2;

  template <class V>
  PYDL_HD inline V operator()(V p, V d, V* s) const {
    first(d, s);
    second(d, s);
    const V denominator = fma(sqrt(s[1]), number<V>(scale2), number<V>(eps));
    s[2] = fma(number<V>(decay), p, number<V>(scale1) * s[0] / denominator);
    return p;
  }
};

}  // namespace
}  // namespace pydl::PYDL_ISA

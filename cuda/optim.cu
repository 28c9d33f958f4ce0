// Steps of optimizers over lists of parameters: many arrays in one launch. 16-bit parameters are computed in float32,
// with state of their own dtype or of float32. Hyperparameters are read on the host, when a step is launched.
#include "formulas.cuh"
#include "runtime/table/optim.h"

namespace pydl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMost = 48;  // arrays in one launch: their addresses are arguments of the kernel, which take 4 KB at most

// What all rules share: the direction d = +-g, plus decay p if that is coupled; and p, shrunk if it is decoupled.
struct Common {
  explicit Common(const double* h) {
    const double weight_decay = h[step_hyper::weight_decay];
    const bool decoupled = h[step_hyper::decoupled] != 0;
    sign = h[step_hyper::maximize] != 0 ? -1.0 : 1.0;
    decay = decoupled ? 0.0 : weight_decay;
    keep = decoupled ? 1.0 - h[step_hyper::lr] * weight_decay : 1.0;
  }
  double sign, decay, keep;
};

// Source: torch.optim.SGD's documented update (Sutskever et al. 2013 for the momentum). With rate_inside the buffer
// holds steps, not gradients: b = momentum b + lr d.
struct Sgd {
  static constexpr int kSlots = 1;
  explicit Sgd(const double* h) {
    const bool inside = h[sgd_hyper::rate_inside] != 0;
    const double lr = h[step_hyper::lr];
    momentum = h[sgd_hyper::momentum];
    first = h[sgd_hyper::first_step] != 0;
    fresh = (first ? 1.0 : 1.0 - h[sgd_hyper::dampening]) * (inside ? lr : 1.0);
    own = inside ? lr : 1.0;
    nesterov = h[sgd_hyper::nesterov] != 0;
    minus_lr = inside ? -1.0 : -lr;
  }
  double momentum, fresh, own, minus_lr;
  bool first, nesterov;

  template <class T>
  __device__ __forceinline__ T operator()(T p, T d, T* s) const {
    if (momentum != 0) {
      s[0] = std::fma(T(fresh), d, first ? T(0) : T(momentum) * s[0]);
      d = nesterov ? std::fma(T(momentum), s[0], T(own) * d) : s[0];
    }
    return std::fma(T(momentum != 0 ? minus_lr : minus_lr * own), d, p);
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

  template <class T>
  __device__ __forceinline__ T operator()(T p, T d, T* s) const {
    const T gap = d - s[0], mixed = std::fma(T(fresh1), gap, s[0]);
    const T direction = mixed > T(0) ? T(1) : mixed < T(0) ? T(-1) : mixed;
    s[0] = std::fma(T(fresh2), gap, s[0]);
    return std::fma(T(minus_lr), direction, p);
  }
};

// Source: Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (decoupled decay), Reddi et al. 2018 (AMSGrad), in the form
// of torch.optim.Adam: p -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps).
struct Adam {
  static constexpr int kSlots = 3;
  explicit Adam(const double* h) {
    const double beta1 = h[adam_hyper::beta1], step = h[adam_hyper::step];
    beta2 = h[adam_hyper::beta2];
    fresh1 = 1.0 - beta1, fresh2 = 1.0 - beta2;
    eps = h[adam_hyper::eps], inside = h[adam_hyper::eps_inside] != 0, amsgrad = h[adam_hyper::amsgrad] != 0;
    const double correction2 = 1.0 - std::pow(beta2, step);
    minus_step = -h[step_hyper::lr] / (1.0 - std::pow(beta1, step));
    scale2 = inside ? 1.0 / correction2 : 1.0 / std::sqrt(correction2);
  }
  double beta2, fresh1, fresh2, eps, minus_step, scale2;
  bool inside, amsgrad;

  template <class T>
  __device__ __forceinline__ T operator()(T p, T d, T* s) const {
    s[0] = std::fma(T(fresh1), d - s[0], s[0]);
    s[1] = std::fma(T(fresh2) * d, d, T(beta2) * s[1]);
    T v = s[1];
    if (amsgrad) v = s[2] = larger(s[2], v);
    const T denominator =
        inside ? std::sqrt(std::fma(v, T(scale2), T(eps))) : std::fma(std::sqrt(v), T(scale2), T(eps));
    return std::fma(T(minus_step), s[0] / denominator, p);
  }
};

// ---- the walk over all arrays

struct Entry {
  void* p;
  const void* g;
  void* s[3];  // null where the rule's options do not ask for the state
  int64_t n;
};
struct Entries {
  Entry entry[kMost];
};

// Grid: blocks along an array, by arrays.
template <class Rule, class P, class S>
__global__ void __launch_bounds__(kThreads) step_kernel(Rule rule, Common common, Entries entries) {
  using C = Wide<P>;
  const Entry& e = entries.entry[blockIdx.y];
  P* p = static_cast<P*>(e.p);
  const P* g = static_cast<const P*>(e.g);
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < e.n; i += stride) {
    const C old = widened(p[i]);
    C d = static_cast<C>(common.sign) * widened(g[i]), s[3] = {};
    if (common.decay != 0) d = std::fma(static_cast<C>(common.decay), old, d);
#pragma unroll
    for (int k = 0; k < Rule::kSlots; ++k)
      if (e.s[k]) s[k] = static_cast<C>(widened(static_cast<const S*>(e.s[k])[i]));
    p[i] = narrowed<P>(rule(static_cast<C>(common.keep) * old, d, s));
#pragma unroll
    for (int k = 0; k < Rule::kSlots; ++k)
      if (e.s[k]) static_cast<S*>(e.s[k])[i] = narrowed<S>(s[k]);
  }
}

// The dtypes of a parameter and of its state: the same, or 16 bits with a state of float32.
template <class F>
void with_dtypes(Dtype parameter, Dtype state, const F& f) {
  with_floating(parameter, [&](auto p) {
    if constexpr (kHalf<decltype(p)>)
      if (state == Dtype::f32) return f(p, float{});
    f(p, p);
  });
}

void* data_of(const Spans& spans, int64_t i) { return spans.count > 0 ? spans.items[i].data : nullptr; }

template <class Rule>
void launch_step(const Rule& rule, const Common& common, const Entries& entries, int count, int64_t longest, Dtype p,
                 Dtype s) {
  if (count == 0) return;
  const dim3 blocks(blocks_for(longest, kThreads * 4), static_cast<unsigned>(count));
  with_dtypes(p, s, [&](auto parameter, auto state) {
    start(step_kernel<Rule, decltype(parameter), decltype(state)>, {blocks, kThreads}, rule, common, entries);
  });
}

// Arrays of the same dtypes, next to each other in the lists, share a launch.
template <class Rule>
void step(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) {
  const Rule rule(hyper.as<const double>());
  const Common common(hyper.as<const double>());
  const Spans& state = s0.count > 0 ? s0 : s1.count > 0 ? s1 : s2.count > 0 ? s2 : p;
  Entries entries{};
  int count = 0;
  int64_t longest = 0;
  for (int64_t i = 0; i < p.count; ++i) {
    const Dtype dp = p.items[i].dtype, ds = state.items[i].dtype;
    entries.entry[count++] = {
        p.items[i].data, g.items[i].data, {data_of(s0, i), data_of(s1, i), data_of(s2, i)}, p.items[i].n};
    longest = longest > p.items[i].n ? longest : p.items[i].n;
    const bool last = i + 1 == p.count || p.items[i + 1].dtype != dp || state.items[i + 1].dtype != ds;
    if (!last && count < kMost) continue;
    launch_step(rule, common, entries, count, longest, dp, ds);
    count = 0, longest = 0;
  }
}

}  // namespace

void sgd(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Sgd>(p, g, s0, s1, s2, hyper); }
void lion(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Lion>(p, g, s0, s1, s2, hyper); }
void adam(Spans p, Spans g, Spans s0, Spans s1, Spans s2, View hyper) { step<Adam>(p, g, s0, s1, s2, hyper); }

}  // namespace pydl::cuda

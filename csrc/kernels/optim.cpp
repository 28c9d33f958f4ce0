// Optimizer steps over all parameters in one launch and one pass over memory, and the two kernels of gradient clipping.
//
// The lists of spans are cut into chunks by their sizes alone. float32 and float64 are computed in their own precision;
// float16 and bfloat16 parameters in float32, with state of their own dtype or of float32.
#include "runtime/table/optim.h"

#include <cmath>
#include <type_traits>

#include "runtime/parallel.h"
#include "simd/vec.h"

namespace pydl::PYDL_ISA {
namespace {

constexpr int64_t kChunk = 8192;  // elements: with four arrays of floats 128 KiB, out of the L1 cache but within the L2
enum ScratchSlot { kChunkSlot, kPartialSlot };

struct Chunk {
  int64_t span, begin, n;
};

struct Chunks {
  const Chunk* items;
  int64_t count;
  int64_t mean;  // elements per chunk
};

Chunks cut(Spans spans) {
  int64_t count = 0, elements = 0;
  for (int64_t s = 0; s < spans.count; ++s) {
    count += (spans.items[s].n + kChunk - 1) / kChunk;
    elements += spans.items[s].n;
  }
  Chunk* chunk = static_cast<Chunk*>(scratch(kChunkSlot, static_cast<size_t>(count + 1) * sizeof(Chunk)));
  const Chunk* items = chunk;
  for (int64_t s = 0; s < spans.count; ++s)
    for (int64_t begin = 0, n = spans.items[s].n; begin < n; begin += kChunk)
      *chunk++ = {s, begin, n - begin < kChunk ? n - begin : kChunk};
  return {items, count, count > 0 ? (elements + count - 1) / count : 0};
}

// Calls f(chunk, its number); `cost` is that of one element.
template <class F>
void for_chunks(Chunks chunks, int64_t cost, const F& f) {
  parallel_for(chunks.count, cost * chunks.mean, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) f(chunks.items[i], i);
  });
}

// The floats that T is computed with.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
struct Type {
  using type = T;
};

template <class F>
void with_dtype(Dtype dtype, const F& f) {
  switch (dtype) {
    case Dtype::f32:
      return f(Type<float>{});
    case Dtype::f64:
      return f(Type<double>{});
    case Dtype::f16:
      return f(Type<f16>{});
    case Dtype::bf16:
      return f(Type<bf16>{});
    default:
      return;
  }
}

// The dtypes of a parameter and of its state: the same, or 16 bits with a state of float32.
template <class F>
void with_dtypes(Dtype parameter, Dtype state, const F& f) {
  with_dtype(parameter, [&](auto p) {
    if constexpr (!std::is_same_v<decltype(p), Type<Real<typename decltype(p)::type>>>) {
      if (state == Dtype::f32) return f(p, Type<float>{});
    }
    f(p, p);
  });
}

template <class T>
T* at(Spans spans, const Chunk& chunk) {
  return spans.count > 0 ? static_cast<T*>(spans.items[chunk.span].data) + chunk.begin : nullptr;
}

Dtype state_dtype(Spans state, Spans parameters, int64_t span) {
  return state.count > 0 ? state.items[span].dtype : parameters.items[span].dtype;
}

// A whole vector, or the first n lanes of one.
struct Whole {};
template <class C, class S>
inline Vec<C> get(const S* p, Whole) {
  return load<C>(p);
}
template <class C, class S>
inline Vec<C> get(const S* p, int64_t n) {
  return load<C>(p, n);
}
template <class C, class S>
inline void put(S* p, Vec<C> v, Whole) {
  store(p, v);
}
template <class C, class S>
inline void put(S* p, Vec<C> v, int64_t n) {
  store(p, v, n);
}

template <class C, class F>
inline void for_vectors(int64_t n, const F& f) {
  constexpr int N = Vec<C>::N;
  int64_t i = 0;
  for (; i + N <= n; i += N) f(i, Whole{});
  if (i < n) f(i, n - i);
}

// Source: torch.optim.SGD's documented update (Sutskever et al. 2013 for the momentum).
struct SgdStep {
  explicit SgdStep(View hyper) {
    const double* h = hyper.as<double>();
    lr = h[sgd_hyper::lr], momentum = h[sgd_hyper::momentum], weight_decay = h[sgd_hyper::weight_decay];
    first = h[sgd_hyper::first_step] != 0;
    fresh = first ? 1.0 : 1.0 - h[sgd_hyper::dampening];
    nesterov = h[sgd_hyper::nesterov] != 0;
    sign = h[sgd_hyper::maximize] != 0 ? -1.0 : 1.0;
  }
  double lr, momentum, weight_decay, fresh, sign;
  bool first, nesterov;
};

template <class P, class S>
void sgd_chunk(const SgdStep& h, P* p, const P* g, S* momentum, int64_t n) {
  using C = Real<P>;
  using V = Vec<C>;
  const V sign(static_cast<C>(h.sign)), decay(static_cast<C>(h.weight_decay)), mu(static_cast<C>(h.momentum));
  const V fresh(static_cast<C>(h.fresh)), minus_lr(static_cast<C>(-h.lr));
  const bool decays = h.weight_decay != 0;
  for_vectors<C>(n, [=](int64_t i, auto lanes) {
    const V old = get<C>(p + i, lanes);
    V d = sign * get<C>(g + i, lanes);
    if (decays) d = fma(decay, old, d);
    if (momentum != nullptr) {
      const V buffer = h.first ? d : fma(mu, get<C>(momentum + i, lanes), fresh * d);
      put(momentum + i, buffer, lanes);
      d = h.nesterov ? fma(mu, buffer, d) : buffer;
    }
    put(p + i, fma(minus_lr, d, old), lanes);
  });
}

// Source: Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (decoupled decay), Reddi et al. 2018 (AMSGrad), in the form
// of torch.optim.Adam: p -= lr / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps).
struct AdamStep {
  explicit AdamStep(View hyper) {
    const double* h = hyper.as<double>();
    const double beta1 = h[adam_hyper::beta1], lr = h[adam_hyper::lr], step = h[adam_hyper::step];
    const double decay = h[adam_hyper::weight_decay];
    const bool decoupled = h[adam_hyper::decoupled] != 0;
    const double correction2 = 1.0 - std::pow(h[adam_hyper::beta2], step);
    beta2 = h[adam_hyper::beta2], eps = h[adam_hyper::eps];
    fresh1 = 1.0 - beta1, fresh2 = 1.0 - beta2;
    minus_step = -lr / (1.0 - std::pow(beta1, step));
    eps_inside = h[adam_hyper::eps_inside] != 0;
    scale2 = eps_inside ? 1.0 / correction2 : 1.0 / std::sqrt(correction2);
    coupled_decay = decoupled ? 0.0 : decay;
    keep = decoupled ? 1.0 - lr * decay : 1.0;
    sign = h[adam_hyper::maximize] != 0 ? -1.0 : 1.0;
  }
  double beta2, eps, fresh1, fresh2, minus_step, scale2, coupled_decay, keep, sign;
  bool eps_inside;
};

template <class P, class S>
void adam_chunk(const AdamStep& h, P* p, const P* g, S* m, S* v, S* vmax, int64_t n) {
  using C = Real<P>;
  using V = Vec<C>;
  const V sign(static_cast<C>(h.sign)), decay(static_cast<C>(h.coupled_decay)), keep(static_cast<C>(h.keep));
  const V fresh1(static_cast<C>(h.fresh1)), fresh2(static_cast<C>(h.fresh2)), beta2(static_cast<C>(h.beta2));
  const V minus_step(static_cast<C>(h.minus_step)), scale2(static_cast<C>(h.scale2)), eps(static_cast<C>(h.eps));
  const bool decays = h.coupled_decay != 0, inside = h.eps_inside;
  for_vectors<C>(n, [=](int64_t i, auto lanes) {
    const V old = get<C>(p + i, lanes);
    V d = sign * get<C>(g + i, lanes);
    if (decays) d = fma(decay, old, d);
    const V m0 = get<C>(m + i, lanes), m1 = fma(fresh1, d - m0, m0);
    const V v1 = fma(fresh2 * d, d, beta2 * get<C>(v + i, lanes));
    put(m + i, m1, lanes);
    put(v + i, v1, lanes);
    V second = v1;
    if (vmax != nullptr) {
      second = max(get<C>(vmax + i, lanes), v1);
      put(vmax + i, second, lanes);
    }
    const V denominator = inside ? sqrt(fma(second, scale2, eps)) : fma(sqrt(second), scale2, eps);
    put(p + i, fma(minus_step, m1 / denominator, keep * old), lanes);
  });
}

// In float64 lanes that do not depend on the instruction set.
template <class T>
double sum_squares_chunk(const T* x, int64_t n) {
  constexpr int kLanes = 32;
  double lanes[kLanes]{};
  const auto square = [](T a) {
    if constexpr (std::is_same_v<T, double>) {
      return a * a;
    } else {
      const double d = to_float(a);
      return d * d;
    }
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] += square(x[i + l]);
  for (int l = 0; i + l < n; ++l) lanes[l] += square(x[i + l]);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  return lanes[0];
}

template <class T>
void scale_chunk(T* x, int64_t n, double factor) {
  using C = Real<T>;
  const Vec<C> f(static_cast<C>(factor));
  for_vectors<C>(n, [=](int64_t i, auto lanes) { put(x + i, f * get<C>(x + i, lanes), lanes); });
}

}  // namespace

void sgd(Spans p, Spans g, Spans momentum, View hyper) {
  const SgdStep h(hyper);
  for_chunks(cut(p), 3, [&](const Chunk& c, int64_t) {
    with_dtypes(p.items[c.span].dtype, state_dtype(momentum, p, c.span), [&](auto parameter, auto state) {
      using P = typename decltype(parameter)::type;
      using S = typename decltype(state)::type;
      sgd_chunk(h, at<P>(p, c), at<P>(g, c), at<S>(momentum, c), c.n);
    });
  });
}

void adam(Spans p, Spans g, Spans m, Spans v, Spans vmax, View hyper) {
  const AdamStep h(hyper);
  for_chunks(cut(p), 4, [&](const Chunk& c, int64_t) {
    with_dtypes(p.items[c.span].dtype, state_dtype(m, p, c.span), [&](auto parameter, auto state) {
      using P = typename decltype(parameter)::type;
      using S = typename decltype(state)::type;
      adam_chunk(h, at<P>(p, c), at<P>(g, c), at<S>(m, c), at<S>(v, c), at<S>(vmax, c), c.n);
    });
  });
}

void sum_squares(Spans x, View y) {
  const Chunks chunks = cut(x);
  double* partial = static_cast<double*>(scratch(kPartialSlot, static_cast<size_t>(chunks.count + 1) * sizeof(double)));
  for_chunks(chunks, 1, [&](const Chunk& c, int64_t i) {
    with_dtype(x.items[c.span].dtype,
               [&](auto element) { partial[i] = sum_squares_chunk(at<typename decltype(element)::type>(x, c), c.n); });
  });
  double* sums = y.as<double>();
  for (int64_t s = 0; s < x.count; ++s) sums[s] = 0;
  for (int64_t i = 0; i < chunks.count; ++i) sums[chunks.items[i].span] += partial[i];
}

void scale(Spans x, View factor) {
  const double f = *factor.as<double>();
  if (f == 1.0) return;  // gradients below the clipping norm are not even read
  for_chunks(cut(x), 2, [&](const Chunk& c, int64_t) {
    with_dtype(x.items[c.span].dtype,
               [&](auto element) { scale_chunk(at<typename decltype(element)::type>(x, c), c.n, f); });
  });
}

}  // namespace pydl::PYDL_ISA

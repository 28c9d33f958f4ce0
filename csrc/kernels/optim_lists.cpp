// What clipping, loss scaling and averaging do to lists of arrays, each in one launch.
#include "kernels/step.h"

namespace pydl::PYDL_ISA {
namespace {

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
  using C = Wide<T>;
  const Vec<C> f(static_cast<C>(factor));
  for_vectors<C>(n, [=](int64_t i, auto lanes) { put(x + i, f * get<C>(x + i, lanes), lanes); });
}

// Whether an element was not finite; x *= factor.
template <class T>
bool unscale_chunk(T* x, int64_t n, double factor) {
  using C = Wide<T>;
  const Vec<C> f(static_cast<C>(factor));
  Vec<C> wrong;  // 0 times an element: 0, or NaN for an infinity or NaN
  for_vectors<C>(n, [&](int64_t i, auto lanes) {
    const Vec<C> v = get<C>(x + i, lanes);
    wrong = fma(v, Vec<C>(), wrong);
    put(x + i, f * v, lanes);
  });
  return any(wrong != wrong);
}

template <class P, class Q>
void add_scaled_chunk(P* x, const Q* y, int64_t n, double factor) {
  using C = Wide<P>;
  const Vec<C> f(static_cast<C>(factor));
  for_vectors<C>(n,
                 [=](int64_t i, auto lanes) { put(x + i, fma(f, get<C>(y + i, lanes), get<C>(x + i, lanes)), lanes); });
}

double* partials(Chunks chunks) {
  return static_cast<double*>(scratch(kPartialSlot, static_cast<size_t>(chunks.count + 1) * sizeof(double)));
}

}  // namespace

void sum_squares(Spans x, View y) {
  const Chunks chunks = cut(x);
  double* partial = partials(chunks);
  for_chunks(chunks, 1, [&](const Chunk& c, int64_t i) {
    with_floating(x.items[c.span].dtype,
                  [&](auto element) { partial[i] = sum_squares_chunk(at<decltype(element)>(x, c), c.n); });
  });
  double* sums = y.as<double>();
  for (int64_t s = 0; s < x.count; ++s) sums[s] = 0;
  for (int64_t i = 0; i < chunks.count; ++i) sums[chunks.items[i].span] += partial[i];
}

void scale(Spans x, View factor) {
  const double f = *factor.as<double>();
  if (f == 1.0) return;  // gradients below the clipping norm are not even read
  for_chunks(cut(x), 2, [&](const Chunk& c, int64_t) {
    with_floating(x.items[c.span].dtype, [&](auto element) { scale_chunk(at<decltype(element)>(x, c), c.n, f); });
  });
}

void unscale(Spans x, View factor, View found) {
  const double f = *factor.as<double>();
  const Chunks chunks = cut(x);
  double* partial = partials(chunks);
  for_chunks(chunks, 2, [&](const Chunk& c, int64_t i) {
    with_floating(x.items[c.span].dtype,
                  [&](auto element) { partial[i] = unscale_chunk(at<decltype(element)>(x, c), c.n, f); });
  });
  double any = 0;
  for (int64_t i = 0; i < chunks.count; ++i) any = partial[i] != 0 ? 1.0 : any;
  *found.as<double>() = any;
}

void add_scaled(Spans x, Spans y, View factors) {
  const double* f = factors.as<double>();
  for_chunks(cut(x), 3, [&](const Chunk& c, int64_t) {
    with_dtypes(x.items[c.span].dtype, y.items[c.span].dtype, [&](auto parameter, auto other) {
      using P = decltype(parameter);
      using Q = decltype(other);
      add_scaled_chunk(at<P>(x, c), at<Q>(y, c), c.n, f[c.span]);
    });
  });
}

}  // namespace pydl::PYDL_ISA

// activation and activation_grad: functions of x and up to three numbers, and g times their slopes at x.
#include "coded.cuh"
#include "formulas.cuh"
#include "runtime/table/elementwise.h"

namespace pydl::cuda {
namespace {

// tanh(softplus(x)) = n / (n + 2) with n = e (e + 2), e = exp(x): no cancellation. Above the limit it is 1.
template <class T>
struct Mish {
  T bounded, e, n;
  __device__ explicit Mish(T x) {
    const T limit = sizeof(T) == 4 ? T(20) : T(40);
    bounded = x > limit ? limit : x;
    e = std::exp(bounded);
    n = e * (e + T(2));
  }
  __device__ T value(T x) const { return x * (n / (n + T(2))); }
  __device__ T slope() const {
    const T inverse = T(1) / (n + T(2));
    return n * inverse + bounded * e * (T(1) + e) * (T(4) * inverse * inverse);
  }
};

template <class T>
__device__ __forceinline__ T gelu_tanh_slope(T x) {
  const T t = std::tanh(gelu_inner(x));
  // sech^2 vanishes where x^2 in the slope of the inner function would still grow
  const T rest = (T(1) - t) * (T(1) + t);
  return T(0.5) * (T(1) + t) + (rest == T(0) ? T(0) : T(0.5) * x * rest * gelu_inner_slope(x));
}

template <class T>
__device__ __forceinline__ T limited(T x, T a, T b) {
  const T y = x < a ? a : x;
  return y > b ? b : y;
}

template <Curve op>
struct Formula;

#define PYDL_FORMULA(name, formula, gradient)                                                                          \
  template <>                                                                                                          \
  struct Formula<Curve::name> {                                                                                        \
    template <class T>                                                                                                 \
    static __device__ __forceinline__ T value(T x, [[maybe_unused]] T a, [[maybe_unused]] T b, [[maybe_unused]] T c) { \
      return formula;                                                                                                  \
    }                                                                                                                  \
    template <class T>                                                                                                 \
    static __device__ __forceinline__ T grad(T g, T x, [[maybe_unused]] T a, [[maybe_unused]] T b,                     \
                                             [[maybe_unused]] T c) {                                                   \
      return gradient;                                                                                                 \
    }                                                                                                                  \
  };

// clang-format off
PYDL_FORMULA(logsigmoid, -softplus(-x), g * sigmoid(-x))
PYDL_FORMULA(softplus, a * x > b ? x : softplus(a * x) / a, a * x > b ? g : g * sigmoid(a * x))
PYDL_FORMULA(silu, silu(x), g * (sigmoid(x) * (T(1) + times_vanishing(x, sigmoid(-x)))))
PYDL_FORMULA(gelu, gelu(x),
             g * (normal_below(x) + times_vanishing(x, normal_density(x))))
PYDL_FORMULA(gelu_tanh, gelu_tanh(x), g * gelu_tanh_slope(x))
PYDL_FORMULA(mish, Mish<T>(x).value(x), g * Mish<T>(x).slope())
PYDL_FORMULA(hardswish, x * (smaller(larger(x + T(3), T(0)), T(6)) * T(1.0 / 6)),
             x <= T(-3) ? T(0) : x < T(3) ? g * (x * T(1.0 / 3) + T(0.5)) : g)
PYDL_FORMULA(hardsigmoid, smaller(larger(x + T(3), T(0)), T(6)) * T(1.0 / 6),
             x > T(-3) && x < T(3) ? g * T(1.0 / 6) : T(0))
PYDL_FORMULA(softsign, x / (T(1) + std::abs(x)), g / ((T(1) + std::abs(x)) * (T(1) + std::abs(x))))
PYDL_FORMULA(tanhshrink, x - std::tanh(x), g * std::tanh(x) * std::tanh(x))
PYDL_FORMULA(elu, x > T(0) ? b * x : a * std::expm1(c * x), g * (x > T(0) ? b : a * c * std::exp(c * x)))
PYDL_FORMULA(leaky_relu, x > T(0) ? x : a * x, x > T(0) ? g : a * g)
PYDL_FORMULA(hardtanh, x <= a ? a : x >= b ? b : x, x <= a || x >= b ? T(0) : g)
PYDL_FORMULA(softshrink, x > a ? x - a : x < -a ? x + a : x * T(0), std::abs(x) <= a ? T(0) : g)
PYDL_FORMULA(hardshrink, std::abs(x) <= a ? T(0) : x, std::abs(x) <= a ? T(0) : g)
PYDL_FORMULA(threshold, x <= a ? b : x, x <= a ? T(0) : g)
PYDL_FORMULA(clamp, limited(x, a, b), x >= a && x <= b ? g : T(0))
PYDL_FORMULA(nan_to_num, x != x ? a : x == infinity<T>() ? b : x == -infinity<T>() ? c : x,
             std::abs(x) < infinity<T>() ? g : T(0))
// clang-format on
#undef PYDL_FORMULA

// All of them by their op code; all() has those that are much used.
#define PYDL_QUICK(X) X(silu) X(gelu) X(gelu_tanh) X(leaky_relu) X(clamp)

inline bool is_quick(Curve op) {
  switch (op) {
#define PYDL_CASE(name) case Curve::name:
    PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
    return true;
    default:
      return false;
  }
}

struct Value {
  static constexpr bool kQuick = true;
  Curve op;
  Numbers n;
  bool quick() const { return is_quick(op); }

  template <class T>
  __device__ __forceinline__ T operator()(T x) const {
    switch (op) {
#define PYDL_CASE(name) \
  case Curve::name:     \
    return Formula<Curve::name>::value(x, T(n.a), T(n.b), T(n.c));
      PYDL_ACTIVATION(PYDL_CASE)
#undef PYDL_CASE
    }
    return x;
  }
  template <class T, int N>
  __device__ __forceinline__ void all(const T (&x)[1][N], T (&y)[N]) const {
    const T a = T(n.a), b = T(n.b), c = T(n.c);
    switch (op) {
#define PYDL_CASE(name)                                                                                 \
  case Curve::name:                                                                                     \
    _Pragma("unroll") for (int k = 0; k < N; ++k) y[k] = Formula<Curve::name>::value(x[0][k], a, b, c); \
    return;
      PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
      default:
        return;
    }
  }
};

struct Grad {
  static constexpr bool kQuick = true;
  Curve op;
  Numbers n;
  bool quick() const { return is_quick(op); }

  template <class T>
  __device__ __forceinline__ T operator()(T g, T x) const {
    switch (op) {
#define PYDL_CASE(name) \
  case Curve::name:     \
    return Formula<Curve::name>::grad(g, x, T(n.a), T(n.b), T(n.c));
      PYDL_ACTIVATION(PYDL_CASE)
#undef PYDL_CASE
    }
    return x;
  }
  template <class T, int N>
  __device__ __forceinline__ void all(const T (&x)[2][N], T (&y)[N]) const {
    const T a = T(n.a), b = T(n.b), c = T(n.c);
    switch (op) {
#define PYDL_CASE(name)                                                                                         \
  case Curve::name:                                                                                             \
    _Pragma("unroll") for (int k = 0; k < N; ++k) y[k] = Formula<Curve::name>::grad(x[0][k], x[1][k], a, b, c); \
    return;
      PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
      default:
        return;
    }
  }
};
#undef PYDL_QUICK

}  // namespace

void activation(Curve op, Numbers numbers, View x, View y) {
  with_computed_float(x.dtype, [&](auto zero) { coded<decltype(zero), decltype(zero)>(Value{op, numbers}, y, x); });
}

void activation_grad(Curve op, Numbers numbers, View g, View x, View y) {
  with_computed_float(x.dtype, [&](auto zero) { coded<decltype(zero), decltype(zero)>(Grad{op, numbers}, y, g, x); });
}

}  // namespace pydl::cuda

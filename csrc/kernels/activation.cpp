// activation and activation_grad: functions of x and up to three numbers, and g times their slopes at x.
#include "kernels/rows.h"
#include "runtime/table/elementwise.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

// tanh(softplus(x)) = n / (n + 2) with n = e (e + 2), e = exp(x): no cancellation. Above the limit it is 1.
template <class T>
struct Mish {
  Vec<T> bounded, e, n;
  explicit Mish(Vec<T> x)
      : bounded(fast_min(Vec<T>(sizeof(T) == 4 ? T(20) : T(40)), x)), e(exp(bounded)), n(e * (e + T(2))) {}
  Vec<T> value(Vec<T> x) const { return x * (n / (n + T(2))); }
  // t + x s (1 - t^2), t as above, s = e / (1 + e), 1 - t^2 = 4 (n + 1) / (n + 2)^2 = 4 (1 + e)^2 / (n + 2)^2
  Vec<T> slope() const {
    const Vec<T> inverse = T(1) / (n + T(2));
    return n * inverse + bounded * e * (T(1) + e) * (T(4) * inverse * inverse);
  }
};

template <class T>
inline Vec<T> silu_slope(Vec<T> x) {
  const Vec<T> e = exp(-abs(x)), d = T(1) / (T(1) + e);
  const Vec<T> s = select(x < T(0), e * d, d), rest = select(x < T(0), d, e * d);  // sigmoid(x), sigmoid(-x)
  return s * fma(x, rest, Vec<T>(T(1)));
}

// a below a, then b above b; NaN stays.
template <class T>
inline Vec<T> limited(Vec<T> x, Vec<T> a, Vec<T> b) {
  const Vec<T> y = select(x < a, a, x);
  return select(y > b, b, y);
}

template <Curve op>
struct Formula;

#define PYDL_FORMULA(name, work, formula, gradient)                                                     \
  template <>                                                                                           \
  struct Formula<Curve::name> {                                                                         \
    static constexpr int64_t kWork = work;                                                              \
    template <class T>                                                                                  \
    static inline Vec<T> value(Vec<T> x, [[maybe_unused]] Vec<T> a, [[maybe_unused]] Vec<T> b,          \
                               [[maybe_unused]] Vec<T> c) {                                             \
      return formula;                                                                                   \
    }                                                                                                   \
    template <class T>                                                                                  \
    static inline Vec<T> grad(Vec<T> g, Vec<T> x, [[maybe_unused]] Vec<T> a, [[maybe_unused]] Vec<T> b, \
                              [[maybe_unused]] Vec<T> c) {                                              \
      return gradient;                                                                                  \
    }                                                                                                   \
  };

// clang-format off
PYDL_FORMULA(logsigmoid, 8, logsigmoid(x), g * sigmoid(-x))
PYDL_FORMULA(softplus, 8, select(a * x > b, x, softplus(a * x) / a), select(a * x > b, g, g * sigmoid(a * x)))
PYDL_FORMULA(silu, 4, silu(x), g * silu_slope(x))
PYDL_FORMULA(gelu, 6, gelu(x), g * gelu_slope(x))
PYDL_FORMULA(gelu_tanh, 6, gelu_tanh(x), g * gelu_tanh_slope(x))
PYDL_FORMULA(mish, 6, Mish<T>(x).value(x), g * Mish<T>(x).slope())
PYDL_FORMULA(hardswish, 2, x * (min(max(x + T(3), Vec<T>()), Vec<T>(T(6))) * T(1.0 / 6)),
             select(x <= T(-3), Vec<T>(), select(x < T(3), g * fma(x, Vec<T>(T(1.0 / 3)), Vec<T>(T(0.5))), g)))
PYDL_FORMULA(hardsigmoid, 2, min(max(x + T(3), Vec<T>()), Vec<T>(T(6))) * T(1.0 / 6),
             select((x > T(-3)) & (x < T(3)), g * T(1.0 / 6), Vec<T>()))
PYDL_FORMULA(softsign, 2, x / (T(1) + abs(x)), g / ((T(1) + abs(x)) * (T(1) + abs(x))))
PYDL_FORMULA(tanhshrink, 4, x - tanh(x), g * tanh(x) * tanh(x))
PYDL_FORMULA(elu, 5, select(x > T(0), b * x, a * expm1(c * x)), g * select(x > T(0), b, a * c * exp(c * x)))
PYDL_FORMULA(leaky_relu, 1, select(x > T(0), x, a * x), select(x > T(0), g, a * g))
PYDL_FORMULA(hardtanh, 1, select(x <= a, a, select(x >= b, b, x)), select((x <= a) | (x >= b), Vec<T>(), g))
PYDL_FORMULA(softshrink, 1, select(x > a, x - a, select(x < -a, x + a, x * T(0))), select(abs(x) <= a, Vec<T>(), g))
PYDL_FORMULA(hardshrink, 1, select(abs(x) <= a, Vec<T>(), x), select(abs(x) <= a, Vec<T>(), g))
PYDL_FORMULA(threshold, 1, select(x <= a, b, x), select(x <= a, Vec<T>(), g))
PYDL_FORMULA(clamp, 1, limited(x, a, b), select((x >= a) & (x <= b), g, Vec<T>()))
PYDL_FORMULA(nan_to_num, 1, select(isnan(x), a, select(x == infinity<T>(), b, select(x == -infinity<T>(), c, x))),
             select(abs(x) < infinity<T>(), g, Vec<T>()))
// clang-format on

template <Curve op>
struct Value {
  double a, b, c;
  explicit Value(const double* n) : a(n[0]), b(n[1]), c(n[2]) {}
  template <class T>
  inline Vec<T> run(Vec<T> x) const {
    return Formula<op>::value(x, Vec<T>(T(a)), Vec<T>(T(b)), Vec<T>(T(c)));
  }
};

template <Curve op>
struct Grad {
  double a, b, c;
  explicit Grad(const double* n) : a(n[0]), b(n[1]), c(n[2]) {}
  template <class T>
  inline Vec<T> run(Vec<T> g, Vec<T> x) const {
    return Formula<op>::grad(g, x, Vec<T>(T(a)), Vec<T>(T(b)), Vec<T>(T(c)));
  }
};

template <class F>
inline RowFn value_row(Dtype t) {
  return t == Dtype::f32   ? row_of<F, float>()
         : t == Dtype::f64 ? row_of<F, double>()
         : t == Dtype::f16 ? row_of<F, f16>()
                           : row_of<F, bf16>();
}

template <class F>
inline RowFn grad_row(Dtype t) {
  return t == Dtype::f32   ? row2_of<F, float>()
         : t == Dtype::f64 ? row2_of<F, double>()
         : t == Dtype::f16 ? row2_of<F, f16>()
                           : row2_of<F, bf16>();
}

}  // namespace

void activation(Curve op, Numbers numbers, View x, View y) {
  const View* views[] = {&x, &y};
  const double n[] = {numbers.a, numbers.b, numbers.c};
  switch (op) {
#define PYDL_CASE(name) \
  case Curve::name:     \
    return run(views, 2, value_row<Value<Curve::name>>(x.dtype), Formula<Curve::name>::kWork, n);
    PYDL_ACTIVATION(PYDL_CASE)
#undef PYDL_CASE
  }
}

void activation_grad(Curve op, Numbers numbers, View g, View x, View y) {
  const View* views[] = {&g, &x, &y};
  const double n[] = {numbers.a, numbers.b, numbers.c};
  switch (op) {
#define PYDL_CASE(name) \
  case Curve::name:     \
    return run(views, 3, grad_row<Grad<Curve::name>>(x.dtype), Formula<Curve::name>::kWork, n);
    PYDL_ACTIVATION(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

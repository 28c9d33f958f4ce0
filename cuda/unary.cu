// unary and test: one input. Integers wrap around; abs, sign, square, relu and neg take them too.
#include "coded.cuh"
#include "formulas.cuh"
#include "runtime/table/elementwise.h"

namespace pydl::cuda {
namespace {

// x = fraction * 2^exponent with 1/2 <= |fraction| < 1; zeros, infinities and NaN have the exponent 0.
template <class T>
__device__ __forceinline__ T fraction_of(T x) {
  int exponent = 0;
  return std::frexp(x, &exponent);
}
template <class T>
__device__ __forceinline__ T exponent_of(T x) {
  int exponent = 0;
  std::frexp(std::abs(x) <= std::numeric_limits<T>::max() ? x : T(0), &exponent);
  return T(exponent);
}

template <class T>
__device__ __forceinline__ bool top_bit(T x) {
  return std::copysign(T(1), x) < T(0);
}

template <Unary op>
struct UnaryFn;
template <Test op>
struct TestFn;

#define PYDL_FLOAT(name, formula)                        \
  template <>                                            \
  struct UnaryFn<Unary::name> {                          \
    static constexpr bool kInt = false;                  \
    template <class T>                                   \
    __device__ __forceinline__ T operator()(T x) const { \
      return formula;                                    \
    }                                                    \
  };
#define PYDL_NUMBER(name, formula, integer)              \
  template <>                                            \
  struct UnaryFn<Unary::name> {                          \
    static constexpr bool kInt = true;                   \
    template <class T>                                   \
    __device__ __forceinline__ T operator()(T x) const { \
      if constexpr (std::is_floating_point_v<T>) {       \
        return formula;                                  \
      } else {                                           \
        using U = std::make_unsigned_t<T>;               \
        return static_cast<T>(integer);                  \
      }                                                  \
    }                                                    \
  };
#define PYDL_TEST_FN(name, formula, integer)                                 \
  template <>                                                                \
  struct TestFn<Test::name> {                                                \
    template <class T>                                                       \
    __device__ __forceinline__ bool operator()([[maybe_unused]] T x) const { \
      if constexpr (std::is_floating_point_v<T>)                             \
        return formula;                                                      \
      else                                                                   \
        return integer;                                                      \
    }                                                                        \
  };

// clang-format off
PYDL_NUMBER(neg, -x, U(0) - U(x))
PYDL_NUMBER(abs, std::abs(x), x < T(0) ? U(0) - U(x) : U(x))
PYDL_NUMBER(sign, T(x > T(0)) - T(x < T(0)), U(x > T(0)) - U(x < T(0)))
PYDL_NUMBER(square, x * x, U(uint64_t(x) * uint64_t(x)))
PYDL_NUMBER(relu, x <= T(0) ? T(0) : x, x < T(0) ? U(0) : U(x))
PYDL_FLOAT(exp, std::exp(x))
PYDL_FLOAT(exp2, std::exp2(x))
PYDL_FLOAT(expm1, std::expm1(x))
PYDL_FLOAT(log, std::log(x))
PYDL_FLOAT(log2, std::log2(x))
PYDL_FLOAT(log10, std::log10(x))
PYDL_FLOAT(log1p, std::log1p(x))
PYDL_FLOAT(sqrt, std::sqrt(x))
PYDL_FLOAT(rsqrt, T(1) / std::sqrt(x))
PYDL_FLOAT(reciprocal, T(1) / x)
PYDL_FLOAT(sin, std::sin(x))
PYDL_FLOAT(cos, std::cos(x))
PYDL_FLOAT(tan, std::tan(x))
PYDL_FLOAT(asin, std::asin(x))
PYDL_FLOAT(acos, std::acos(x))
PYDL_FLOAT(atan, std::atan(x))
PYDL_FLOAT(sinh, std::sinh(x))
PYDL_FLOAT(cosh, std::cosh(x))
PYDL_FLOAT(tanh, std::tanh(x))
PYDL_FLOAT(asinh, std::asinh(x))
PYDL_FLOAT(acosh, std::acosh(x))
PYDL_FLOAT(atanh, std::atanh(x))
PYDL_FLOAT(erf, std::erf(x))
PYDL_FLOAT(erfc, std::erfc(x))
PYDL_FLOAT(sigmoid, sigmoid(x))
PYDL_FLOAT(frexp_mantissa, fraction_of(x))
PYDL_FLOAT(frexp_exponent, exponent_of(x))
PYDL_FLOAT(floor, std::floor(x))
PYDL_FLOAT(ceil, std::ceil(x))
PYDL_FLOAT(round, std::rint(x))
PYDL_FLOAT(trunc, std::trunc(x))

PYDL_TEST_FN(isnan, x != x, false)
PYDL_TEST_FN(isinf, std::abs(x) == infinity<T>(), false)
PYDL_TEST_FN(isfinite, std::abs(x) < infinity<T>(), true)
PYDL_TEST_FN(isposinf, x == infinity<T>(), false)
PYDL_TEST_FN(isneginf, x == -infinity<T>(), false)
PYDL_TEST_FN(signbit, top_bit(x), x < T(0))
PYDL_TEST_FN(logical_not, x == T(0), x == T(0))
// clang-format on
#undef PYDL_FLOAT
#undef PYDL_NUMBER
#undef PYDL_TEST_FN

// All of them by their op code; all() has those that are short and much used.
struct ByCode {
  static constexpr bool kQuick = true;
  Unary op;

  template <class T>
  __device__ __forceinline__ T operator()(T x) const {
    switch (op) {
#define PYDL_CASE(name)                                                                         \
  case Unary::name:                                                                             \
    if constexpr (kFloating<T> || UnaryFn<Unary::name>::kInt) return UnaryFn<Unary::name>()(x); \
    break;
      PYDL_UNARY(PYDL_CASE)
#undef PYDL_CASE
    }
    return x;
  }

#define PYDL_QUICK(X) \
  X(neg) X(abs) X(sign) X(square) X(relu) X(exp) X(log) X(sqrt) X(rsqrt) X(reciprocal) X(tanh) X(sigmoid)
  bool quick() const {
    switch (op) {
#define PYDL_CASE(name) case Unary::name:
      PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
      return true;
      default:
        return false;
    }
  }
  template <class T, int N>
  __device__ __forceinline__ void all(const T (&x)[1][N], T (&y)[N]) const {
    switch (op) {
#define PYDL_CASE(name)                                                                   \
  case Unary::name:                                                                       \
    _Pragma("unroll") for (int k = 0; k < N; ++k) y[k] = UnaryFn<Unary::name>()(x[0][k]); \
    return;
      PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
      default:
        return;
    }
  }
#undef PYDL_QUICK
};

struct TestByCode {
  static constexpr bool kQuick = false;
  Test op;
  template <class T>
  __device__ __forceinline__ bool operator()(T x) const {
    switch (op) {
#define PYDL_CASE(name) \
  case Test::name:      \
    return TestFn<Test::name>()(x);
      PYDL_TEST(PYDL_CASE)
#undef PYDL_CASE
    }
    return false;
  }
};

}  // namespace

void unary(Unary op, View x, View y) {
  with_computed(x.dtype, [&](auto zero) { coded<decltype(zero), decltype(zero)>(ByCode{op}, y, x); });
}

void test(Test op, View x, View y) {
  with_computed(x.dtype, [&](auto zero) { coded<uint8_t, decltype(zero)>(TestByCode{op}, y, x); });
}

}  // namespace pydl::cuda

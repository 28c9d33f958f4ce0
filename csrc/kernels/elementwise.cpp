// unary and test: one input (functions of math.h; special.cpp and activation.cpp have the others). The loops are in
// rows.h, the walk over strided arrays in strided.h. Integers wrap around. abs, sign, square, relu and neg keep the
// dtype; everything else is for floats.
#include "runtime/table/elementwise.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/rows.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// x = fraction * 2^exponent with 1/2 <= |fraction| < 1; zeros, infinities and NaN have the exponent 0.
template <class T>
inline T fraction_of(T x) {
  int exponent = 0;
  return std::frexp(x, &exponent);
}
template <class T>
inline T exponent_of(T x) {
  int exponent = 0;
  const bool finite = std::fabs(x) <= std::numeric_limits<T>::max();
  std::frexp(finite ? x : T(0), &exponent);
  return T(exponent);
}

template <Unary op>
struct UnaryFn;
template <Test op>
struct TestFn;

// work: in the units of parallel_for; formula: over a Vec x of T.
#define PYDL_FLOAT(name, work, formula)    \
  template <>                              \
  struct UnaryFn<Unary::name> {            \
    static constexpr bool kInt = false;    \
    static constexpr int64_t kWork = work; \
    template <class T>                     \
    static inline Vec<T> run(Vec<T> x) {   \
      return formula;                      \
    }                                      \
  };
#define PYDL_NUMBER(name, formula, integer) \
  template <>                               \
  struct UnaryFn<Unary::name> {             \
    static constexpr bool kInt = true;      \
    static constexpr int64_t kWork = 1;     \
    template <class T>                      \
    static inline Vec<T> run(Vec<T> x) {    \
      return formula;                       \
    }                                       \
    template <class T>                      \
    static inline T run(T x) {              \
      using U = Unsigned<T>;                \
      return static_cast<T>(integer);       \
    }                                       \
  };
#define PYDL_TEST_FN(name, formula, integer)            \
  template <>                                           \
  struct TestFn<Test::name> {                           \
    template <class T>                                  \
    static inline typename Vec<T>::Mask run(Vec<T> x) { \
      return formula;                                   \
    }                                                   \
    template <class T>                                  \
    static inline bool run([[maybe_unused]] T x) {      \
      return integer;                                   \
    }                                                   \
  };

// clang-format off
PYDL_NUMBER(neg, -x, U(0) - U(x))
PYDL_NUMBER(abs, abs(x), x < T(0) ? U(0) - U(x) : U(x))
PYDL_NUMBER(sign, select(x > T(0), Vec<T>(T(1)), select(x < T(0), Vec<T>(T(-1)), Vec<T>())), U(x > T(0)) - U(x < T(0)))
PYDL_NUMBER(square, x * x, U(uint64_t(x) * uint64_t(x)))
PYDL_NUMBER(relu, select(x <= T(0), Vec<T>(), x), x < T(0) ? U(0) : U(x))
PYDL_FLOAT(exp, 3, exp(x))
PYDL_FLOAT(exp2, 3, exp2(x))
PYDL_FLOAT(expm1, 4, expm1(x))
PYDL_FLOAT(log, 4, log(x))
PYDL_FLOAT(log2, 5, log2(x))
PYDL_FLOAT(log10, 5, log10(x))
PYDL_FLOAT(log1p, 5, log1p(x))
PYDL_FLOAT(sqrt, 2, sqrt(x))
PYDL_FLOAT(rsqrt, 2, T(1) / sqrt(x))
PYDL_FLOAT(reciprocal, 2, T(1) / x)
PYDL_FLOAT(sin, 6, sin(x))
PYDL_FLOAT(cos, 6, cos(x))
PYDL_FLOAT(tan, 8, tan(x))
PYDL_FLOAT(asin, 6, asin(x))
PYDL_FLOAT(acos, 6, acos(x))
PYDL_FLOAT(atan, 6, atan(x))
PYDL_FLOAT(sinh, 6, sinh(x))
PYDL_FLOAT(cosh, 5, cosh(x))
PYDL_FLOAT(tanh, 4, tanh(x))
PYDL_FLOAT(asinh, 8, asinh(x))
PYDL_FLOAT(acosh, 8, acosh(x))
PYDL_FLOAT(atanh, 8, atanh(x))
PYDL_FLOAT(erf, 5, erf(x))
PYDL_FLOAT(erfc, 6, erfc(x))
PYDL_FLOAT(sigmoid, 4, sigmoid(x))
PYDL_FLOAT(frexp_mantissa, 4, map_lanes(x, fraction_of<T>))
PYDL_FLOAT(frexp_exponent, 4, map_lanes(x, exponent_of<T>))
PYDL_FLOAT(floor, 1, floor(x))
PYDL_FLOAT(ceil, 1, ceil(x))
PYDL_FLOAT(round, 1, round(x))
PYDL_FLOAT(trunc, 1, trunc(x))

PYDL_TEST_FN(isnan, x != x, false)
PYDL_TEST_FN(isinf, abs(x) == infinity<T>(), false)
PYDL_TEST_FN(isfinite, abs(x) < infinity<T>(), true)
PYDL_TEST_FN(isposinf, x == infinity<T>(), false)
PYDL_TEST_FN(isneginf, x == -infinity<T>(), false)
PYDL_TEST_FN(signbit, top_bit<T>(bits(x)), x < T(0))
PYDL_TEST_FN(logical_not, x == T(0), x == T(0))
// clang-format on

template <Unary op>
inline RowFn unary_row(Dtype t) {
  using F = UnaryFn<op>;
  switch (t) {
    case Dtype::f32:
      return row_of<F, float>();
    case Dtype::f64:
      return row_of<F, double>();
    case Dtype::f16:
      return row_of<F, f16>();
    case Dtype::bf16:
      return row_of<F, bf16>();
    default:
      break;
  }
  if constexpr (F::kInt) {
    if (t == Dtype::i64) return row_of<F, int64_t>();
    if (t == Dtype::i32) return row_of<F, int32_t>();
    return row_of<F, uint8_t>();
  }
  return nullptr;
}

template <Test op>
inline RowFn test_row(Dtype t) {
  switch (t) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return row_of<TestFn<op>, type, bool>();
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return nullptr;
}

}  // namespace

void unary(Unary op, View x, View y) {
  const View* views[] = {&x, &y};
  switch (op) {
#define PYDL_CASE(name) \
  case Unary::name:     \
    return run(views, 2, unary_row<Unary::name>(x.dtype), UnaryFn<Unary::name>::kWork);
    PYDL_UNARY(PYDL_CASE)
#undef PYDL_CASE
  }
}

void test(Test op, View x, View y) {
  const View* views[] = {&x, &y};
  switch (op) {
#define PYDL_CASE(name) \
  case Test::name:      \
    return run(views, 2, test_row<Test::name>(x.dtype), 1);
    PYDL_TEST(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

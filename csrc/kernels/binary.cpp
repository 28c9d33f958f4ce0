// binary: two inputs of one dtype, the same dtype out. The loops are in rows.h, the walk in strided.h.
// bool knows or (add, maximum), and (mul, minimum) and the bitwise operations.
#include <cmath>
#include <type_traits>

#include "kernels/arithmetic.h"
#include "kernels/rows.h"
#include "kernels/special.h"
#include "runtime/table/elementwise.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

// Like maximum, but a NaN loses.
template <class T>
inline Vec<T> larger_number(Vec<T> a, Vec<T> b) {
  return select(isnan(b), a, select(isnan(a), b, max(a, b)));
}
template <class T>
inline Vec<T> smaller_number(Vec<T> a, Vec<T> b) {
  return select(isnan(b), a, select(isnan(a), b, min(a, b)));
}

// The exponents are taken out by the larger of the two, so that no square overflows or vanishes.
inline Vec<double> hypot(Vec<double> a, Vec<double> b) {
  return map_lanes(a, b, [](double x, double y) { return std::hypot(x, y); });
}
inline Vec<float> hypot(Vec<float> a, Vec<float> b) {
  const auto length = [](Vec<double> x, Vec<double> y) { return sqrt(x * x + y * y); };
  const Vec<float> y = to_single(length(to_double(a, 0), to_double(b, 0)), length(to_double(a, 1), to_double(b, 1)));
  return select((abs(a) == infinity<float>()) | (abs(b) == infinity<float>()), infinity<float>(), y);
}

template <class T>
inline Vec<T> logaddexp(Vec<T> a, Vec<T> b) {
  const Vec<T> gap = select(a == b, Vec<T>(), abs(a - b));  // inf - inf is no number
  return max(a, b) + log1p(exp(-gap));
}

// a * y, but 0 where a is 0, unless b is NaN.
template <class T>
inline Vec<T> times_log(Vec<T> a, Vec<T> b, Vec<T> y) {
  return select(isnan(b), b, select(a == T(0), Vec<T>(), a * y));
}

// The number next to a in the direction of b, by the bits: as sign and magnitude, neighbours differ by one.
struct NextAfter {
  template <class S>
  static inline S run(S a, S b) {
    using U = std::conditional_t<sizeof(S) == 2, uint16_t, std::conditional_t<sizeof(S) == 4, uint32_t, uint64_t>>;
    const auto x = wide_of(a), y = wide_of(b);
    if (x != x) return a;
    if (y != y || x == y) return b;
    U u;
    std::memcpy(&u, &a, sizeof u);
    const bool up = y > x;
    if (x == 0)
      u = static_cast<U>(up ? U(1) : U(1) | static_cast<U>(U(1) << (8 * sizeof(U) - 1)));
    else
      u = static_cast<U>((x > 0) == up ? u + 1 : u - 1);
    std::memcpy(&a, &u, sizeof u);
    return a;
  }
  template <class S>
  static inline Wide<S> wide_of(S x) {
    if constexpr (kHalf<S>)
      return to_float(x);
    else
      return x;
  }
};

template <class T>
inline Vec<T> by_numbers(Vec<T> a, Vec<T> b, double (*f)(double, double)) {
  return map_lanes(a, b, [f](T x, T y) { return static_cast<T>(f(static_cast<double>(x), static_cast<double>(y))); });
}

template <Binary op>
struct BinaryFn;

#define PYDL_FLOAT(name, work, formula)                \
  template <>                                          \
  struct BinaryFn<Binary::name> {                      \
    static constexpr bool kFloat = true, kInt = false; \
    static constexpr int64_t kWork = work;             \
    template <class T>                                 \
    static inline Vec<T> run(Vec<T> a, Vec<T> b) {     \
      return formula;                                  \
    }                                                  \
  };
#define PYDL_NUMBER(name, work, formula, integer)     \
  template <>                                         \
  struct BinaryFn<Binary::name> {                     \
    static constexpr bool kFloat = true, kInt = true; \
    static constexpr int64_t kWork = work;            \
    template <class T>                                \
    static inline Vec<T> run(Vec<T> a, Vec<T> b) {    \
      return formula;                                 \
    }                                                 \
    template <class T>                                \
    static inline T run(T a, T b) {                   \
      return static_cast<T>(integer);                 \
    }                                                 \
  };
#define PYDL_BITS(name, integer)                       \
  template <>                                          \
  struct BinaryFn<Binary::name> {                      \
    static constexpr bool kFloat = false, kInt = true; \
    static constexpr int64_t kWork = 1;                \
    template <class T>                                 \
    static inline T run(T a, T b) {                    \
      return static_cast<T>(integer);                  \
    }                                                  \
  };

// clang-format off
PYDL_NUMBER(add, 1, a + b, uint64_t(a) + uint64_t(b))
PYDL_NUMBER(sub, 1, a - b, uint64_t(a) - uint64_t(b))
PYDL_NUMBER(mul, 1, a * b, uint64_t(a) * uint64_t(b))
PYDL_NUMBER(heaviside, 1, select(a == T(0), b, select(a > T(0), Vec<T>(T(1)), Vec<T>())), a == 0 ? b : T(a > 0))
PYDL_FLOAT(div, 2, a / b)
PYDL_NUMBER(pow, 12, pow(a, b), int_pow(a, b))
PYDL_NUMBER(maximum, 1, max(a, b), a > b ? a : b)
PYDL_NUMBER(minimum, 1, min(a, b), a < b ? a : b)
PYDL_NUMBER(fmax, 2, larger_number(a, b), a > b ? a : b)
PYDL_NUMBER(fmin, 2, smaller_number(a, b), a < b ? a : b)
PYDL_NUMBER(floor_divide, 16, map_lanes(a, b, floor_quotient<T>), int_quotient(a, b))
PYDL_NUMBER(remainder, 16, map_lanes(a, b, floor_mod<T>), int_mod(a, b))
PYDL_NUMBER(fmod, 16, map_lanes(a, b, [](T x, T y) { return std::fmod(x, y); }), int_fmod(a, b))
PYDL_FLOAT(atan2, 8, atan2(a, b))
PYDL_FLOAT(hypot, 6, hypot(a, b))
PYDL_FLOAT(copysign, 1, copysign(a, b))
PYDL_FLOAT(nextafter, 4, a)
PYDL_FLOAT(logaddexp, 9, logaddexp(a, b))
PYDL_FLOAT(xlogy, 5, times_log(a, b, log(b)))
PYDL_FLOAT(xlog1py, 6, times_log(a, b, log1p(b)))
PYDL_FLOAT(zeta, 200, by_numbers(a, b, zeta))
PYDL_FLOAT(gammainc, 200, by_numbers(a, b, lower_gamma))
PYDL_FLOAT(gammaincc, 200, by_numbers(a, b, upper_gamma))
PYDL_FLOAT(relu_grad, 1, select(b > Vec<T>(T(0)), a, Vec<T>()))
PYDL_FLOAT(tanh_grad, 1, a - a * (b * b))
PYDL_FLOAT(sigmoid_grad, 1, a * (b - b * b))
PYDL_BITS(bitwise_and, a & b)
PYDL_BITS(bitwise_or, a | b)
PYDL_BITS(bitwise_xor, a ^ b)
PYDL_BITS(bitwise_left_shift, shift_left(a, b))
PYDL_BITS(bitwise_right_shift, shift_right(a, b))
PYDL_BITS(gcd, int_gcd(a, b))
PYDL_BITS(lcm, int_lcm(a, b))
// clang-format on

// On bool the operations that make sense are the bitwise ones of bytes 0 and 1.
constexpr Binary on_bool(Binary op) {
  switch (op) {
    case Binary::add:
    case Binary::maximum:
    case Binary::fmax:
      return Binary::bitwise_or;
    case Binary::mul:
    case Binary::minimum:
    case Binary::fmin:
      return Binary::bitwise_and;
    default:
      return op;
  }
}

template <Binary op>
inline RowFn binary_row(Dtype t) {
  using F = BinaryFn<op>;
  constexpr Binary kBool = on_bool(op);
  if constexpr (op == Binary::nextafter) {
    return t == Dtype::f32   ? scalar_row2<NextAfter, float, float>
           : t == Dtype::f64 ? scalar_row2<NextAfter, double, double>
           : t == Dtype::f16 ? scalar_row2<NextAfter, f16, f16>
                             : scalar_row2<NextAfter, bf16, bf16>;
  } else if constexpr (F::kFloat) {
    if (t == Dtype::f32) return row2_of<F, float>();
    if (t == Dtype::f64) return row2_of<F, double>();
    if (t == Dtype::f16) return row2_of<F, f16>();
    if (t == Dtype::bf16) return row2_of<F, bf16>();
  }
  if constexpr (F::kInt) {
    if (t == Dtype::i64) return row2_of<F, int64_t>();
    if (t == Dtype::i32) return row2_of<F, int32_t>();
    if (t == Dtype::u8) return row2_of<F, uint8_t>();
  }
  if constexpr (!BinaryFn<kBool>::kFloat) {
    if (t == Dtype::b8) return row2_of<BinaryFn<kBool>, uint8_t>();
  }
  return nullptr;
}

// x to a power that a few products or roots give, with pow's own values at zeros and infinities.
template <int twice>  // of the exponent
struct PowerFn {
  template <class T>
  static inline Vec<T> run(Vec<T> x) {
    if constexpr (twice == 4) {
      return x * x;
    } else if constexpr (twice == 6) {
      return x * x * x;
    } else if constexpr (twice == -2) {
      return T(1) / x;
    } else if constexpr (twice == -4) {
      const Vec<T> r = T(1) / x;  // x * x might overflow where the result is a number
      return r * r;
    } else {
      return twice > 0 ? root(x) : T(1) / root(x);
    }
  }
  template <class T>
  static inline Vec<T> root(Vec<T> x) {
    return sqrt(select(x == -infinity<T>(), Vec<T>(infinity<T>()), x + T(0)));  // -0 + 0 is 0
  }
};

template <class S>
inline RowFn power_row(double exponent) {
  return exponent == 2      ? row_of<PowerFn<4>, S>()
         : exponent == 3    ? row_of<PowerFn<6>, S>()
         : exponent == -1   ? row_of<PowerFn<-2>, S>()
         : exponent == -2   ? row_of<PowerFn<-4>, S>()
         : exponent == 0.5  ? row_of<PowerFn<1>, S>()
         : exponent == -0.5 ? row_of<PowerFn<-1>, S>()
                            : nullptr;
}

// The row function for the exponent that all elements of b have, if there is one and it is one of those.
inline RowFn power_row(View b) {
  for (int i = 0; i < b.ndim; ++i)
    if (b.strides[i] != 0 && b.shape[i] != 1) return nullptr;
  if (b.numel() == 0) return nullptr;
  switch (b.dtype) {
    case Dtype::f32:
      return power_row<float>(element<float>(b, 0));
    case Dtype::f64:
      return power_row<double>(element<double>(b, 0));
    case Dtype::f16:
      return power_row<f16>(element<float>(b, 0));
    case Dtype::bf16:
      return power_row<bf16>(element<float>(b, 0));
    default:
      return nullptr;
  }
}

}  // namespace

void binary(Binary op, View a, View b, View y) {
  if (op == Binary::pow)
    if (const RowFn row = power_row(b)) {
      const View* views[] = {&a, &y};
      return run(views, 2, row, 2);
    }
  const View* views[] = {&a, &b, &y};
  switch (op) {
#define PYDL_CASE(name) \
  case Binary::name:    \
    return run(views, 3, binary_row<Binary::name>(y.dtype), BinaryFn<Binary::name>::kWork);
    PYDL_BINARY(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

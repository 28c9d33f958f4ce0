// binary: two inputs of one dtype, the same dtype out. Integers wrap around; bool knows or (add, maximum), and (mul,
// minimum) and the bitwise operations.
#include "coded.cuh"
#include "formulas.cuh"
#include "runtime/table/elementwise.h"

namespace pydl::cuda {

void special_binary(Binary op, View a, View b, View y);  // special.cu

namespace {

// Like maximum, but a NaN loses.
template <class T>
__device__ __forceinline__ T larger_number(T a, T b) {
  return b != b ? a : a != a ? b : larger(a, b);
}
template <class T>
__device__ __forceinline__ T smaller_number(T a, T b) {
  return b != b ? a : a != a ? b : smaller(a, b);
}

template <class T>
__device__ __forceinline__ T logaddexp(T a, T b) {
  const T gap = a == b ? T(0) : std::abs(a - b);  // inf - inf is no number
  return larger(a, b) + std::log1p(std::exp(-gap));
}

// a * y, but 0 where a is 0, unless b is NaN.
template <class T>
__device__ __forceinline__ T times_log(T a, T b, T y) {
  return b != b ? b : a == T(0) ? T(0) : a * y;
}

// The number next to a in the direction of b, by the bits: as sign and magnitude, neighbours differ by one. It works
// on the bits of the elements themselves.
template <class S>
struct NextAfter {
  using U = std::conditional_t<sizeof(S) == 2, uint16_t, std::conditional_t<sizeof(S) == 4, uint32_t, uint64_t>>;
  static __device__ __forceinline__ auto number(U bits) {
    if constexpr (kHalf<S>)
      return widened(S{bits});
    else if constexpr (sizeof(S) == 4)
      return __uint_as_float(bits);
    else
      return __longlong_as_double(static_cast<long long>(bits));
  }
  __device__ U operator()(U a, U b) const {
    const auto x = number(a), y = number(b);
    if (x != x) return a;
    if (y != y || x == y) return b;
    const bool up = y > x;
    if (x == 0) return static_cast<U>(up ? U(1) : U(1) | static_cast<U>(U(1) << (8 * sizeof(U) - 1)));
    return static_cast<U>((x > 0) == up ? a + 1 : a - 1);
  }
};

template <Binary op>
struct BinaryFn;

#define PYDL_BODY(condition, formula, integer)                                                \
  template <class T>                                                                          \
  __device__ __forceinline__ T operator()([[maybe_unused]] T a, [[maybe_unused]] T b) const { \
    if constexpr (condition)                                                                  \
      return formula;                                                                         \
    else                                                                                      \
      return static_cast<T>(integer);                                                         \
  }
#define PYDL_FLOAT(name, formula)                             \
  template <>                                                 \
  struct BinaryFn<Binary::name> {                             \
    static constexpr bool kFloat = true, kInt = false;        \
    template <class T>                                        \
    __device__ __forceinline__ T operator()(T a, T b) const { \
      return formula;                                         \
    }                                                         \
  };
#define PYDL_NUMBER(name, formula, integer)                  \
  template <>                                                \
  struct BinaryFn<Binary::name> {                            \
    static constexpr bool kFloat = true, kInt = true;        \
    PYDL_BODY(std::is_floating_point_v<T>, formula, integer) \
  };
#define PYDL_BITS(name, integer)                              \
  template <>                                                 \
  struct BinaryFn<Binary::name> {                             \
    static constexpr bool kFloat = false, kInt = true;        \
    template <class T>                                        \
    __device__ __forceinline__ T operator()(T a, T b) const { \
      return static_cast<T>(integer);                         \
    }                                                         \
  };

// clang-format off
PYDL_NUMBER(add, a + b, uint64_t(a) + uint64_t(b))
PYDL_NUMBER(sub, a - b, uint64_t(a) - uint64_t(b))
PYDL_NUMBER(mul, a * b, uint64_t(a) * uint64_t(b))
PYDL_NUMBER(heaviside, a == T(0) ? b : T(a > T(0)), a == 0 ? b : T(a > 0))
PYDL_FLOAT(div, a / b)
PYDL_NUMBER(pow, std::pow(a, b), int_pow(a, b))
PYDL_NUMBER(maximum, larger(a, b), a > b ? a : b)
PYDL_NUMBER(minimum, smaller(a, b), a < b ? a : b)
PYDL_NUMBER(fmax, larger_number(a, b), a > b ? a : b)
PYDL_NUMBER(fmin, smaller_number(a, b), a < b ? a : b)
PYDL_NUMBER(floor_divide, floor_quotient(a, b), int_quotient(a, b))
PYDL_NUMBER(remainder, floor_mod(a, b), int_mod(a, b))
PYDL_NUMBER(fmod, std::fmod(a, b), int_fmod(a, b))
PYDL_FLOAT(atan2, std::atan2(a, b))
PYDL_FLOAT(hypot, std::hypot(a, b))
PYDL_FLOAT(copysign, std::copysign(a, b))
PYDL_FLOAT(logaddexp, logaddexp(a, b))
PYDL_FLOAT(xlogy, times_log(a, b, std::log(b)))
PYDL_FLOAT(xlog1py, times_log(a, b, std::log1p(b)))
PYDL_FLOAT(relu_grad, b > T(0) ? a : T(0))
PYDL_FLOAT(tanh_grad, a - a * (b * b))
PYDL_FLOAT(sigmoid_grad, a * (b - b * b))
PYDL_BITS(bitwise_and, a & b)
PYDL_BITS(bitwise_or, a | b)
PYDL_BITS(bitwise_xor, a ^ b)
PYDL_BITS(bitwise_left_shift, shift_left(a, b))
PYDL_BITS(bitwise_right_shift, shift_right(a, b))
PYDL_BITS(gcd, int_gcd(a, b))
PYDL_BITS(lcm, int_lcm(a, b))
// clang-format on
#undef PYDL_BODY
#undef PYDL_FLOAT
#undef PYDL_NUMBER
#undef PYDL_BITS

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

// The operations that are written above; nextafter has a kernel of its own.
// clang-format off
#define PYDL_HERE(X) \
  X(add) X(sub) X(mul) X(pow) X(maximum) X(minimum) X(fmax) X(fmin) X(floor_divide) X(remainder) X(fmod) \
  X(heaviside) X(div) X(atan2) X(hypot) X(copysign) X(logaddexp) X(xlogy) X(xlog1py) X(relu_grad) X(tanh_grad) \
  X(sigmoid_grad) X(bitwise_and) X(bitwise_or) X(bitwise_xor) X(bitwise_left_shift) X(bitwise_right_shift) \
  X(gcd) X(lcm)
// clang-format on

// All of them by their op code; all() has those that are short and much used. Integers of any size are computed in
// int64, which wraps around where they do when it is stored.
struct ByCode {
  static constexpr bool kQuick = true;
  Binary op;
  Dtype dtype;

  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    if constexpr (!kFloating<T>)
      if (op == Binary::lcm && dtype == Dtype::i32) return int_lcm(static_cast<int32_t>(a), static_cast<int32_t>(b));
    switch (op) {
#define PYDL_CASE(name)                                                                         \
  case Binary::name:                                                                            \
    if constexpr (kFloating<T> ? BinaryFn<Binary::name>::kFloat : BinaryFn<Binary::name>::kInt) \
      return BinaryFn<Binary::name>()(a, b);                                                    \
    break;
      PYDL_HERE(PYDL_CASE)
#undef PYDL_CASE
      default:
        break;
    }
    return a;
  }

#define PYDL_QUICK(X) X(add) X(sub) X(mul) X(div) X(maximum) X(minimum) X(relu_grad) X(tanh_grad) X(sigmoid_grad)
  bool quick() const {
    switch (op) {
#define PYDL_CASE(name) case Binary::name:
      PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
      return true;
      default:
        return false;
    }
  }
  template <class T, int N>
  __device__ __forceinline__ void all(const T (&x)[2][N], T (&y)[N]) const {
    switch (op) {
#define PYDL_CASE(name)                                                                              \
  case Binary::name:                                                                                 \
    _Pragma("unroll") for (int k = 0; k < N; ++k) y[k] = BinaryFn<Binary::name>()(x[0][k], x[1][k]); \
    return;
      PYDL_QUICK(PYDL_CASE)
#undef PYDL_CASE
      default:
        return;
    }
  }
#undef PYDL_QUICK
};

void next_after(const View& a, const View& b, const View& y) {
  with_floating(y.dtype, [&](auto zero) {
    using U = typename NextAfter<decltype(zero)>::U;
    map<U, U, U>(NextAfter<decltype(zero)>(), y, a, &b);
  });
}

}  // namespace

void binary(Binary op, View a, View b, View y) {
  switch (op) {
    case Binary::nextafter:
      return next_after(a, b, y);
    case Binary::zeta:
    case Binary::gammainc:
    case Binary::gammaincc:
      return special_binary(op, a, b, y);
    default:
      break;
  }
  const ByCode f{y.dtype == Dtype::b8 ? on_bool(op) : op, y.dtype};
  with_computed(y.dtype, [&](auto zero) { coded<decltype(zero), decltype(zero)>(f, y, a, b); });
}

}  // namespace pydl::cuda

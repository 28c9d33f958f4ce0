// binary: two inputs of one dtype, the same dtype out. Integers wrap around; bool knows or (add, maximum), and (mul,
// minimum) and the bitwise operations.
#include "formulas.cuh"
#include "map.cuh"
#include "runtime/table/elementwise.h"

namespace pydl::cuda {
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

template <Binary op>
void binary_of(const View& a, const View& b, const View& y) {
  constexpr Binary kBool = on_bool(op);
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    map<T, T, T>(BinaryFn<op>(), y, a, &b);
  };
  if constexpr (!BinaryFn<kBool>::kFloat)
    if (y.dtype == Dtype::b8) return map<uint8_t, uint8_t, uint8_t>(BinaryFn<kBool>(), y, a, &b);
  if constexpr (BinaryFn<op>::kFloat)
    if (is_floating(y.dtype)) return with_floating(y.dtype, run);
  if constexpr (BinaryFn<op>::kInt) with_integer(y.dtype, run);
}

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
      return missing("zeta, gammainc and gammaincc have no CUDA kernel");
#define PYDL_CASE(name) \
  case Binary::name:    \
    return binary_of<Binary::name>(a, b, y);
      // clang-format off
      PYDL_CASE(add) PYDL_CASE(sub) PYDL_CASE(mul) PYDL_CASE(pow) PYDL_CASE(maximum) PYDL_CASE(minimum) PYDL_CASE(fmax)
      PYDL_CASE(fmin) PYDL_CASE(floor_divide) PYDL_CASE(remainder) PYDL_CASE(fmod) PYDL_CASE(heaviside) PYDL_CASE(div)
      PYDL_CASE(atan2) PYDL_CASE(hypot) PYDL_CASE(copysign) PYDL_CASE(logaddexp) PYDL_CASE(xlogy) PYDL_CASE(xlog1py)
      PYDL_CASE(relu_grad) PYDL_CASE(tanh_grad) PYDL_CASE(sigmoid_grad) PYDL_CASE(bitwise_and) PYDL_CASE(bitwise_or)
      PYDL_CASE(bitwise_xor) PYDL_CASE(bitwise_left_shift) PYDL_CASE(bitwise_right_shift) PYDL_CASE(gcd) PYDL_CASE(lcm)
      // clang-format on
#undef PYDL_CASE
  }
}

}  // namespace pydl::cuda

// binary: two inputs of one dtype, the same dtype out. The loops are in rows.h, the walk in strided.h.
// floor_divide and remainder are Python's: rounded towards minus infinity, the remainder has the sign of b. Integers
// wrap around; bool knows or (add, maximum), and (mul, minimum) and the bitwise operations.
#include <cmath>
#include <type_traits>

#include "kernels/rows.h"
#include "runtime/table/elementwise.h"
#include "simd/math.h"

namespace pydl::PYDL_ISA {
namespace {

template <class T>
inline T floor_mod(T a, T b) {
  const T r = std::fmod(a, b);
  return r != T(0) && (b < T(0)) != (r < T(0)) ? r + b : r;
}

// (a - a mod b) / b is near an integer; rounding to it keeps the result consistent with floor_mod.
template <class T>
inline T floor_quotient(T a, T b) {
  if (b == T(0)) return a / b;
  const T r = std::fmod(a, b);
  T q = (a - r) / b;
  if (r != T(0) && (b < T(0)) != (r < T(0))) q -= T(1);
  if (q == T(0)) return std::copysign(T(0), a / b);
  const T f = std::floor(q);
  return q - f > T(0.5) ? f + T(1) : f;
}

// INT_MIN / -1 overflows in C++; here it wraps around.
template <class T>
inline T int_quotient(T a, T b) {
  using U = std::make_unsigned_t<T>;
  if (b == static_cast<T>(-1) && std::is_signed_v<T>) return static_cast<T>(U(0) - U(a));
  const T q = static_cast<T>(a / b);
  return static_cast<T>(a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q);
}

template <class T>
inline T int_fmod(T a, T b) {
  return b == static_cast<T>(-1) && std::is_signed_v<T> ? T(0) : static_cast<T>(a % b);
}

template <class T>
inline T int_mod(T a, T b) {
  const T r = int_fmod(a, b);
  return static_cast<T>(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

template <class T>
inline T int_pow(T a, T b) {
  if (b < 0) return a == 1 ? T(1) : a == static_cast<T>(-1) ? (b % 2 != 0 ? static_cast<T>(-1) : T(1)) : T(0);
  uint64_t r = 1, base = static_cast<uint64_t>(a);
  for (uint64_t e = static_cast<uint64_t>(b); e != 0; e >>= 1, base *= base)
    if (e & 1) r *= base;
  return static_cast<T>(r);
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
PYDL_FLOAT(div, 2, a / b)
PYDL_NUMBER(pow, 12, pow(a, b), int_pow(a, b))
PYDL_NUMBER(maximum, 1, max(a, b), a > b ? a : b)
PYDL_NUMBER(minimum, 1, min(a, b), a < b ? a : b)
PYDL_NUMBER(floor_divide, 16, map_lanes(a, b, floor_quotient<T>), int_quotient(a, b))
PYDL_NUMBER(remainder, 16, map_lanes(a, b, floor_mod<T>), int_mod(a, b))
PYDL_NUMBER(fmod, 16, map_lanes(a, b, [](T x, T y) { return std::fmod(x, y); }), int_fmod(a, b))
PYDL_FLOAT(atan2, 8, atan2(a, b))
PYDL_FLOAT(relu_grad, 1, select(b > Vec<T>(T(0)), a, Vec<T>()))
PYDL_FLOAT(tanh_grad, 1, a - a * (b * b))
PYDL_FLOAT(sigmoid_grad, 1, a * (b - b * b))
PYDL_BITS(bitwise_and, a & b)
PYDL_BITS(bitwise_or, a | b)
PYDL_BITS(bitwise_xor, a ^ b)
// clang-format on

// On bool the operations that make sense are the bitwise ones of bytes 0 and 1.
constexpr Binary on_bool(Binary op) {
  switch (op) {
    case Binary::add:
    case Binary::maximum:
      return Binary::bitwise_or;
    case Binary::mul:
    case Binary::minimum:
      return Binary::bitwise_and;
    default:
      return op;
  }
}

template <Binary op>
inline RowFn binary_row(Dtype t) {
  using F = BinaryFn<op>;
  constexpr Binary kBool = on_bool(op);
  if constexpr (F::kFloat) {
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

}  // namespace

void binary(Binary op, View a, View b, View y) {
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

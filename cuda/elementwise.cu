// The elementwise kernels of several inputs or dtypes: copy, compare, where, ternary, and what makes numbers from none.
#include "coded.cuh"
#include "formulas.cuh"
#include "runtime/table/elementwise.h"
#include "runtime/table/shape.h"

namespace pydl::cuda {
namespace {

// A float becomes an integer by truncation: NaN gives 0, what does not fit gives the nearest int32 or int64. uint8
// takes the low eight bits of that int32.
template <class Y, class X>
__device__ __forceinline__ Y to_integer(X x) {
  using Signed = std::conditional_t<sizeof(Y) == 8, int64_t, int32_t>;
  constexpr X limit = static_cast<X>(sizeof(Y) == 8 ? 0x1p63 : 0x1p31);
  if (x >= limit) return static_cast<Y>(std::numeric_limits<Signed>::max());
  if (x < -limit) return static_cast<Y>(std::numeric_limits<Signed>::min());
  return x != x ? Y(0) : static_cast<Y>(static_cast<Signed>(x));
}

// From the type that X is computed in to that of Y.
template <class Y, class X>
__device__ __forceinline__ Wide<Y> converted(X x) {
  if constexpr (std::is_same_v<Y, bool>)
    return x != X(0);
  else if constexpr (std::is_floating_point_v<X> && std::is_integral_v<Y>)
    return to_integer<Y>(x);
  else
    return static_cast<Wide<Y>>(x);
}

// To a type of the class of Y: float, double, or int64 for what has no fraction.
template <class Y>
struct Convert {
  static constexpr bool kQuick = false;
  Dtype to;
  template <class X>
  __device__ __forceinline__ Y operator()(X x) const {
    if constexpr (!std::is_same_v<Y, int64_t> || !std::is_floating_point_v<X>) {
      return to == Dtype::b8 ? static_cast<Y>(x != X(0)) : static_cast<Y>(x);
    } else {
      if (to == Dtype::b8) return x != X(0);
      return to == Dtype::i64 ? to_integer<int64_t>(x) : static_cast<Y>(to_integer<int32_t>(x));
    }
  }
};

struct Same {
  template <class T>
  __device__ __forceinline__ T operator()(T x) const {
    return x;
  }
};

template <Compare op>
struct CompareFn;
#define PYDL_COMPARE_FN(name, formula)                           \
  template <>                                                    \
  struct CompareFn<Compare::name> {                              \
    template <class T>                                           \
    __device__ __forceinline__ bool operator()(T a, T b) const { \
      return formula;                                            \
    }                                                            \
  };
// clang-format off
PYDL_COMPARE_FN(eq, a == b)
PYDL_COMPARE_FN(ne, a != b)
PYDL_COMPARE_FN(lt, a < b)
PYDL_COMPARE_FN(le, a <= b)
PYDL_COMPARE_FN(gt, a > b)
PYDL_COMPARE_FN(ge, a >= b)
PYDL_COMPARE_FN(logical_and, a != T(0) && b != T(0))
PYDL_COMPARE_FN(logical_or, a != T(0) || b != T(0))
PYDL_COMPARE_FN(logical_xor, (a != T(0)) != (b != T(0)))
// clang-format on
#undef PYDL_COMPARE_FN

struct CompareByCode {
  static constexpr bool kQuick = false;
  Compare op;
  template <class T>
  __device__ __forceinline__ bool operator()(T a, T b) const {
    switch (op) {
#define PYDL_CASE(name) \
  case Compare::name:   \
    return CompareFn<Compare::name>()(a, b);
      PYDL_COMPARE(PYDL_CASE)
#undef PYDL_CASE
    }
    return false;
  }
};

struct Choose {
  template <class T>
  __device__ __forceinline__ T operator()(bool yes, T a, T b) const {
    return yes ? a : b;
  }
};

// lerp starts from the nearer end, so that a weight of 0 gives exactly a and one of 1 exactly b.
struct TernaryByCode {
  static constexpr bool kQuick = false;
  Ternary op;
  double value;
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b, T c) const {
    switch (op) {
      case Ternary::lerp:
        return c < T(0.5) ? std::fma(c, b - a, a) : std::fma(c - T(1), b - a, b);
      case Ternary::addcmul:
        return std::fma(T(value) * b, c, a);
      case Ternary::addcdiv:
        return std::fma(T(value), b / c, a);
    }
    return a;
  }
};

template <class T>
__global__ void __launch_bounds__(kMapThreads) arange_kernel(double start, double step, T* y, int64_t n) {
  for (int64_t i = int64_t{blockIdx.x} * kMapThreads + threadIdx.x; i < n; i += int64_t{gridDim.x} * kMapThreads) {
    if constexpr (std::is_same_v<T, int64_t>)
      y[i] = to_integer<int64_t>(start) + i * to_integer<int64_t>(step);
    else
      y[i] = narrowed<T>(converted<T>(start + static_cast<double>(i) * step));
  }
}

}  // namespace

void copy(View x, View y) {
  if (x.dtype == y.dtype) {
    return with_bits(y.dtype, [&](auto zero) { map<decltype(zero), decltype(zero)>(Same(), y, x); });
  }
  with_computed(y.dtype, [&](auto to) {
    using Y = decltype(to);
    with_computed(x.dtype, [&](auto from) { coded<Y, decltype(from)>(Convert<Y>{y.dtype}, y, x); });
  });
}

void move(View x, View y) { copy(x, y); }

void compare(Compare op, View a, View b, View y) {
  with_computed(a.dtype, [&](auto zero) { coded<uint8_t, decltype(zero)>(CompareByCode{op}, y, a, b); });
}

void where(View condition, View a, View b, View y) {
  with_bits(y.dtype, [&](auto zero) {
    using U = decltype(zero);
    map<U, bool, U, U>(Choose(), y, condition, &a, &b);
  });
}

void ternary(Ternary op, double value, View a, View b, View c, View y) {
  with_computed_float(y.dtype, [&](auto zero) {
    coded<decltype(zero), decltype(zero)>(TernaryByCode{op, value}, y, a, b, c);
  });
}

void arange(double begin, double step, View y) {
  const int64_t n = y.numel();
  if (n == 0) return;
  with_any(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    start(arange_kernel<T>, {blocks_for(n, kMapThreads), kMapThreads}, begin, step, y.as<T>(), n);
  });
}

}  // namespace pydl::cuda

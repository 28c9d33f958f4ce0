// What happens where a value meets another: the operations of index_place and scatter_place.
#pragma once

#include <limits>
#include <type_traits>

#include "kernels/element.h"
#include "runtime/table/place.h"

namespace pydl::PYDL_ISA {
namespace {

// 16-bit floats meet in float32 and are rounded once at the end.
template <class T>
using Met = std::conditional_t<kHalf<T>, float, T>;

template <class T>
inline Met<T> widen(T x) {
  if constexpr (kHalf<T>) return to_float(x);
  if constexpr (!kHalf<T>) return x;
}

// Integers wrap around.
template <class T>
using Wrapping = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;

struct Put {
  template <class A>
  static inline A meet(A, A x) {
    return x;
  }
};
struct Add {
  template <class A>
  static inline A meet(A y, A x) {
    if constexpr (std::is_same_v<A, bool>) {
      return y | x;
    } else if constexpr (std::is_integral_v<A>) {
      return static_cast<A>(static_cast<Wrapping<A>>(y) + static_cast<Wrapping<A>>(x));
    } else {
      return y + x;
    }
  }
};
struct Mul {
  template <class A>
  static inline A meet(A y, A x) {
    if constexpr (std::is_same_v<A, bool>) {
      return y & x;
    } else if constexpr (std::is_integral_v<A>) {
      return static_cast<A>(static_cast<Wrapping<A>>(y) * static_cast<Wrapping<A>>(x));
    } else {
      return y * x;
    }
  }
};
struct Larger {
  template <class A>
  static inline A meet(A y, A x) {
    return larger(y, x);
  }
};
struct Smaller {
  template <class A>
  static inline A meet(A y, A x) {
    return smaller(y, x);
  }
};

// Calls f with the operation and an element of the dtype. Only its size matters to put.
template <class Op, class F>
inline void with_type(Dtype dtype, const F& f) {
  switch (dtype) {
#define PYDL_CASE(name, T, ...) \
  case Dtype::name:             \
    return f(Op{}, T{});
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

template <class F>
inline void with_place(Place how, Dtype dtype, int64_t size, const F& f) {
  switch (how) {
    case Place::put:
      return size == 1   ? f(Put{}, uint8_t{})
             : size == 2 ? f(Put{}, uint16_t{})
             : size == 4 ? f(Put{}, uint32_t{})
                         : f(Put{}, uint64_t{});
    case Place::add:
      return with_type<Add>(dtype, f);
    case Place::mul:
      return with_type<Mul>(dtype, f);
    case Place::amax:
      return with_type<Larger>(dtype, f);
    case Place::amin:
      return with_type<Smaller>(dtype, f);
  }
}

}  // namespace
}  // namespace pydl::PYDL_ISA

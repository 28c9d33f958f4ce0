// copy, also between dtypes, and arange.
// A float becomes an integer by truncation: NaN gives 0, what does not fit gives the nearest int32 or int64. uint8
// takes the low eight bits of that int32. A number becomes true where it is not 0.
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/rows.h"
#include "runtime/table/elementwise.h"

namespace pydl::PYDL_ISA {
namespace {

template <class Y, class X>
inline Y to_integer(X x) {
  using Signed = std::conditional_t<sizeof(Y) == 8, int64_t, int32_t>;
  constexpr X limit = static_cast<X>(sizeof(Y) == 8 ? 0x1p63 : 0x1p31);
  const X inside = x < limit && x >= -limit ? x : X(0);
  const Signed outside = x >= limit ? std::numeric_limits<Signed>::max()
                         : x < X(0) ? std::numeric_limits<Signed>::min()
                                    : Signed(0);
  const bool fits = x < limit && x >= -limit;
  return static_cast<Y>(fits ? static_cast<Signed>(inside) : outside);
}

template <class Y, class X>
inline Y convert(X x) {
  if constexpr (kHalf<X>) {
    return convert<Y>(to_float(x));
  } else if constexpr (std::is_same_v<Y, bool>) {
    return x != X(0);
  } else if constexpr (kHalf<Y>) {
    return narrow<Y>(static_cast<float>(x));
  } else if constexpr (std::is_floating_point_v<X> && std::is_integral_v<Y>) {
    return to_integer<Y>(x);
  } else {
    return static_cast<Y>(x);
  }
}

template <class Y>
struct Convert {
  template <class X>
  static inline Y run(X x) {
    return convert<Y>(x);
  }
};

struct Same {
  template <class T>
  static inline T run(T x) {
    return x;
  }
};

template <class T>
inline void same_row(char* const* p, const int64_t* step, int64_t n, const Context& context) {
  if (step[0] == 1)
    std::memmove(p[1], p[0], static_cast<size_t>(n) * sizeof(T));
  else
    scalar_row<Same, T, T>(p, step, n, context);
}

inline RowFn same_row_of(int64_t size) {
  return size == 1   ? same_row<uint8_t>
         : size == 2 ? same_row<uint16_t>
         : size == 4 ? same_row<uint32_t>
                     : same_row<uint64_t>;
}

template <class T>
constexpr bool kInFloat = kHalf<T> || std::is_same_v<T, float>;

// Between the types that are computed in float32 by vectors: load widens, store rounds.
template <class X, class Y>
inline RowFn copy_row() {
  if constexpr (kInFloat<X> && kInFloat<Y>)
    return float_row<Same, X, Y>;
  else if constexpr (std::is_same_v<X, bool>)
    return scalar_row<Convert<Y>, uint8_t, Y>;
  else
    return scalar_row<Convert<Y>, X, Y>;
}

template <class X>
inline RowFn copy_row_from(Dtype to) {
  switch (to) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return copy_row<X, type>();
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return nullptr;
}

inline RowFn copy_row_of(Dtype from, Dtype to) {
  if (from == to) return same_row_of(item_size(from));
  switch (from) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return copy_row_from<type>(to);
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return nullptr;
}

template <class T>
inline void arange_of(double start, double step, T* y, int64_t n) {
  parallel_for(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if constexpr (std::is_same_v<T, int64_t>)
        y[i] = to_integer<int64_t>(start) + i * to_integer<int64_t>(step);
      else
        y[i] = convert<T>(start + static_cast<double>(i) * step);
    }
  });
}

}  // namespace

void copy(View x, View y) {
  const View* views[] = {&x, &y};
  run(views, 2, copy_row_of(x.dtype, y.dtype), 1);
}

void arange(double start, double step, View y) {
  switch (y.dtype) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return arange_of(start, step, y.as<type>(), y.numel());
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

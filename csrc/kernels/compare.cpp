// compare and where: numbers to bools, and bools to choices. The loops are in rows.h, the walk in strided.h.
#include "kernels/rows.h"
#include "runtime/table/elementwise.h"

namespace pydl::PYDL_ISA {
namespace {

template <Compare op>
struct CompareFn;

#define PYDL_COMPARE_FN(name, formula)                            \
  template <>                                                     \
  struct CompareFn<Compare::name> {                               \
    template <class T>                                            \
    static inline typename Vec<T>::Mask run(Vec<T> a, Vec<T> b) { \
      [[maybe_unused]] const Vec<T> zero;                         \
      return formula;                                             \
    }                                                             \
    template <class T>                                            \
    static inline bool run(T a, T b) {                            \
      [[maybe_unused]] const T zero{};                            \
      return formula;                                             \
    }                                                             \
  };

// clang-format off
PYDL_COMPARE_FN(eq, a == b)
PYDL_COMPARE_FN(ne, a != b)
PYDL_COMPARE_FN(lt, a < b)
PYDL_COMPARE_FN(le, a <= b)
PYDL_COMPARE_FN(gt, a > b)
PYDL_COMPARE_FN(ge, a >= b)
PYDL_COMPARE_FN(logical_and, (a != zero) & (b != zero))
PYDL_COMPARE_FN(logical_or, (a != zero) | (b != zero))
PYDL_COMPARE_FN(logical_xor, (a != zero) ^ (b != zero))
// clang-format on

template <Compare op>
inline RowFn compare_row(Dtype t) {
  switch (t) {
#define PYDL_CASE(name, type, ...) \
  case Dtype::name:                \
    return row2_of<CompareFn<op>, type, bool>();
    PYDL_DTYPES(PYDL_CASE)
#undef PYDL_CASE
  }
  return nullptr;
}

// Moves the bits of elements of U's size.
template <class U>
inline void where_row(char* const* p, const int64_t* step, int64_t n, const Context&) {
  const uint8_t* c = reinterpret_cast<const uint8_t*>(p[0]);
  const U* a = reinterpret_cast<const U*>(p[1]);
  const U* b = reinterpret_cast<const U*>(p[2]);
  U* y = reinterpret_cast<U*>(p[3]);
  for (int64_t i = 0; i < n; i += kSplat) {
    const int64_t m = n - i < kSplat ? n - i : kSplat;
#pragma GCC ivdep
    for (int64_t j = 0; j < m; ++j) {
      const U yes = a[j], no = b[j];
      y[i + j] = c[j] != 0 ? yes : no;
    }
    c += step[0] * kSplat;
    a += step[1] * kSplat;
    b += step[2] * kSplat;
  }
}

inline RowFn where_row_of(int64_t size) {
  return size == 1   ? where_row<uint8_t>
         : size == 2 ? where_row<uint16_t>
         : size == 4 ? where_row<uint32_t>
                     : where_row<uint64_t>;
}

}  // namespace

void compare(Compare op, View a, View b, View y) {
  const View* views[] = {&a, &b, &y};
  switch (op) {
#define PYDL_CASE(name) \
  case Compare::name:   \
    return run(views, 3, compare_row<Compare::name>(a.dtype), 1);
    PYDL_COMPARE(PYDL_CASE)
#undef PYDL_CASE
  }
}

void where(View condition, View a, View b, View y) {
  const View* views[] = {&condition, &a, &b, &y};
  run(views, 4, where_row_of(item_size(y.dtype)), 1);
}

}  // namespace pydl::PYDL_ISA

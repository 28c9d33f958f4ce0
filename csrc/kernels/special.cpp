// special: functions of one input that are rarer than those of elementwise.cpp. float32 is computed in float64.
// Worst errors against 40 digits: tests/ops/test_special.py.
#include <cmath>

#include "kernels/bessel.h"
#include "kernels/rows.h"
#include "kernels/special_one.h"
#include "runtime/table/elementwise.h"
#include "simd/math.h"
#include "simd/math_gamma.h"
#include "simd/math_normal.h"

namespace pydl::PYDL_ISA {
namespace {

#define PYDL_BY_DOUBLE(f)                                    \
  inline Vec<float> f(Vec<float> x) {                        \
    return in_double(x, [](Vec<double> d) { return f(d); }); \
  }
PYDL_BY_DOUBLE(digamma)
PYDL_BY_DOUBLE(erfinv)
PYDL_BY_DOUBLE(ndtri)
PYDL_BY_DOUBLE(log_ndtr)
PYDL_BY_DOUBLE(i0)
PYDL_BY_DOUBLE(i0e)
PYDL_BY_DOUBLE(i1)
PYDL_BY_DOUBLE(i1e)
PYDL_BY_DOUBLE(k0)
PYDL_BY_DOUBLE(k0e)
PYDL_BY_DOUBLE(k1)
PYDL_BY_DOUBLE(k1e)
#undef PYDL_BY_DOUBLE

template <class T>
inline T from_libm(double (*f)(double), T x) {
  return static_cast<T>(f(static_cast<double>(x)));
}

template <Special op>
struct SpecialFn;

#define PYDL_SPECIAL_FN(name, work, formula) \
  template <>                                \
  struct SpecialFn<Special::name> {          \
    static constexpr int64_t kWork = work;   \
    template <class T>                       \
    static inline Vec<T> run(Vec<T> x) {     \
      return formula;                        \
    }                                        \
  };

// clang-format off
PYDL_SPECIAL_FN(lgamma, 40, lgamma(x))
PYDL_SPECIAL_FN(digamma, 40, digamma(x))
PYDL_SPECIAL_FN(erfcx, 30, erfcx(x))
PYDL_SPECIAL_FN(erfinv, 30, erfinv(x))
PYDL_SPECIAL_FN(ndtr, 10, ndtr(x))
PYDL_SPECIAL_FN(ndtri, 30, ndtri(x))
PYDL_SPECIAL_FN(log_ndtr, 60, log_ndtr(x))
PYDL_SPECIAL_FN(entr, 6, entr(x))
PYDL_SPECIAL_FN(sinc, 8, sinc(x))
PYDL_SPECIAL_FN(i0, 40, i0(x))
PYDL_SPECIAL_FN(i0e, 30, i0e(x))
PYDL_SPECIAL_FN(i1, 40, i1(x))
PYDL_SPECIAL_FN(i1e, 30, i1e(x))
PYDL_SPECIAL_FN(k0, 60, k0(x))
PYDL_SPECIAL_FN(k0e, 60, k0e(x))
PYDL_SPECIAL_FN(k1, 60, k1(x))
PYDL_SPECIAL_FN(k1e, 60, k1e(x))
PYDL_SPECIAL_FN(bessel_j0, 60, map_lanes(x, [](T t) { return from_libm(::j0, t); }))
PYDL_SPECIAL_FN(bessel_j1, 60, map_lanes(x, [](T t) { return from_libm(::j1, t); }))
PYDL_SPECIAL_FN(bessel_y0, 60, map_lanes(x, [](T t) { return from_libm(::y0, t); }))
PYDL_SPECIAL_FN(bessel_y1, 60, map_lanes(x, [](T t) { return from_libm(::y1, t); }))
// clang-format on

template <Special op>
inline RowFn special_row(Dtype t) {
  using F = SpecialFn<op>;
  return t == Dtype::f32   ? row_of<F, float>()
         : t == Dtype::f64 ? row_of<F, double>()
         : t == Dtype::f16 ? row_of<F, f16>()
                           : row_of<F, bf16>();
}

}  // namespace

void special(Special op, View x, View y) {
  const View* views[] = {&x, &y};
  switch (op) {
#define PYDL_CASE(name) \
  case Special::name:   \
    return run(views, 2, special_row<Special::name>(x.dtype), SpecialFn<Special::name>::kWork);
    PYDL_SPECIAL(PYDL_CASE)
#undef PYDL_CASE
  }
}

}  // namespace pydl::PYDL_ISA

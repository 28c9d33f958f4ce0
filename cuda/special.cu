// special, and the special functions among those of two inputs, by the CPU's formulas in float64, whatever the dtype.
// lgamma, erfcx, the normal distribution and the oscillating Bessel functions are CUDA's own.
#include "coded.cuh"
#include "kernels/numbers.h"
#include "runtime/table/elementwise.h"

namespace pydl::cuda {
namespace {

// The functions of vectors that the formulas use, for a number.
__device__ inline double exp(double x) { return std::exp(x); }
__device__ inline double log(double x) { return std::log(x); }
__device__ inline double log1p(double x) { return std::log1p(x); }
__device__ inline double sin(double x) { return std::sin(x); }
__device__ inline double tan(double x) { return std::tan(x); }
__device__ inline double floor(double x) { return std::floor(x); }
__device__ inline double round(double x) { return std::rint(x); }
__device__ inline double copysign(double size, double sign) { return std::copysign(size, sign); }
__device__ inline double flip_sign(double x, double sign) { return std::copysign(1.0, sign) < 0 ? -x : x; }
__device__ inline double fast_min(double a, double b) { return a < b ? a : b; }
__device__ inline bool any(bool x) { return x; }
__device__ inline double erfcx(double x) { return ::erfcx(x); }
__device__ inline double two_tails(double x) { return 2 * ::normcdf(x < 0 ? x : -x); }

template <size_t n>
__device__ __forceinline__ double poly(double x, const double (&c)[n]) {
  double r = c[n - 1];
#pragma unroll
  for (size_t i = n - 1; i-- > 0;) r = std::fma(r, x, c[i]);
  return r;
}

}  // namespace
}  // namespace pydl::cuda

#include "kernels/bessel.h"
#include "kernels/special.h"
#include "kernels/special_one.h"

namespace pydl::cuda {
namespace {

// Once for all dtypes.
__device__ __attribute__((noinline)) double special_of(Special op, double x) {
  switch (op) {
#define PYDL_OWN(name) \
  case Special::name:  \
    return name(x);
    PYDL_OWN(digamma)
    PYDL_OWN(erfcx)
    PYDL_OWN(erfinv)
    PYDL_OWN(ndtri)
    PYDL_OWN(log_ndtr)
    PYDL_OWN(entr)
    PYDL_OWN(sinc)
    PYDL_OWN(i0)
    PYDL_OWN(i0e)
    PYDL_OWN(i1)
    PYDL_OWN(i1e)
    PYDL_OWN(k0)
    PYDL_OWN(k0e)
    PYDL_OWN(k1)
    PYDL_OWN(k1e)
#undef PYDL_OWN
    case Special::lgamma:
      return log_gamma(x);
    case Special::ndtr:
      return ::normcdf(x);
    case Special::bessel_j0:
      return ::j0(x);
    case Special::bessel_j1:
      return ::j1(x);
    case Special::bessel_y0:
      return ::y0(x);
    case Special::bessel_y1:
      return ::y1(x);
  }
  return x;
}

__device__ __attribute__((noinline)) double special_of(Binary op, double a, double b) {
  return op == Binary::zeta ? zeta(a, b) : op == Binary::gammainc ? lower_gamma(a, b) : upper_gamma(a, b);
}

struct OneByCode {
  static constexpr bool kQuick = false;
  Special op;
  template <class T>
  __device__ __forceinline__ T operator()(T x) const {
    return static_cast<T>(special_of(op, static_cast<double>(x)));
  }
};

struct TwoByCode {
  static constexpr bool kQuick = false;
  Binary op;
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return static_cast<T>(special_of(op, static_cast<double>(a), static_cast<double>(b)));
  }
};

}  // namespace

void special(Special op, View x, View y) {
  with_computed_float(x.dtype, [&](auto zero) { coded<decltype(zero), decltype(zero)>(OneByCode{op}, y, x); });
}

void special_binary(Binary op, View a, View b, View y) {
  with_computed_float(y.dtype, [&](auto zero) { coded<decltype(zero), decltype(zero)>(TwoByCode{op}, y, a, b); });
}

}  // namespace pydl::cuda

// Operations on each element, by an op code; one list per kind makes the enum, the kernel's switch and the Python
// bindings.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// clang-format off
// Floating in, same dtype out. The first group also takes integers; the last leaves them as they are.
#define PYDL_UNARY(X) \
  X(neg) X(abs) X(sign) X(square) X(relu) \
  X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sqrt) X(rsqrt) X(reciprocal) \
  X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) X(asinh) X(acosh) X(atanh) \
  X(erf) X(erfc) X(sigmoid) X(frexp_mantissa) X(frexp_exponent) \
  X(floor) X(ceil) X(round) X(trunc)

// The same, of functions that have a file of their own. bessel_x: those of libm.
#define PYDL_SPECIAL(X) \
  X(lgamma) X(digamma) X(erfcx) X(erfinv) X(ndtr) X(ndtri) X(log_ndtr) X(entr) X(sinc) \
  X(i0) X(i0e) X(i1) X(i1e) X(k0) X(k0e) X(k1) X(k1e) X(bessel_j0) X(bessel_j1) X(bessel_y0) X(bessel_y1)

// x, and up to three numbers a, b, c. Each also has a gradient: g times the slope at x.
#define PYDL_ACTIVATION(X) \
  X(logsigmoid) X(softplus) X(silu) X(gelu) X(gelu_tanh) X(mish) X(hardswish) X(hardsigmoid) X(softsign) X(tanhshrink) \
  X(elu) X(leaky_relu) X(hardtanh) X(softshrink) X(hardshrink) X(threshold) X(clamp) X(nan_to_num)

// Any dtype in, bool out.
#define PYDL_TEST(X) X(isnan) X(isinf) X(isfinite) X(isposinf) X(isneginf) X(signbit) X(logical_not)

// Two inputs of one dtype, the same dtype out. First group: any number. Second: integers are computed as floats;
// x_grad(g, y) is g times the slope of x where its output was y. Third: integers, the first three also bool.
#define PYDL_BINARY(X) \
  X(add) X(sub) X(mul) X(pow) X(maximum) X(minimum) X(fmax) X(fmin) X(floor_divide) X(remainder) X(fmod) \
  X(heaviside) \
  X(div) X(atan2) X(hypot) X(copysign) X(nextafter) X(logaddexp) X(xlogy) X(xlog1py) \
  X(relu_grad) X(tanh_grad) X(sigmoid_grad) X(zeta) X(gammainc) X(gammaincc) \
  X(bitwise_and) X(bitwise_or) X(bitwise_xor) X(bitwise_left_shift) X(bitwise_right_shift) X(gcd) X(lcm)
// clang-format on

// Three inputs of one floating dtype, the same dtype out: a + c (b - a); a + value b c; a + value b / c.
#define PYDL_TERNARY(X) X(lerp) X(addcmul) X(addcdiv)

// Two inputs of one dtype, bool out.
#define PYDL_COMPARE(X) X(eq) X(ne) X(lt) X(le) X(gt) X(ge) X(logical_and) X(logical_or) X(logical_xor)

#define PYDL_ENUM(name) name,
enum class Unary : uint8_t { PYDL_UNARY(PYDL_ENUM) };
enum class Special : uint8_t { PYDL_SPECIAL(PYDL_ENUM) };
enum class Curve : uint8_t { PYDL_ACTIVATION(PYDL_ENUM) };
enum class Test : uint8_t { PYDL_TEST(PYDL_ENUM) };
enum class Binary : uint8_t { PYDL_BINARY(PYDL_ENUM) };
enum class Ternary : uint8_t { PYDL_TERNARY(PYDL_ENUM) };
enum class Compare : uint8_t { PYDL_COMPARE(PYDL_ENUM) };
#undef PYDL_ENUM

// What an activation is given besides x.
struct Numbers {
  double a, b, c;
};

// Every view has the shape of y; strides are free (0 where broadcast), adjacent axes are merged
// clang-format off
#define PYDL_ELEMENTWISE_KERNELS(X) \
  X(unary,   (Unary op, View x, View y)) \
  X(special, (Special op, View x, View y)) \
  X(activation,      (Curve op, Numbers numbers, View x, View y)) \
  X(activation_grad, (Curve op, Numbers numbers, View g, View x, View y)) \
  X(test,    (Test op, View x, View y)) \
  X(binary,  (Binary op, View a, View b, View y)) \
  X(ternary, (Ternary op, double value, View a, View b, View c, View y)) \
  X(compare, (Compare op, View a, View b, View y)) \
  X(where,   (View condition, View a, View b, View y)) \
  X(copy,    (View x, View y))  /* also casts; a number becomes true where it is not 0 */ \
  X(arange,  (double start, double step, View y))  /* dense, one axis */
// clang-format on
PYDL_FAMILY(ElementwiseKernels, PYDL_ELEMENTWISE_KERNELS)

}  // namespace pydl

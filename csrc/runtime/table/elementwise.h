// Operations on each element, by an op code; one list per kind makes the enum, the kernel's switch and the Python
// bindings.
#pragma once

#include "runtime/table/family.h"

namespace pydl {

// clang-format off
// Floating in, same dtype out. The first group also takes integers.
#define PYDL_UNARY(X) \
  X(neg) X(abs) X(sign) X(square) X(relu) \
  X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sqrt) X(rsqrt) X(reciprocal) \
  X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) X(sinh) X(cosh) X(tanh) X(asinh) X(acosh) X(atanh) \
  X(erf) X(erfc) X(sigmoid) X(logsigmoid) X(softplus) X(silu) X(gelu) X(gelu_tanh) \
  X(floor) X(ceil) X(round) X(trunc)

// Any dtype in, bool out.
#define PYDL_TEST(X) X(isnan) X(isinf) X(isfinite) X(logical_not)

// Two inputs of one dtype, the same dtype out. x_grad(g, y): g times the slope of x where its output was y; floating
// only. bitwise: integers and bool only.
#define PYDL_BINARY(X) \
  X(add) X(sub) X(mul) X(div) X(pow) X(maximum) X(minimum) X(floor_divide) X(remainder) X(fmod) X(atan2) \
  X(relu_grad) X(tanh_grad) X(sigmoid_grad) \
  X(bitwise_and) X(bitwise_or) X(bitwise_xor)
// clang-format on

// Two inputs of one dtype, bool out.
#define PYDL_COMPARE(X) X(eq) X(ne) X(lt) X(le) X(gt) X(ge) X(logical_and) X(logical_or) X(logical_xor)

#define PYDL_ENUM(name) name,
enum class Unary : uint8_t { PYDL_UNARY(PYDL_ENUM) };
enum class Test : uint8_t { PYDL_TEST(PYDL_ENUM) };
enum class Binary : uint8_t { PYDL_BINARY(PYDL_ENUM) };
enum class Compare : uint8_t { PYDL_COMPARE(PYDL_ENUM) };
#undef PYDL_ENUM

// Every view has the shape of y; strides are free (0 where broadcast), adjacent axes are merged
// clang-format off
#define PYDL_ELEMENTWISE_KERNELS(X) \
  X(unary,   (Unary op, View x, View y)) \
  X(test,    (Test op, View x, View y)) \
  X(binary,  (Binary op, View a, View b, View y)) \
  X(compare, (Compare op, View a, View b, View y)) \
  X(where,   (View condition, View a, View b, View y)) \
  X(copy,    (View x, View y))  /* also casts; a number becomes true where it is not 0 */ \
  X(arange,  (double start, double step, View y))  /* dense, one axis */
// clang-format on
PYDL_FAMILY(ElementwiseKernels, PYDL_ELEMENTWISE_KERNELS)

}  // namespace pydl

// The names of the elementwise operations and reductions, and the options of kernels that have them.
// One list per kind: the enum, the kernel's switch and the Python bindings are all made from it.
#pragma once

#include <cstdint>

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

// any and all: bool out; the others: the dtype of y (sums of integers are int64).
#define PYDL_REDUCE(X) X(sum) X(prod) X(amax) X(amin) X(any) X(all)

#define PYDL_ENUM(name) name,
enum class Unary : uint8_t { PYDL_UNARY(PYDL_ENUM) };
enum class Test : uint8_t { PYDL_TEST(PYDL_ENUM) };
enum class Binary : uint8_t { PYDL_BINARY(PYDL_ENUM) };
enum class Compare : uint8_t { PYDL_COMPARE(PYDL_ENUM) };
enum class Reduce : uint8_t { PYDL_REDUCE(PYDL_ENUM) };
#undef PYDL_ENUM

enum class ArgReduce : uint8_t { argmax, argmin };
enum class Activation : uint8_t { none, relu, tanh, sigmoid };
enum class Distribution : uint8_t { uniform, normal, bernoulli, randint };

// Options of the fused cross entropy over rows of class scores.
struct CrossEntropy {
  int64_t ignore_index;
  double label_smoothing;
};

// The hyperparameters of the optimizer kernels are one float64 array, read at each launch, so that a replayed launch
// sees them change. These are the places in it.
namespace sgd_hyper {
enum Hyper { lr, momentum, dampening, weight_decay, nesterov, maximize, first_step, count };
}
namespace adam_hyper {
enum Hyper { lr, beta1, beta2, eps, weight_decay, decoupled, maximize, eps_inside, step, count };
}

}  // namespace pydl

#include "runtime/table/elementwise.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "bind/device.h"
#include "runtime/table/reduce.h"

namespace pydl::bind {
namespace {

const char* const kUnary[] = {
#define PYDL_NAME(name) #name,
    PYDL_UNARY(PYDL_NAME)};
const char* const kActivation[] = {PYDL_ACTIVATION(PYDL_NAME)};
const char* const kBinary[] = {PYDL_BINARY(PYDL_NAME)};
const char* const kTernary[] = {PYDL_TERNARY(PYDL_NAME)};
const char* const kCompare[] = {PYDL_COMPARE(PYDL_NAME)};
#undef PYDL_NAME

// The axes from the innermost one on: in the order of the strides of the inputs, of which the first that tells two axes
// apart decides; in the usual order where none does. A stride of 0 tells nothing.
void order_axes(View* const* inputs, int count, int ndim, int* order) {
  // Negative where a lies inside b, positive where b lies inside a.
  const auto compared = [&](int a, int b) {
    for (int k = 0; k < count; ++k) {
      const int64_t sa = std::abs(inputs[k]->strides[a]), sb = std::abs(inputs[k]->strides[b]);
      if (sa == 0 || sb == 0 || inputs[k]->shape[a] == 1 || inputs[k]->shape[b] == 1 || sa == sb) continue;
      return sa < sb ? -1 : 1;
    }
    return 0;
  };
  for (int i = 0; i < ndim; ++i) {
    order[i] = ndim - 1 - i;
    for (int j = i - 1, at = i; j >= 0; --j) {  // past those that tell nothing, which stay where they are
      const int c = compared(order[at], order[j]);
      if (c > 0) break;
      if (c < 0) std::swap(order[at], order[j]), at = j;
    }
  }
}

// An output for inputs of its shape, with its axes in memory as theirs are (PyTorch's rule): a result of transposed
// matrices is one. views: first the output's, to be filled in, then the inputs'; all are left as they are best walked
// through, with the axes in the order of memory and neighbours merged.
Array output(View* const* views, int count, const Shape& shape, Dtype dtype, Device device) {
  Array y = Array::empty(shape, dtype, device);
  const int ndim = shape.ndim;
  bool usual = true;
  for (int k = 1; k < count && usual; ++k)
    for (int i = 0; i + 1 < ndim && usual; ++i)
      usual = std::abs(views[k]->strides[i]) >= std::abs(views[k]->strides[i + 1]);
  if (!usual) {
    int order[kMaxAxes];
    order_axes(views + 1, count - 1, ndim, order);
    Shape strides = shape;
    int64_t step = 1;
    for (int i = 0; i < ndim; ++i) strides[order[i]] = step, step *= std::max<int64_t>(shape[order[i]], 1);
    y = y.as_strided(shape, strides);
    *views[0] = y;
    for (int k = 0; k < count; ++k) {
      const View from = *views[k];
      for (int i = 0; i < ndim; ++i) {
        views[k]->shape[ndim - 1 - i] = from.shape[order[i]];
        views[k]->strides[ndim - 1 - i] = from.strides[order[i]];
      }
    }
  } else {
    *views[0] = y;
  }
  coalesce(views, count);
  return y;
}

// A copy of x in a dtype, with its axes in memory as they are in x (PyTorch's preserve_format).
Array copy_like(const Array& x, Dtype dtype) {
  View from = x, to;
  View* views[] = {&to, &from};
  const Array y = output(views, 2, x.shape(), dtype, x.device());
  copy_values(from, to, x.device());
  return y;
}

Array unary(Unary op, const Array& x) {
  // The first five also take integers; the others compute integers in the default dtype.
  const bool keeps = is_floating(x.dtype()) || (op <= Unary::relu && x.dtype() != Dtype::b8) ||
                     (op >= Unary::floor && x.dtype() != Dtype::b8);
  if (!keeps && (op <= Unary::relu))
    fail<DtypeError>(kUnary[static_cast<int>(op)], ": bool is not supported: expected a numeric dtype");
  const Array in = keeps ? x : cast(x, default_dtype());
  if (op >= Unary::floor && !is_floating(in.dtype())) return clone(in);  // integers are round already
  View from = in, to;
  View* views[] = {&to, &from};
  const Array y = output(views, 2, in.shape(), in.dtype(), in.device());
  run<&ElementwiseKernels::unary>(4 * y.numel(), y.device(), op, from, to);
  return y;
}

// Integers and bools are computed in the default dtype.
Array floating(const Array& x) { return is_floating(x.dtype()) ? x : cast(x, default_dtype()); }

Array special(Special op, const Array& x) {
  const Array in = floating(x);
  View from = in, to;
  View* views[] = {&to, &from};
  const Array y = output(views, 2, in.shape(), in.dtype(), in.device());
  run<&ElementwiseKernels::special>(16 * y.numel(), y.device(), op, from, to);
  return y;
}

Array activation(Curve op, const Array& x, Numbers numbers) {
  const Array in = floating(x);
  View from = in, to;
  View* views[] = {&to, &from};
  const Array y = output(views, 2, in.shape(), in.dtype(), in.device());
  run<&ElementwiseKernels::activation>(4 * y.numel(), y.device(), op, numbers, from, to);
  return y;
}

Array activation_grad(Curve op, const Array& g, const Array& x, Numbers numbers) {
  if (g.shape() != x.shape() || !is_floating(g.dtype()))
    fail<ShapeError>(kActivation[static_cast<int>(op)], ": a gradient of shape ", g.shape(), " and dtype ", g.dtype(),
                     " does not match an input of shape ", x.shape());
  const Array in = cast(x, g.dtype());
  View vg = g, from = in, to;
  View* views[] = {&to, &vg, &from};
  const Array y = output(views, 3, g.shape(), g.dtype(), g.device());
  run<&ElementwiseKernels::activation_grad>(4 * y.numel(), y.device(), op, numbers, vg, from, to);
  return y;
}

Array test(Test op, const Array& x) {
  View from = x, to;
  View* views[] = {&to, &from};
  const Array y = output(views, 2, x.shape(), Dtype::b8, x.device());
  run<&ElementwiseKernels::test>(y.numel(), y.device(), op, from, to);
  return y;
}

struct Operands {
  Array a, b;  // broadcast, of one dtype
  Shape shape;
};

// x where the other operand is, if it is a number without axes.
Array beside(const Array& x, const Array& other) {
  const bool follows = x.ndim() == 0 && x.device().kind == DeviceKind::cpu && other.device() != x.device();
  return follows ? to_device(x, other.device()) : x;
}

Operands align(const char* op, const Array& given_a, const Array& given_b, Dtype dtype) {
  const Array a = beside(given_a, given_b), b = beside(given_b, given_a);
  check_device(op, a, b);
  const Shape shape = a.shape() == b.shape() ? a.shape() : broadcast(op, a.shape(), b.shape());
  return {expand(cast(a, dtype), shape), expand(cast(b, dtype), shape), shape};
}

void check_divisor(const char* op, const Array& b) {
  const Array zero = filled({}, b.dtype(), 0, b.device());
  const Array hit = Array::empty(b.shape(), Dtype::b8, b.device()), any = Array::empty({1}, Dtype::b8, b.device());
  View from = b, against = expand(zero, b.shape()), to = hit;
  View* views[] = {&to, &from, &against};
  coalesce(views, 3);
  launch<&ElementwiseKernels::compare>(b.device(), Compare::eq, from, against, to);
  launch<&ReduceKernels::reduce>(b.device(), Reduce::any, reshape(hit, {hit.numel()}).view(), any.view());
  const Array read = on_host(any);
  check("check_divisor", [op, found = read.view().as<bool>()] {
    if (*found) fail<ValueError>(op, ": division by zero in integers");
  });
}

Dtype binary_dtype(Binary op, const Array& a, const Array& b) {
  const char* name = kBinary[static_cast<int>(op)];
  Dtype dtype = result_type(a, b);
  const bool whole = !is_floating(dtype);
  if (whole && op == Binary::nextafter)
    fail<DtypeError>(name, ": ", dtype, " is not supported: expected a floating dtype");
  if (whole && op >= Binary::div && op < Binary::bitwise_and) return default_dtype();
  if (!whole && op >= Binary::bitwise_and)
    fail<DtypeError>(name, ": ", dtype, " is not supported: expected integers or bool");
  if (dtype == Dtype::b8 &&
      (op == Binary::sub || op == Binary::pow || op == Binary::floor_divide || op == Binary::remainder ||
       op == Binary::fmod || op == Binary::heaviside || op >= Binary::bitwise_left_shift))
    fail<DtypeError>(name, ": bool is not supported: expected a numeric dtype");
  return dtype;
}

Array binary(Binary op, const Array& a, const Array& b) {
  const char* name = kBinary[static_cast<int>(op)];
  const Dtype dtype = binary_dtype(op, a, b);
  const Operands in = align(name, a, b, dtype);
  if (!is_floating(dtype) && (op == Binary::floor_divide || op == Binary::remainder || op == Binary::fmod))
    check_divisor(name, in.b);
  View va = in.a, vb = in.b, vy;
  View* views[] = {&vy, &va, &vb};
  const Array y = output(views, 3, in.shape, dtype, in.a.device());
  run<&ElementwiseKernels::binary>(y.numel(), y.device(), op, va, vb, vy);
  return y;
}

Array compare(Compare op, const Array& a, const Array& b) {
  const Operands in = align(kCompare[static_cast<int>(op)], a, b, result_type(a, b));
  View va = in.a, vb = in.b, vy;
  View* views[] = {&vy, &va, &vb};
  const Array y = output(views, 3, in.shape, Dtype::b8, in.a.device());
  run<&ElementwiseKernels::compare>(y.numel(), y.device(), op, va, vb, vy);
  return y;
}

Array where(const Array& condition, const Array& a, const Array& b) {
  if (condition.dtype() != Dtype::b8) fail<DtypeError>("where: condition must be bool, got ", condition.dtype());
  const Dtype dtype = result_type(a, b);
  Operands in = align("where", a, b, dtype);
  check_device("where", condition, in.a);
  const Shape shape = broadcast("where", condition.shape(), in.shape);
  View vc = expand(condition, shape), va = expand(in.a, shape), vb = expand(in.b, shape), vy;
  View* views[] = {&vy, &vc, &va, &vb};
  const Array y = output(views, 4, shape, dtype, in.a.device());
  run<&ElementwiseKernels::where>(y.numel(), y.device(), vc, va, vb, vy);
  return y;
}

// a, b and c of one floating dtype, broadcast; value is what addcmul and addcdiv multiply by.
Array ternary(Ternary op, const Array& a, const Array& b, const Array& c, double value) {
  const char* name = kTernary[static_cast<int>(op)];
  check_floating(name, a);
  check_device(name, a, b);
  check_device(name, a, c);
  if (b.dtype() != a.dtype() || c.dtype() != a.dtype())
    fail<DtypeError>(name, ": expected one dtype, got ", a.dtype(), ", ", b.dtype(), " and ", c.dtype());
  const Shape shape = broadcast(name, broadcast(name, a.shape(), b.shape()), c.shape());
  View va = expand(a, shape), vb = expand(b, shape), vc = expand(c, shape), vy;
  View* views[] = {&vy, &va, &vb, &vc};
  const Array y = output(views, 4, shape, a.dtype(), a.device());
  run<&ElementwiseKernels::ternary>(y.numel(), y.device(), op, value, va, vb, vc, vy);
  return y;
}

}  // namespace

void bind_elementwise(py::module_& m) {
#define PYDL_DEF_UNARY(name) \
  m.def(                     \
      #name, [](const Array& x) { return unary(Unary::name, x); }, py::arg("x"));
  PYDL_UNARY(PYDL_DEF_UNARY)
#define PYDL_DEF_SPECIAL(name) \
  m.def(                       \
      #name, [](const Array& x) { return special(Special::name, x); }, py::arg("x"));
  PYDL_SPECIAL(PYDL_DEF_SPECIAL)
#define PYDL_DEF_ACTIVATION(name)                                                \
  m.def(                                                                         \
      #name,                                                                     \
      [](const Array& x, double a, double b, double c) {                         \
        return activation(Curve::name, x, {a, b, c});                            \
      },                                                                         \
      py::arg("x"), py::arg("a") = 0.0, py::arg("b") = 0.0, py::arg("c") = 0.0); \
  m.def(                                                                         \
      #name "_grad",                                                             \
      [](const Array& g, const Array& x, double a, double b, double c) {         \
        return activation_grad(Curve::name, g, x, {a, b, c});                    \
      },                                                                         \
      py::arg("g"), py::arg("x"), py::arg("a") = 0.0, py::arg("b") = 0.0, py::arg("c") = 0.0);
  PYDL_ACTIVATION(PYDL_DEF_ACTIVATION)
#define PYDL_DEF_TEST(name) \
  m.def(                    \
      #name, [](const Array& x) { return test(Test::name, x); }, py::arg("x"));
  PYDL_TEST(PYDL_DEF_TEST)
#define PYDL_DEF_BINARY(name) \
  m.def(                      \
      #name, [](const Array& a, const Array& b) { return binary(Binary::name, a, b); }, py::arg("a"), py::arg("b"));
  PYDL_BINARY(PYDL_DEF_BINARY)
#define PYDL_DEF_COMPARE(name) \
  m.def(                       \
      #name, [](const Array& a, const Array& b) { return compare(Compare::name, a, b); }, py::arg("a"), py::arg("b"));
  PYDL_COMPARE(PYDL_DEF_COMPARE)
  m.def(
      "lerp", [](const Array& a, const Array& b, const Array& w) { return ternary(Ternary::lerp, a, b, w, 0); },
      py::arg("a"), py::arg("b"), py::arg("weight"));
  const auto add_product = [&m](const char* name, Ternary op) {
    m.def(
        name,
        [op](const Array& x, const Array& a, const Array& b, double value) { return ternary(op, x, a, b, value); },
        py::arg("x"), py::arg("a"), py::arg("b"), py::arg("value"));
  };
  add_product("addcmul", Ternary::addcmul);
  add_product("addcdiv", Ternary::addcdiv);
  m.def("where", &where, py::arg("condition"), py::arg("a"), py::arg("b"));
  m.def("cast", &cast, py::arg("x"), py::arg("dtype"));
  m.def("copy_like", &copy_like, py::arg("x"), py::arg("dtype"));
}

}  // namespace pydl::bind

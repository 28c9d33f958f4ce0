#include "runtime/table/gemm.h"

#include <cmath>
#include <utility>

#include "bind/common.h"

namespace pydl::bind {
namespace {

// What a product takes besides its two factors. c = activation(alpha * a b + beta * add + bias).
struct Epilogue {
  std::optional<Array> add, bias;  // broadcast to c
  double alpha = 1, beta = 1;
  Activation activation = Activation::none;
};

// Every view is (batch..., rows, columns): merges the axes of the batch where all of them allow it.
void merge_batches(View* const* views, int count) {
  View batch[5];
  View* axes[5];
  for (int v = 0; v < count; ++v) {
    batch[v] = *views[v];
    batch[v].ndim -= 2;
    axes[v] = &batch[v];
  }
  coalesce(axes, count);
  for (int v = 0; v < count; ++v) {
    const View& full = *views[v];
    View& merged = batch[v];
    for (int i = full.ndim - 2; i < full.ndim; ++i, ++merged.ndim) {
      merged.shape[merged.ndim] = full.shape[i];
      merged.strides[merged.ndim] = full.strides[i];
    }
    *views[v] = merged;
  }
}

void check_product(const char* op, const Array& a, const Array& b, const Epilogue& epilogue) {
  check_device(op, a, b);
  const std::optional<Array>* all[] = {&epilogue.add, &epilogue.bias};
  if (a.dtype() != b.dtype()) fail<DtypeError>(op, ": expected one dtype, got ", a.dtype(), " and ", b.dtype());
  for (const auto* x : all) {
    if (!*x) continue;
    check_device(op, a, **x);
    if ((*x)->dtype() != a.dtype())
      fail<DtypeError>(op, ": expected one dtype, got ", a.dtype(), " and ", (*x)->dtype());
  }
  if (a.dtype() == Dtype::b8) fail<DtypeError>(op, ": bool is not supported: expected a numeric dtype");
}

// a (..., m, k) by b (..., k, n); the caller has checked k.
Array product(const char* op, const Array& a, const Array& b, Epilogue epilogue = {}) {
  check_product(op, a, b, epilogue);
  Shape lead = broadcast(op, {a.view().shape, a.ndim() - 2}, {b.view().shape, b.ndim() - 2});
  if (lead.ndim + 2 > kMaxAxes) fail<ShapeError>(op, ": more than ", kMaxAxes, " axes");
  const auto whole = [&lead](int64_t rows, int64_t columns) {
    Shape s = lead;
    s.push_back(rows);
    s.push_back(columns);
    return s;
  };
  const int64_t m = a.size(a.ndim() - 2), n = b.size(b.ndim() - 1), k = a.size(a.ndim() - 1);
  const Shape shape = whole(m, n);
  Array c = Array::empty(shape, a.dtype(), a.device());
  const bool batched = lead.ndim > 0;
  View va = batched ? expand(a, whole(m, k)) : a, vb = batched ? expand(b, whole(k, n)) : b, vc = c, add, bias;
  if (epilogue.add && epilogue.beta != 0) {
    add = expand(*epilogue.add, shape);
    const int64_t* strides = add.strides + add.ndim - 2;
    // One number per row or column is a bias.
    if (epilogue.beta == 1 && !epilogue.bias && (strides[0] == 0 || strides[1] == 0)) std::swap(add, bias);
  }
  if (epilogue.bias) bias = expand(*epilogue.bias, shape);
  View* views[5] = {&vc, &va, &vb};
  int count = 3;
  for (View* x : {&add, &bias})
    if (x->present()) views[count++] = x;
  if (batched) merge_batches(views, count);
  run<&GemmKernels::gemm>(c.numel() * (k / 8 + 1), c.device(), va, vb, add, bias, epilogue.alpha, epilogue.beta,
                          epilogue.activation, vc);
  return c;
}

// PyTorch's matmul: a vector is a row on the left and a column on the right.
Array matmul(const Array& a, const Array& b) {
  if (a.ndim() == 0 || b.ndim() == 0)
    fail<ShapeError>("matmul: expected tensors with at least one axis, got ", a.shape(), " and ", b.shape());
  if (a.size(a.ndim() - 1) != b.size(b.ndim() == 1 ? 0 : b.ndim() - 2))
    fail<ShapeError>("matmul: a ", a.shape(), " does not match b ", b.shape(), ": expected b of shape ",
                     b.ndim() == 1 ? "(" : "(..., ", a.size(a.ndim() - 1), b.ndim() == 1 ? ",)" : ", ...)");
  const Array left = a.ndim() == 1 ? reshape(a, {1, a.size(0)}) : a;
  const Array right = b.ndim() == 1 ? reshape(b, {b.size(0), 1}) : b;
  const Array c = product("matmul", left, right);
  if (a.ndim() > 1 && b.ndim() > 1) return c;
  Shape shape = c.shape();
  if (b.ndim() == 1) --shape.ndim;
  if (a.ndim() == 1) {
    if (b.ndim() > 1) shape[shape.ndim - 2] = shape[shape.ndim - 1];
    --shape.ndim;
  }
  return reshape(c, shape);
}

Activation activation_of(const std::string& name) {
  constexpr const char* names[] = {"none", "relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "silu"};
  for (int i = 0; i < 7; ++i)
    if (name == names[i]) return static_cast<Activation>(i);
  fail<ValueError>("linear: activation must be one of none, relu, tanh, sigmoid, gelu, gelu_tanh, silu, got ", name);
}

// activation(x (..., in) weight (out, in)^T + bias (out) + residual (..., out)).
Array linear(const Array& x, const Array& weight, const std::optional<Array>& bias,
             const std::optional<Array>& residual, const std::string& activation) {
  const Activation act = activation_of(activation);
  if (x.ndim() < 1 || weight.ndim() != 2 || x.size(x.ndim() - 1) != weight.size(1))
    fail<ShapeError>("linear: input ", x.shape(), " does not match weight ", weight.shape(),
                     ": expected last dimension ", weight.ndim() == 2 ? weight.size(1) : 0);
  if (bias && (bias->ndim() != 1 || bias->size(0) != weight.size(0)))
    fail<ShapeError>("linear: bias ", bias->shape(), " does not match weight ", weight.shape(), ": expected (",
                     weight.size(0), ",)");
  if (act != Activation::none && !is_floating(x.dtype()))
    fail<DtypeError>("linear: an activation needs a floating dtype, got ", x.dtype());
  Shape shape = x.shape();
  shape[shape.ndim - 1] = weight.size(0);
  if (residual && residual->shape() != shape)
    fail<ShapeError>("linear: residual ", residual->shape(), " does not match the output: expected ", shape);
  const View& w = weight.view();
  const Array transposed = weight.as_strided({w.shape[1], w.shape[0]}, {w.strides[1], w.strides[0]});
  const Array rows = x.ndim() == 1 ? reshape(x, {1, x.size(0)}) : x;
  const Array y = product("linear", rows, transposed, {residual, bias, 1, 1, act});
  return x.ndim() == 1 ? reshape(y, shape) : y;
}

// beta * input + alpha * a (..., m, k) b (..., k, n); input is broadcast. op: the name for errors.
Array addmm(const Array& input, const Array& a, const Array& b, double beta, double alpha, const std::string& op) {
  const char* name = op.c_str();
  if (a.ndim() < 2 || b.ndim() < 2 || a.size(a.ndim() - 1) != b.size(b.ndim() - 2))
    fail<ShapeError>(name, ": ", a.shape(), " does not match ", b.shape(), ": expected (..., m, k) and (..., k, n)");
  Shape shape = broadcast(name, {a.view().shape, a.ndim() - 2}, {b.view().shape, b.ndim() - 2});
  if (shape.ndim + 2 > kMaxAxes) fail<ShapeError>(name, ": more than ", kMaxAxes, " axes");
  shape.push_back(a.size(a.ndim() - 2));
  shape.push_back(b.size(b.ndim() - 1));
  if (broadcast(name, input.shape(), shape) != shape)
    fail<ShapeError>(name, ": input ", input.shape(), " does not broadcast to the product ", shape);
  if (!is_floating(a.dtype()) && (alpha != std::trunc(alpha) || beta != std::trunc(beta)))
    fail<ValueError>(name, ": alpha and beta must be whole numbers for ", a.dtype(), ", got ", alpha, " and ", beta);
  return product(name, a, b, {input, std::nullopt, alpha, beta, Activation::none});
}

}  // namespace

void bind_gemm(py::module_& m) {
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"));
  m.def("linear", &linear, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("residual"),
        py::arg("activation"));
  m.def("addmm", &addmm, py::arg("input"), py::arg("a"), py::arg("b"), py::arg("beta"), py::arg("alpha"),
        py::arg("op"));
}

}  // namespace pydl::bind

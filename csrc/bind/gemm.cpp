
#include "runtime/table/gemm.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

// The last two axes of x, with all before them broadcast to `lead` and then merged where strides allow.
struct Factor {
  Array x;
  bool merged;
};

View with_batch(const Array& x, const Shape& lead, bool* merged) {
  Shape full = lead;
  full.push_back(x.size(x.ndim() - 2));
  full.push_back(x.size(x.ndim() - 1));
  View v = expand(x, full);
  const int n = lead.ndim;
  int64_t size = 1, stride = 0;
  *merged = true;
  for (int i = n - 1; i >= 0; --i) {
    if (v.shape[i] == 1) continue;
    if (size == 1)
      stride = v.strides[i];
    else if (v.strides[i] != stride * size)
      *merged = false;
    size *= v.shape[i];
  }
  View out = v;
  out.ndim = 3;
  out.shape[0] = size;
  out.strides[0] = stride;
  for (int i = 0; i < 2; ++i) out.shape[1 + i] = v.shape[n + i], out.strides[1 + i] = v.strides[n + i];
  return out;
}

Array product(const char* op, const Array& a, const Array& b, const std::optional<Array>& bias, Activation act) {
  check_device(op, a, b);
  if (a.dtype() != b.dtype() || (bias && bias->dtype() != a.dtype()))
    fail<DtypeError>(op, ": expected one dtype, got ", a.dtype(), " and ",
                     a.dtype() != b.dtype() ? b.dtype() : bias->dtype());
  if (a.dtype() == Dtype::b8) fail<DtypeError>(op, ": bool is not supported: expected a numeric dtype");
  Shape lead = broadcast(op, {a.view().shape, a.ndim() - 2}, {b.view().shape, b.ndim() - 2});
  Shape shape = lead;
  const int64_t m = a.size(a.ndim() - 2), n = b.size(b.ndim() - 1), k = a.size(a.ndim() - 1);
  if (shape.ndim + 2 > kMaxAxes) fail<ShapeError>(op, ": more than ", kMaxAxes, " axes");
  shape.push_back(m);
  shape.push_back(n);
  Array c = Array::empty(shape, a.dtype(), a.device());
  bool merged_a, merged_b;
  View va = with_batch(a, lead, &merged_a), vb = with_batch(b, lead, &merged_b);
  Array hold_a, hold_b;  // batches that do not merge are copied whole
  if (!merged_a)
    hold_a = contiguous(expand(a,
                               [&] {
                                 Shape s = lead;
                                 s.push_back(m);
                                 s.push_back(k);
                                 return s;
                               }())),
    va = with_batch(hold_a, lead, &merged_a);
  if (!merged_b)
    hold_b = contiguous(expand(b,
                               [&] {
                                 Shape s = lead;
                                 s.push_back(k);
                                 s.push_back(n);
                                 return s;
                               }())),
    vb = with_batch(hold_b, lead, &merged_b);
  const int64_t batch = lead.numel();
  View vc = c.as_strided({batch, m, n}, {m * n, n, 1});
  va.shape[0] = vb.shape[0] = batch;
  run<&GemmKernels::gemm>(batch * m * n * (k / 8 + 1), c.device(), va, vb, maybe(bias), 1.0, 0.0, act, vc);
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
  // Rows of a times one matrix: one large product instead of a batch of small ones.
  if (left.ndim() > 2 && right.ndim() == 2) {
    const int64_t k = left.size(left.ndim() - 1);
    const Array flat = reshape(left, {k ? left.numel() / k : Shape(left.view().shape, left.ndim() - 1).numel(), k});
    Shape shape = left.shape();
    shape[shape.ndim - 1] = right.size(1);
    if (b.ndim() == 1) --shape.ndim;
    return reshape(product("matmul", flat, right, std::nullopt, Activation::none), shape);
  }
  const Array c = product("matmul", left, right, std::nullopt, Activation::none);
  if (a.ndim() > 1 && b.ndim() > 1) return c;
  Shape shape = c.shape();
  if (b.ndim() == 1) --shape.ndim;
  if (a.ndim() == 1) {
    if (b.ndim() > 1) shape[shape.ndim - 2] = shape[shape.ndim - 1];
    --shape.ndim;
  }
  return reshape(c, shape);
}

// activation(x (..., in) weight (out, in)^T + bias (out)).
Array linear(const Array& x, const Array& weight, const std::optional<Array>& bias, const std::string& activation) {
  const Activation act =
      activation == "none"   ? Activation::none
      : activation == "relu" ? Activation::relu
      : activation == "tanh" ? Activation::tanh
      : activation == "sigmoid"
          ? Activation::sigmoid
          : throw ValueError("linear: activation must be one of none, relu, tanh, sigmoid, got " + activation);
  if (x.ndim() < 1 || weight.ndim() != 2 || x.size(x.ndim() - 1) != weight.size(1))
    fail<ShapeError>("linear: input ", x.shape(), " does not match weight ", weight.shape(),
                     ": expected last dimension ", weight.ndim() == 2 ? weight.size(1) : 0);
  if (bias && (bias->ndim() != 1 || bias->size(0) != weight.size(0)))
    fail<ShapeError>("linear: bias ", bias->shape(), " does not match weight ", weight.shape(), ": expected (",
                     weight.size(0), ",)");
  if (act != Activation::none && !is_floating(x.dtype()))
    fail<DtypeError>("linear: an activation needs a floating dtype, got ", x.dtype());
  const int64_t k = weight.size(1), rows = Shape(x.view().shape, x.ndim() - 1).numel();
  const Array transposed = weight.as_strided({k, weight.size(0)}, {weight.view().strides[1], weight.view().strides[0]});
  Shape shape = x.shape();
  shape[shape.ndim - 1] = weight.size(0);
  const Array flat = x.ndim() == 2 ? x : reshape(x, {rows, k});
  const Array y = product("linear", flat, transposed, bias, act);
  return x.ndim() == 2 ? y : reshape(y, shape);
}

}  // namespace

void bind_gemm(py::module_& m) {
  m.def("matmul", &matmul, py::arg("a"), py::arg("b"));
  m.def("linear", &linear, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("activation"));
}

}  // namespace pydl::bind

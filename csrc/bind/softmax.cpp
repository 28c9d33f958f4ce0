
#include "runtime/table/softmax.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

void check_floating(const char* op, const Array& x) {
  if (!is_floating(x.dtype())) fail<DtypeError>(op, ": expected a floating dtype, got ", x.dtype());
}

View rows(const Array& x) {  // dense x as (rows, n)
  const int64_t n = x.ndim() ? x.size(x.ndim() - 1) : 1;
  const Shape shape{n ? x.numel() / n : 0, n};
  return x.as_strided(shape, dense_strides(shape));
}

template <auto slot>
Array over_rows(const char* op, const Array& x) {
  check_floating(op, x);
  const Array in = contiguous(x);
  Array y = Array::empty(in.shape(), in.dtype(), in.device());
  run<slot>(8 * y.numel(), y.device(), rows(in), rows(y));
  return y;
}

template <auto slot>
Array grad_over_rows(const char* op, const Array& g, const Array& y) {
  if (g.shape() != y.shape() || g.dtype() != y.dtype())
    fail<ShapeError>(op, ": gradient ", g.shape(), " does not match output ", y.shape());
  const Array gd = contiguous(g), yd = contiguous(y);
  Array gx = Array::empty(y.shape(), y.dtype(), y.device());
  run<slot>(8 * y.numel(), y.device(), rows(gd), rows(yd), rows(gx));
  return gx;
}

struct Scores {
  Array x, target, weight;
  View weight_view() const { return weight.view(); }
};

Scores check_scores(const Array& x, const Array& target, const std::optional<Array>& weight, int64_t ignore_index,
                    double label_smoothing) {
  check_floating("cross_entropy", x);
  if (x.ndim() != 2 || target.ndim() != 1 || target.size(0) != x.size(0))
    fail<ShapeError>("cross_entropy: target ", target.shape(), " does not match scores ", x.shape(),
                     ": expected scores (n, c) and target (n,)");
  if (target.dtype() != Dtype::i64) fail<DtypeError>("cross_entropy: target must be int64, got ", target.dtype());
  if (weight && (weight->ndim() != 1 || weight->size(0) != x.size(1) || weight->dtype() != x.dtype()))
    fail<ShapeError>("cross_entropy: weight ", weight->shape(), " of dtype ", weight->dtype(),
                     " does not match scores ", x.shape(), " of dtype ", x.dtype(), ": expected (", x.size(1), ",)");
  if (!(label_smoothing >= 0 && label_smoothing <= 1))
    fail<ValueError>("cross_entropy: label_smoothing must be in [0, 1], got ", label_smoothing);
  Scores s{contiguous(x), contiguous(target), weight ? contiguous(*weight) : Array()};
  const int64_t* t = s.target.view().as<int64_t>();
  for (int64_t i = 0; i < s.target.numel(); ++i)
    if (t[i] != ignore_index && (t[i] < 0 || t[i] >= x.size(1)))
      fail<BoundsError>("cross_entropy: target ", t[i], " is out of range for ", x.size(1), " classes");
  return s;
}

py::tuple cross_entropy(const Array& x, const Array& target, const std::optional<Array>& weight, int64_t ignore_index,
                        double label_smoothing) {
  const Scores s = check_scores(x, target, weight, ignore_index, label_smoothing);
  const bool half = x.dtype() == Dtype::f16 || x.dtype() == Dtype::bf16;
  Array loss = Array::empty({x.size(0)}, x.dtype(), x.device());
  Array lse = Array::empty({x.size(0)}, half ? Dtype::f32 : x.dtype(), x.device());
  run<&SoftmaxKernels::cross_entropy>(8 * x.numel(), x.device(), s.x.view(), s.target.view(), s.weight_view(),
                                      CrossEntropy{ignore_index, label_smoothing}, loss.view(), lse.view());
  return py::make_tuple(loss, lse);
}

Array cross_entropy_grad(const Array& g, const Array& x, const Array& target, const std::optional<Array>& weight,
                         const Array& lse, int64_t ignore_index, double label_smoothing) {
  const Scores s = check_scores(x, target, weight, ignore_index, label_smoothing);
  if (g.shape() != target.shape() || g.dtype() != x.dtype())
    fail<ShapeError>("cross_entropy_grad: gradient ", g.shape(), " does not match loss ", target.shape());
  Array gx = Array::empty(x.shape(), x.dtype(), x.device());
  run<&SoftmaxKernels::cross_entropy_grad>(8 * x.numel(), x.device(), g.view(), s.x.view(), s.target.view(),
                                           s.weight_view(), lse.view(), CrossEntropy{ignore_index, label_smoothing},
                                           gx.view());
  return gx;
}

}  // namespace

void bind_softmax(py::module_& m) {
  m.def(
      "softmax", [](const Array& x) { return over_rows<&SoftmaxKernels::softmax>("softmax", x); }, py::arg("x"));
  m.def(
      "log_softmax", [](const Array& x) { return over_rows<&SoftmaxKernels::log_softmax>("log_softmax", x); },
      py::arg("x"));
  m.def(
      "softmax_grad",
      [](const Array& g, const Array& y) {
        return grad_over_rows<&SoftmaxKernels::softmax_grad>("softmax_grad", g, y);
      },
      py::arg("g"), py::arg("y"));
  m.def(
      "log_softmax_grad",
      [](const Array& g, const Array& y) {
        return grad_over_rows<&SoftmaxKernels::log_softmax_grad>("log_softmax_grad", g, y);
      },
      py::arg("g"), py::arg("y"));
  m.def("cross_entropy", &cross_entropy, py::arg("x"), py::arg("target"), py::arg("weight"), py::arg("ignore_index"),
        py::arg("label_smoothing"));
  m.def("cross_entropy_grad", &cross_entropy_grad, py::arg("g"), py::arg("x"), py::arg("target"), py::arg("weight"),
        py::arg("lse"), py::arg("ignore_index"), py::arg("label_smoothing"));
}

}  // namespace pydl::bind


#include "runtime/table/softmax.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

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

// Over a last axis that is not empty.
Array logsumexp(const Array& x) {
  check_floating("logsumexp", x);
  if (x.ndim() == 0 || x.size(x.ndim() - 1) == 0)
    fail<ShapeError>("logsumexp: ", x.shape(), " has no last axis with elements");
  const Array in = contiguous(x);
  Shape shape = x.shape();
  --shape.ndim;
  Array y = Array::empty(shape, x.dtype(), x.device());
  if (y.numel()) run<&SoftmaxKernels::logsumexp>(4 * x.numel(), y.device(), rows(in), y.view());
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
};

// What classes and probabilities as targets have in common.
Scores check_scores(const Array& x, const Array& target, const std::optional<Array>& weight, double label_smoothing,
                    int reduction) {
  check_floating("cross_entropy", x);
  if (weight && (weight->ndim() != 1 || weight->size(0) != x.size(1) || weight->dtype() != x.dtype()))
    fail<ShapeError>("cross_entropy: weight ", weight->shape(), " of dtype ", weight->dtype(),
                     " does not match scores ", x.shape(), " of dtype ", x.dtype(), ": expected (", x.size(1), ",)");
  if (!(label_smoothing >= 0 && label_smoothing <= 1))
    fail<ValueError>("cross_entropy: label_smoothing must be in [0, 1], got ", label_smoothing);
  if (reduction < kNone || reduction > kMean) fail<ValueError>("cross_entropy: there is no reduction ", reduction);
  return {contiguous(x), contiguous(target), weight ? contiguous(*weight) : Array()};
}

Scores check_hard(const Array& x, const Array& target, const std::optional<Array>& weight, int64_t ignore_index,
                  double label_smoothing, int reduction) {
  if (x.ndim() != 2 || target.ndim() != 1 || target.size(0) != x.size(0))
    fail<ShapeError>("cross_entropy: target ", target.shape(), " does not match scores ", x.shape(),
                     ": expected scores (n, c) and target (n,)");
  if (target.dtype() != Dtype::i64) fail<DtypeError>("cross_entropy: target must be int64, got ", target.dtype());
  Scores s = check_scores(x, target, weight, label_smoothing, reduction);
  check_classes("cross_entropy", s.target, x.size(1), ignore_index);
  return s;
}

Scores check_soft(const Array& x, const Array& target, const std::optional<Array>& weight, double label_smoothing,
                  int reduction) {
  if (x.ndim() != 2 || target.shape() != x.shape() || target.dtype() != x.dtype())
    fail<ShapeError>("cross_entropy: probabilities ", target.shape(), " of dtype ", target.dtype(),
                     " do not match scores ", x.shape(), " of dtype ", x.dtype());
  return check_scores(x, target, weight, label_smoothing, reduction);
}

Array per_row(const Array& x, bool wide) {
  const bool half = x.dtype() == Dtype::f16 || x.dtype() == Dtype::bf16;
  return Array::empty({x.size(0)}, wide && half ? Dtype::f32 : x.dtype(), x.device());
}

// The gradient of the losses, or of the one number they were reduced to, as a row.
View check_gradient(const Array& g, const Array& x, int reduction) {
  const Shape expected = reduction == kNone ? Shape{x.size(0)} : Shape{};
  if (g.shape() != expected || g.dtype() != x.dtype())
    fail<ShapeError>("cross_entropy: gradient ", g.shape(), " does not match a loss of shape ", expected);
  View v = g.view();
  v.strides[0] = reduction == kNone ? v.strides[0] : 0;
  return v;
}

py::tuple cross_entropy(const Array& x, const Array& target, const std::optional<Array>& weight, int64_t ignore_index,
                        double label_smoothing, int reduction) {
  const Scores s = check_hard(x, target, weight, ignore_index, label_smoothing, reduction);
  const Array loss = per_row(x, false), lse = per_row(x, true);
  const Array weights = reduction == kMean ? per_row(x, false) : Array();
  run<&SoftmaxKernels::cross_entropy>(8 * x.numel(), x.device(), s.x.view(), s.target.view(), s.weight.view(),
                                      CrossEntropy{ignore_index, label_smoothing, 1}, loss.view(), lse.view(),
                                      weights.view());
  const py::tuple made = reduced_losses(loss, weights, reduction);
  return py::make_tuple(made[0], lse, made[1]);
}

Array cross_entropy_grad(const Array& g, const Array& x, const Array& target, const std::optional<Array>& weight,
                         const Array& lse, const Array& total, int64_t ignore_index, double label_smoothing,
                         int reduction) {
  const Scores s = check_hard(x, target, weight, ignore_index, label_smoothing, reduction);
  const View gv = check_gradient(g, x, reduction);
  Array gx = Array::empty(x.shape(), x.dtype(), x.device());
  run<&SoftmaxKernels::cross_entropy_grad>(8 * x.numel(), x.device(), gv, s.x.view(), s.target.view(), s.weight.view(),
                                           lse.view(), filled_or_absent(total),
                                           CrossEntropy{ignore_index, label_smoothing, 1}, gx.view());
  return gx;
}

py::tuple soft_entropy(const Array& x, const Array& target, const std::optional<Array>& weight, double label_smoothing,
                       int reduction) {
  const Scores s = check_soft(x, target, weight, label_smoothing, reduction);
  const Array loss = per_row(x, false), lse = per_row(x, true), mass = per_row(x, true);
  run<&SoftmaxKernels::soft_entropy>(8 * x.numel(), x.device(), s.x.view(), s.target.view(), s.weight.view(),
                                     CrossEntropy{0, label_smoothing, 1}, loss.view(), lse.view(), mass.view());
  return py::make_tuple(reduced_losses(loss, Array(), reduction)[0], lse, mass);
}

Array soft_entropy_grad(const Array& g, const Array& x, const Array& target, const std::optional<Array>& weight,
                        const Array& lse, const Array& mass, double label_smoothing, int reduction) {
  const Scores s = check_soft(x, target, weight, label_smoothing, reduction);
  const View gv = check_gradient(g, x, reduction);
  const double scale = reduction == kMean ? 1.0 / static_cast<double>(x.size(0)) : 1.0;
  Array gx = Array::empty(x.shape(), x.dtype(), x.device());
  run<&SoftmaxKernels::soft_entropy_grad>(8 * x.numel(), x.device(), gv, s.x.view(), s.target.view(), s.weight.view(),
                                          lse.view(), mass.view(), CrossEntropy{0, label_smoothing, scale}, gx.view());
  return gx;
}

}  // namespace

void bind_softmax(py::module_& m) {
  m.def(
      "softmax", [](const Array& x) { return over_rows<&SoftmaxKernels::softmax>("softmax", x); }, py::arg("x"));
  m.def(
      "log_softmax", [](const Array& x) { return over_rows<&SoftmaxKernels::log_softmax>("log_softmax", x); },
      py::arg("x"));
  m.def("logsumexp", &logsumexp, py::arg("x"));
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
        py::arg("label_smoothing"), py::arg("reduction"));
  m.def("cross_entropy_grad", &cross_entropy_grad, py::arg("g"), py::arg("x"), py::arg("target"), py::arg("weight"),
        py::arg("lse"), py::arg("total"), py::arg("ignore_index"), py::arg("label_smoothing"), py::arg("reduction"));
  m.def("soft_entropy", &soft_entropy, py::arg("x"), py::arg("target"), py::arg("weight"), py::arg("label_smoothing"),
        py::arg("reduction"));
  m.def("soft_entropy_grad", &soft_entropy_grad, py::arg("g"), py::arg("x"), py::arg("target"), py::arg("weight"),
        py::arg("lse"), py::arg("mass"), py::arg("label_smoothing"), py::arg("reduction"));
}

}  // namespace pydl::bind


#include "runtime/table/loss.h"

#include "bind/device.h"

namespace pydl::bind {

static void look_at_classes(const char* op, const int64_t* t, int64_t n, int64_t classes, bool ignores,
                            int64_t ignored) {
  const uint64_t count = static_cast<uint64_t>(classes);
  bool good = true;
  for (int64_t i = 0; i < n; ++i) good &= (static_cast<uint64_t>(t[i]) < count) | ((t[i] == ignored) & ignores);
  if (good) return;
  while (static_cast<uint64_t>(*t) < count || (ignores && *t == ignored)) ++t;
  fail<BoundsError>(op, ": target ", *t, " is out of range for ", classes, " classes: expected classes in [0, ",
                    classes, ")");
}

void check_classes(const char* op, const Array& target, int64_t classes, std::optional<int64_t> ignored) {
  const Array read = on_host(target);
  const int64_t* t = read.view().as<int64_t>();
  check("check_classes", [op = kept_text(op), t, n = target.numel(), classes, ignores = ignored.has_value(),
                          skipped = ignored.value_or(0)] { look_at_classes(op, t, n, classes, ignores, skipped); });
}

py::tuple reduced_losses(const Array& loss, const Array& weights, int reduction) {
  const Array nothing = Array::empty({0}, loss.dtype(), loss.device());
  if (reduction == kNone) return py::make_tuple(loss, nothing);
  Array y = Array::empty({}, loss.dtype(), loss.device());
  const Array total = weights.storage() ? Array::empty({}, wide(loss), loss.device()) : Array();
  const double scale = reduction == kMean && !weights.storage() ? 1.0 / static_cast<double>(loss.numel()) : 1.0;
  run<&LossKernels::loss_total>(loss.numel(), loss.device(), loss.view(), weights.view(), scale, y.view(),
                                total.view());
  return py::make_tuple(y, weights.storage() ? total : nothing);
}

namespace {

constexpr const char* kNames[kPairLosses] = {"mse_loss",
                                             "l1_loss",
                                             "huber_loss",
                                             "smooth_l1_loss",
                                             "binary_cross_entropy_with_logits",
                                             "binary_cross_entropy",
                                             "kl_div",
                                             "kl_div",
                                             "soft_margin_loss"};

const char* check_pair(const Array& x, const Array& target, int kind, int reduction) {
  if (kind < 0 || kind >= kPairLosses || reduction < kNone || reduction > kMean)
    fail<ValueError>("pair_loss: there is no kind ", kind, " with reduction ", reduction);
  const char* op = kNames[kind];
  check_floating(op, x);
  if (x.shape() != target.shape() || x.dtype() != target.dtype())
    fail<ShapeError>(op, ": target ", target.shape(), " of dtype ", target.dtype(), " does not match input ", x.shape(),
                     " of dtype ", x.dtype());
  check_device(op, x, target);
  return op;
}

PairLossOptions options_of(int kind, double parameter, int reduction, int64_t n, bool of_target = false) {
  return {static_cast<PairLoss>(kind), of_target, parameter, reduction == kMean ? 1.0 / static_cast<double>(n) : 1.0};
}

template <class T>
bool all_probabilities(const T* p, int64_t n) {
  bool good = true;
  for (int64_t i = 0; i < n; ++i) good &= p[i] >= T(0) && p[i] <= T(1);
  return good;
}

// sum: null, or of the losses: it is NaN where one is.
void check_probabilities(const char* op, const Array& x, const double* sum = nullptr) {
  const Array p = on_host(contiguous(cast(x, wide(x))));
  check("check_probabilities", [op, x = p.view(), n = p.numel(), sum] {
    if (sum && *sum == *sum) return;
    const bool good =
        x.dtype == Dtype::f64 ? all_probabilities(x.as<double>(), n) : all_probabilities(x.as<float>(), n);
    if (!good) fail<ValueError>(op, ": expected probabilities in [0, 1]; for scores use the loss with logits");
  });
}

// Numbers outside [0, 1] have a logarithm that is NaN, so the sum tells whether it is worth looking for them.
void check_sum(const char* op, PairLoss kind, const Array& x, const Array& y) {
  if (kind != PairLoss::probabilities || !x.numel()) return;
  const Array wide = on_host(cast(y, Dtype::f64));
  const double* sum = wide.view().as<double>();
  if ((watched() && recording()) || *sum != *sum) check_probabilities(op, x, sum);
}

Array pair_loss(const Array& x, const Array& target, int kind, double parameter, int reduction) {
  const char* op = check_pair(x, target, kind, reduction);
  const Array xd = contiguous(x), td = contiguous(target);
  const PairLossOptions options = options_of(kind, parameter, reduction, x.numel());
  if (reduction == kNone) {
    if (options.kind == PairLoss::probabilities) check_probabilities(op, xd);
    Array y = Array::empty(x.shape(), x.dtype(), x.device());
    run<&LossKernels::pair_loss>(4 * x.numel(), x.device(), xd.view(), td.view(), options, y.view());
    return y;
  }
  Array y = Array::empty({}, x.dtype(), x.device());
  run<&LossKernels::pair_loss_sum>(4 * x.numel(), x.device(), xd.view(), td.view(), options, y.view());
  check_sum(op, options.kind, xd, y);
  return y;
}

// The gradient of x or of the target.
Array pair_loss_grad(const Array& g, const Array& x, const Array& target, int kind, double parameter, int reduction,
                     bool of_target) {
  const char* op = check_pair(x, target, kind, reduction);
  const bool fits = reduction == kNone ? g.shape() == x.shape() : g.ndim() == 0;
  if (!fits || g.dtype() != x.dtype()) fail<ShapeError>(op, ": gradient ", g.shape(), " does not match the loss");
  const Array gd = contiguous(g), xd = contiguous(x), td = contiguous(target);
  Array made = Array::empty(x.shape(), x.dtype(), x.device());
  View gv = gd.view();
  gv.strides[0] = reduction == kNone;  // flat, and one number for all where the loss is one
  run<&LossKernels::pair_loss_grad>(4 * x.numel(), x.device(), gv, xd.view(), td.view(),
                                    options_of(kind, parameter, reduction, x.numel(), of_target), made.view());
  return made;
}

// ---- negative log-likelihood

struct Blocks {  // (n, c, m) around the axis of the classes
  Shape shape, strides;
  explicit Blocks(const Shape& s) {
    int64_t inner = 1;
    for (int i = 2; i < s.ndim; ++i) inner *= s[i];
    shape = s.ndim == 1 ? Shape{1, s[0], 1} : Shape{s[0], s[1], inner};
    strides = dense_strides(shape);
  }
};

void check_nll(const Array& x, const Array& target, const std::optional<Array>& weight, int64_t ignored) {
  check_floating("nll_loss", x);
  if (x.ndim() == 0) fail<ShapeError>("nll_loss: expected at least one axis");
  Shape expected;
  for (int i = 0; i < x.ndim(); ++i)
    if (i != (x.ndim() > 1)) expected.push_back(x.size(i));
  if (target.shape() != expected)
    fail<ShapeError>("nll_loss: target ", target.shape(), " does not match input ", x.shape(), ": expected ", expected);
  if (target.dtype() != Dtype::i64) fail<DtypeError>("nll_loss: expected int64 classes, got ", target.dtype());
  const int64_t classes = x.size(x.ndim() > 1);
  if (weight && (weight->shape() != Shape{classes} || weight->dtype() != x.dtype()))
    fail<ShapeError>("nll_loss: weight ", weight->shape(), " of dtype ", weight->dtype(), " does not match input ",
                     x.shape(), " of dtype ", x.dtype(), ": expected (", classes, ",)");
  check_classes("nll_loss", target, classes, ignored);
}

py::tuple nll(const Array& x, const Array& target, const std::optional<Array>& weight, int64_t ignore_index,
              int reduction) {
  const Array xd = contiguous(x), td = contiguous(target);
  const std::optional<Array> w = dense(weight);
  check_nll(xd, td, w, ignore_index);
  const Blocks blocks(x.shape());
  Array loss = Array::empty(target.shape(), x.dtype(), x.device());
  const Array weights = reduction == kMean ? Array::empty(target.shape(), x.dtype(), x.device()) : Array();
  run<&LossKernels::nll>(8 * target.numel(), x.device(), xd.as_strided(blocks.shape, blocks.strides).view(), td.view(),
                         maybe(w), ignore_index, loss.view(), weights.view());
  return reduced_losses(loss, weights, reduction);
}

Array nll_grad(const Array& g, const Array& target, const std::optional<Array>& weight, const Array& total,
               const Shape& shape, int64_t ignore_index, int reduction) {
  const Array gd = contiguous(g), td = contiguous(target);
  const std::optional<Array> w = dense(weight);
  if (g.shape() != (reduction == kNone ? target.shape() : Shape{}))
    fail<ShapeError>("nll_loss: gradient ", g.shape(), " does not match the loss of target ", target.shape());
  Array gx = Array::empty(shape, g.dtype(), g.device());
  const Blocks blocks(shape);
  View gv = gd.view();
  gv.strides[0] = reduction == kNone;
  run<&LossKernels::nll_grad>(2 * gx.numel(), g.device(), gv, td.view(), maybe(w), filled_or_absent(total),
                              ignore_index, gx.as_strided(blocks.shape, blocks.strides).view());
  return gx;
}

}  // namespace

void bind_loss(py::module_& m) {
  m.def("pair_loss", &pair_loss, py::arg("x"), py::arg("target"), py::arg("kind"), py::arg("parameter"),
        py::arg("reduction"));
  m.def("pair_loss_grad", &pair_loss_grad, py::arg("g"), py::arg("x"), py::arg("target"), py::arg("kind"),
        py::arg("parameter"), py::arg("reduction"), py::arg("of_target") = false);
  m.def("nll", &nll, py::arg("x"), py::arg("target"), py::arg("weight"), py::arg("ignore_index"), py::arg("reduction"));
  m.def("nll_grad", &nll_grad, py::arg("g"), py::arg("target"), py::arg("weight"), py::arg("total"), py::arg("shape"),
        py::arg("ignore_index"), py::arg("reduction"));
  m.def(
      "check_classes",
      [](const char* op, const Array& target, int64_t classes, std::optional<int64_t> ignored) {
        check_classes(op, contiguous(cast(target, Dtype::i64)), classes, ignored);
      },
      py::arg("op"), py::arg("target"), py::arg("classes"), py::arg("ignored"));
}

}  // namespace pydl::bind

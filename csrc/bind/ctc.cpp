
#include "runtime/table/ctc.h"

#include "bind/device.h"

namespace pydl::bind {
namespace {

void look_at_numbers(const char* name, const int64_t* x, int64_t n, int64_t most) {
  for (int64_t i = 0; i < n; ++i)
    if (x[i] < 0 || x[i] > most) fail<ValueError>("ctc_loss: ", name, " must be from 0 to ", most, ", got ", x[i]);
}

void look_at_targets(const int64_t* targets, const int64_t* counts, int64_t n, int64_t longest, int64_t classes) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t s = 0; s < counts[i]; ++s)
      if (const int64_t label = targets[i * longest + s]; label < 0 || label >= classes)
        fail<BoundsError>("ctc_loss: targets must be classes from 0 to ", classes - 1, ", got ", label);
}

// What both ways read, dense and checked.
struct Call {
  Array log_probs, targets, steps, counts;
  int64_t t, n, longest;
};

Array numbers(const char* name, const Array& x, const Shape& shape, const Array& log_probs) {
  check_device("ctc_loss", x, log_probs);
  if (x.dtype() != Dtype::i64) fail<DtypeError>("ctc_loss: ", name, " must be int64, got ", x.dtype());
  if (x.shape() != shape) fail<ShapeError>("ctc_loss: ", name, " ", x.shape(), ": expected ", shape);
  return contiguous(x);
}

Call checked(const Array& log_probs, const Array& targets, const Array& steps, const Array& counts, int64_t blank) {
  if (log_probs.ndim() != 3 || targets.ndim() != 2)
    fail<ShapeError>("ctc_loss: log_probs ", log_probs.shape(), " and targets ", targets.shape(),
                     ": expected (time, batch, classes) and (batch, longest)");
  if (log_probs.dtype() != Dtype::f32 && log_probs.dtype() != Dtype::f64)
    fail<DtypeError>("ctc_loss: log_probs must be float32 or float64, got ", log_probs.dtype());
  const int64_t t = log_probs.size(0), n = log_probs.size(1), classes = log_probs.size(2), longest = targets.size(1);
  if (blank < 0 || blank >= classes)
    fail<ValueError>("ctc_loss: blank must be a class from 0 to ", classes - 1, ", got ", blank);
  Call c{contiguous(log_probs),
         numbers("targets", targets, {n, longest}, log_probs),
         numbers("input_lengths", steps, {n}, log_probs),
         numbers("target_lengths", counts, {n}, log_probs),
         t,
         n,
         longest};
  const Array labels = on_host(c.targets), lengths = on_host(c.steps), sizes = on_host(c.counts);
  check("ctc_loss", [x = labels.view().as<int64_t>(), s = lengths.view().as<int64_t>(), k = sizes.view().as<int64_t>(),
                     t, n, longest, classes] {
    look_at_numbers("input_lengths", s, n, t);
    look_at_numbers("target_lengths", k, n, longest);
    look_at_targets(x, k, n, longest, classes);
  });
  return c;
}

// The losses (n,), and the logarithms of the forward variables (n, t, 2 longest + 1).
py::tuple ctc(const Array& log_probs, const Array& targets, const Array& steps, const Array& counts, int64_t blank) {
  const Call c = checked(log_probs, targets, steps, counts, blank);
  Array loss = Array::empty({c.n}, log_probs.dtype(), log_probs.device());
  Array alpha = Array::empty({c.n, c.t, 2 * c.longest + 1}, log_probs.dtype(), log_probs.device());
  run<&CtcKernels::ctc>(8 * alpha.numel(), log_probs.device(), c.log_probs.view(), c.targets.view(), c.steps.view(),
                        c.counts.view(), blank, loss.view(), alpha.view());
  return py::make_tuple(loss, alpha);
}

Array ctc_grad(const Array& g, const Array& log_probs, const Array& targets, const Array& steps, const Array& counts,
               const Array& loss, const Array& alpha, int64_t blank) {
  const Call c = checked(log_probs, targets, steps, counts, blank);
  if (g.shape() != loss.shape() || g.dtype() != log_probs.dtype() || loss.shape() != Shape{c.n} ||
      alpha.shape() != Shape{c.n, c.t, 2 * c.longest + 1})
    fail<ShapeError>("ctc_loss: gradient ", g.shape(), " does not match the losses");
  Array gx = Array::empty(log_probs.shape(), log_probs.dtype(), log_probs.device());
  run<&CtcKernels::ctc_grad>(8 * alpha.numel(), log_probs.device(), g.view(), c.log_probs.view(), c.targets.view(),
                             c.steps.view(), c.counts.view(), blank, loss.view(), alpha.view(), gx.view());
  return gx;
}

}  // namespace

void bind_ctc(py::module_& m) {
  m.def("ctc", &ctc, py::arg("log_probs"), py::arg("targets"), py::arg("steps"), py::arg("counts"), py::arg("blank"));
  m.def("ctc_grad", &ctc_grad, py::arg("g"), py::arg("log_probs"), py::arg("targets"), py::arg("steps"),
        py::arg("counts"), py::arg("loss"), py::arg("alpha"), py::arg("blank"));
}

}  // namespace pydl::bind

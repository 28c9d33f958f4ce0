// Normalisation: statistics, weights and their gradients are float64 for float64 inputs and float32 for all others.

#include "runtime/table/norm.h"

#include "bind/common.h"

namespace pydl::bind {
namespace {

constexpr int64_t kBlocks = 64;     // at most, of rows whose weight gradients are summed together
constexpr int64_t kBlockRows = 16;  // at least

// A parameter of n numbers, dense and in the dtype of the statistics.
std::optional<Array> parameter(const char* op, const char* name, const std::optional<Array>& p, int64_t n,
                               const Array& x) {
  if (!p) return p;
  if (p->numel() != n && x.numel())  // without elements there is no row to count by
    fail<ShapeError>(op, ": ", name, " ", p->shape(), " does not match input ", x.shape(), ": expected ", n,
                     " numbers");
  if (!is_floating(p->dtype())) fail<DtypeError>(op, ": ", name, " must be floating, got ", p->dtype());
  return contiguous(cast(*p, wide(x)));
}

View as_rows(const Array& x, int64_t rows) {
  const Shape shape{rows, rows ? x.numel() / rows : 0};
  return x.as_strided(shape, dense_strides(shape));
}

// Gradient and input, dense, checked against each other.
std::pair<Array, Array> dense_pair(const char* op, const Array& g, const Array& x) {
  if (g.shape() != x.shape()) fail<ShapeError>(op, ": gradient ", g.shape(), " does not match input ", x.shape());
  return {contiguous(cast(g, x.dtype())), contiguous(x)};
}

// x as `rows` rows, `inner` elements to a weight, `groups` rows to a set of weights.
std::tuple<Array, Array, Array> row_norm(const Array& x, const std::optional<Array>& weight,
                                         const std::optional<Array>& bias, int64_t rows, int64_t groups, int64_t inner,
                                         double eps, bool centred) {
  check_floating("norm", x);
  const Array in = contiguous(x);
  const int64_t weights = rows ? x.numel() / rows / inner * groups : 0;
  const auto w = parameter("norm", "weight", weight, weights, x), b = parameter("norm", "bias", bias, weights, x);
  Array y = Array::empty(x.shape(), x.dtype(), x.device());
  Array mean = Array::empty({rows}, wide(x), x.device()), rstd = Array::empty({rows}, wide(x), x.device());
  run<&NormKernels::row_norm>(3 * x.numel(), x.device(), RowNorm{groups, inner, eps, centred}, as_rows(in, rows),
                              maybe(w), maybe(b), as_rows(y, rows), mean, rstd);
  return {y, mean, rstd};
}

// The gradients of x and, if `sums`, of weight and bias: (2, weights).
std::pair<Array, Array> row_norm_grad(const Array& g, const Array& x, const std::optional<Array>& weight,
                                      const Array& mean, const Array& rstd, int64_t rows, int64_t groups, int64_t inner,
                                      bool centred, bool sums) {
  const auto [gd, in] = dense_pair("norm", g, x);
  const int64_t weights = rows ? x.numel() / rows / inner * groups : weight ? weight->numel() : 0;
  const auto w = parameter("norm", "weight", weight, weights, x);
  Array gx = Array::empty(x.shape(), x.dtype(), x.device()), total, part;
  if (sums) {
    const int64_t blocks = std::min(kBlocks, (rows + kBlockRows - 1) / kBlockRows);
    total = filled({2, weights}, wide(x), 0, x.device());
    part = Array::empty({blocks, 2, weights}, wide(x), x.device());
  }
  run<&NormKernels::row_norm_grad>(4 * x.numel(), x.device(), RowNorm{groups, inner, 0, centred}, as_rows(gd, rows),
                                   as_rows(in, rows), maybe(w), mean, rstd, as_rows(gx, rows),
                                   sums ? part.view() : View{}, sums ? total.view() : View{});
  return {gx, total};
}

// Dense x (n, channels, ...) as (n, channels, the rest).
View as_channels(const Array& x) {
  const int64_t n = x.size(0), c = x.size(1);
  const Shape shape{n, c, n > 0 && c > 0 ? x.numel() / (n * c) : 0};
  return x.as_strided(shape, dense_strides(shape));
}

void check_channels(const char* op, const Array& x) {
  check_floating(op, x);
  if (x.ndim() < 2) fail<ShapeError>(op, ": expected at least 2 axes (n, channels, ...), got ", x.shape());
}

// A running statistic that the kernel can move: itself, or a copy in the dtype of the statistics.
std::optional<Array> movable(const char* name, const std::optional<Array>& r, const Array& x) {
  if (!r) return r;
  if (r->numel() != x.size(1))
    fail<ShapeError>("batch_norm: ", name, " ", r->shape(), " does not match input ", x.shape(), ": expected ",
                     x.size(1), " numbers");
  if (r->storage()->read_only()) fail<ValueError>("batch_norm: ", name, " lies in read-only memory");
  return contiguous(cast(*r, wide(x)));
}

void put_back(const std::optional<Array>& moved, const std::optional<Array>& running) {
  if (!running) return;
  if (moved->storage() != running->storage()) copy_values(*moved, *running, running->device());
  running->storage()->bump();
}

std::tuple<Array, Array, Array> batch_norm(const Array& x, const std::optional<Array>& weight,
                                           const std::optional<Array>& bias, const std::optional<Array>& running_mean,
                                           const std::optional<Array>& running_var, double momentum, double eps) {
  check_channels("batch_norm", x);
  const int64_t channels = x.size(1);
  if (running_mean.has_value() != running_var.has_value())
    fail<ValueError>("batch_norm: expected both running_mean and running_var, or neither");
  const Array in = contiguous(x);
  const auto w = parameter("batch_norm", "weight", weight, channels, x);
  const auto b = parameter("batch_norm", "bias", bias, channels, x);
  const auto rm = movable("running_mean", running_mean, x), rv = movable("running_var", running_var, x);
  Array y = Array::empty(x.shape(), x.dtype(), x.device());
  Array mean = Array::empty({channels}, wide(x), x.device()), rstd = Array::empty({channels}, wide(x), x.device());
  run<&NormKernels::batch_norm>(3 * x.numel(), x.device(), eps, momentum, as_channels(in), maybe(w), maybe(b),
                                maybe(rm), maybe(rv), as_channels(y), mean, rstd);
  put_back(rm, running_mean);
  put_back(rv, running_var);
  return {y, mean, rstd};
}

std::pair<Array, Array> batch_norm_grad(const Array& g, const Array& x, const std::optional<Array>& weight,
                                        const Array& mean, const Array& rstd) {
  check_channels("batch_norm", x);
  const auto [gd, in] = dense_pair("batch_norm", g, x);
  const auto w = parameter("batch_norm", "weight", weight, x.size(1), x);
  Array gx = Array::empty(x.shape(), x.dtype(), x.device());
  Array sums = Array::empty({2, x.size(1)}, wide(x), x.device());
  run<&NormKernels::batch_norm_grad>(4 * x.numel(), x.device(), as_channels(gd), as_channels(in), maybe(w), mean, rstd,
                                     as_channels(gx), sums);
  return {gx, sums};
}

// x (n, channels, ...) times a number and plus a number for each channel.
Array channel_affine(const Array& x, const Array& scale, const Array& shift) {
  check_channels("batch_norm", x);
  const Array in = contiguous(x);
  const auto a = parameter("batch_norm", "scale", scale, x.size(1), x);
  const auto b = parameter("batch_norm", "shift", shift, x.size(1), x);
  Array y = Array::empty(x.shape(), x.dtype(), x.device());
  run<&NormKernels::channel_affine>(x.numel(), x.device(), as_channels(in), *a, *b, as_channels(y));
  return y;
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def("row_norm", &row_norm, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("rows"), py::arg("groups"),
        py::arg("inner"), py::arg("eps"), py::arg("centred"));
  m.def("row_norm_grad", &row_norm_grad, py::arg("g"), py::arg("x"), py::arg("weight"), py::arg("mean"),
        py::arg("rstd"), py::arg("rows"), py::arg("groups"), py::arg("inner"), py::arg("centred"), py::arg("sums"));
  m.def("batch_norm", &batch_norm, py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("running_mean"),
        py::arg("running_var"), py::arg("momentum"), py::arg("eps"));
  m.def("batch_norm_grad", &batch_norm_grad, py::arg("g"), py::arg("x"), py::arg("weight"), py::arg("mean"),
        py::arg("rstd"));
  m.def("channel_affine", &channel_affine, py::arg("x"), py::arg("scale"), py::arg("shift"));
}

}  // namespace pydl::bind

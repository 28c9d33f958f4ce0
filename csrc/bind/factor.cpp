#include "bind/factor.h"

#include "runtime/table/factor.h"
#include "runtime/table/gemm.h"

namespace pydl::bind {
namespace {

void check_kind(const char* op, const Array& x) {
  if (x.dtype() != Dtype::f32 && x.dtype() != Dtype::f64)
    fail<DtypeError>(op, ": expected float32 or float64, got ", x.dtype());
  if (x.storage() && x.storage()->read_only()) fail<ValueError>(op, ": the destination is read-only memory");
}

// In place, for the caller's own memory: no version is counted.
void substitute(const Array& a, const Array& x, bool upper, bool unit) {
  check_kind("substitute", x);
  const bool fits = x.ndim() == 3 && a.dtype() == x.dtype() && a.shape() == Shape{x.size(0), x.size(1), x.size(1)};
  if (!fits)
    fail<ShapeError>("substitute: triangles ", a.shape(), " of dtype ", a.dtype(), " do not match ", x.shape(),
                     " of dtype ", x.dtype());
  if (x.size(2) > 1 && x.strides()[2] != 1) fail<ValueError>("substitute: expected rows without gaps");
  run<&FactorKernels::substitute>(x.numel() * x.size(1), x.device(), a.view(), x.view(), upper, unit);
}

void lu_panel(const Array& y, int64_t start, int64_t stop, bool pivot, const Array& pivots) {
  check_kind("lu_panel", y);
  const bool fits = y.ndim() == 3 && y.dense() && start >= 0 && start <= stop && stop <= y.size(1) &&
                    stop <= y.size(2) && pivots.ndim() == 2 && pivots.dense() && pivots.size(0) == y.size(0) &&
                    stop <= pivots.size(1) && pivots.dtype() == Dtype::i64;
  if (!fits)
    fail<ShapeError>("lu_panel: columns ", start, " to ", stop, " of ", y.shape(), " and pivots ", pivots.shape(),
                     " do not fit");
  run<&FactorKernels::lu_panel>(y.numel() * (stop - start), y.device(), y.view(), start, stop, pivot, pivots.view());
}

// c (b, m, n) -= a (b, m, k) b (b, k, n), in place.
void take_product(const Array& c, const Array& a, const Array& b) {
  check_kind("take_product", c);
  const bool fits = c.ndim() == 3 && a.ndim() == 3 && b.ndim() == 3 && a.dtype() == c.dtype() &&
                    b.dtype() == c.dtype() && a.size(0) == c.size(0) && b.size(0) == c.size(0) &&
                    a.size(1) == c.size(1) && b.size(2) == c.size(2) && a.size(2) == b.size(1);
  if (!fits) fail<ShapeError>("take_product: ", a.shape(), " and ", b.shape(), " do not match ", c.shape());
  run<&GemmKernels::gemm>(c.numel() * (a.size(2) / 8 + 1), c.device(), a.view(), b.view(), c.view(), View{}, -1.0, 1.0,
                          Activation::none, c.view());
}

}  // namespace

void bind_factor(py::module_& m) {
  m.def("substitute", &substitute, py::arg("a"), py::arg("x"), py::arg("upper"), py::arg("unit"));
  m.def("take_product", &take_product, py::arg("c"), py::arg("a"), py::arg("b"));
  m.def("lu_panel", &lu_panel, py::arg("y"), py::arg("start"), py::arg("stop"), py::arg("pivot"), py::arg("pivots"));
}

}  // namespace pydl::bind

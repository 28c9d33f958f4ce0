// Optimizer steps: lists of arrays in, one launch, the parameters changed in place.
#include <pybind11/stl.h>

#include <vector>

#include "bind/common.h"

namespace pydl::bind {
namespace {

using Arrays = std::vector<Array>;

// The flat memory of each array; `like` gives the expected count and sizes.
std::vector<Span> spans(const char* op, const char* what, const Arrays& arrays, const Arrays& like, bool written) {
  if (!arrays.empty() && arrays.size() != like.size())
    fail<ValueError>(op, ": expected ", like.size(), " ", what, ", got ", arrays.size());
  std::vector<Span> out;
  out.reserve(arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Array& x = arrays[i];
    if (x.shape() != like[i].shape())
      fail<ShapeError>(op, ": ", what, " of shape ", x.shape(), " does not match a parameter of shape ",
                       like[i].shape());
    if (!is_floating(x.dtype())) fail<DtypeError>(op, ": ", what, " must be floating, got ", x.dtype());
    if (!x.dense()) fail<ValueError>(op, ": ", what, " must be contiguous");
    if (written && x.storage()->read_only()) fail<ValueError>(op, ": ", what, " lies in read-only memory");
    out.push_back({x.view().data, x.numel(), x.dtype()});
  }
  return out;
}

Spans list(const std::vector<Span>& s) { return {s.data(), static_cast<int64_t>(s.size())}; }

int64_t total(const std::vector<Span>& s) {
  int64_t n = 0;
  for (const Span& x : s) n += x.n;
  return n;
}

void bump(const Arrays& arrays) {
  for (const Array& x : arrays) x.storage()->bump();
}

void check_hyper(const char* op, const Array& hyper, int64_t count) {
  if (hyper.dtype() != Dtype::f64 || hyper.shape() != Shape{count} || !hyper.dense())
    fail<ValueError>(op, ": expected ", count, " float64 hyperparameters, got shape ", hyper.shape());
}

void sgd(const Arrays& p, const Arrays& g, const Arrays& momentum, const Array& hyper) {
  check_hyper("sgd", hyper, sgd_hyper::count);
  const auto sp = spans("sgd", "parameters", p, p, true), sg = spans("sgd", "gradients", g, p, false);
  const auto sm = spans("sgd", "momentum buffers", momentum, p, true);
  run<&Kernels::sgd>(4 * total(sp), {}, list(sp), list(sg), list(sm), hyper.view());
  bump(p);
}

void adam(const Arrays& p, const Arrays& g, const Arrays& m, const Arrays& v, const Arrays& vmax, const Array& hyper) {
  check_hyper("adam", hyper, adam_hyper::count);
  const auto sp = spans("adam", "parameters", p, p, true), sg = spans("adam", "gradients", g, p, false);
  const auto sm = spans("adam", "first moments", m, p, true), sv = spans("adam", "second moments", v, p, true);
  const auto sx = spans("adam", "largest second moments", vmax, p, true);
  run<&Kernels::adam>(8 * total(sp), {}, list(sp), list(sg), list(sm), list(sv), list(sx), hyper.view());
  bump(p);
}

Array sum_squares(const Arrays& x) {
  const auto s = spans("sum_squares", "tensors", x, x, false);
  Array y = Array::empty({static_cast<int64_t>(x.size())}, Dtype::f64);
  run<&Kernels::sum_squares>(total(s), {}, list(s), y.view());
  return y;
}

void scale(const Arrays& x, double factor) {
  const auto s = spans("scale", "tensors", x, x, true);
  const Array f = filled({1}, Dtype::f64, factor);
  run<&Kernels::scale>(total(s), {}, list(s), f.view());
  bump(x);
}

}  // namespace

void bind_optim(py::module_& m) {
  m.def("sgd", &sgd, py::arg("p"), py::arg("g"), py::arg("momentum"), py::arg("hyper"));
  m.def("adam", &adam, py::arg("p"), py::arg("g"), py::arg("m"), py::arg("v"), py::arg("vmax"), py::arg("hyper"));
  m.def("sum_squares", &sum_squares, py::arg("x"));
  m.def("scale", &scale, py::arg("x"), py::arg("factor"));
}

}  // namespace pydl::bind

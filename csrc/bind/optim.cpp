// Optimizer steps: lists of arrays in, one launch, the parameters changed in place.

#include "runtime/table/optim.h"

#include <vector>

#include "bind/common.h"

namespace pydl::bind {
namespace {

using Arrays = std::vector<Array>;

// Arrays whose memory a kernel may walk as one flat run: those with gaps are replaced by dense copies. What a kernel
// writes into a copy goes back to its array with `put_back`.
Arrays dense(const Arrays& arrays) {
  Arrays out;
  out.reserve(arrays.size());
  for (const Array& x : arrays) out.push_back(contiguous(x));
  return out;
}

void put_back(const Arrays& copies, const Arrays& arrays) {
  for (size_t i = 0; i < arrays.size(); ++i)
    if (copies[i].storage() != arrays[i].storage()) copy_values(copies[i], arrays[i], arrays[i].device());
}

// What a list of arrays is to the step: it decides which dtypes fit a parameter of dtype p.
enum class Role { parameter, gradient, state };

bool fits(Role role, Dtype x, Dtype p) {
  const bool narrow = p == Dtype::f16 || p == Dtype::bf16;  // may have a state of float32
  return x == p || (role == Role::state && narrow && x == Dtype::f32);
}

// The flat memory of each array; `like` gives the expected count, sizes and dtypes.
std::vector<Span> spans(const char* op, const char* what, const Arrays& arrays, const Arrays& like, Role role) {
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
    if (!fits(role, x.dtype(), like[i].dtype()))
      fail<DtypeError>(op, ": ", what, " of dtype ", x.dtype(), " do not match a parameter of dtype ", like[i].dtype());
    if (!x.dense()) fail<ValueError>(op, ": ", what, " must be contiguous");
    const Array& owner = role == Role::parameter ? like[i] : x;  // a parameter with gaps is a copy here
    if (role != Role::gradient && owner.storage()->read_only())
      fail<ValueError>(op, ": ", what, " lies in read-only memory");
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
  const Arrays dp = dense(p), dg = dense(g);
  const auto sp = spans("sgd", "parameters", dp, p, Role::parameter);
  const auto sg = spans("sgd", "gradients", dg, p, Role::gradient);
  const auto sm = spans("sgd", "momentum buffers", momentum, p, Role::state);
  run<&OptimKernels::sgd>(4 * total(sp), {}, list(sp), list(sg), list(sm), hyper.view());
  put_back(dp, p);
  bump(p);
}

void adam(const Arrays& p, const Arrays& g, const Arrays& m, const Arrays& v, const Arrays& vmax, const Array& hyper) {
  check_hyper("adam", hyper, adam_hyper::count);
  const Arrays dp = dense(p), dg = dense(g);
  const auto sp = spans("adam", "parameters", dp, p, Role::parameter);
  const auto sg = spans("adam", "gradients", dg, p, Role::gradient);
  const auto sm = spans("adam", "first moments", m, p, Role::state);
  const auto sv = spans("adam", "second moments", v, p, Role::state);
  const auto sx = spans("adam", "largest second moments", vmax, p, Role::state);
  run<&OptimKernels::adam>(8 * total(sp), {}, list(sp), list(sg), list(sm), list(sv), list(sx), hyper.view());
  put_back(dp, p);
  bump(p);
}

Array sum_squares(const Arrays& x) {
  const Arrays dx = dense(x);
  const auto s = spans("sum_squares", "tensors", dx, x, Role::gradient);
  Array y = Array::empty({static_cast<int64_t>(x.size())}, Dtype::f64);
  run<&OptimKernels::sum_squares>(total(s), {}, list(s), y.view());
  return y;
}

void scale(const Arrays& x, double factor) {
  const Arrays dx = dense(x);
  const auto s = spans("scale", "tensors", dx, x, Role::parameter);
  const Array f = filled({1}, Dtype::f64, factor);
  run<&OptimKernels::scale>(total(s), {}, list(s), f.view());
  put_back(dx, x);
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

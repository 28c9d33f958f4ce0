// Recurrent layers, one direction of one layer: the input's product for all steps, then the walk over the steps.

#include "runtime/table/rnn.h"

#include <vector>

#include "bind/common.h"
#include "runtime/table/gemm.h"

namespace pydl::bind {
namespace {

using Sizes = std::optional<std::vector<int64_t>>;
using Maybe = std::optional<Array>;

constexpr const char* kCells[] = {"identity", "relu", "tanh", "sigmoid", "lstm", "gru", "gru_before"};

Cell cell_of(const std::string& name) {
  for (size_t i = 0; i < std::size(kCells); ++i)
    if (name == kCells[i]) return static_cast<Cell>(i);
  fail<ValueError>("rnn: cell must be one of identity, relu, tanh, sigmoid, lstm, gru, gru_before, got ", name);
}

const char* name_of(Cell cell) { return cell < Cell::lstm ? "rnn" : cell == Cell::lstm ? "lstm" : "gru"; }

// The sizes of one layer. Weights are (g h, in) and (g h, p), the projection (p, h).
struct Layout {
  const char* op;
  Cell cell;
  int64_t steps = 0, b = 0, n = 0, in = 0, h = 0, p = 0, wide = 0;
};

void check_one(const Layout& l, const char* name, const Maybe& a, const Array& x, const Shape& expected) {
  if (!a) return;
  check_device(l.op, *a, x);
  if (a->dtype() != x.dtype())
    fail<DtypeError>(l.op, ": ", name, " of ", a->dtype(), " does not match input of ", x.dtype());
  if (a->shape() != expected) fail<ShapeError>(l.op, ": ", name, " ", a->shape(), ": expected ", expected);
}

// Rows of each step of x: (t, b, in), or rows (n, in) of which step t holds sizes[t].
Array sizes_of(const char* op, const Array& x, const Sizes& sizes) {
  if (x.ndim() != (sizes ? 2 : 3))
    fail<ShapeError>(op, ": input ", x.shape(), ": expected ", sizes ? "(rows, features)" : "(time, batch, features)");
  const int64_t steps = sizes ? static_cast<int64_t>(sizes->size()) : x.size(0);
  if (steps == 0) fail<ShapeError>(op, ": input ", x.shape(), " has no steps: expected at least one");
  const Unrecorded ordinary;  // a constant: written once, here
  Array out = Array::empty({steps}, Dtype::i64);
  int64_t total = 0, *to = out.view().as<int64_t>();
  for (int64_t t = 0; t < steps; ++t) {
    to[t] = sizes ? (*sizes)[t] : x.size(1);
    if (sizes && (to[t] < 1 || (t > 0 && to[t] > to[t - 1])))
      fail<ValueError>(op, ": batch sizes must be positive and never grow, got ", to[t], " at step ", t);
    total += to[t];
  }
  if (sizes && total != x.size(0))
    fail<ShapeError>(op, ": input has ", x.size(0), " rows: expected the sum of batch sizes, ", total);
  return out;
}

Layout layout(Cell cell, const Array& x, const Array& sizes, const Array& w_ih, const Array& w_hh, const Maybe& w_hr) {
  Layout l{name_of(cell), cell};
  l.steps = sizes.size(0);
  l.b = sizes.view().as<int64_t>()[0];
  l.in = x.size(x.ndim() - 1);
  if (x.dtype() != Dtype::f32 && x.dtype() != Dtype::f64)
    fail<DtypeError>(l.op, ": expected a floating dtype, got ", x.dtype());
  l.n = x.ndim() == 2 ? x.size(0) : x.size(0) * x.size(1);
  if (w_ih.ndim() != 2 || w_hh.ndim() != 2 || w_hh.size(0) == 0 || w_hh.size(0) % gates_of(cell) != 0)
    fail<ShapeError>(l.op, ": weights ", w_ih.shape(), " and ", w_hh.shape(), ": expected (", gates_of(cell),
                     " hidden, features) and (", gates_of(cell), " hidden, hidden)");
  l.wide = w_hh.size(0);
  l.h = l.wide / gates_of(cell);
  l.p = w_hr ? w_hh.size(1) : l.h;
  if (w_hr && cell != Cell::lstm) fail<ValueError>(l.op, ": only the lstm has a projection");
  check_one(l, "weight_ih", w_ih, x, {l.wide, l.in});
  check_one(l, "weight_hh", w_hh, x, {l.wide, l.p});
  check_one(l, "weight_hr", w_hr, x, {l.p, l.h});
  if (l.p == 0) fail<ShapeError>(l.op, ": weight_hr ", w_hr->shape(), " projects to nothing");
  return l;
}

// c (n, wide) = x (n, in) w (wide, in)^T + bias.
void input_product(const Layout& l, const Array& x, const Array& w, const Maybe& bias, const Array& c) {
  const Array rows = reshape(x, {l.n, l.in});
  const View& v = w.view();
  const Array columns = w.as_strided({l.in, l.wide}, {v.strides[1], v.strides[0]});
  const Array shift = bias ? expand(*bias, {l.n, l.wide}) : Array();
  run<&GemmKernels::gemm>(l.n * l.wide * (l.in / 8 + 1), x.device(), rows.view(), columns.view(), View{},
                          bias ? shift.view() : View{}, 1.0, 1.0, Activation::none, reshape(c, {l.n, l.wide}).view());
}

Shape like(const Array& x, int64_t last) {
  Shape s = x.shape();
  s[s.ndim - 1] = last;
  return s;
}

// y, hn; lstm: cn, gates, cells, and inner if it projects; both forms of the gru: gates, inner.
py::tuple recurrent(const Array& x, const Maybe& h0, const Maybe& c0, const Array& w_ih, const Array& w_hh,
                    const Maybe& b_ih, const Maybe& b_hh, const Maybe& w_hr, const std::string& cell, bool reverse,
                    const Sizes& sizes) {
  const Cell kind = cell_of(cell);
  const Array steps = sizes_of(name_of(kind), x, sizes);
  const Layout l = layout(kind, x, steps, w_ih, w_hh, w_hr);
  check_one(l, "bias_ih", b_ih, x, {l.wide});
  check_one(l, "bias_hh", b_hh, x, {l.wide});
  check_one(l, "hx", h0, x, {l.b, l.p});
  check_one(l, "cx", c0, x, {l.b, l.h});
  const auto make = [&](const Shape& s) { return Array::empty(s, x.dtype(), x.device()); };
  const bool lstm = kind == Cell::lstm, gru = kind >= Cell::gru;
  const Array y = make(like(x, l.p)), hn = make({l.b, l.p});
  const Array g = lstm || gru ? make(like(x, l.wide)) : y;
  const Array cn = lstm ? make({l.b, l.h}) : Array(), cells = lstm ? make(like(x, l.h)) : Array();
  const Array inner = gru || w_hr ? make(like(x, l.h)) : Array();
  if (l.n > 0) input_product(l, x, w_ih, b_ih, g);
  const Array w = contiguous(w_hh);
  const Maybe proj = dense(w_hr), h = dense(h0), c = dense(c0), bias = dense(b_hh);
  const RecurrentState state{steps, w, maybe(proj), maybe(h), maybe(c), g, cells, inner, y};
  run<&RnnKernels::recurrent>(l.n * l.wide * (l.p / 8 + 1), x.device(), RecurrentSpec{kind, reverse}, state,
                              maybe(bias), hn.view(), cn.view());
  if (gru) return py::make_tuple(y, hn, g, inner);
  if (!lstm) return py::make_tuple(y, hn);
  if (!w_hr) return py::make_tuple(y, hn, cn, g, cells);
  return py::make_tuple(y, hn, cn, g, cells, inner);
}

// A buffer that holds the gradient of a last state and is overwritten.
Array carried(const Maybe& g, const Shape& shape, const Array& x) {
  return g ? clone(*g) : filled(shape, x.dtype(), 0, x.device());
}

// Gradients of the input's products, of the state's (the same but for the gru), of the projected output (the same as
// y's without projection), of h0 and of c0. What is not there is an array without elements.
py::tuple recurrent_grad(const Maybe& gy, const Maybe& ghn, const Maybe& gcn, const Array& x, const Maybe& h0,
                         const Maybe& c0, const Array& w_ih, const Array& w_hh, const Maybe& w_hr,
                         const std::vector<Array>& saved, const std::string& cell, bool reverse, const Sizes& sizes,
                         bool first) {
  const Cell kind = cell_of(cell);
  const Array steps = sizes_of(name_of(kind), x, sizes);
  const Layout l = layout(kind, x, steps, w_ih, w_hh, w_hr);
  const bool lstm = kind == Cell::lstm, gru = kind >= Cell::gru, apart = kind == Cell::gru;
  const Array &y = saved[0], &gates = lstm ? saved[3] : gru ? saved[2] : y;
  const Array cells = lstm ? saved[4] : Array(), inner = gru ? saved[3] : w_hr ? saved[5] : Array();
  check_one(l, "gradient of the output", gy, x, y.shape());
  check_one(l, "gradient of h_n", ghn, x, {l.b, l.p});
  check_one(l, "gradient of c_n", gcn, x, {l.b, l.h});
  const auto make = [&](const Shape& s) { return Array::empty(s, x.dtype(), x.device()); };
  const Array to = make(like(x, l.wide)), scaled = apart ? make(like(x, l.wide)) : Array();
  const Array joined = w_hr ? make(like(x, l.p)) : Array();
  const Array gh = carried(ghn, {l.b, l.p}, x), gc = lstm ? carried(gcn, {l.b, l.h}, x) : Array();
  const Array w = contiguous(w_hh);
  const Maybe proj = dense(w_hr), h = dense(h0), c = dense(c0), g = dense(gy);
  const RecurrentState state{steps, w, maybe(proj), maybe(h), maybe(c), gates, cells, inner, y};
  const RecurrentGrads grads{maybe(g), to, scaled, joined, gh, gc, first};
  run<&RnnKernels::recurrent_grad>(l.n * l.wide * (l.p / 8 + 1), x.device(), RecurrentSpec{kind, reverse}, state,
                                   grads);
  return py::make_tuple(to, apart ? scaled : to, w_hr ? joined : y, gh, lstm ? gc : gh);
}

}  // namespace

void bind_rnn(py::module_& m) {
  m.def("recurrent", &recurrent, py::arg("x"), py::arg("h0"), py::arg("c0"), py::arg("w_ih"), py::arg("w_hh"),
        py::arg("b_ih"), py::arg("b_hh"), py::arg("w_hr"), py::arg("cell"), py::arg("reverse"), py::arg("sizes"));
  m.def("recurrent_grad", &recurrent_grad, py::arg("gy"), py::arg("ghn"), py::arg("gcn"), py::arg("x"), py::arg("h0"),
        py::arg("c0"), py::arg("w_ih"), py::arg("w_hh"), py::arg("w_hr"), py::arg("saved"), py::arg("cell"),
        py::arg("reverse"), py::arg("sizes"), py::arg("first"));
}

}  // namespace pydl::bind

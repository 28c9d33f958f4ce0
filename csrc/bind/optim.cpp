// Optimizer steps: lists of arrays in, one launch, the parameters changed in place.

#include "runtime/table/optim.h"

#include <algorithm>
#include <vector>

#include "bind/device.h"

namespace pydl::bind {
namespace {

using Arrays = std::vector<Array>;

// Arrays whose memory a kernel may walk as one flat run: those with gaps are replaced by dense copies. What a kernel
// writes into a copy goes back to its array with `put_back`.
Arrays all_dense(const Arrays& arrays) {
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
enum class Role { parameter, gradient, state, change };

bool fits(Role role, Dtype x, Dtype p) {
  const bool narrow = p == Dtype::f16 || p == Dtype::bf16;  // may have a state of float32
  const bool wider = role == Role::state || role == Role::change;
  return x == p || (wider && narrow && x == Dtype::f32);
}

// The flat memory of each array; `like` gives the expected count, sizes and dtypes.
std::vector<Span> spans(const char* op, const char* what, const Arrays& arrays, const Arrays& like, Role role) {
  if (!arrays.empty() && arrays.size() != like.size())
    fail<ValueError>(op, ": expected ", like.size(), " ", what, ", got ", arrays.size());
  std::vector<Span> out;
  out.reserve(arrays.size());
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Array& x = arrays[i];
    if (x.device() != like[0].device())
      fail<DeviceError>(op, ": ", what, " on ", device_name(x.device()), ": expected all on ",
                        device_name(like[0].device()));
    if (x.shape() != like[i].shape())
      fail<ShapeError>(op, ": ", what, " of shape ", x.shape(), " does not match a parameter of shape ",
                       like[i].shape());
    if (!is_floating(x.dtype())) fail<DtypeError>(op, ": ", what, " must be floating, got ", x.dtype());
    if (!fits(role, x.dtype(), like[i].dtype()))
      fail<DtypeError>(op, ": ", what, " of dtype ", x.dtype(), " do not match a parameter of dtype ", like[i].dtype());
    if (!x.dense()) fail<ValueError>(op, ": ", what, " must be contiguous");
    const Array& owner = role == Role::parameter ? like[i] : x;  // a parameter with gaps is a copy here
    const bool written = role == Role::parameter || role == Role::state;
    if (written && owner.storage()->read_only()) fail<ValueError>(op, ": ", what, " lies in read-only memory");
    out.push_back({x.view().data, x.numel(), x.dtype()});
  }
  return out;
}

Device device_of(const Arrays& x) { return x.empty() ? Device{} : x[0].device(); }

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

// One optimizer: its name, how many hyperparameters it reads, and what its lists of state are.
struct Rule {
  const char* name;
  int64_t hypers;
  std::vector<const char*> state;
};

using Flat = std::vector<Span>;

// The state of a parameter is of one dtype, because a kernel is compiled for pairs.
void check_alike(const char* op, const std::vector<Flat>& state) {
  const Flat* first = nullptr;
  for (const Flat& list : state) {
    if (list.empty()) continue;
    if (first == nullptr) first = &list;
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i].dtype != (*first)[i].dtype)
        fail<DtypeError>(op, ": the state of a parameter must be of one dtype, got ", list[i].dtype, " and ",
                         (*first)[i].dtype);
  }
}

template <auto slot>
void step(const Rule& rule, const Arrays& p, const Arrays& g, const std::vector<Arrays>& state, const Array& hyper) {
  const char* op = rule.name;
  check_hyper(op, hyper, rule.hypers);
  if (state.size() != rule.state.size())
    fail<ValueError>(op, ": expected ", rule.state.size(), " lists of state, got ", state.size());
  const Arrays dp = all_dense(p), dg = all_dense(g);
  const Flat sp = spans(op, "parameters", dp, p, Role::parameter);
  const Flat sg = spans(op, "gradients", dg, p, Role::gradient);
  if (sg.size() != sp.size()) fail<ValueError>(op, ": expected ", sp.size(), " gradients, got none");
  std::vector<Flat> flat(3);
  for (size_t k = 0; k < state.size(); ++k) flat[k] = spans(op, rule.state[k], state[k], p, Role::state);
  check_alike(op, flat);
  run<slot>(static_cast<int64_t>(4 + 2 * state.size()) * total(sp), device_of(p), list(sp), list(sg), list(flat[0]),
            list(flat[1]), list(flat[2]), hyper.view());
  put_back(dp, p);
  bump(p);
}

Array sum_squares(const Arrays& x) {
  const Arrays dx = all_dense(x);
  const auto s = spans("sum_squares", "tensors", dx, x, Role::gradient);
  Array y = Array::empty({static_cast<int64_t>(x.size())}, Dtype::f64, device_of(x));
  run<&OptimKernels::sum_squares>(total(s), device_of(x), list(s), y.view());
  return y;
}

// x *= factor: float64, one element
void scale_by(const Arrays& x, const Array& factor) {
  const Arrays dx = all_dense(x);
  const auto s = spans("scale", "tensors", dx, x, Role::parameter);
  if (factor.dtype() != Dtype::f64 || factor.numel() != 1)
    fail<ValueError>("scale: expected one float64 factor, got shape ", factor.shape(), " of dtype ", factor.dtype());
  run<&OptimKernels::scale>(total(s), device_of(x), list(s), to_device(factor, device_of(x)).view());
  put_back(dx, x);
  bump(x);
}

// x *= 1 / scale; found: 1 if an element was not finite, else 0. Both are float64, of one element, on the CPU; found
// may lie with x instead, where nobody waits for it.
void unscale(const Arrays& x, const Array& scale, const Array& found) {
  check_hyper("unscale", scale, 1);
  check_hyper("unscale", found, 1);
  const Arrays dx = all_dense(x);
  const Flat s = spans("unscale", "tensors", dx, x, Role::parameter);
  const Array f = Array::empty({1}, Dtype::f64);
  check("unscale_factor", [to = f.view().as<double>(), from = scale.view().as<double>()] { *to = 1.0 / *from; });
  run<&OptimKernels::unscale>(2 * total(s), device_of(x), list(s), f.view(), found.view());
  put_back(dx, x);
  bump(x);
}

// The scale of the next step. state: float64 (3,): scale, steps without an infinity, 1 if one was found in this step.
void update_scale(const Array& state, const Arrays& found, double growth, double backoff, int64_t interval) {
  check_hyper("update_scale", state, 3);
  std::vector<const double*> flags;
  for (const Array& f : found) {
    check_hyper("update_scale", f, 1);
    flags.push_back(f.view().as<double>());
  }
  const double* const* each = kept(flags.data(), flags.size());
  check("update_scale", [s = state.view().as<double>(), each, n = flags.size(), growth, backoff, interval] {
    s[2] = 0;
    for (size_t i = 0; i < n; ++i) s[2] = *each[i] != 0 ? 1 : s[2];
    s[1] = s[2] != 0 ? 0 : s[1] + 1;
    if (s[2] != 0) s[0] *= backoff;
    if (s[1] != static_cast<double>(interval)) return;
    s[1] = 0;
    if (s[0] * growth < 0x1p127) s[0] *= growth;
  });
  state.storage()->bump();
}

// x[i] += factors[i] y[i]: factors float64 (n,)
void add_scaled_by(const Arrays& x, const Arrays& y, const Array& factors) {
  const Arrays dx = all_dense(x), dy = all_dense(y);
  const Flat sx = spans("add_scaled", "tensors", dx, x, Role::parameter);
  const Flat sy = spans("add_scaled", "changes", dy, x, Role::change);
  const Array f = to_device(contiguous(factors), device_of(x));
  if (sy.size() != sx.size() || f.shape() != Shape{static_cast<int64_t>(sx.size())} || f.dtype() != Dtype::f64)
    fail<ValueError>("add_scaled: expected ", sx.size(), " changes and float64 factors, got ", sy.size(),
                     " and factors of shape ", f.shape());
  run<&OptimKernels::add_scaled>(3 * total(sx), device_of(x), list(sx), list(sy), f.view());
  put_back(dx, x);
  bump(x);
}

// Numbers of the caller's as an array, also for a launch that is recorded.
Array numbers(const std::vector<double>& values) {
  const Array made = Array::empty({static_cast<int64_t>(values.size())}, Dtype::f64);
  View given = made;
  given.data = const_cast<double*>(kept(values.data(), values.size()));
  copy_values(given, made, {});
  return made;
}

void check_vector(const char* what, const Array& x, Dtype dtype, int64_t n) {
  if (x.device() != Device{})
    fail<DeviceError>("hogwild: ", what, " on ", device_name(x.device()), ": expected threads of the CPU to share it");
  if (x.dtype() != dtype || !x.dense() || x.shape().ndim != 1 || (n >= 0 && x.numel() != n))
    fail<ValueError>("hogwild: ", what, " must be a dense vector of ", dtype, ", got shape ", x.shape(), " of ",
                     x.dtype());
}

// Indices of a kernel that checks nothing.
void check_indices(const char* what, const Array& x, int64_t limit) {
  const int64_t* index = x.view().as<int64_t>();
  for (int64_t i = 0; i < x.numel(); ++i)
    if (index[i] < 0 || index[i] >= limit)
      fail<BoundsError>("hogwild: ", what, " has the index ", index[i], ": expected 0 to ", limit - 1);
}

// Steps on shared weights, without the GIL. Returns (weights written, those that others had changed meanwhile).
std::pair<int64_t, int64_t> hogwild(const Array& starts, const Array& columns, const Array& values, const Array& y,
                                    const Array& order, const Array& w, double lr, double decay) {
  refuse_reading("hogwild");
  check_vector("starts", starts, Dtype::i64, -1);
  check_vector("columns", columns, Dtype::i64, -1);
  check_vector("values", values, Dtype::f64, columns.numel());
  check_vector("y", y, Dtype::f64, starts.numel() - 1);
  check_vector("order", order, Dtype::i64, -1);
  check_vector("weights", w, Dtype::f64, -1);
  if (w.storage()->read_only()) fail<ValueError>("hogwild: the weights lie in read-only memory");
  check_indices("columns", columns, w.numel());
  check_indices("order", order, y.numel());
  const int64_t* s = starts.view().as<int64_t>();
  for (int64_t i = 0; i < y.numel(); ++i)
    if (s[i] < 0 || s[i] > s[i + 1] || s[i + 1] > columns.numel())
      fail<ValueError>("hogwild: row ", i, " starts at ", s[i], " and ends at ", s[i + 1]);
  const Array hyper = Array::empty({hogwild_hyper::count}, Dtype::f64), seen = filled({2}, Dtype::i64, 0);
  hyper.view().as<double>()[hogwild_hyper::lr] = lr;
  hyper.view().as<double>()[hogwild_hyper::decay] = decay;
  const SparseRows x{starts.view(), columns.view(), values.view()};
  run<&OptimKernels::hogwild>(kGilWork, {}, x, y.view(), order.view(), w.view(), hyper.view(), seen.view());
  w.storage()->bump();
  const int64_t* count = seen.view().as<int64_t>();
  return {count[0], count[1]};
}

template <auto slot>
void bind_step(py::module_& m, Rule rule) {
  m.def(
      rule.name,
      [rule](const Arrays& p, const Arrays& g, const std::vector<Arrays>& state, const Array& hyper) {
        step<slot>(rule, p, g, state, hyper);
      },
      py::arg("p"), py::arg("g"), py::arg("state"), py::arg("hyper"));
}

}  // namespace

void bind_optim(py::module_& m) {
  using K = OptimKernels;
  const char* const first = "first moments";
  const char* const second = "second moments";
  bind_step<&K::sgd>(m, {"sgd", sgd_hyper::count, {"momentum buffers"}});
  bind_step<&K::asgd>(m, {"asgd", asgd_hyper::count, {"averages"}});
  bind_step<&K::rprop>(m, {"rprop", rprop_hyper::count, {"last gradients", "step sizes"}});
  bind_step<&K::lion>(m, {"lion", lion_hyper::count, {first}});
  bind_step<&K::adagrad>(m, {"adagrad", adagrad_hyper::count, {"sums of squares"}});
  bind_step<&K::adadelta>(m, {"adadelta", adadelta_hyper::count, {"mean squares", "mean squared steps"}});
  bind_step<&K::rmsprop>(m, {"rmsprop", rmsprop_hyper::count, {"mean squares", "momentum buffers", "means"}});
  bind_step<&K::adam>(m, {"adam", adam_hyper::count, {first, second, "largest second moments"}});
  bind_step<&K::adamax>(m, {"adamax", adamax_hyper::count, {first, "infinity norms"}});
  bind_step<&K::nadam>(m, {"nadam", nadam_hyper::count, {first, second}});
  bind_step<&K::radam>(m, {"radam", radam_hyper::count, {first, second}});
  bind_step<&K::lamb_direction>(m, {"lamb_direction", lamb_hyper::count, {first, second, "directions"}});
  m.def(
      "on_one_device",
      [](const Arrays& x) {
        return std::all_of(x.begin(), x.end(), [&](const Array& a) { return a.device() == x[0].device(); });
      },
      py::arg("x"));
  m.def("sum_squares", &sum_squares, py::arg("x"));
  m.def("scale_by", &scale_by, py::arg("x"), py::arg("factor"), "x *= factor, an array of one float64");
  m.def(
      "scale", [](const Arrays& x, double factor) { scale_by(x, filled({1}, Dtype::f64, factor)); }, py::arg("x"),
      py::arg("factor"));
  m.def("unscale", &unscale, py::arg("x"), py::arg("scale"), py::arg("found"));
  m.def("update_scale", &update_scale, py::arg("state"), py::arg("found"), py::arg("growth"), py::arg("backoff"),
        py::arg("interval"));
  m.def("hogwild", &hogwild, py::arg("starts"), py::arg("columns"), py::arg("values"), py::arg("y"), py::arg("order"),
        py::arg("w"), py::arg("lr"), py::arg("decay"));
  m.def("add_scaled_by", &add_scaled_by, py::arg("x"), py::arg("y"), py::arg("factors"),
        "x[i] += factors[i] y[i], factors an array of float64");
  m.def(
      "add_scaled",
      [](const Arrays& x, const Arrays& y, const std::vector<double>& factors) {
        add_scaled_by(x, y, numbers(factors));
      },
      py::arg("x"), py::arg("y"), py::arg("factors"));
}

}  // namespace pydl::bind

#include "bind/ready.h"

#include <cstring>

namespace pydl::bind {
namespace {

PyObject* name_of_age() {
  static PyObject* const name = PyUnicode_InternFromString("age");
  return name;
}

long long age_of(PyObject* launch) {
  const py::object age = py::reinterpret_steal<py::object>(PyObject_GetAttr(launch, name_of_age()));
  if (!age) throw py::error_already_set();
  const long long number = PyLong_AsLongLong(age.ptr());
  if (number == -1 && PyErr_Occurred()) throw py::error_already_set();
  return number;
}

py::object not_implemented() { return py::reinterpret_borrow<py::object>(Py_NotImplemented); }

// Whether an argument that is no tensor is what it was: the same object, or an equal number or string.
bool equal(PyObject* given, PyObject* known) {
  if (given == known) return true;
  if (Py_TYPE(given) != Py_TYPE(known)) return false;
  if (PyFloat_CheckExact(given)) {
    const double a = PyFloat_AS_DOUBLE(given), b = PyFloat_AS_DOUBLE(known);
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
  if (!PyLong_CheckExact(given) && !PyUnicode_CheckExact(given)) return false;
  const int same = PyObject_RichCompareBool(given, known, Py_EQ);
  if (same < 0) throw py::error_already_set();
  return same == 1;
}

}  // namespace

Advance::Advance(Held& held, py::handle hook, py::handle fits, py::handle counted, py::handle skipped)
    : hook_(held.keep(hook)), fits_(fits.is_none() ? nullptr : held.keep(fits)) {
  if (!skipped.is_none()) skipped_ = py::handle(held.keep(skipped)).cast<const Array&>().view().as<double>();
  if (counted.is_none()) return;
  counted_ = true;
  for (const py::handle entry : counted) {
    const auto [options, launches] = entry.cast<std::pair<py::dict, py::list>>();
    Group group{held.keep(options), {}, {}};
    for (const py::handle launch : launches) {
      const auto [object, hyper, place] = launch.cast<std::tuple<py::object, py::object, int64_t>>();
      held.keep(hyper);
      double* numbers = hyper.cast<const Array&>().view().as<double>();
      group.counts.push_back({held.keep(object), place < 0 ? nullptr : numbers + place});
    }
    groups_.push_back(std::move(group));
  }
}

// Whether the value cannot change while the object stays the same.
bool Advance::constant(PyObject* value) {
  if (PyFloat_CheckExact(value) || PyLong_CheckExact(value) || PyBool_Check(value) || value == Py_None) return true;
  if (PyUnicode_CheckExact(value)) return true;
  if (!PyTuple_CheckExact(value)) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(value); ++i)
    if (!constant(PyTuple_GET_ITEM(value, i))) return false;
  return true;
}

// Takes note of the options as they are.
void Advance::look() {
  constant_ = true;
  for (Group& group : groups_) {
    group.values.clear();
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(group.options, &at, &key, &value);) {
      constant_ &= constant(value) || PyList_Check(value);  // lists are those of parameters and of their names
      group.values.emplace_back(py::reinterpret_borrow<py::object>(key), py::reinterpret_borrow<py::object>(value));
    }
  }
}

bool Advance::same(const Group& group) const {
  PyObject *key, *value;
  size_t i = 0;
  for (Py_ssize_t at = 0; PyDict_Next(group.options, &at, &key, &value); ++i)
    if (i >= group.values.size() || group.values[i].first.ptr() != key || group.values[i].second.ptr() != value)
      return false;
  return i == group.values.size();
}

bool Advance::native() const {
  if (!counted_ || !constant_) return false;
  for (const Group& group : groups_) {
    if (!same(group)) return false;
    for (const Count& count : group.counts)
      if (count.number == nullptr && age_of(count.launch) < 1) return false;  // a first step may differ
  }
  return true;
}

bool Advance::fits() const {
  if (fits_ == nullptr || native()) return true;
  const py::object answer = py::reinterpret_borrow<py::object>(fits_)();
  return answer.cast<bool>();
}

void Advance::go() {
  if (!native()) {
    py::reinterpret_borrow<py::object>(hook_)();
    if (counted_) look();
    return;
  }
  for (const Group& group : groups_)
    for (const Count& count : group.counts) {
      const long long age = age_of(count.launch) + 1;
      if (count.number != nullptr) *count.number = static_cast<double>(age);
      if (PyObject_SetAttr(count.launch, name_of_age(), py::int_(age).ptr()) < 0) throw py::error_already_set();
    }
}

Ready::Ready(py::object recorded, py::object guard, py::object modes, py::object pattern,
             const std::vector<bool>& needs, const py::list& steps, const py::list& grads, py::object build)
    : recorded_(recorded.cast<Recorded*>()), guard_(guard.cast<Guard*>()) {
  held.keep(recorded), held.keep(guard);
  if (!modes.is_none()) {
    const py::tuple m = modes;
    modes_ = {held.keep(m[0]), held.keep(m[1]), held.keep(m[2]), held.keep(m[3]), m[4].cast<Dtype>()};
  }
  plain_ = !pattern.is_none();
  if (plain_)
    for (const py::handle x : pattern) pattern_.push_back(held.keep(x));
  for (const bool need : needs) needs_.push_back(need ? Py_True : Py_False);
  for (const py::handle step : steps) {
    const auto [hook, fits, counted, skipped] = step.cast<std::tuple<py::object, py::object, py::object, py::object>>();
    steps_.emplace_back(held, hook, fits, counted, skipped);
  }
  for (const py::handle pair : grads) {
    const auto [tensor, grad] = pair.cast<std::pair<py::object, py::object>>();
    grads_.emplace_back(held.keep(tensor), held.keep(grad));
  }
  build_ = build.is_none() ? nullptr : held.keep(build);
}

// What this thread has set that operations look at. The defaults are those of the class.
bool Ready::same_modes() const {
  if (modes_.local == nullptr) return true;
  static PyObject* const dict = PyUnicode_InternFromString("__dict__");
  static PyObject* const names[] = {PyUnicode_InternFromString("enabled"), PyUnicode_InternFromString("inference"),
                                    PyUnicode_InternFromString("cast"), PyUnicode_InternFromString("recording")};
  const py::object own = py::reinterpret_steal<py::object>(PyObject_GetAttr(modes_.local, dict));
  if (!own) throw py::error_already_set();
  PyObject* const wanted[] = {modes_.enabled, modes_.inference, modes_.cast, Py_None};
  PyObject* const defaults[] = {Py_True, Py_False, Py_None, Py_None};
  for (int i = 0; i < 4; ++i) {
    PyObject* value = PyDict_GetItemWithError(own.ptr(), names[i]);
    if ((value ? value : defaults[i]) != wanted[i]) return false;
  }
  return default_dtype() == modes_.dtype;
}

bool Ready::takes(PyObject* tensor, size_t number) const {
  const TensorSlots& s = TensorSlots::all();
  return PyObject_TypeCheck(tensor, s.type) && TensorSlots::at(tensor, s.requires_grad) == needs_[number];
}

py::object Ready::call(const py::tuple& args, const py::dict& kwargs) {
  const size_t n = args.size();
  if (!plain_ || n != pattern_.size() || PyDict_GET_SIZE(kwargs.ptr()) || held.cleared()) return not_implemented();
  std::vector<Array> inputs;
  inputs.reserve(needs_.size());
  for (size_t i = 0; i < n; ++i) {
    PyObject* x = PyTuple_GET_ITEM(args.ptr(), static_cast<Py_ssize_t>(i));
    if (pattern_[i] != Py_Ellipsis) {
      if (!equal(x, pattern_[i])) return not_implemented();
    } else {
      if (!takes(x, inputs.size())) return not_implemented();
      inputs.push_back(array_of(x));
    }
  }
  return replay(inputs);
}

py::object Ready::run(const py::list& tensors) {
  if (tensors.size() != needs_.size() || held.cleared()) return not_implemented();
  std::vector<Array> inputs;
  for (const py::handle x : tensors) {
    if (!takes(x.ptr(), inputs.size())) return not_implemented();
    inputs.push_back(array_of(x.ptr()));
  }
  return replay(inputs);
}

py::object Ready::replay(const std::vector<Array>& inputs) {
  if (!same_modes() || !recorded_->fits(inputs) || !guard_->holds()) return not_implemented();
  for (const Advance& step : steps_)
    if (!step.fits()) return not_implemented();
  for (Advance& step : steps_) step.go();
  std::vector<Array> made;
  try {
    made = recorded_->run(inputs);
  } catch (...) {
    for (const Advance& step : steps_) step.undo();
    throw;
  }
  for (const Advance& step : steps_) step.settle();
  for (const auto& [tensor, grad] : grads_) {
    PyObject*& place = TensorSlots::at(tensor, TensorSlots::all().grad);
    if (place != grad) Py_XDECREF(std::exchange(place, py::handle(grad).inc_ref().ptr()));
  }
  ++count_;
  if (build_ == nullptr) return new_tensor(std::move(made[0]));
  if (PyTuple_CheckExact(build_)) return py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(build_, 0));
  py::list tensors(made.size());
  for (size_t i = 0; i < made.size(); ++i) tensors[i] = new_tensor(std::move(made[i]));
  return py::reinterpret_borrow<py::object>(build_)(tensors);
}

void bind_ready(py::module_& m) {
  py::class_<Ready>(m, "Ready", "A recorded plan that stands for a call.", collected<Ready>())
      .def(py::init<py::object, py::object, py::object, py::object, const std::vector<bool>&, const py::list&,
                    const py::list&, py::object>(),
           py::arg("recorded"), py::arg("guard"), py::arg("modes"), py::arg("pattern"), py::arg("needs"),
           py::arg("steps"), py::arg("grads"), py::arg("build"))
      .def("call", &Ready::call, py::arg("args"), py::arg("kwargs"), "NotImplemented if the plan is not one for it")
      .def("run", &Ready::run, py::arg("tensors"), "NotImplemented if the plan is not one for them")
      .def_property_readonly("count", &Ready::count, "how often it was replayed");
}

}  // namespace pydl::bind

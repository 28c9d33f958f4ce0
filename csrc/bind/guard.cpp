#include "bind/guard.h"

#include <structmember.h>

namespace pydl::bind {

TensorSlots& TensorSlots::all() {
  static TensorSlots slots;
  return slots;
}

namespace {

Py_ssize_t offset_of(py::handle type, const char* name) {
  const py::object member = type.attr(name);
  if (Py_TYPE(member.ptr()) != &PyMemberDescr_Type) fail<DtypeError>("Tensor.", name, " is not a slot");
  return reinterpret_cast<PyMemberDescrObject*>(member.ptr())->d_member->offset;
}

void tensor_type(py::handle type) {
  TensorSlots& s = TensorSlots::all();
  s.array = offset_of(type, "array"), s.grad = offset_of(type, "grad"), s.node = offset_of(type, "node");
  s.requires_grad = offset_of(type, "requires_grad"), s.hooks = offset_of(type, "hooks");
  s.type = reinterpret_cast<PyTypeObject*>(py::reinterpret_borrow<py::object>(type).release().ptr());
}

PyObject* slot(PyObject* tensor, Py_ssize_t TensorSlots::*which) {
  return TensorSlots::at(tensor, TensorSlots::all().*which);
}

void check_tensor(py::handle t) {
  if (!PyObject_TypeCheck(t.ptr(), TensorSlots::all().type)) fail<DtypeError>("Guard: expected a tensor");
}

}  // namespace

const Array& array_of(PyObject* tensor) {
  PyObject* array = slot(tensor, &TensorSlots::array);
  static PyTypeObject* const type = reinterpret_cast<PyTypeObject*>(py::type::of<Array>().release().ptr());
  if (array == nullptr || Py_TYPE(array) != type) fail<DtypeError>("capture: a tensor's array is of another kind");
  return *static_cast<const Array*>(reinterpret_cast<py::detail::instance*>(array)->simple_value_holder[0]);
}

py::object new_tensor(Array&& array) {
  const TensorSlots& s = TensorSlots::all();
  py::object made = py::reinterpret_steal<py::object>(s.type->tp_alloc(s.type, 0));
  if (!made) throw py::error_already_set();
  TensorSlots::at(made.ptr(), s.array) = py::cast(std::move(array)).release().ptr();
  TensorSlots::at(made.ptr(), s.requires_grad) = py::bool_(false).release().ptr();
  for (const Py_ssize_t empty : {s.grad, s.node, s.hooks})
    TensorSlots::at(made.ptr(), empty) = py::none().release().ptr();
  return made;
}

Entries::Entries(Held& held, py::handle dict) : dict_(held.keep(dict)) {
  PyObject *key, *value;
  for (Py_ssize_t at = 0; PyDict_Next(dict_, &at, &key, &value);)
    entries_.emplace_back(held.keep(key), held.keep(value));
}

Entries::Entries(Held& held, py::handle dict, const py::list& names) : dict_(held.keep(dict)), all_(false) {
  for (const py::handle name : names) {
    PyObject* value = PyDict_GetItemWithError(dict_, name.ptr());
    entries_.emplace_back(held.keep(name), value ? held.keep(value) : nullptr);
  }
}

PyObject* Entries::changed() const {
  if (!all_) {
    for (const auto& [key, value] : entries_)
      if (PyDict_GetItemWithError(dict_, key) != value) return key;
    return nullptr;
  }
  PyObject *key, *value;
  size_t i = 0;
  for (Py_ssize_t at = 0; PyDict_Next(dict_, &at, &key, &value); ++i)
    if (i >= entries_.size() || entries_[i].first != key || entries_[i].second != value) return key;
  return i == entries_.size() ? nullptr : entries_[i].first;
}

void Guard::tensor(py::handle t) {
  check_tensor(t);
  PyObject* p = held.keep(t);
  tensors_.push_back({p, held.keep(slot(p, &TensorSlots::array)), held.keep(slot(p, &TensorSlots::requires_grad))});
}

void Guard::same_grad(py::handle t) {
  check_tensor(t);
  PyObject* p = held.keep(t);
  grads_.emplace_back(p, held.keep(slot(p, &TensorSlots::grad)));
}

void Guard::no_grad(py::handle t) {
  check_tensor(t);
  grads_.emplace_back(held.keep(t), Py_None);
}

void Guard::list(const py::list& x) {
  OfList watched{held.keep(x), {}};
  for (const py::handle element : x) watched.elements.push_back(held.keep(element));
  lists_.push_back(std::move(watched));
}

void Guard::cell(py::handle x) {
  if (!PyCell_Check(x.ptr())) fail<DtypeError>("Guard: expected the cell of a closure");
  PyObject* value = PyCell_GET(x.ptr());
  cells_.emplace_back(held.keep(x), value ? held.keep(value) : nullptr);
}

bool Guard::OfList::same() const {
  if (PyList_GET_SIZE(list) != static_cast<Py_ssize_t>(elements.size())) return false;
  for (size_t i = 0; i < elements.size(); ++i)
    if (PyList_GET_ITEM(list, static_cast<Py_ssize_t>(i)) != elements[i]) return false;
  return true;
}

bool Guard::first_part_holds() const {
  if (held.cleared()) return false;
  const TensorSlots& s = TensorSlots::all();
  for (const OfTensor& t : tensors_)
    if (TensorSlots::at(t.tensor, s.array) != t.array || TensorSlots::at(t.tensor, s.requires_grad) != t.requires_grad)
      return false;
  for (const auto& [tensor, grad] : grads_)
    if (TensorSlots::at(tensor, s.grad) != grad) return false;
  return true;
}

bool Guard::holds() const {
  if (!first_part_holds()) return false;
  for (const auto& [cell, value] : cells_)
    if (PyCell_GET(cell) != value) return false;
  for (const Entries& dict : dicts_)
    if (!dict.same()) return false;
  for (const OfList& list : lists_)
    if (!list.same()) return false;
  return true;
}

py::object Guard::changed() const {
  const TensorSlots& s = TensorSlots::all();
  const auto fact = [](PyObject* what, py::object name) { return py::make_tuple(py::handle(what), std::move(name)); };
  for (const OfTensor& t : tensors_) {
    if (TensorSlots::at(t.tensor, s.array) != t.array) return fact(t.tensor, py::str("array"));
    if (TensorSlots::at(t.tensor, s.requires_grad) != t.requires_grad) return fact(t.tensor, py::str("requires_grad"));
  }
  for (const auto& [tensor, grad] : grads_)
    if (TensorSlots::at(tensor, s.grad) != grad) return fact(tensor, py::str("grad"));
  for (const auto& [cell, value] : cells_)
    if (PyCell_GET(cell) != value) return fact(cell, py::none());
  for (const Entries& dict : dicts_)
    if (PyObject* name = dict.changed()) return fact(dict.dict(), py::reinterpret_borrow<py::object>(name));
  for (const OfList& list : lists_)
    if (!list.same()) return fact(list.list, py::none());
  return py::none();
}

void bind_guard(py::module_& m) {
  m.def("tensor_type", &tensor_type, py::arg("type"), "tells where Tensor's slots lie");
  py::class_<Guard>(m, "Guard", "What of Python's state a recorded plan depends on.", collected<Guard>())
      .def(py::init<>())
      .def("tensor", &Guard::tensor, py::arg("t"), "its array and requires_grad stay the same objects")
      .def("same_grad", &Guard::same_grad, py::arg("t"), "its gradient stays the same object")
      .def("no_grad", &Guard::no_grad, py::arg("t"), "it has no gradient")
      .def("entries", &Guard::entries, py::arg("dict"), "all entries of a dict stay the same objects")
      .def("names", &Guard::names, py::arg("dict"), py::arg("names"), "these entries do")
      .def("elements", &Guard::list, py::arg("x"), "the elements of a list do")
      .def("cell", &Guard::cell, py::arg("x"), "a closure's variable does")
      .def("holds", &Guard::holds)
      .def("changed", &Guard::changed, "(where, name) of something that is not as it was; None if all is");
}

}  // namespace pydl::bind

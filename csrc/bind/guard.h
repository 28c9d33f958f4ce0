// Guard: what of Python's state a recorded plan depends on, compared before each replay without running Python code.
//
// All comparisons are of identity: numbers and strings of Python do not change, so where the same object is still in
// the same place, its value is the same.
#pragma once

#include <utility>
#include <vector>

#include "bind/common.h"

namespace pydl::bind {

void bind_guard(py::module_& m);
void bind_ready(py::module_& m);
void bind_skip(py::module_& m);

// Where Tensor keeps what it is made of, so that it is read and made without a call.
struct TensorSlots {
  PyTypeObject* type = nullptr;
  Py_ssize_t array = 0, grad = 0, node = 0, requires_grad = 0, hooks = 0;

  static TensorSlots& all();  // filled by `tensor_type`, when pydl.replay is imported
  static PyObject*& at(PyObject* tensor, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(tensor) + offset);
  }
};

const Array& array_of(PyObject* tensor);  // DtypeError where it is not an array of ours
py::object new_tensor(Array&& array);     // outside the graph

// References to Python's objects that its collector can see.
class Held {
 public:
  PyObject* keep(py::handle x) {
    objects_.push_back(py::reinterpret_borrow<py::object>(x));
    return x.ptr();
  }
  int visit(visitproc visit, void* context) const {
    for (const py::object& x : objects_)
      if (const int stop = visit(x.ptr(), context)) return stop;
    return 0;
  }
  void clear() {
    cleared_ = true;
    const std::vector<py::object> gone = std::move(objects_);
    objects_.clear();
  }
  bool cleared() const { return cleared_; }

 private:
  std::vector<py::object> objects_;
  bool cleared_ = false;
};

// Tells Python's collector about the member `held` of a class.
template <class T>
py::custom_type_setup collected() {
  return py::custom_type_setup([](PyHeapTypeObject* heap) {
    heap->ht_type.tp_flags |= Py_TPFLAGS_HAVE_GC;
    heap->ht_type.tp_traverse = [](PyObject* self, visitproc visit, void* arg) {
      Py_VISIT(Py_TYPE(self));
      void* made = reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0];
      return made ? static_cast<T*>(made)->held.visit(visit, arg) : 0;
    };
    heap->ht_type.tp_clear = [](PyObject* self) {
      void* made = reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0];
      if (made) static_cast<T*>(made)->held.clear();
      return 0;
    };
  });
}

// Entries of a dict, or some of them, as they were.
class Entries {
 public:
  Entries() = default;
  Entries(Held& held, py::handle dict);                         // all
  Entries(Held& held, py::handle dict, const py::list& names);  // these; null for one that is not there
  PyObject* changed() const;                                    // the name of one that is another object now
  bool same() const { return changed() == nullptr; }
  PyObject* dict() const { return dict_; }

 private:
  PyObject* dict_ = nullptr;
  bool all_ = true;
  std::vector<std::pair<PyObject*, PyObject*>> entries_;
};

class Guard {
 public:
  Held held;

  void tensor(py::handle t);     // its array and requires_grad are as they are now
  void same_grad(py::handle t);  // its gradient is the tensor that it is now
  void no_grad(py::handle t);    // it has no gradient
  void entries(const py::dict& dict) { dicts_.emplace_back(held, dict); }
  void names(const py::dict& dict, const py::list& names) { dicts_.emplace_back(held, dict, names); }
  void list(const py::list& x);  // its elements
  void cell(py::handle x);       // of a closure
  bool holds() const;
  py::object changed() const;  // (what, name or None) of something that is not as it was; None if all is

 private:
  struct OfTensor {
    PyObject *tensor, *array, *requires_grad;
  };
  struct OfList {
    PyObject* list;
    std::vector<PyObject*> elements;
    bool same() const;
  };
  bool first_part_holds() const;

  std::vector<OfTensor> tensors_;
  std::vector<std::pair<PyObject*, PyObject*>> grads_, cells_;
  std::vector<Entries> dicts_;
  std::vector<OfList> lists_;
};

}  // namespace pydl::bind

// Ready: a recorded plan as it stands for a call of the function: whether it may, and the call, without Python code.
#pragma once

#include <vector>

#include "bind/guard.h"
#include "bind/recorded.h"

namespace pydl::bind {

// A step of an optimizer, or of another object whose numbers Python changes: what is done before each replay.
//
// Where nothing but the count of steps changes from one step to the next, and the options are still the objects that
// they were, the count is written here; else Python's hook is called.
class Advance {
 public:
  // hook: called before each replay. fits: asked before that whether the plan still stands, or None. counted: None, or
  // (options, [(launch, hyper, place)]) of each group: a launch's `age` counts its steps, and place is where it stands
  // among the hyperparameters, or -1.
  // skipped: None, or a number that is not 0 where the replay left the step out: then hook.back() undoes it.
  Advance(Held& held, py::handle hook, py::handle fits, py::handle counted, py::handle skipped);
  bool fits() const;
  void go();
  void settle() const {
    if (skipped_ != nullptr && *skipped_ != 0) py::handle(hook_).attr("back")();
  }
  // After a replay that ended with an error: checks come before steps, so that the step was not taken.
  void undo() const {
    if (py::hasattr(hook_, "back")) py::handle(hook_).attr("back")();
  }

 private:
  struct Count {
    PyObject* launch;
    double* number;  // null where it is not among the hyperparameters
  };
  struct Group {
    PyObject* options;
    std::vector<std::pair<py::object, py::object>> values;
    std::vector<Count> counts;
  };
  static bool constant(PyObject* value);
  bool same(const Group& group) const;
  bool native() const;
  void look();  // at the options, which the hook has just written

  PyObject *hook_, *fits_;
  const double* skipped_ = nullptr;
  bool counted_ = false, constant_ = true;
  std::vector<Group> groups_;
};

class Ready {
 public:
  Held held;

  // modes: (the thread's modes, their values now); None if they do not matter. pattern: of each argument either
  // Ellipsis, where it is a tensor, or the object it must be. needs: requires_grad of each tensor. grads: (tensor,
  // gradient) pairs that a replay puts back. build: makes the result of a list of tensors; None if the result is one
  // tensor, and a tuple holds a result without tensors.
  Ready(py::object recorded, py::object guard, py::object modes, py::object pattern, const std::vector<bool>& needs,
        const py::list& steps, const py::list& grads, py::object build);

  // What a call gives; NotImplemented if the plan is not one for it.
  py::object call(const py::tuple& args, const py::dict& kwargs);
  py::object run(const py::list& tensors);
  int64_t count() const { return count_; }  // of replays

 private:
  struct Modes {
    PyObject *local = nullptr, *enabled = nullptr, *inference = nullptr, *cast = nullptr;
    Dtype dtype = Dtype::f32;
  };
  bool same_modes() const;
  bool takes(PyObject* tensor, size_t number) const;
  py::object replay(const std::vector<Array>& inputs);

  Recorded* recorded_;
  Guard* guard_;
  Modes modes_;
  bool plain_ = false;  // whether there is a pattern
  std::vector<PyObject*> pattern_;
  std::vector<PyObject*> needs_;
  std::vector<Advance> steps_;
  std::vector<std::pair<PyObject*, PyObject*>> grads_;
  PyObject* build_;
  int64_t count_ = 0;
};

}  // namespace pydl::bind
